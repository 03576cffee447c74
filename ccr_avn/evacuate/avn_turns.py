"""Limits how many avn run at once, over all pairs, with room kept for the urgent ones; none while Aiven says slow down."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Semaphore

from ccr_avn import clock
from ccr_avn.aiven import failure
from ccr_avn.plan.outcome import TOO_MANY
from ccr_avn.plan.reads import RATE_LIMITED
from ccr_avn.process import Answer

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two tries where the platform says slow down and not for how long."""

LOOK = 0.5
"""Seconds between two checks whether the operator stopped it."""

PATIENCE = 2.0
"""Seconds for which a pair waits for others before its writes are paused: one that hangs keeps nobody longer."""


def at_once() -> int:
    """How many avn, on this machine: they work for a moment, and wait for the platform."""
    return 2 * (os.cpu_count() or 1)


class AvnTurns:
    """``most``: how many at once; the last place is for pairs whose writes are paused: there every moment is outage.

    ``slowed``: how often the platform said slow down.
    """

    def __init__(
        self, most: int, *, now: Callable[[], float] = clock.monotonic, sleep: Callable[[float], None] = clock.sleep
    ) -> None:
        self._all, self._unhurried = Semaphore(most), Semaphore(max(1, most - 1))
        self._pauses = Semaphore(most)
        self._now, self._sleep = now, sleep
        self._not_before = -math.inf
        self._in_a_row = 0
        self.slowed = 0

    @contextmanager
    def turn(self, *, urgent: bool = False, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait for a turn, and give it back. ``check`` is called now and then, and may raise."""
        with ExitStack() as taken:
            for places in (self._all,) if urgent else (self._unhurried, self._all):
                while not places.acquire(timeout=LOOK):
                    check()
                taken.callback(places.release)
            while (left := self._not_before - self._now()) > 0:
                self._sleep(min(LOOK, left))
                check()
            yield

    def begin_pause(self) -> Callable[[], None]:
        """Before writes are paused: wait until few others have theirs paused. What is given back is called at its end."""
        return self._pauses.release if self._pauses.acquire(timeout=PATIENCE) else lambda: None

    def slow_down(self, again_in: float | None) -> float:
        """Rate limited: nobody asks before the returned time, in seconds."""
        self.slowed += 1
        pause = again_in or min(FIRST_PAUSE * 2.0**self._in_a_row, LONGEST_PAUSE)
        self._in_a_row += 1
        self._not_before = max(self._not_before, self._now() + pause)
        return pause

    def went_well(self) -> None:
        """An avn was answered."""
        self._in_a_row = 0

    def ask_for_all(self, run: Callable[[], Answer]) -> Answer:
        """A read that many wait for: put off while Aiven says slow down, as any read is."""
        put_off = 0.0
        while True:
            with self.turn():
                answer = run()
            if answer.code == 0:
                self.went_well()
                return answer
            why = failure.read(answer)
            if why.status != TOO_MANY or put_off >= RATE_LIMITED:
                return answer
            put_off += self.slow_down(why.again_in)
