"""The door to threads: starts them, and has the locks and events that they share. A simulated world puts its own behind it."""

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from functools import partial
from threading import Event, Semaphore, Thread
from typing import Any, Generic, TypeVar

from ccr_avn import clock
from ccr_avn.errors import Refused

T = TypeVar("T")
A = TypeVar("A")

threads = threading
"""Where the package takes its threads, locks and events from."""


MOMENT = 1.0
"""Seconds of one wait: a signal that arrives right before it does not end it, and is heard after it."""


def new_event() -> Event:
    return threads.Event()


def new_lock() -> AbstractContextManager[Any]:
    """One that its holder may take again."""
    return threads.RLock()


def new_semaphore(places: int) -> Semaphore:
    return threads.Semaphore(places)


def in_background(work: Callable[[], None], name: str) -> Thread:
    """Raises: Refused: no thread can be started."""
    thread = threads.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as full:
        hint = "raise this machine's limit of processes and threads (ulimit -u), then run the same command again"
        raise Refused("no thread can be started on this machine", detail=str(full), hint=hint) from None
    return thread


class Task(Generic[T]):
    """Work that is done in a thread of its own. Its result, or what it raised, is there when it is asked for."""

    def __init__(self, work: Callable[[], T], name: str) -> None:
        """Raises:
        Refused: no thread can be started.
        """
        self._work = work
        self._error: BaseException | None = None
        self._thread = in_background(self._run, name)

    def ended(self, within: float) -> bool:
        """Whether it has ended, within this many seconds."""
        self._thread.join(within)
        return not self._thread.is_alive()

    def result(self) -> T:
        """Waits for it. Raises: what it raised."""
        while not self.ended(MOMENT):
            pass
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 (raised again where the result is asked for)
            self._error = error


def side_by_side(work: Callable[[A], T], given: Iterable[A]) -> list[T]:
    """What it makes of each, in their order, each in a thread of its own. Raises: what the first of them raised; Refused."""
    return [task.result() for task in [Task(partial(work, one), "side by side") for one in given]]


class Repeated:
    """Work that is done again after each pause. What it raises is left to those who look at its results."""

    def __init__(self, work: Callable[[], None], pause: Callable[[], float], name: str) -> None:
        """``pause``: asked before each, in seconds.

        Raises:
            Refused: no thread can be started.
        """
        self._work, self._pause = work, pause
        self._woken, self._stopped = new_event(), False
        self._thread = in_background(self._go_on, name)

    def wake(self) -> None:
        """Do it now, and then after the pause that holds from here on."""
        self._woken.set()

    def stop(self) -> None:
        """It is not begun again; what is being done is not waited for."""
        self._stopped = True
        self._woken.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _go_on(self) -> None:
        while True:
            clock.wait(self._woken, self._pause())
            self._woken.clear()  # before the look at the other: whoever stops it sets that first
            if self._stopped:
                return
            with suppress(Exception):
                self._work()
