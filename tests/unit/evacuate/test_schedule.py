"""When pairs begin: canaries, so many at once, no more after failures or Ctrl-C. Conditions, no time."""

import threading
from collections.abc import Callable

import pytest

from ccr_avn.errors import Interrupted, NotBegun
from ccr_avn.evacuate.schedule import RunSignals, Schedule, State, Stop, Turn
from tests.support.wait import until

DONE = threading.Event()
DONE.set()


class Pairs:
    """Work that is under way until it is told to end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._ends: dict[str, tuple[threading.Event, list[State]]] = {}
        self._moved: dict[str, Callable[[], None]] = {}
        self.checked: list[str] = []
        self.slow: dict[str, threading.Event] = {}  # whose checks take until then

    def work(self, name: str, turn: Turn) -> State:
        event, state = threading.Event(), list[State]()
        self._ends[name], self._moved[name] = (event, state), turn.leave
        self.checked.append(name)
        self.slow.get(name, DONE).wait(60)
        try:
            turn.take()
        except NotBegun:
            return "not begun"
        self.begun.append(name)
        event.wait(60)
        return state[0]

    def moves(self, name: str) -> None:
        self._moved[name]()

    def ends(self, name: str, state: State = "done") -> None:
        until(lambda: name in self._ends, f"{name} to begin")
        event, states = self._ends[name]
        states.append(state)
        event.set()

    def runs(self, schedule: Schedule, count: int) -> threading.Thread:
        names = [f"p{number}" for number in range(count)]
        thread = threading.Thread(target=schedule.run, args=(names, self.work), daemon=True)
        thread.start()
        return thread


def test_the_canary_ends_before_any_other_begins() -> None:
    pairs, schedule = Pairs(), Schedule(parallel=3, canary=2)
    thread = pairs.runs(schedule, 4)
    until(lambda: len(pairs.begun) == 2)
    pairs.moves("p0")
    pairs.ends("p1")
    until(lambda: "p1" in schedule.ended)
    assert sorted(pairs.begun) == ["p0", "p1"]
    pairs.ends("p0")
    until(lambda: len(pairs.begun) == 4)
    pairs.ends("p2")
    pairs.ends("p3")
    thread.join(60)
    assert list(schedule.ended.values()) == ["done"] * 4


def test_a_canary_that_is_refused_is_none() -> None:
    pairs, schedule = Pairs(), Schedule(parallel=3, canary=1)
    pairs.runs(schedule, 3)
    pairs.ends("p0", "refused")
    until(lambda: len(pairs.begun) == 2)
    pairs.ends("p1")
    until(lambda: len(pairs.begun) == 3)
    pairs.ends("p2")


def test_who_takes_writes_makes_room_for_another() -> None:
    pairs, schedule = Pairs(), Schedule(parallel=1, canary=0)
    pairs.runs(schedule, 3)
    until(lambda: len(pairs.begun) == 1)
    pairs.moves(pairs.begun[0])
    until(lambda: len(pairs.begun) == 2)
    for name in ("p0", "p1", "p2"):
        pairs.ends(name)


def test_the_next_are_checked_while_others_have_the_places() -> None:
    pairs, schedule = Pairs(), Schedule(parallel=2, canary=0)
    pairs.slow["p2"] = threading.Event()
    thread = pairs.runs(schedule, 6)
    until(lambda: len(pairs.checked) == 3 and len(pairs.begun) == 2)
    assert sorted(pairs.begun) == ["p0", "p1"]
    pairs.moves("p0")
    until(lambda: len(pairs.checked) == 4)  # the place is free, and p2 is not ready for it
    until(lambda: len(pairs.begun) == 3)
    assert pairs.begun[2] == "p3"
    pairs.slow["p2"].set()
    for name in ("p0", "p1", "p2", "p3", "p4", "p5"):
        pairs.ends(name)
    thread.join(60)
    assert set(schedule.ended.values()) == {"done"}


def test_ctrl_c_once_begins_no_more_and_who_was_only_checked_has_not_begun() -> None:
    stop = Stop()
    pairs, schedule = Pairs(), Schedule(parallel=1, canary=0, stop=stop)
    thread = pairs.runs(schedule, 3)
    until(lambda: len(pairs.checked) == 2 and pairs.begun)
    stop.ask(2)
    pairs.ends(pairs.begun[0])
    thread.join(60)
    assert list(schedule.ended) == pairs.begun == pairs.begun[:1]


def test_no_more_begin_once_too_many_failed_and_those_under_way_finish() -> None:
    pairs, schedule = Pairs(), Schedule(parallel=2, canary=0, stop_after=1)
    thread = pairs.runs(schedule, 5)
    until(lambda: len(pairs.begun) == 2)
    first, second = pairs.begun
    pairs.ends(first, "failed")
    until(lambda: first in schedule.ended)
    pairs.ends(second)
    thread.join(60)
    assert schedule.ended == {first: "failed", second: "done"}


def test_ctrl_c_twice_ends_each_run_but_breaks_into_no_change() -> None:
    stop = Stop()
    signals = RunSignals(stop)
    stop.ask(2)
    signals.check()  # once: it goes on
    log = []

    def changes() -> None:
        with signals.held():
            stop.ask(2)
            signals.check()
            log.append("the change ended")

    with pytest.raises(Interrupted):
        changes()
    assert log == ["the change ended"]
    with signals.held():
        signals.check()  # it was told: what undoes is not broken into
    with pytest.raises(Interrupted):
        changes()
    assert log == ["the change ended"]


def test_what_was_asked_for_is_told_once() -> None:
    stop = Stop()
    assert stop.news() == ""
    stop.ask(2)
    assert "no more pairs are started" in stop.news()
    assert stop.news() == ""
    stop.ask(2)
    stop.ask(2)
    assert "are interrupted" in stop.news()


def test_sigterm_means_the_end_of_every_run() -> None:
    stop = Stop()
    stop.ask(15, at_once=True)
    with pytest.raises(Interrupted, match="SIGTERM"):
        RunSignals(stop).check()


def test_a_thread_that_can_not_start_ends_the_new_pairs_and_not_those_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A limit of processes: promotions that are under way come to their end."""
    pairs, schedule = Pairs(), Schedule(parallel=3, canary=0)
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == 4:  # the schedule's own, two pairs, and then no more
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    thread = pairs.runs(schedule, 5)
    until(lambda: len(started) == 4 and len(pairs.begun) == 2)
    pairs.ends("p0")
    pairs.ends("p1")
    thread.join(60)
    assert schedule.ended == {"p0": "done", "p1": "done"}
    assert schedule.full == "can't start new thread"
