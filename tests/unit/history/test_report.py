"""The report: self-contained, the same every time, honest about what is not known, and free of secrets."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.cli.boundary import run as type_in
from ccr_avn.history import report, resume, runs
from ccr_avn.history.charts import draw
from ccr_avn.history.report import pair_before, pair_now
from ccr_avn.history.summary import Story, summarize
from ccr_avn.plan import events
from ccr_avn.plan.model import go
from tests.unit.history.journals import DELETE, RESULT, append, done, ended, looked, started, switched, wait, write

RUN = "20260102T030405Z-abc123"
VOID = {"meta", "br", "link", "img"}
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}")


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


def told(path: Path) -> Story:
    return summarize(runs.read(path))


def page(path: Path) -> Page:
    return Page(report.html(told(path), runs.verify(path)))


def ticket(path: Path) -> str:
    return report.markdown(told(path), runs.verify(path))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write(tmp_path, RUN, switched(RUN))


def values(path: Path) -> dict[str, str]:
    return {one["label"]: one["value"] for one in report.headline(told(path))}


def test_the_page_loads_nothing_and_runs_nothing(whole: Path) -> None:
    text = report.html(told(whole), runs.verify(whole))
    seen = Page(text)
    assert seen.loaded == []
    assert not seen.tags & {"script", "link", "img", "iframe", "object", "foreignobject"}
    assert "@import" not in text
    assert re.findall(r"url\(([^)]*)\)", text) == ["#waiting"]
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_the_same_journal_gives_the_same_report(whole: Path) -> None:
    verdict = runs.verify(whole)
    assert report.html(told(whole), verdict) == report.html(told(whole), verdict)


def test_a_switchover_says_all_that_an_auditor_asks(whole: Path) -> None:
    for text in (page(whole).text, ticket(whole)):
        assert "Switch over from eu to us" in text
        assert "0 bytes" in text
        assert "1.2 s" in text
        assert "closed to client connections" in text
        assert "avn service integration-delete 0a1b --project p" in text
        assert "its role is master" in text
        assert "it has no replica" in text
        assert "ip_filter" in text
        assert runs.read(whole).head in text
        assert "point of no return" in text


def test_rpo_and_rto_are_in_large_type(whole: Path) -> None:
    assert values(whole)["RPO"] == "0 bytes"
    assert values(whole)["RTO"] == "1.2 s"
    text = report.html(told(whole), runs.verify(whole))
    assert re.search(r'class="value">1\.2 s<', text)


def promotion(outcome: events.Outcome) -> list[events.Event]:
    return [started(RUN, "failover", ("promote",), primary=None), done("promote", 1.0, "its role is master", outcome)]


@pytest.mark.parametrize(
    ("estimate", "rpo"),
    [({"seconds": 3, "how": "last heard of"}, "≈ 3 s"), ({"seconds": None, "how": "it does not say"}, "unknown")],
)
def test_a_failover_gives_an_estimate_and_says_so(tmp_path: Path, estimate: dict[str, Any], rpo: str) -> None:
    result: dict[str, Any] = {"old_primary": "eu", "seconds_to_first_write": 0.9, "rpo_estimate": estimate}
    path = write(tmp_path, RUN, [*promotion("changed"), ended(1.2, **result)])
    assert values(path)["RPO"] == rpo
    assert values(path)["RTO"] == "900 ms"
    assert f"an estimate: {estimate['how']}" in page(path).text
    assert "not fenced: may be alive" in page(path).text


def test_what_was_not_promoted_has_no_rpo(tmp_path: Path) -> None:
    found = write(tmp_path, RUN, [*promotion("found"), ended(1.2, changed=False)])
    assert values(found)["RPO"] == "none"
    assert "promoted before this run" in page(found).text
    refused = write(tmp_path, "1-b", [*switched("1-b")[:2], ended(0.3, ok=False, changed=False, code=4, error="no")])
    assert "nothing was promoted" in page(refused).text
    died = write(tmp_path, "1-c", switched("1-c")[:8])
    assert "whether it took effect is not known" in page(died).text
    assert values(died)["RPO"] == values(died)["RTO"] == "unknown"
    assert [side.role for side in pair_now(told(died))] == ["not known", "not known"]


def test_a_promotion_that_was_refused_is_not_one_in_doubt(tmp_path: Path) -> None:
    happened = [*switched(RUN)[:9], ended(1.2, ok=False, changed=False, code=3, error="403")]
    path = write(tmp_path, RUN, happened)
    assert values(path)["RPO"] == "none"
    assert "Aiven refused" in page(path).text
    assert [side.role for side in pair_now(told(path))] == ["primary", "replica"]


@pytest.mark.parametrize(("changed", "said"), [(True, ", changed"), ("unknown", ", may have changed"), (False, "")])
def test_a_failed_run_tells_what_is_unknown(tmp_path: Path, changed: Any, said: str) -> None:
    happened = [*switched(RUN)[:9], ended(1.2, ok=False, changed=changed, code=13, error="no answer")]
    path = write(tmp_path, RUN, happened)
    assert told(path).ended_as == f"failed, exit 13{said}"
    how = {one["label"]: one["how"] for one in report.headline(told(path))}["Took"]
    assert ("whether promote did is unknown" in how) is (changed is not False)
    assert (values(path)["RTO"] == "unknown") is (changed is not False)


@pytest.mark.parametrize("confirmed", [True, False])
def test_the_time_at_the_question_is_not_counted(tmp_path: Path, confirmed: bool) -> None:
    before, after = switched(RUN)[:3], switched(RUN)[3:]
    asked = events.Asked(at=600.4, question="Type us", confirmed=confirmed, seconds=600.0)
    later = [dataclasses.replace(event, at=event.at + 600.0) for event in after]
    end = later if confirmed else [ended(602.6, ok=False, code=2, changed=False)]
    path = write(tmp_path, RUN, [*before, asked, *end])
    story = told(path)
    assert story.seconds == pytest.approx(2.6)
    assert "10 min 00 s at the question are not counted" in page(path).text
    if confirmed:
        quick = told(write(tmp_path, "1-b", switched("1-b")))
        assert [step.slug for step in story.steps] == [step.slug for step in quick.steps]
        assert [step.began for step in story.steps] == pytest.approx([step.began for step in quick.steps])
        assert [step.ended for step in story.steps] == pytest.approx([step.ended for step in quick.steps])
    else:
        assert (story.state, story.ended_as) == ("not confirmed", "not confirmed")
        assert "failed" not in page(path).text.lower()
        assert "stopped" not in {step.outcome for step in story.steps}


def reworded(event: events.Event) -> events.Event:
    """Every sentence of ours said in other words; names, numbers and facts as they were."""
    changes: dict[str, Any] = {name: "other words" for name in ("purpose", "rule", "doubt") if hasattr(event, name)}
    finding = getattr(event, "finding", None)
    if finding is not None:
        changes["finding"] = dataclasses.replace(finding, reason="other words", detail="", hint="")
    return dataclasses.replace(event, **changes)


@pytest.mark.parametrize("until", [4, 6, 8, 10, 13])
def test_no_sentence_of_ours_is_read_as_data(tmp_path: Path, until: int) -> None:
    looks = [looked("caught-up", 0.65 + count * 1.1, wait("behind", lag_bytes=900 - count)) for count in range(5)]
    happened = [*switched(RUN)[:6], *looks, *switched(RUN)[6:]][: until + 5 * (until > 5)]
    first, second = (
        told(write(tmp_path / name, RUN, [make(event) for event in happened]))
        for name, make in (("as it is", lambda event: event), ("reworded", reworded))
    )
    assert draw(first).lag == draw(second).lag
    assert (until < 6) or draw(first).lag is not None
    assert first.lag == second.lag
    assert pair_before(first) == pair_before(second)
    assert pair_now(first) == pair_now(second)
    assert report.headline(first) == report.headline(second)
    assert [step.spans for step in first.steps] == [step.spans for step in second.steps]
    assert resume.standing(first) == resume.standing(second)
    assert resume.reopening(first) == resume.reopening(second)


def test_what_is_left_out_becomes_no_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leak = "it said AVNS_s3cret \x1b[2J and rediss://default:abc@h, <b>bold</b>"
    path = write(tmp_path, RUN, [started(RUN), done("pair", 0.1, leak), ended(0.2)])
    for words in (["--output", str(tmp_path / "page")], []):
        assert type_in(["runs", "report", str(path), *words]) == 0
    for text in ((tmp_path / "page").read_text(), capsys.readouterr().out):
        assert "redacted" not in Page(text).tags
        assert "&lt;redacted&gt;" in text
        assert "s3cret" not in text
        assert "\x1b" not in text


def test_a_promotion_that_was_not_measured_says_so(tmp_path: Path) -> None:
    result = {**RESULT, "write_outage_ms": None, "bytes_not_replicated": None}
    path = write(tmp_path, RUN, [*switched(RUN)[:-1], ended(2.6, **result)])
    assert values(path)["RPO"] == values(path)["RTO"] == "not measured"


def test_the_pair_before_and_after(whole: Path) -> None:
    assert [(side.name, side.role) for side in pair_before(told(whole))] == [("eu", "primary"), ("us", "replica")]
    assert [(side.name, side.role) for side in pair_now(told(whole))] == [
        ("eu", "closed to client connections"),
        ("us", "primary"),
    ]


def test_the_result_may_describe_the_pair_itself(tmp_path: Path) -> None:
    side = {"name": "eu", "role": "primary", "type": "valkey", "plan": "business-4", "cloud": "c-1", "state": "RUNNING"}
    path = write(
        tmp_path, RUN, [*switched(RUN)[:-1], ended(2.6, **RESULT, before=[side], after=[{**side, "role": "x"}])]
    )
    [before] = pair_before(told(path))
    assert before.details == ("valkey business-4", "c-1", "RUNNING")
    assert [side.role for side in pair_now(told(path))] == ["x"]


@pytest.mark.parametrize(
    ("steps", "before", "after"),
    [
        ([], ["not known", "not known"], ["not known", "not known"]),
        (
            [done("pair", 0.1, "", primary_exists=False, replica_exists=False)],
            ["missing"] * 2,
            ["not known", "missing"],
        ),
        (
            [
                done("pair", 0.1, "", replica_exists=False),
                done("primary", 0.2),
                done("replica", 0.3, "", "changed"),
            ],
            ["primary", "missing"],
            ["primary", "replica"],
        ),
    ],
)
def test_the_pair_of_an_enable(tmp_path: Path, steps: list[Any], before: list[str], after: list[str]) -> None:
    path = write(tmp_path, RUN, [started(RUN, "enable", ("pair", "primary", "replica")), *steps])
    assert [side.role for side in pair_before(told(path))] == before
    assert [side.role for side in pair_now(told(path))] == after
    page(path)


def test_an_enable_shows_its_proof(tmp_path: Path) -> None:
    marker = {"samples": 20, "arrived": 20, "minimum_ms": 0.1, "median_ms": 0.2, "maximum_ms": 1.5}
    eu = {"name": "eu", "type": "valkey", "plan": "business-4", "cloud": "c-1", "state": "RUNNING"}
    happened = [started(RUN, "enable", ("primary",)), done("primary", 0.1), ended(1.0, primary=eu, marker=marker)]
    path = write(tmp_path, RUN, happened)
    assert values(path) == {"Markers arrived": "20 of 20", "Lag": "0.2 ms", "Took": "1.0 s"}
    assert "valkey business-4" in page(path).text
    bare = write(tmp_path, "1-b", [started("1-b", "enable", ()), ended(1.0, link={"lag_bytes": 12})])
    assert values(bare)["Lag"] == "12 bytes"
    none = write(tmp_path, "1-c", [started("1-c", "enable", ()), ended(1.0)])
    assert values(none)["Replication"] == "not proven"


def test_bars_stay_within_the_drawing_and_tell_kinds_apart(whole: Path) -> None:
    figures = draw(told(whole))
    bars = [bar for row in figures.rows for bar in row.bars]
    assert {bar.kind for bar in bars} == {"gate", "change", "wait"}
    assert all(bar.left >= 0 and bar.width > 0 and bar.left + bar.width <= 100.01 for bar in bars)
    assert figures.ticks[0].label == "0 s"
    assert figures.held is not None
    assert figures.held[0] == pytest.approx(0.6 / 2.6 * 100, abs=0.01)
    assert figures.final == pytest.approx(0.8 / 2.6 * 100, abs=0.01)


def test_the_lag_is_a_line_when_there_is_one(tmp_path: Path, whole: Path) -> None:
    assert draw(told(whole)).lag is None
    assert "4 096 bytes behind at 0.40 s, 0 bytes behind at 0.70 s of the run." in page(whole).text
    path = write(tmp_path, "1-b", [started("1-b", "switchover", ("caught-up",))])
    behind = [(1.0, 4000), (2.0, 1000), (3.0, 0)]
    looks = [looked("caught-up", at, wait("behind", lag_bytes=count)) for at, count in behind]
    append(path, [*looks, looked("caught-up", 4.0, go("all there", lag_bytes=0))])
    lag = draw(told(path)).lag
    assert lag is not None
    assert lag.most == 4000
    assert lag.points == ((25.0, 0.0), (50.0, 75.0), (75.0, 100.0), (100.0, 100.0))
    assert "polyline" in page(path).tags


def test_a_run_that_died_says_so_and_what_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, RUN, switched(RUN)[:6])
    for text in (page(path).text, ticket(path)):
        assert "incomplete" in text.lower()
        assert "ccr-avn switchover eu us --yes --after" in text
        assert "--promote-timeout 60 --project p" in text
        assert "not intact" not in text


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
    places = [(number, key) for number, line in enumerate(lines) for key in line]
    places += [(len(lines) - 1, key) for key in RESULT] + [(0, "facts")]
    for turn, (number, key) in enumerate(places):
        damaged = json.loads(json.dumps(lines))
        target = damaged[number] if key in damaged[number] else damaged[number]["result"]
        target[key] = ODD[turn % len(ODD)]
        whole.write_text("".join(json.dumps(line) + "\n" for line in damaged))
        page(whole)
        ticket(whole)


def test_what_avn_or_a_person_said_stays_text(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> | a\nb & 'c'"
    happened = [*switched(RUN)[:7], done("promote", 1.0, nasty), ended(1.2, ok=False, code=3, error=nasty)]
    path = write(tmp_path, RUN, happened)
    assert "script" not in page(path).tags
    rows = [line for line in ticket(path).splitlines() if line.startswith("| 5 ")]
    assert rows[0].count(" | ") == 4
    assert "<script" not in "".join(rows)


def test_no_secret_reaches_a_report(tmp_path: Path) -> None:
    leak = "rediss://default:s3cret@eu:1 AVNS_x9"
    happened = [
        started(RUN, primary="eu", argv=("switchover", "eu", "us", "--after", leak)),
        events.ChangeStarted(at=0.1, slug="promote", argv=(*DELETE, leak), final=True),
        done("promote", 1.0, leak, "changed"),
        ended(1.2, ok=False, code=3, error=leak, exposure=[{"what": leak, "mend": leak}]),
    ]
    path = write(tmp_path, RUN, happened)
    for text in (report.html(told(path), runs.verify(path)), ticket(path)):
        assert "s3cret" not in text
        assert "AVNS_x9" not in text


def test_colours_are_named_once_for_light_and_once_for_dark() -> None:
    style = (report.TEMPLATES / "report.css").read_text()
    palettes = [block.group(1) for block in re.finditer(r":root \{([^}]*)\}", style)]
    assert len(palettes) == 2
    names = [set(re.findall(r"(--[\w-]+):", palette)) for palette in palettes]
    assert names[1] <= names[0]
    assert names[0] - names[1] == set()
    outside = re.sub(r":root \{[^}]*\}", "", style)
    assert not COLOUR.findall(outside)


def test_report_writes_a_file_or_to_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCR_AVN_STATE_DIR", str(tmp_path))
    write(tmp_path / "runs", RUN, switched(RUN))
    file = tmp_path / "report.html"
    assert type_in(["runs", "report", RUN, "--output", str(file)]) == 0
    assert capsys.readouterr().out == ""
    Page(file.read_text())
    assert type_in(["runs", "report", RUN, "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Switch over")
    assert type_in(["runs", "report", RUN, "--output", str(tmp_path)]) == 2
