"""Turns signals into errors, but never in the middle of a change."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from ccr_avn import background
from ccr_avn.errors import Interrupted, OutOfTime

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

RESUME = "re-run the same command to resume: it checks the current state first"


class Signals:
    """While entered, SIGINT, SIGTERM and SIGHUP raise :class:`Interrupted` in the main thread.

    Inside :meth:`held` they wait until the change under way has ended; a second one does not. One that was ignored when
    we were started, as ``nohup`` does it, stays ignored.
    """

    def __init__(self, *more: signal.Signals) -> None:
        self._handled = handled((*ENDING, *more), self._arrived)
        self._depth = 0
        self._pending: int | None = None

    def __enter__(self) -> Self:
        self._handled.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handled.__exit__(None, None, None)

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
def handled(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Meanwhile these are handled so, apart from those that were ignored. Only the main thread hears signals."""
    if background.threads.current_thread() is not background.threads.main_thread():
        numbers = ()
    heard = [one for one in numbers if one == signal.SIGALRM or signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, handled_before in before.items():
            signal.signal(number, handled_before)


@contextmanager
def within(seconds: float | None, *, again: float = 0.0) -> Iterator[None]:
    """SIGALRM after that many seconds; None: never. For :class:`Signals` that handle it.

    ``again``: every so many seconds from then on. While modules are imported the interpreter may drop what a handler raises.
    """
    if seconds is None:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds, again)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def unlimited() -> Iterator[None]:
    """What time passes here is none of :func:`within`'s."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


def _interrupted(number: int) -> Interrupted:
    if number == signal.SIGALRM:
        return OutOfTime(number, hint="raise the time limit for what it waited for")
    return Interrupted(number, hint=RESUME)
