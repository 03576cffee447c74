"""What is seen of an evacuation while it goes on: a table that fits, the most telling rows, one line a change elsewhere."""

import io

import pytest
from rich.console import Console

from ccr_avn.output import console as outputs
from ccr_avn.output.progress import PairPhases, PairProgress, change_of
from ccr_avn.plan import events
from ccr_avn.plan.model import go
from tests.support.operator import STAMP
from tests.support.ticks import Ticks

LONG = [
    "a-service-whose-name-is-as-long-as-names-can-be-{}-primary".format,
    "another-that-is-just-as-long-{}-replica".format,
]


def begins(phases: PairPhases, name: str) -> None:
    phases.saw(name, events.RunStarted(at=0, run="run", command="switchover", title="", slugs=(), facts={}))


def fences(phases: PairPhases, name: str) -> None:
    begins(phases, name)
    phases.saw(name, events.ChangeStarted(at=0, slug="fence", argv=(), final=False))
    phases.saw(name, done("fence", "changed"))


def done(slug: str, outcome: events.Outcome = "found") -> events.StepDone:
    return events.StepDone(at=0, slug=slug, outcome=outcome, finding=go("so"), seconds=0.0)


def promotes(phases: PairPhases, name: str) -> None:
    fences(phases, name)
    phases.saw(name, events.ChangeStarted(at=0, slug="promote", argv=(), final=True))
    phases.saw(name, done("accepts-writes"))


def shown(phases: PairPhases, height: int = 24) -> list[str]:
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=height, color_system=None)
    console.print(phases.picture(console))
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_long_names_fit_into_80_columns_and_what_matters_is_seen(ticks: Ticks) -> None:
    names = ["/".join(part(number) for part in LONG) for number in range(3)]
    phases = PairPhases(names)
    fences(phases, names[1])
    ticks.at += 1.5
    phases.ended(names[2], "failed", "avn: " + "the platform says no " * 9)
    lines = shown(phases)
    assert max(map(len, lines)) <= 80
    for line, told_of in zip(lines, ("waiting", "fenced", "failed"), strict=False):
        assert told_of in line
    assert "1.5 s" in lines[1]
    assert all(f"-{number}-primary/" in line for number, line in enumerate(lines[:3]))
    assert lines[-1].startswith("1 waiting, 1 under way, 0 done, 1 failed; longest outage 1.5 s")


def test_where_not_all_fit_those_are_shown_whose_writes_are_held_back() -> None:
    names = [f"p{number:03}/r{number:03}" for number in range(500)]
    phases = PairPhases(names)
    for name in names[:100]:
        phases.ended(name, "done", "")
    fences(phases, names[300])
    phases.ended(names[400], "failed", "why")
    lines = shown(phases, height=10)
    assert len(lines) == 7
    assert any(line.startswith(names[300]) and "fenced" in line for line in lines)
    assert any(line.startswith(names[400]) and "failed" in line for line in lines)
    assert lines[-1].startswith("398 waiting, 1 under way, 100 done, 1 failed")


def test_an_outage_lasts_until_writes_are_taken_and_the_longest_is_kept(ticks: Ticks) -> None:
    phases = PairPhases(["p0/r0", "p1/r1"])
    fences(phases, "p0/r0")
    ticks.at += 2.0
    assert phases.longest == (2.0, "p0/r0")
    phases.saw("p0/r0", done("accepts-writes"))
    ticks.at += 9.0
    assert phases.longest == (2.0, "p0/r0")
    assert phases.pairs["p0/r0"].past == [("checking", 0.0, 0.0), ("fenced", 0.0, 2.0)]


def test_of_a_promotion_that_another_run_sent_the_outage_is_not_known(ticks: Ticks) -> None:
    phases = PairPhases(["p0/r0"])
    fences(phases, "p0/r0")
    ticks.at += 2.0
    phases.saw("p0/r0", done("promote", "found"))
    phases.saw("p0/r0", done("accepts-writes"))
    assert change_of(phases.pairs["p0/r0"]) == "p0/r0: promoted: accepts writes"


def test_elsewhere_than_in_a_terminal_each_change_is_one_line_of_its_pair(
    capsys: pytest.CaptureFixture[str], ticks: Ticks
) -> None:
    outputs.prepare(json=False)
    phases = PairPhases(["p0/r0"])
    progress = PairProgress("p0/r0", phases)
    promotes(phases, "p0/r0")
    progress(events.StepStarted(at=0, slug="close", purpose="", rule="", limit=0))
    progress(events.Undone(at=0, slug="fence", failed="no answer"))
    phases.ended("p0/r0", "done", "r0 is the primary now")
    said = capsys.readouterr().err.splitlines()
    assert all(map(STAMP.match, said)), "a log says when"
    assert [STAMP.sub("", line) for line in said] == [
        "p0/r0: checking",
        "p0/r0: fenced: writes are paused",
        "p0/r0: promoting",
        "p0/r0: promoted: accepts writes, after < 1 ms without",
        "p0/r0: closing",
        "p0/r0: fence: NOT undone: no answer",
        "p0/r0: done: r0 is the primary now",
    ]
