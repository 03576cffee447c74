"""Ctrl-C for many runs at once: the first starts no more pairs, the next stops each as a single run."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from ccr_avn import clock
from ccr_avn.background import in_background
from ccr_avn.errors import Interrupted, Refused

T = TypeVar("T")

LOOK = 0.1
"""Seconds between two checks whether a stop was requested."""

MEANING = {
    0: "",
    1: "no more pairs are started, and those in progress finish; Ctrl-C again stops each of them as it stops a single run",
    2: "each is stopped as a single run is, without interrupting a change in progress; Ctrl-C again interrupts those too",
    3: "changes in progress are interrupted",
}


@dataclass(slots=True)
class Stop:
    """What the operator asked for so far.

    ``level`` 1: begin no more; 2: end each, but no change under way is broken into; 3: that too. It may be set in a
    signal handler: nothing is locked by that.
    """

    level: int = 0
    number: int = 2
    _announced: int = 0

    def ask(self, number: int, *, at_once: bool = False) -> None:
        """One signal more; ``at_once``: it means the end of every run, as SIGTERM does."""
        self.number = number
        self.level = min(3, max(self.level + 1, 2 if at_once else 1))

    def news(self) -> str:
        """What has been asked for since this was last called, in words; empty where nothing was."""
        if self.level == self._announced:
            return ""
        self._announced = self.level
        return MEANING[self.level]


@dataclass(slots=True)
class RunSignals:
    """The same for one run in its thread: what :class:`ccr_avn.signals.Signals` is for a single one."""

    stop: Stop
    _depth: int = 0
    _raised: int = 1

    @contextmanager
    def held(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        self.check()

    def check(self) -> None:
        """Raises:
        Interrupted: it was asked for, and not raised in this run yet.
        """
        level = self.stop.level
        if level > self._raised and (not self._depth or level > 2):
            self._raised = level
            raise Interrupted(
                self.stop.number, hint="re-run the same command to resume: it checks the current state first"
            )

    def sleep(self, seconds: float) -> None:
        """Raises:
        Interrupted: it was asked for meanwhile.
        """
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            self.check()
            clock.sleep(min(LOOK, left))
        self.check()

    def interruptible(self, work: Callable[[], T]) -> T:
        """Do it in another thread, so that this one can end meanwhile; a read that nobody waits for is harmless.

        Raises:
            Interrupted: the run is to end.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 (raised again where the result is waited for)
                future.set_exception(error)

        try:
            in_background(run, "avn")
        except Refused:  # a limit of processes: it can't be interrupted then, and a promotion under way goes on
            run()
        while wait([future], LOOK).not_done:
            self.check()
        return future.result()
