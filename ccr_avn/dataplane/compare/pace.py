"""Keeps the commands a second on the primary under a limit."""

import time
from collections.abc import Callable


class Pace:
    """``per_second`` commands at the most, averaged over one message; 0 means no limit."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._due = 0.0  # on the clock: when the next message may go

    def take(self, commands: int) -> None:
        """Wait until what was sent before is paid for, then let these go."""
        if not self._per_second or not commands:
            return
        now = self._clock()
        if self._due > now:
            self._sleep(self._due - now)
            now = self._due
        self._due = now + commands / self._per_second

    def batch(self, largest: int) -> int:
        """How many keys (some four commands each) to send at once: about a fifth of a second's worth."""
        return max(5, min(largest, int(self._per_second / 20))) if self._per_second else largest
