"""Turns signals into errors, but never in the middle of a change."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from ccr_avn.errors import Interrupted, OutOfTime

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """While entered, SIGINT, SIGTERM and SIGHUP raise :class:`Interrupted` in the main thread.

    Inside :meth:`held` they wait until the change under way has ended; a second one does not.
    """

    def __init__(self, *more: signal.Signals) -> None:
        self._numbers = (*ENDING, *more)
        self._before: dict[int, Any] = {}
        self._depth = 0
        self._pending: int | None = None

    def __enter__(self) -> Self:
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if not self._depth and self._pending is not None:
            number, self._pending = self._pending, None
            raise _interrupted(number)

    def _arrived(self, number: int, _: FrameType | None) -> None:
        if self._depth and self._pending is None:
            self._pending = number
            return
        raise _interrupted(number)


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """SIGALRM after that many seconds; None: never. For :class:`Signals` that heed it."""
    if seconds is None:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupted(number: int) -> Interrupted:
    if number == signal.SIGALRM:
        return OutOfTime(number, hint="raise the time limit for what it waited for")
    return Interrupted(number, hint="re-run the same command to resume: it checks the current state first")
