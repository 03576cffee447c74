"""The door to time: clocks, sleeping, waiting, asking again. A simulated world puts a clock of its own behind it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

T = TypeVar("T")

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS counts a suspend in its monotonic clock


class Clock:
    """The machine's. All times are in seconds."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def since_boot(self) -> float:
        return time.clock_gettime(_SINCE_BOOT)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, event: Event, seconds: float) -> bool:
        return event.wait(seconds)


_clock = Clock()


def now() -> float:
    """Seconds since 1970."""
    return _clock.now()


def monotonic() -> float:
    """Seconds since some moment in the past; on Linux it stands still during a suspend."""
    return _clock.monotonic()


def since_boot() -> float:
    """Seconds since some moment in the past, those of a suspend included."""
    return _clock.since_boot()


def sleep(seconds: float) -> None:
    _clock.sleep(seconds)


def wait(event: Event, seconds: float) -> bool:
    """Wait until the event is set, for at most this many seconds; whether it is."""
    return _clock.wait(event, seconds)


def poll(
    look: Callable[[], T],
    enough: Callable[[T], object],
    *,
    within: float,
    first: float,
    longest: float,
    growth: float = 1.5,
    clock: Callable[[], float] = monotonic,
    sleep: Callable[[float], object] = sleep,
) -> T:
    """What was seen last: what is enough, or what there was at the limit. Looks at least once. Times are in seconds.

    ``first`` and ``longest``: between two looks at the beginning, and at most.
    """
    until, pause = clock() + within, first
    while not enough(found := look()) and (left := until - clock()) > 0:
        sleep(min(pause, left))
        pause = min(pause * growth, longest)
    return found


@contextmanager
def replaced_by(other: Clock) -> Iterator[None]:
    """Everything that asks for the time, or waits, asks ``other`` meanwhile."""
    global _clock  # noqa: PLW0603 (the one place where the clock is)
    before, _clock = _clock, other
    try:
        yield
    finally:
        _clock = before
