"""What repeats beside a run: woken at once, stopped for good, and never ended by what its work raises."""

import threading

import pytest

from ccr_avn import clock
from ccr_avn.background import MOMENT, Repeated, Task, in_background
from ccr_avn.errors import Refused
from tests.support.wait import until


def test_it_is_done_after_each_pause_whatever_it_raises() -> None:
    done: list[int] = []

    def work() -> None:
        done.append(1)
        raise RuntimeError

    repeated = Repeated(work, lambda: 0.001, "test")
    until(lambda: len(done) > 3)
    repeated.stop()
    repeated.join(60)
    before = len(done)
    repeated.wake()
    repeated.join(0)
    assert len(done) == before


def test_it_can_be_woken_and_stopped_in_a_long_pause() -> None:
    done: list[int] = []
    repeated = Repeated(lambda: done.append(1), lambda: 3600.0, "test")
    repeated.wake()
    until(lambda: len(done) == 1)
    repeated.stop()
    repeated.join(60)
    assert "test" not in [thread.name for thread in threading.enumerate()]


def test_no_wait_is_so_long_that_a_signal_could_get_lost_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that arrives between the last look at signals and the system's own wait is heard when that ends."""
    may_end, waits = threading.Event(), []
    join = threading.Thread.join

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        waits.append(timeout)
        if len(waits) > 1:
            may_end.set()
        join(thread, None if may_end.is_set() else 0)

    monkeypatch.setattr(threading.Thread, "join", joined)
    assert Task(may_end.wait, "test").result()
    assert waits == [MOMENT, MOMENT]


def test_a_thread_that_can_not_be_started_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    with pytest.raises(Refused, match="no thread can be started"):
        in_background(lambda: None, "test")


def test_a_clock_in_the_place_of_the_machines_is_asked_by_everybody() -> None:
    class Stopped(clock.Clock):
        def monotonic(self) -> float:
            return 7.0

        def sleep(self, seconds: float) -> None:
            slept.append(seconds)

    slept: list[float] = []
    looks = iter(range(3))
    with clock.replaced_by(Stopped()):
        assert clock.poll(lambda: next(looks), lambda seen: seen == 2, within=60, first=1, longest=5) == 2
        assert clock.monotonic() == 7.0
    assert slept == [1, 1.5]
    assert clock.monotonic() != 7.0
