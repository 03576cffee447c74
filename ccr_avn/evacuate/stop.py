"""Ctrl-C for many runs at once: the first starts no more pairs, the next stops each as a single run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from ccr_avn.errors import Interrupted

Level = Literal[0, 1, 2, 3]
"""1: begin no more; 2: end each, but no change under way is broken into; 3: that too."""

LOOK = 0.1
"""Seconds between two checks whether a stop was requested."""


TOLD: dict[Level, str] = {
    1: "no more pairs are started, and those in progress finish; Ctrl-C again stops each of them as it stops a single run",
    2: "each is stopped as a single run is, without interrupting a change in progress; Ctrl-C again interrupts those too",
    3: "changes in progress are interrupted",
}
"""What each means, for who asked."""


@dataclass(slots=True)
class Stop:
    """What the operator asked for so far. ``level`` may be set in a signal handler: nothing is locked by that."""

    level: Level = 0
    number: int = 2
    _told: Level = 0

    def ask(self, number: int, *, at_once: bool = False) -> None:
        """One signal more; ``at_once``: it means the end of every run, as SIGTERM does."""
        self.number = number
        steps: dict[Level, Level] = {0: 2 if at_once else 1, 1: 2, 2: 3, 3: 3}
        self.level = steps[self.level]

    def heard(self) -> str:
        """What has been asked for since this was last called, in words; empty where nothing was."""
        if self.level == self._told:
            return ""
        self._told = self.level
        return TOLD[self.level]


@dataclass(slots=True)
class RunSignals:
    """The same for one run in its thread: what :class:`ccr_avn.signals.Signals` is for a single one."""

    stop: Stop
    _depth: int = 0
    _told: int = 1
    _ended: threading.Event = field(default_factory=threading.Event)

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
        Interrupted: it was asked for, and not told to this run yet.
        """
        level = self.stop.level
        if level > self._told and (not self._depth or level > 2):
            self._told = level
            raise Interrupted(
                self.stop.number, hint="re-run the same command to resume: it checks the current state first"
            )

    def sleep(self, seconds: float) -> None:
        """Raises:
        Interrupted: it was asked for meanwhile.
        """
        self.wait(self._ended, seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for something, whatever comes first; whether it came.

        Raises:
            Interrupted: it was asked for meanwhile.
        """
        while seconds > 0:
            self.check()
            if event.wait(min(LOOK, seconds)):
                return True
            seconds -= LOOK
        self.check()
        return event.is_set()
