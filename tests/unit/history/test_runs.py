"""Past runs: what a journal tells, what shows when it is not whole, what goes on after a run that died."""

import ast
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.cli.boundary import run as type_in
from ccr_avn.errors import UsageError
from ccr_avn.history import resume, runs
from ccr_avn.history.summary import summarize
from ccr_avn.plan.events import ChangeEnded, ChangeStarted, Event, Missed, Undone
from ccr_avn.units import format_duration
from tests.unit.history.journals import (
    DELETE,
    IP_FILTER,
    PAUSED_UNTIL,
    TYPED,
    append,
    begun,
    done,
    ended,
    go,
    looked,
    started,
    switched,
    wait,
    write,
)

RUN = "20260102T030405Z-abc123"


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CCR_AVN_STATE_DIR", str(tmp_path))
    return tmp_path / "runs"


@pytest.fixture
def whole(where: Path) -> Path:
    return write(where, RUN, switched(RUN))


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def head_of(path: Path) -> str:
    return runs.read(path).head


def test_a_whole_journal_is_whole(whole: Path) -> None:
    verdict = runs.verify(whole, head_of(whole))
    assert (verdict.findings, verdict.notes, verdict.lines) == ((), (), len(switched(RUN)))
    assert runs.verify(whole).findings == ()
    assert "--head" in runs.verify(whole).notes[0]


def test_every_changed_byte_is_found(whole: Path) -> None:
    """With the head; without it the last line alone is not covered."""
    head, original = head_of(whole), whole.read_bytes()
    last = len(original) - len(lines_of(whole)[-1])
    for position in range(0, len(original), 7):
        changed = bytearray(original)
        changed[position] ^= 0x01
        whole.write_bytes(changed)
        assert runs.verify(whole, head).findings, position
        if position < last:
            assert runs.verify(whole).findings, position


def test_every_removed_line_is_found(whole: Path) -> None:
    head, lines = head_of(whole), lines_of(whole)
    for number in range(len(lines)):
        whole.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
        assert runs.verify(whole).findings, number
        assert runs.verify(whole, head).findings, number


def test_every_moved_line_is_found(whole: Path) -> None:
    lines = lines_of(whole)
    for source in range(len(lines)):
        for target in range(len(lines)):
            moved = lines[:source] + lines[source + 1 :]
            moved.insert(target, lines[source])
            whole.write_bytes(b"".join(moved))
            assert bool(runs.verify(whole).findings) is (source != target), (source, target)


def test_a_doubled_line_and_one_appended_are_found(whole: Path) -> None:
    lines = lines_of(whole)
    whole.write_bytes(b"".join([*lines[:3], lines[2], *lines[3:]]))
    assert runs.verify(whole).findings
    whole.write_bytes(b"".join(lines))
    append(whole, [done("closed", 9.0)])
    assert runs.verify(whole).findings == (f"1 line(s) follow the closing line {len(lines)}",)


def test_a_cut_tail_is_found_with_the_head(whole: Path) -> None:
    head, lines = head_of(whole), lines_of(whole)
    for kept in range(len(lines)):
        whole.write_bytes(b"".join(lines[:kept]))
        assert runs.verify(whole, head).findings, kept


def test_a_journal_under_another_name_is_found(whole: Path) -> None:
    other = whole.rename(whole.with_name("20260102T030405Z-ffffff.jsonl"))
    assert runs.verify(other).findings == (f"it is the journal of {RUN}, under another name",)


def test_half_a_line_is_told_and_the_rest_is_read(whole: Path) -> None:
    whole.write_bytes(whole.read_bytes()[:-20])
    record = runs.read(whole)
    assert record.half
    assert record.unreadable == (len(switched(RUN)),)
    assert summarize(record).state == "open"
    assert any("middle of line" in finding for finding in runs.verify(whole).findings)


@pytest.mark.parametrize(
    "rubbish", [b"", b"\n\n", b"\xff\xfe\x00", b"[1]\n", b'{"event": "RunStarted"}\n', b"[" * 99_999]
)
def test_rubbish_is_no_journal_and_breaks_nothing(where: Path, rubbish: bytes) -> None:
    where.mkdir()
    path = where / f"{RUN}.jsonl"
    path.write_bytes(rubbish)
    assert runs.verify(path).findings
    story = summarize(runs.read(path))
    assert story.state == "open"
    assert resume.next_command(story) == ""
    assert type_in(["runs", "list"]) == 0
    assert type_in(["runs", "show", RUN]) == 0
    assert type_in(["runs", "report", RUN]) == 0


def test_odd_values_are_passed_over(whole: Path) -> None:
    odd = [{"event": "StepDone", "slug": 7, "at": "late", "finding": [], "seconds": None}, {"event": 3}]
    odd += [{"event": "ChangeStarted", "slug": "promote", "argv": "x", "at": 1e999}, {"event": "RunEnded", "code": "x"}]
    with whole.open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in odd)
    assert summarize(runs.read(whole)).command == "switchover"


def test_the_story_of_a_switchover(whole: Path) -> None:
    story = summarize(runs.read(whole))
    assert (story.command, story.primary, story.replica, story.ended_as) == ("switchover", "eu", "us", "done")
    assert story.lag == ((0.4, 4096), (0.7, 0))
    promote = story.step("promote")
    assert promote is not None
    assert promote.final
    assert [(span.kind, span.began, span.ended) for span in promote.spans] == [
        ("gate", 0.8, 0.8),
        ("change", 0.8, 1.0),
        ("wait", 1.0, 1.8),
    ]
    assert [command.text for command in promote.commands] == [shlex.join(DELETE)]
    assert resume.next_command(story) == ""
    assert resume.last_known(story) == ()


def test_looks_tell_waits_from_gates(where: Path) -> None:
    happened = [
        started(RUN, "enable", ("a", "b")),
        begun("a", 0.0),
        looked("a", 0.2, wait("not yet")),
        looked("a", 5.0, wait("still not")),
        looked("a", 9.0, go("there")),
        done("a", 9.0, "there", seconds=9.0),
        begun("b", 9.0),
        looked("b", 9.1, wait("missing")),
        ChangeStarted(at=9.2, slug="b", argv=("avn", "make"), final=False),
        ChangeEnded(at=9.4, slug="b", seconds=0.2),
        looked("b", 9.5, go("made")),
        done("b", 9.5, "made", "changed", 0.5),
        ended(9.6),
    ]
    path = write(where, RUN, happened[:1])
    story = summarize(runs.read(append(path, happened[1:])))
    first, second = story.steps
    assert [(span.kind, span.began, span.ended) for span in first.spans] == [("gate", 0.0, 0.2), ("wait", 0.2, 9.0)]
    assert [span.kind for span in second.spans] == ["gate", "change", "gate"]
    assert [command.text for command in first.commands] == ["avn look"]  # of equal looks in a row the last one
    assert [command.text for command in second.commands] == ["avn look", "avn make", "avn look"]
    assert first.rule == "a is seen to"


def test_a_missed_read_is_a_wait(where: Path) -> None:
    missed = Missed(at=1.0, slug="pair", why="no answer", again_in=0.5)
    story = summarize(runs.read(write(where, RUN, [started(RUN), missed, done("pair", 2.0, seconds=2.0), ended(2.1)])))
    assert [span.kind for span in story.steps[0].spans] == ["gate", "wait"]


DIED: dict[str, tuple[Callable[[], list[Event]], str, str]] = {
    "at once": (lambda: switched(RUN)[:1], "pair", "no step had finished"),
    "in a check": (lambda: switched(RUN)[:2], "health", "last finished step: pair"),
    "in the fence": (lambda: switched(RUN)[:4], "fence", "last finished step: health"),
    "fenced": (lambda: switched(RUN)[:6], "caught-up", "nothing was promoted; writes on eu were paused until"),
    "promoting": (lambda: switched(RUN)[:8], "promote", "the promotion was sent"),
    "promoted": (lambda: switched(RUN)[:10], "accepts-writes", "took effect: us is the primary now"),
}


@pytest.mark.parametrize("name", DIED)
def test_a_run_that_died_says_where_and_what_goes_on(where: Path, name: str) -> None:
    happened, under_way, said = DIED[name]
    path = write(where, RUN, happened())
    story = summarize(runs.read(path))
    assert story.ended_as == "incomplete"
    assert [step.slug for step in story.steps if step.outcome == "under way"] == [under_way]
    known = resume.last_known(story, now=PAUSED_UNTIL + 60)
    assert any(said in line for line in known), known
    assert shlex.split(resume.next_command(story)) == ["ccr-avn", *TYPED, "--project", "p"]
    assert any("no closing line" in finding for finding in runs.verify(path).findings)
    assert runs.verify(path, head_of(path)).findings == ()


@pytest.mark.parametrize(
    ("ends", "promoted"), [(8, False), (9, False), (10, True), (11, True)], ids=["sent", "answered", "promoted", "used"]
)
def test_a_run_that_ended_behind_the_promotion_says_how_things_stand(where: Path, ends: int, promoted: bool) -> None:
    story = summarize(runs.read(write(where, RUN, switched(RUN)[:ends])))
    known = "\n".join(resume.last_known(story, now=PAUSED_UNTIL - 90))
    assert "the promotion was sent" in known
    assert ("us is the primary now" in known) is promoted
    assert "90 s from now" in known
    assert "eu is not closed yet: run the same command again before writes resume there" in known
    assert ("avn service update eu --project p --power-off" in known) is promoted, "else it may be the only primary"
    assert "ccr-avn fence eu --project p --ttl 3600" in known
    late = "\n".join(resume.last_known(story, now=PAUSED_UNTIL + 5))
    assert "5 s ago: it may accept writes" in late
    kept = "\n".join(resume.last_known(story))
    assert "paused until 2026-01-02 03:04:05 UTC" in kept
    standing = resume.standing(story)
    assert (standing["promoted"], standing["old_primary_closed"]) == (promoted, False)
    assert standing["writes_paused_until"] == PAUSED_UNTIL


def test_a_run_that_failed_behind_the_promotion_says_how_things_stand(where: Path) -> None:
    result: dict[str, Any] = {
        "error": "no answer",
        "promoted": True,
        "writes_paused_until": PAUSED_UNTIL + 600,
        "ways_to_close": ["x"],
    }
    happened = [*switched(RUN)[:11], ended(3.0, ok=False, code=13, **result)]
    story = summarize(runs.read(write(where, RUN, happened)))
    assert resume.standing(story)["writes_paused_until"] == PAUSED_UNTIL + 600
    assert "other ways to keep writers off eu: x" in resume.last_known(story)
    closed = [*switched(RUN)[:12], ended(3.0, ok=False, code=16, error="ahead")]
    story = summarize(runs.read(write(where, "1-b", closed)))
    assert "eu is closed" in resume.last_known(story)
    assert not any("paused" in line for line in resume.last_known(story))


def test_the_filter_from_before_can_be_put_back_at_any_time(where: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for ends in (2, 8, 12, 13):
        write(where, RUN, switched(RUN)[:ends])
        told = resume.reopening(summarize(runs.read(where / f"{RUN}.jsonl")))
        assert told["ip_filter"] == IP_FILTER, ends
        words = shlex.split(told["restore"][0])
        assert ast.literal_eval(words[words.index("-c") + 1].removeprefix("ip_filter=")) == IP_FILTER  # as avn reads it
        assert type_in(["runs", "show", RUN]) == 0
        assert told["restore"][0] in capsys.readouterr().out
        (where / f"{RUN}.jsonl").unlink()
    odds: list[dict[str, Any]] = [{}, {"ip_filter": ["192.0.2.1/32"]}]
    for odd in odds:
        path = write(where, RUN, [started(RUN), done("pair", 0.1, **odd)])
        assert resume.reopening(summarize(runs.read(path))) == {}
        path.unlink()
    path = write(where, RUN, [started(RUN), done("pair", 0.1, ip_filter=None)])
    assert "0.0.0.0/0" in resume.reopening(summarize(runs.read(path)))["restore"][0]
    assert type_in(["runs", "show", RUN]) == 0
    assert "not set: open to all" in capsys.readouterr().out


SURROGATE = [
    started("1-b", primary="eu\ud83d"),
    done("pair", 0.1, "plan \ud83d\x1b[2J", ip_filter=["\udc80"]),
]


def test_half_a_character_or_a_steering_one_breaks_no_command(
    where: Path, whole: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write(where, "1-b", SURROGATE)
    file = str(tmp_path / "report")
    for words in (
        ["list"],
        ["list", "--json"],
        ["show", "1-b"],
        ["show", "1-b", "--json"],
        ["report", "1-b"],
        ["report", "1-b", "--format", "markdown"],
        ["report", "1-b", "--output", file],
    ):
        assert type_in(["runs", *words]) == 0, words
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err
        said.out.encode()
    assert "\\ud83d" in Path(file).read_text(encoding="utf-8")


def test_one_journal_that_can_not_be_opened_hides_no_other(
    where: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (where / "1-b.jsonl").mkdir()
    assert type_in(["runs", "list"]) == 0
    said = capsys.readouterr()
    assert RUN in said.out
    assert "1-b.jsonl can't be read" in said.err


def test_a_run_that_failed_says_why(where: Path) -> None:
    undone = Undone(at=3.0, slug="fence", failed="")
    happened = [*switched(RUN)[:6], undone, ended(3.1, ok=False, changed=False, code=5, error="not caught up")]
    story = summarize(runs.read(write(where, RUN, happened)))
    assert story.ended_as == "failed, exit 5"
    assert "not caught up" in resume.last_known(story)
    assert not any("--fence-ttl" in line for line in resume.last_known(story))
    fence = story.step("fence")
    assert fence is not None
    assert fence.undone == "undone"
    assert resume.next_command(story).startswith("ccr-avn switchover eu us")


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        (("enable", "eu", "us", "--replica-arg=a b"), ["--project", "p"]),
        (("failover", "us", "--project", "p", "--allow-data-loss", "--write-env", "app.env"), []),
        (("failover", "us", "--project=p", "--allow-data-loss", "--after", "it's done"), []),
        (("evacuate", "google-*", "--yes", "--on-failure", "page me"), ["--project", "p"]),
    ],
)
def test_what_goes_on_is_what_was_typed_all_of_it(where: Path, typed: tuple[str, ...], added: list[str]) -> None:
    path = write(where, RUN, [started(RUN, typed[0], argv=typed)])
    assert shlex.split(resume.next_command(summarize(runs.read(path)))) == ["ccr-avn", *typed, *added]


def test_an_older_journal_says_that_it_does_not_have_the_options(where: Path) -> None:
    story = summarize(runs.read(write(where, RUN, [started(RUN, argv=())])))
    command, told = resume.next_command(story).split("  # ")
    assert command == "ccr-avn switchover eu us --project p"
    assert "does not have them" in told


def test_no_secret_is_read_out(where: Path) -> None:
    leak = "it failed: rediss://default:AVNS_s3cret@eu.aivencloud.com:1 and AVNS_other"
    path = write(where, RUN, [started(RUN), done("pair", 0.1, leak), ended(0.2, ok=False, code=3, error=leak)])
    told = repr(summarize(runs.read(path)))
    assert "s3cret" not in told
    assert "AVNS_other" not in told
    assert "eu.aivencloud.com:1" in told


def test_runs_are_found_by_name_beginning_latest_or_file(where: Path, whole: Path) -> None:
    newer = write(where, "20270102T030405Z-abc123", switched("20270102T030405Z-abc123"))
    assert runs.paths() == [newer, whole]
    assert runs.find(RUN) == runs.find("2026") == runs.find(str(whole)) == whole
    assert runs.find("latest") == newer
    last = write(where, "20270103T030405Z-abc123", [started("20270103T030405Z-abc123", "evacuate")])
    of_it = started("20270103T030500Z-abc123", evacuation=last.stem)
    pair = write(where, "20270103T030500Z-abc123", [of_it])
    assert runs.find("latest") == last, "not that of one of its pairs, which begin later"
    assert runs.find(pair.stem) == pair
    for name in ("20", "", "nope", "../runs/x", "*"):
        with pytest.raises(UsageError):
            runs.find(name)
    with pytest.raises(UsageError) as wrong:
        runs.find(f"{RUN}zz")
    assert RUN in wrong.value.hint
    with pytest.raises(UsageError):
        runs.read(where / "gone.jsonl")


def test_services_of_recent_runs_are_completed(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs.recent_services("") == []
    write(where, "1-a", switched("1-a"))
    write(where, "2-b", [started("2-b", primary="eu-2", replica="ap")])
    (where / "3-c.jsonl").write_bytes(b"\xff\n{")
    (where / "4-d.jsonl").mkdir()
    assert runs.recent_services("") == ["eu-2", "ap", "eu", "us"]
    assert runs.recent_services("eu") == ["eu-2", "eu"]
    monkeypatch.setattr(runs, "RECENT", 3)
    assert runs.recent_services("") == ["eu-2", "ap"]


def test_the_commands_and_their_exit_codes(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = head_of(whole)
    assert type_in(["runs", "list"]) == 0
    assert "switchover  eu → us  done   2.6 s" in capsys.readouterr().out
    assert type_in(["runs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["run"] == RUN
    assert type_in(["runs", "show", "latest"]) == 0
    assert "its role is master" in capsys.readouterr().out
    assert type_in(["runs", "show", RUN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["goes_on_with"] == ""
    assert type_in(["runs", "verify", RUN, "--head", head]) == 0
    assert type_in(["runs", "verify", RUN, "--head", "0" * 64]) == 6
    capsys.readouterr()
    assert type_in(["runs", "verify", RUN, "--head", "0" * 64, "--json"]) == 6
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert told["head"] == head
    whole.write_bytes(b"".join(lines_of(whole)[1:]))
    assert type_in(["runs", "verify", RUN]) == 6


@pytest.mark.parametrize(
    "words",
    [["list", "--limit", "0"], ["show", "nope"], ["verify", RUN, "--head", "abc"], ["report", RUN, "--format", "pdf"]],
    ids=" ".join,
)
def test_bad_input_exits_2(whole: Path, words: list[str]) -> None:
    assert type_in(["runs", *words]) == 2


def test_no_runs_yet(where: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(["runs", "list"]) == 0
    assert "no runs yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "< 1 ms"), (0.0424, "42 ms"), (1.25, "1.2 s"), (61.2, "1 min 01 s"), (7260, "2 h 01 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
