"""Alerts when the lag crosses a limit, and runs the operator's command once for each crossing."""

import threading
from collections.abc import Callable

from ccr_avn import process
from ccr_avn.monitoring.sample import Sample

DEADLINE = 60.0
"""Seconds after which the command is ended."""


LEAVE = 2.0
"""Seconds that the end of a watch waits for it."""


class Alert:
    """``limit``: milliseconds."""

    def __init__(self, limit: float, command: tuple[str, ...], pair: tuple[str, str]) -> None:
        self.firing = False
        self.results: list[str] = []  # what became of commands, until somebody takes it
        self._limit = limit
        self._command = command
        self._pair = pair
        self._running: threading.Thread | None = None

    def judge(self, sample: Sample) -> tuple[str, ...]:
        """What to tell now: a crossing in either direction. A lag that isn't known changes nothing."""
        told, self.results = tuple(self.results), []
        if sample.lag_ms is None or self.firing == (sample.lag_ms >= self._limit):
            return told
        self.firing = not self.firing
        if not self.firing:
            return (*told, f"alert over: lag {sample.lag_ms:.0f} ms")
        self._start(sample)
        return (*told, f"alert: lag {sample.lag_ms:.0f} ms, limit {self._limit:g} ms")

    def wait(self) -> None:
        """A moment for a command under way to end; it goes on without us."""
        if self._running:
            self._running.join(LEAVE)

    def _start(self, sample: Sample) -> None:
        if not self._command or (self._running and self._running.is_alive()):
            return
        environment = {
            "CCR_PRIMARY": self._pair[0],
            "CCR_REPLICA": self._pair[1],
            "CCR_LAG_MS": f"{sample.lag_ms:.0f}",
            "CCR_LINK": sample.link,
        }
        self._running = threading.Thread(target=_run, args=(self._command, environment, self.results.append))
        self._running.daemon = True
        self._running.start()


def _run(command: tuple[str, ...], environment: dict[str, str], note: Callable[[str], None]) -> None:
    try:
        answer = process.run(command, deadline=DEADLINE, environment=environment)
    except OSError as error:
        note(f"alert command can't be run: {error.strerror}")
        return
    if answer.expired:
        note(f"alert command ended after {DEADLINE:g} s")
    elif answer.code:
        note(f"alert command failed with exit code {answer.code}: {answer.last_line}")
