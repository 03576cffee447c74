"""What is seen of an evacuation while it goes on: a table that fits, the most telling rows, one line a change elsewhere."""

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from ccr_avn.evacuate.board import Board
from ccr_avn.output import console
from ccr_avn.output.many import LiveBoard, PairProgress, PlainBoard, change_of
from ccr_avn.plan import events
from ccr_avn.plan.model import go

LONG = [
    "a-service-whose-name-is-as-long-as-names-can-be-{}-primary".format,
    "another-that-is-just-as-long-{}-replica".format,
]


@dataclass(slots=True)
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def begins(board: Board, name: str) -> None:
    board.saw(name, events.RunStarted(at=0, run="run", command="switchover", title="", slugs=(), facts={}))


def fences(board: Board, name: str) -> None:
    begins(board, name)
    board.saw(name, events.ChangeStarted(at=0, slug="fence", argv=(), final=False))
    board.saw(name, done("fence", "changed"))


def done(slug: str, outcome: events.Outcome = "found") -> events.StepDone:
    return events.StepDone(at=0, slug=slug, outcome=outcome, finding=go("so"), seconds=0.0)


def promotes(board: Board, name: str) -> None:
    fences(board, name)
    board.saw(name, events.ChangeStarted(at=0, slug="promote", argv=(), final=True))
    board.saw(name, done("accepts-writes"))


def shown(board: Board, height: int = 24) -> list[str]:
    screen = io.StringIO()
    live = LiveBoard(board)
    live.console = Console(file=screen, width=80, height=height, color_system=None)
    live.console.print(live)
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_long_names_fit_into_80_columns_and_what_matters_is_seen() -> None:
    clock = Clock()
    names = ["/".join(part(number) for part in LONG) for number in range(3)]
    board = Board(names, clock=clock)
    fences(board, names[1])
    clock.now += 1.5
    board.ended(names[2], "failed", "avn: " + "the platform says no " * 9)
    lines = shown(board)
    assert max(map(len, lines)) <= 80
    for line, told_of in zip(lines, ("waiting", "fenced", "failed"), strict=False):
        assert told_of in line
    assert "1.5 s" in lines[1]
    assert all(f"-{number}-primary/" in line for number, line in enumerate(lines[:3]))
    assert lines[-1].startswith("1 waiting, 1 under way, 0 done, 1 failed; longest outage 1.5 s")


def test_where_not_all_fit_those_are_shown_whose_writes_are_held_back() -> None:
    names = [f"p{number:03}/r{number:03}" for number in range(500)]
    board = Board(names)
    for name in names[:100]:
        board.ended(name, "done", "")
    fences(board, names[300])
    board.ended(names[400], "failed", "why")
    lines = shown(board, height=10)
    assert len(lines) == 7
    assert any(line.startswith(names[300]) and "fenced" in line for line in lines)
    assert any(line.startswith(names[400]) and "failed" in line for line in lines)
    assert lines[-1].startswith("398 waiting, 1 under way, 100 done, 1 failed")


def test_an_outage_lasts_until_writes_are_taken_and_the_longest_is_kept() -> None:
    clock = Clock()
    board = Board(["p0/r0", "p1/r1"], clock=clock)
    fences(board, "p0/r0")
    clock.now += 2.0
    assert board.longest == (2.0, "p0/r0")
    board.saw("p0/r0", done("accepts-writes"))
    clock.now += 9.0
    assert board.longest == (2.0, "p0/r0")
    assert board.lines["p0/r0"].phases == [("checking", 100.0, 100.0), ("fenced", 100.0, 102.0)]


def test_of_a_promotion_that_another_run_sent_the_outage_is_not_known() -> None:
    clock = Clock()
    board = Board(["p0/r0"], clock=clock)
    fences(board, "p0/r0")
    clock.now += 2.0
    board.saw("p0/r0", done("promote", "found"))
    board.saw("p0/r0", done("accepts-writes"))
    assert change_of(board.lines["p0/r0"]) == "p0/r0: promoted: takes writes"


def test_elsewhere_than_in_a_terminal_each_change_is_one_line_of_its_pair(capsys: pytest.CaptureFixture[str]) -> None:
    console.prepare(json=False)
    board = Board(["p0/r0"], clock=Clock())
    board.changed = PlainBoard().changed
    progress = PairProgress("p0/r0", board)
    promotes(board, "p0/r0")
    progress(events.StepStarted(at=0, slug="close", purpose="", rule="", limit=0))
    progress(events.Undone(at=0, slug="fence", failed="no answer"))
    board.ended("p0/r0", "done", "r0 is the primary now")
    assert capsys.readouterr().err.splitlines() == [
        "p0/r0: checking",
        "p0/r0: fenced: writes are paused",
        "p0/r0: promoting",
        "p0/r0: promoted: takes writes, after < 1 ms without",
        "p0/r0: closing",
        "p0/r0: fence: NOT undone: no answer",
        "p0/r0: done: r0 is the primary now",
    ]


def test_a_failover_had_no_outage_of_ours() -> None:
    board = Board(["p0/r0"])
    begins(board, "p0/r0")
    board.saw("p0/r0", done("accepts-writes"))
    assert change_of(board.lines["p0/r0"]) == "p0/r0: promoted: takes writes"
