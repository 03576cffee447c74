"""The report: self-contained, the same every time, honest about what is not known, and free of secrets."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.cli.boundary import run as type_in
from ccr_avn.history import report
from ccr_avn.history.records import read
from ccr_avn.plan import events
from ccr_avn.plan.events import PairEnded, PairStarted
from ccr_avn.plan.model import go, wait
from tests.unit.history.journals import (
    DELETE,
    EU,
    RESULT,
    RUN,
    US,
    done,
    ended,
    looked,
    started,
    story_of,
    switched,
    write,
)

VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Sees that every element is closed, and gathers what a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def html(path: Path) -> str:
    return report.render(read(path), "html")


def page(path: Path) -> Page:
    return Page(html(path))


def ticket(path: Path) -> str:
    return report.render(read(path), "md")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write(tmp_path, RUN, switched())


def values(path: Path) -> dict[str, str]:
    return {one["label"]: one["value"] for one in report.headline(story_of(path))}


def test_the_page_loads_nothing_and_runs_nothing_and_is_the_same_every_time(whole: Path) -> None:
    text = html(whole)
    assert text == html(whole)
    seen = Page(text)
    assert seen.loaded == []
    assert not seen.tags & {"script", "link", "img", "iframe", "object", "foreignobject"}
    assert "@import" not in text
    assert re.findall(r"url\(([^)]*)\)", text) == ["#waiting"]
    for words in ("default-src 'none'", "prefers-color-scheme: dark", "@media print"):
        assert words in text


AUDITED = (
    "Switch over from eu to us",
    "0 bytes",
    "1.2 s",
    "old primary",
    "valkey business-4",
    "avn service integration-delete 0a1b --project p",
    "its role is master",
    "it has no replica",
    "ccr-avn enable us NEW",
    "ip_filter",
    "point of no return",
)


def test_a_switchover_says_all_that_an_auditor_asks(whole: Path) -> None:
    for text in (page(whole).text, ticket(whole)):
        assert [words for words in (*AUDITED, read(whole).head) if words not in text] == []
    assert (values(whole)["RPO"], values(whole)["RTO"]) == ("0 bytes", "1.2 s")
    assert re.search(r'class="value">1\.2 s<', html(whole)), "in large type"


def promotion(outcome: events.Outcome, end: events.Event) -> list[events.Event]:
    begun = started(RUN, "failover", ("promote",), primary=None)
    return [begun, done("promote", 1.0, "its role is master", outcome), end]


def estimated(seconds: float | None) -> events.Event:
    estimate = {"seconds": seconds, "how": "last heard of"}
    return ended(1.2, old_primary="eu", seconds_to_first_write=0.9, rpo_estimate=estimate)


def enabled(**proof: Any) -> list[events.Event]:
    return [started(RUN, "enable", ()), ended(1.0, **proof)]


def failed(changed: Any, code: int) -> list[events.Event]:
    """A switchover whose deletion was sent."""
    return [*switched()[:9], ended(1.2, ok=False, changed=changed, code=code)]


NONE = {"RPO": "not measured", "RTO": "not measured"}
UNKNOWN = {"RPO": "unknown", "RTO": "unknown"}
MARKER = {"samples": 20, "arrived": 20, "minimum_ms": 0.1, "median_ms": 0.2, "maximum_ms": 1.5}
UNMEASURED = ended(2.6, **{**RESULT, "write_outage_ms": None, "bytes_not_replicated": None})
IN_DOUBT = "whether promote did is unknown"
FIGURES: dict[str, tuple[list[events.Event], dict[str, str], str]] = {
    "forced": (promotion("changed", estimated(3)), {"RPO": "≈ 3 s", "RTO": "900 ms"}, "an estimate: last heard of"),
    "forced, nothing known": (promotion("changed", estimated(None)), {"RPO": "unknown", "RTO": "900 ms"}, "last heard"),
    "promoted before": (promotion("found", ended(1.2, changed=False)), NONE, "promoted before this run"),
    "refused by a gate": ([*switched()[:2], ended(0.3, ok=False, changed=False)], NONE, "nothing was promoted"),
    "refused by Aiven": (failed(False, 3), NONE, "Aiven refused"),
    "no answer": (failed("unknown", 13), UNKNOWN, IN_DOUBT),
    "no answer after a change": (failed(True, 13), UNKNOWN, IN_DOUBT),
    "killed meanwhile": (switched()[:8], UNKNOWN, "whether it took effect is not known"),
    "not measured": ([*switched()[:-1], UNMEASURED], {"RPO": "not measured", "RTO": "not measured"}, "us"),
    "enabled": (enabled(marker=MARKER), {"Markers arrived": "20 of 20", "Lag": "0.2 ms", "Took": "1.0 s"}, "1.5 ms"),
    "only linked": (enabled(replication={"lag_bytes": 12}), {"Lag": "12 bytes"}, "from the offsets"),
    "not verified": (enabled(), {"Replication": "not proven"}, "neither markers"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_what_was_measured_or_say_why_there_are_none(tmp_path: Path, name: str) -> None:
    happened, wanted, words = FIGURES[name]
    path = write(tmp_path, RUN, happened)
    assert wanted.items() <= values(path).items()
    assert words in page(path).text
    assert (IN_DOUBT in page(path).text) is (wanted == UNKNOWN)


@pytest.mark.parametrize(("changed", "said"), [(True, ", changed"), ("unknown", ", may have changed"), (False, "")])
def test_a_failed_run_says_whether_it_changed_something(tmp_path: Path, changed: Any, said: str) -> None:
    assert story_of(write(tmp_path, RUN, failed(changed, 13))).ended_as == f"failed, exit 13{said}"


@pytest.mark.parametrize("confirmed", [True, False])
def test_the_time_at_the_question_is_not_counted(tmp_path: Path, confirmed: bool) -> None:
    before, after = switched()[:3], switched()[3:]
    asked = events.Asked(at=600.4, question="Type us", confirmed=confirmed, seconds=600.0)
    later = [dataclasses.replace(event, at=event.at + 600.0) for event in after]
    end = later if confirmed else [ended(602.6, ok=False, code=2, changed=False)]
    path = write(tmp_path, RUN, [*before, asked, *end])
    story = story_of(path)
    assert story.seconds == pytest.approx(2.6)
    assert "10 min 00 s at the question not counted" in page(path).text
    if confirmed:
        quick = story_of(write(tmp_path, "1-b", switched("1-b")))
        assert [step.slug for step in story.steps] == [step.slug for step in quick.steps]
        assert [step.start for step in story.steps] == pytest.approx([step.start for step in quick.steps])
        assert [step.ended for step in story.steps] == pytest.approx([step.ended for step in quick.steps])
    else:
        assert (story.state, story.ended_as) == ("not confirmed", "not confirmed")
        assert "failed" not in page(path).text.lower()
        assert "stopped" not in {step.outcome for step in story.steps}


def test_the_pair_is_what_the_result_says_and_who_came_later_was_missing(tmp_path: Path) -> None:
    path = write(tmp_path, RUN, [started(RUN, "enable", ("pair",)), ended(1.0, before=[EU], after=[EU, US])])
    before, after = report.sides(story_of(path))
    assert [(side.name, side.role) for side in before] == [("eu", "primary"), ("us", "missing")]
    assert [(side.name, side.role) for side in after] == [("eu", "primary"), ("us", "replica")]
    assert after[0].details == ("valkey business-4", "c-1", "RUNNING")
    assert "missing" in page(path).text
    assert "The pair" not in page(write(tmp_path, "1-b", switched("1-b")[:8])).text, "what it is now is said in words"


def test_bars_stay_within_the_drawing_and_tell_kinds_apart(whole: Path) -> None:
    drawn = re.findall(r'<rect class="(\w+)" x="([\d.]+)%" y="7" width="([\d.]+)%"', html(whole))
    assert {kind for kind, *_ in drawn} == {"gate", "change", "wait"}
    assert all(float(width) > 0 and float(left) + float(width) <= 100.6 for _, left, width in drawn)
    (paused,) = set(re.findall(r'<rect class="paused" x="([\d.]+)%"', html(whole)))
    assert float(paused) == pytest.approx(0.6 / 2.6 * 100, abs=0.01)
    (final,) = set(re.findall(r'<line class="final" x1="([\d.]+)%"', html(whole)))
    assert float(final) == pytest.approx(0.8 / 2.6 * 100, abs=0.01)


def test_the_lag_is_a_line_when_there_is_one(tmp_path: Path, whole: Path) -> None:
    assert "4 096 bytes behind at 0.40 s, 0 bytes behind at 0.70 s of the run." in page(whole).text
    behind = [(1.0, 4000), (2.0, 1000), (3.0, 0)]
    looks = [looked("caught-up", at, wait("behind", lag_bytes=count)) for at, count in behind]
    happened = [started("1-b"), *looks, looked("caught-up", 4.0, go("all there", lag_bytes=0))]
    path = write(tmp_path, "1-b", [*happened])
    lag = report.lag_line(story_of(path).lag, 4.0)
    assert lag is not None
    assert lag["most"] == 4000
    assert lag["points"] == ((25.0, 0.0), (50.0, 75.0), (75.0, 100.0), (100.0, 100.0))
    assert "polyline" in page(path).tags


def test_a_journal_that_was_touched_says_so_in_the_report(whole: Path) -> None:
    lines = whole.read_bytes().splitlines(keepends=True)
    whole.write_bytes(b"".join(lines[:3] + lines[4:]))
    for text in (page(whole).text, ticket(whole)):
        assert "This journal is not intact" in text
        assert "line 4 does not follow line 3" in text
    assert "the chain does not hold" in page(whole).text


ODD: tuple[Any, ...] = (None, [], {}, "x", -1, 1e999, [{}], {"warnings": 3, "reason": []}, True)


def test_a_damaged_journal_still_gives_a_report(whole: Path) -> None:
    """Whatever stands where something else was expected: an auditor gets a page that says it is not whole."""
    lines = [json.loads(line) for line in whole.read_text().splitlines()]
    of_each = {(line["event"], key): number for number, line in enumerate(lines) for key in line}
    places = [(number, key) for (_, key), number in of_each.items()]
    places += [(len(lines) - 1, key) for key in RESULT] + [(0, "facts")]
    for turn, (number, key) in enumerate(places):
        damaged = json.loads(json.dumps(lines))
        target = damaged[number] if key in damaged[number] else damaged[number]["result"]
        target[key] = ODD[turn % len(ODD)]
        whole.write_text("".join(json.dumps(line) + "\n" for line in damaged))
        page(whole)
        ticket(whole)


def test_no_secret_reaches_a_report_and_what_is_left_out_becomes_no_tag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leak = "it said AVNS_x9 \x1b[2J and rediss://default:s3cret@eu.aivencloud.com:1, <b>bold</b>"
    happened = [
        started(argv=("switchover", "eu", "us", "--after", leak)),
        events.ChangeStarted(at=0.1, slug="promote", argv=(*DELETE, leak), final=True),
        done("promote", 1.0, leak, "changed"),
        ended(1.2, ok=False, code=3, error=leak, risks=[{"what": leak, "fix": leak}]),
    ]
    path = write(tmp_path, RUN, happened)
    for words in (["--output", str(tmp_path / "page")], []):
        assert type_in(["runs", "report", str(path), *words]) == 0
    shown = ((tmp_path / "page").read_text(), capsys.readouterr().out)
    for text in (*shown, ticket(path), repr(story_of(path))):
        assert not [secret for secret in ("s3cret", "AVNS_x9") if secret in text]
        assert "eu.aivencloud.com:1" in text
    for text in shown:
        assert "redacted" not in Page(text).tags
        assert "&lt;redacted&gt;" in text
        assert "\x1b" not in text


CHOSEN = [{"pair": f"p{one}/r{one}", "action": "switchover", "reason": "link up", "others": []} for one in range(4)]


def moved(one: int, state: str = "done", **more: Any) -> dict[str, Any]:
    phases = [["checking", one, one + 0.5], ["fenced", one + 0.5, one + 1.0]]
    told = {"state": state, "run": f"run-{one}", "journal_head": "a" * 64, "summary": f"r{one} is the primary now"}
    return {**told, "outage_ms": 100.0 * (one + 1), "bytes_not_replicated": 0, "phases_seconds": phases, **more}


def evacuated(where: Path, *ends: dict[str, Any], closed: bool = True) -> Path:
    """An end without a state: the pair had only begun."""
    typed = ("evacuate", "google-*", "--planned", "--only", "p1")
    happened: list[events.Event] = [started(RUN, "evacuate", (), typed, pairs=CHOSEN, clouds=["google-*"])]
    for chosen, end in zip(CHOSEN, ends, strict=False):
        name = str(chosen["pair"])
        happened.append(PairStarted(at=1, pair=name, command="switchover", run=end["run"]))
        if "state" in end:
            happened.append(PairEnded(at=2, pair=name, run=end["run"], head="a" * 64, result=end))
    if closed:
        result: dict[str, Any] = {
            "pairs": [{**one, **end} for one, end in zip(CHOSEN, [*ends, *[{}] * 4], strict=False)],
            "enable": ['ccr-avn enable r0 r0-2 --replica-cloud "${CLOUD:?}"'],
            "outages_not_measured": 1,
            "still_open": [{"service": "p9", "close": "avn service update p9 --power-off"}],
        }
        happened.append(ended(9, **result))
    return write(where, RUN, happened)


def test_of_an_evacuation_figures_are_over_all_pairs_and_what_needs_somebody_comes_first(tmp_path: Path) -> None:
    failed = moved(3, "failed", next=[["ccr-avn", "switchover", "p3", "r3"]], bytes_not_replicated=7)
    story = story_of(evacuated(tmp_path, moved(0), moved(1), moved(2), failed))
    figures = {one["label"]: one["value"] for one in report.evacuation_figures(story)}
    assert figures == {"Moved": "3 of 4", "RPO": "7 bytes", "Write outage": "400 ms", "Took": "9.0 s"}
    pairs = report.in_order(story)
    assert [one.pair for one in pairs] == ["p3/r3", "p0/r0", "p1/r1", "p2/r2"]
    drawn = [bars for _, bars in report.over_time(pairs)[0]]
    assert drawn[1][0].left == 0
    assert drawn[0][-1].left + drawn[0][-1].width == 100


def test_both_forms_name_every_pair_its_journal_and_what_goes_on(tmp_path: Path) -> None:
    half = moved(
        1,
        "half-way",
        next=[["ccr-avn", "switchover", "p1", "r1"]],
        phases_seconds=["odd", ["x", 1], ["y", "z", 1]],
        notes=["writes on p1 are paused until 12:00:00"],
        outage_ms=None,
    )
    path = evacuated(tmp_path, moved(0), half, moved(2, "failed"))
    assert report.in_order(story_of(path))[0].pair == "p1/r1"
    wanted = ("p0/r0", "run-0", "ccr-avn switchover p1 r1", "ccr-avn enable r0 r0-2", "writes on p1 are paused until")
    for text in (html(path), ticket(path)):
        for words in (*wanted, "avn service update p9 --power-off", "not measured of 1"):
            assert words in text
        assert "<script" not in text
    page(path)


def test_of_an_evacuation_that_died_each_pair_is_reported_as_far_as_it_came(tmp_path: Path) -> None:
    died = evacuated(tmp_path, moved(0), {"run": "run-1"}, closed=False)
    assert [one.state for one in story_of(died).pairs] == ["done", "under way", "not begun", "not begun"]
    assert "ccr-avn evacuate 'google-*' --planned --only p1 --project p" in ticket(died)
    assert "not intact" not in ticket(died), "that it is cut off is said anyway"
