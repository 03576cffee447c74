"""The main loop of `watch`: takes a sample, reacts to it, pauses, until something ends it."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ccr_avn import process
from ccr_avn.monitoring.sample import Platform, Sample, Stats, happened, known
from ccr_avn.monitoring.sampler import Sampler

COMMAND_LIMIT = 60.0
"""Seconds after which the command of an alert is ended."""

COMMAND_GRACE = 2.0
"""Seconds that the end of a watch waits for it."""

SETTLED = 5
"""Samples after which the least round trip is believed."""

Ended = Literal["reached", "time is up", "asked to"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A lag to get below, in bytes or milliseconds, with the link up."""

    below: float
    unit: Literal["bytes", "ms"]

    def reached(self, sample: Sample) -> bool:
        lag = sample.lag_bytes if self.unit == "bytes" else sample.lag_ms
        known = sample.arrived or self.unit == "bytes"
        return sample.link == "up" and known and lag is not None and lag < self.below


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """``interval`` and ``limit`` in seconds; no limit: until it is ended by the user."""

    interval: float = 1.0
    limit: float | None = None
    goal: Goal | None = None


class Alert:
    """Alerts when the lag crosses ``limit`` milliseconds; runs the operator's command once for each crossing."""

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
            self._running.join(COMMAND_GRACE)

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


Show = Callable[[Sample, tuple[str, ...]], None]
Pause = Callable[[float], bool]
"""Waits so many seconds; returns whether the user asked to end in the meantime."""


def watch(
    terms: Terms,
    sampler: Sampler,
    platform: Platform,
    figures: Stats,
    alert: Alert | None,
    *,
    show: Show,
    pause: Pause,
    clock: Callable[[], float] = time.monotonic,
) -> Ended:
    """Go on until the goal is reached, the time is up, or the user asks to end."""
    began = due = clock()
    before: Sample | None = None
    trouble, settled = "", 0
    while True:
        sample = sampler.take(platform.states)
        events = (*happened(before, sample), *(alert.judge(sample) if alert else ()))
        settled += sampler.round_trip < math.inf
        if settled == SETTLED and terms.interval < 2 * sampler.round_trip < math.inf:
            seen = f"{sampler.round_trip * 1000:.0f} ms"
            slow = f"--interval {terms.interval:g} is below two round trips ({seen} each): samples will be late"
            events = (*events, slow)
        if platform.trouble != trouble:
            trouble = platform.trouble
            events = (*events, trouble or "Aiven's API answers again")
        figures.add(sample, events)
        show(sample, events)
        if terms.goal and terms.goal.reached(sample):
            return "reached"
        before = known(before, sample)
        due = max(due + terms.interval, clock())  # what is late is left out, not made up for
        rest = max(0.0, due - clock())
        if terms.limit is not None:
            left = began + terms.limit - clock()
            if left <= rest:
                return "asked to" if pause(max(0.0, left)) else "time is up"
        if pause(rest):
            return "asked to"


def _run(command: tuple[str, ...], environment: dict[str, str], note: Callable[[str], None]) -> None:
    answer = process.run(command, deadline=COMMAND_LIMIT, environment=environment)
    if not answer.started:
        note(f"alert command can't be run: {answer.last_line}")
    elif answer.expired:
        note(f"alert command ended after {COMMAND_LIMIT:g} s")
    elif answer.code:
        note(f"alert command failed with exit code {answer.code}: {answer.last_line}")
