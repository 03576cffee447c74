"""Past runs: what a journal tells, what shows when it is not whole, what goes on after a run that died."""

import ast
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.cli.boundary import run as type_in
from ccr_avn.errors import UsageError
from ccr_avn.history import journal, resume
from ccr_avn.history.records import Verdict, read, verify
from ccr_avn.plan.events import ChangeEnded, ChangeStarted, Looked, Missed, Undone
from ccr_avn.plan.model import go, stop, wait
from ccr_avn.units import iso
from tests.unit.history.journals import (
    IP_FILTER,
    PAUSED_UNTIL,
    RUN,
    TYPED,
    begun,
    done,
    ended,
    looked,
    started,
    story_of,
    switched,
    write,
)


@pytest.fixture
def whole(where: Path) -> Path:
    return write(where, RUN, switched())


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def check(path: Path, head: str | None = None) -> Verdict:
    return verify(read(path), head)


def test_a_whole_journal_is_whole(whole: Path) -> None:
    verdict = check(whole, read(whole).head)
    assert (verdict.findings, verdict.notes) == ((), ())
    assert check(whole).findings == ()
    assert "--head" in check(whole).notes[0]
    assert [type(event) for event in read(whole).events] == [type(event) for event in switched()]


def test_every_changed_byte_is_found(whole: Path) -> None:
    """With the head; without it the last line alone is not covered."""
    head, original = read(whole).head, whole.read_bytes()
    last = len(original) - len(lines_of(whole)[-1])
    for position in range(0, len(original), 61):
        changed = bytearray(original)
        changed[position] ^= 0x01
        whole.write_bytes(changed)
        assert check(whole, head).findings, position
        if position < last:
            assert check(whole).findings, position


def test_every_removed_or_moved_line_and_every_cut_tail_is_found(whole: Path) -> None:
    head, lines = read(whole).head, lines_of(whole)
    for source in range(len(lines)):
        rest = lines[:source] + lines[source + 1 :]
        whole.write_bytes(b"".join(rest))
        assert check(whole).findings, source
        assert check(whole, head).findings, source
        whole.write_bytes(b"".join(lines[:source]))
        assert check(whole, head).findings, source
        for target in range(len(lines)):
            whole.write_bytes(b"".join([*rest[:target], lines[source], *rest[target:]]))
            assert bool(check(whole).findings) is (source != target), (source, target)


def test_a_doubled_line_and_another_name_are_found(whole: Path) -> None:
    lines = lines_of(whole)
    whole.write_bytes(b"".join([*lines[:3], lines[2], *lines[3:]]))
    assert check(whole).findings
    whole.write_bytes(b"".join([*lines, lines[-1]]))
    assert check(whole).findings[-1] == f"1 line(s) follow the closing line {len(lines)}"
    whole.write_bytes(b"".join(lines))
    other = whole.rename(whole.with_name("20260102T030405Z-ffffff.jsonl"))
    assert check(other).findings == (f"it is the journal of {RUN}, under another name",)


def test_half_a_line_is_reported_and_the_rest_is_read(whole: Path) -> None:
    whole.write_bytes(whole.read_bytes()[:-20])
    assert read(whole).half
    assert len(read(whole).events) == len(switched()) - 1
    assert story_of(whole).state == "open"
    assert any("middle of line" in finding for finding in check(whole).findings)


@pytest.mark.parametrize(
    "rubbish", [b"", b"\n\n", b"\xff\xfe\x00", b"[1]\n", b'{"event": "RunStarted"}\n', b"[" * 99_999]
)
def test_rubbish_is_no_journal_and_breaks_nothing(where: Path, rubbish: bytes) -> None:
    where.mkdir()
    path = where / f"{RUN}.jsonl"
    path.write_bytes(rubbish)
    assert check(path).findings
    assert story_of(path).state == "open"
    assert resume.next_command(story_of(path)) == ()
    for words in (["list"], ["show", RUN], ["report", RUN]):
        assert type_in(["runs", *words]) == 0


def test_looks_tell_waits_from_gates(where: Path) -> None:
    happened = [
        started(RUN, "enable", ("a", "b")),
        begun("a", 0.0),
        looked("a", 0.2, wait("not yet")),
        looked("a", 5.0, wait("still not")),
        Missed(at=7.0, slug="a", why="no answer", again_in=0.5),
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
    first, second = story_of(write(where, RUN, happened)).steps
    assert first.spans == (("gate", 0.0, 0.2), ("wait", 0.2, 9.0))
    assert [kind for kind, *_ in second.spans] == ["gate", "change", "gate"]
    assert [command.text for command in first.commands] == ["avn look"]  # of equal looks in a row the last one
    assert [command.text for command in second.commands] == ["avn look", "avn make", "avn look"]
    assert first.rule == "a is seen to"


DIED: dict[str, tuple[int, str, str]] = {
    "at once": (1, "pair", "no step had finished"),
    "in a check": (2, "health", "last finished step: pair"),
    "in the fence": (4, "fence", "last finished step: health"),
    "fenced": (6, "caught-up", "nothing was promoted; writes on eu were paused until"),
    "promoting": (8, "promote", "the promotion was sent"),
    "promoted": (10, "accepts-writes", "took effect: us is the primary now"),
}


@pytest.mark.parametrize("name", DIED)
def test_a_run_that_died_says_where_and_what_goes_on(where: Path, name: str) -> None:
    lines, under_way, said = DIED[name]
    path = write(where, RUN, switched()[:lines])
    story = story_of(path)
    assert story.ended_as == "incomplete"
    assert [step.slug for step in story.steps if step.outcome == "under way"] == [under_way]
    known = resume.last_known(story, now=PAUSED_UNTIL + 60)
    assert any(said in line for line in known), known
    assert resume.next_command(story) == ("ccr-avn", *TYPED, "--project", "p")
    assert any("no closing line" in finding for finding in check(path).findings)
    assert check(path, read(path).head).findings == ()


@pytest.mark.parametrize(
    ("ends", "promoted"), [(8, False), (9, False), (10, True), (11, True)], ids=["sent", "answered", "promoted", "used"]
)
def test_a_run_that_ended_behind_the_promotion_says_how_things_stand(where: Path, ends: int, promoted: bool) -> None:
    story = story_of(write(where, RUN, switched()[:ends]))
    known = "\n".join(resume.last_known(story, now=PAUSED_UNTIL - 90))
    assert "the promotion was sent" in known
    assert ("us is the primary now" in known) is promoted
    assert "90 s from now" in known
    assert "eu is not closed yet: run the same command again before writes resume there" in known
    assert ("avn service update eu --project p --power-off" in known) is promoted, "else it may be the only primary"
    assert "ccr-avn fence eu --project p --ttl 3600" in known
    assert "5 s ago: it may accept writes" in "\n".join(resume.last_known(story, now=PAUSED_UNTIL + 5))
    assert "paused until 2026-01-02 03:04:05 UTC" in "\n".join(resume.last_known(story))
    standing = resume.standing(story)
    assert (standing["promoted"], standing["old_primary_closed"]) == (promoted, False)
    assert standing["writes_paused_until"] == iso(PAUSED_UNTIL)


@pytest.mark.parametrize("slug", ["history", "accepts-writes"])
def test_a_run_that_promoted_a_service_without_the_data_closes_nothing(where: Path, slug: str) -> None:
    lacking = stop("us does not have the data of eu", hint="keep eu")
    look = Looked(at=2.4, slug=slug, argv=("ccr-avn", "gate", slug, "us"), finding=lacking, elapsed=0, limit=0)
    first, *more = switched()[:10]
    first = replace(first, slugs=("pair", "fence", "promote", "history", "accepts-writes", "closed"))  # type: ignore[call-arg]
    ends = ended(3.0, ok=False, code=14, promoted=True)
    story = story_of(write(where, RUN, [first, *more, look, ends]))
    known = "\n".join(resume.last_known(story, now=PAUSED_UNTIL - 90))
    assert "us was promoted, and must not take over: it does not have the data of eu" in known
    assert "keep applications on eu; to resume writes there: ccr-avn unfence eu --force --project p" in known
    assert "power-off" not in known
    assert "run the same command again" not in known
    assert resume.standing(story)["ways_to_close"] == []


def test_a_run_that_failed_behind_the_promotion_says_how_things_stand(where: Path) -> None:
    later = PAUSED_UNTIL + 600
    result = {"error": "no answer", "promoted": True, "writes_paused_until": iso(later), "ways_to_close": ["x"]}
    story = story_of(write(where, RUN, [*switched()[:11], ended(3.0, ok=False, code=13, **result)]))
    assert resume.standing(story)["writes_paused_until"] == iso(later)
    assert "other ways to keep writers off eu: x" in resume.last_known(story)
    story = story_of(write(where, "1-b", [*switched()[:12], ended(3.0, ok=False, code=16, error="ahead")]))
    assert "eu is closed" in resume.last_known(story)
    assert not any("paused" in line for line in resume.last_known(story))


def test_a_run_that_failed_says_why(where: Path) -> None:
    undone = Undone(at=3.0, slug="fence", failed="")
    happened = [*switched()[:6], undone, ended(3.1, ok=False, changed=False, code=5, error="not caught up")]
    story = story_of(write(where, RUN, happened))
    assert story.ended_as == "failed, exit 5"
    assert "not caught up" in resume.last_known(story)
    assert not any("--fence-ttl" in line for line in resume.last_known(story))
    fence = story.step("fence")
    assert fence is not None
    assert fence.undone == "undone"
    assert resume.next_command(story)[:4] == ("ccr-avn", "switchover", "eu", "us")


@pytest.mark.parametrize("ends", [2, 8, 12, 13])
def test_the_filter_from_before_can_be_put_back_at_any_time(
    where: Path, ends: int, capsys: pytest.CaptureFixture[str]
) -> None:
    told = resume.reopening(story_of(write(where, RUN, switched()[:ends])))
    assert told["ip_filter"] == IP_FILTER
    words = shlex.split(told["restore"][0])
    assert ast.literal_eval(words[words.index("-c") + 1].removeprefix("ip_filter=")) == IP_FILTER  # as avn reads it
    assert type_in(["runs", "show", RUN]) == 0
    assert told["restore"][0] in capsys.readouterr().out


def test_a_filter_that_is_not_known_or_was_closed_is_not_put_back(
    where: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odds: list[dict[str, Any]] = [{}, {"ip_filter": ["192.0.2.1/32"]}]
    for number, odd in enumerate(odds):
        assert resume.reopening(story_of(write(where, f"{number}-a", [started(), done("pair", 0.1, **odd)]))) == {}
    path = write(where, "9-b", [started("9-b"), done("pair", 0.1, ip_filter=None)])
    assert "0.0.0.0/0" in resume.reopening(story_of(path))["restore"][0]
    assert type_in(["runs", "show", "9-b"]) == 0
    assert "not set: open to all" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["show", "1-b", "--json"],
        ["report", "1-b", "--output", "FILE"],
    ],
    ids=" ".join,
)
def test_half_a_character_or_a_steering_one_breaks_no_command(
    where: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    odd = done("pair", 0.1, "plan \ud83d\x1b[2J", ip_filter=["\udc80"])
    write(where, "1-b", [started("1-b", primary="eu\ud83d"), odd])
    file = tmp_path / "report"
    assert type_in(["runs", *(str(file) if word == "FILE" else word for word in words)]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    said.out.encode()
    assert not file.exists() or "\\ud83d" in file.read_text(encoding="utf-8")


def test_one_journal_that_can_not_be_opened_hides_no_other(
    where: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (where / "1-b.jsonl").mkdir()
    assert type_in(["runs", "list"]) == 0
    said = capsys.readouterr()
    assert RUN in said.out
    assert "1-b.jsonl can't be read" in said.err


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        (("enable", "eu", "us", "--replica-arg=a b"), ("--project", "p")),
        (("failover", "us", "--project", "p", "--allow-data-loss", "--write-env", "app.env"), ()),
        (("failover", "us", "--project=p", "--allow-data-loss", "--after", "it's done"), ()),
        (("evacuate", "google-*", "--yes", "--on-failure", "page me"), ("--project", "p")),
    ],
)
def test_what_goes_on_is_what_was_typed_all_of_it(where: Path, typed: tuple[str, ...], added: tuple[str, ...]) -> None:
    path = write(where, RUN, [started(RUN, typed[0], argv=typed)])
    assert resume.next_command(story_of(path)) == ("ccr-avn", *typed, *added)


def test_a_head_that_is_none_exits_2(whole: Path) -> None:
    assert type_in(["runs", "verify", RUN, "--head", "abc"]) == 2


def test_runs_are_found_by_name_beginning_latest_or_file(where: Path, whole: Path) -> None:
    newer = write(where, "20270102T030405Z-abc123", switched("20270102T030405Z-abc123"))
    assert journal.paths() == [newer, whole]
    assert journal.find(RUN) == journal.find("2026") == journal.find(str(whole)) == whole
    assert journal.find("latest") == newer
    last = write(where, "20270103T030405Z-abc123", [started("20270103T030405Z-abc123", "evacuate")])
    pair = write(where, "20270103T030500Z-abc123", [started("20270103T030500Z-abc123", evacuation=last.stem)])
    assert journal.find("latest") == last, "not that of one of its pairs, which begin later"
    assert journal.find(pair.stem) == pair
    for name in ("20", "", "nope", "../runs/x", "*"):
        with pytest.raises(UsageError):
            journal.find(name)
    with pytest.raises(UsageError) as wrong:
        journal.find(f"{RUN}zz")
    assert RUN in wrong.value.hint
    with pytest.raises(UsageError):
        read(where / "gone.jsonl")


def test_services_of_recent_runs_are_completed(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert journal.recent_services("") == []
    write(where, "1-a", switched("1-a"))
    write(where, "2-b", [started("2-b", primary="eu-2", replica="ap")])
    (where / "3-c.jsonl").write_bytes(b"\xff\n{")
    (where / "4-d.jsonl").mkdir()
    assert journal.recent_services("") == ["eu-2", "ap", "eu", "us"]
    assert journal.recent_services("eu") == ["eu-2", "eu"]
    monkeypatch.setattr(journal, "RECENT", 3)
    assert journal.recent_services("") == ["eu-2", "ap"]
