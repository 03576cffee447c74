"""Starts the threads that work beside a run, and those that repeat something until they are stopped."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

from ccr_avn import clock
from ccr_avn.errors import Refused


def in_background(work: Callable[[], None], name: str) -> Thread:
    """Raises: Refused: no thread can be started."""
    thread = Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as full:
        hint = "raise this machine's limit of processes and threads (ulimit -u), then run the same command again"
        raise Refused("no thread can be started on this machine", detail=str(full), hint=hint) from None
    return thread


class Repeated:
    """Work that is done again after each pause. What it raises is left to those who look at its results."""

    def __init__(self, work: Callable[[], None], pause: Callable[[], float], name: str) -> None:
        """``pause``: asked before each, in seconds.

        Raises:
            Refused: no thread can be started.
        """
        self._work, self._pause = work, pause
        self._woken, self._stopped = Event(), False
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
