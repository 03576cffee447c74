"""The main loop of `watch`: takes a sample, reacts to it, pauses, until something ends it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from ccr_avn import process
from ccr_avn.aiven.models import Service
from ccr_avn.background import Repeated, in_background
from ccr_avn.clock import monotonic, sleep
from ccr_avn.errors import CcrError
from ccr_avn.monitoring.probe import Probe, Sample, Stats, happened, known

if TYPE_CHECKING:
    from threading import Thread

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


class Platform:
    """Asks Aiven for both services in the background. ``states``: the last known words for them.

    ``interval`` in seconds; 0: never ask again.
    """

    def __init__(self, services: tuple[Service, ...], ask: Callable[[], tuple[Service, ...]], interval: float) -> None:
        self.states, self.trouble = tuple(one.state for one in services), ""
        self._ask, self._interval = ask, interval
        self._asking: Repeated | None = None

    def start(self) -> None:
        if self._interval:
            self._asking = Repeated(self._look, lambda: self._interval, "platform")

    def stop(self) -> None:
        if self._asking:
            self._asking.stop()

    def _look(self) -> None:
        try:
            self.states, self.trouble = tuple(one.state for one in self._ask()), ""
        except CcrError as error:
            self.trouble = error.what
        except Exception as bug:  # noqa: BLE001 (in a thread: it would be lost)
            self.trouble = f"internal error: {type(bug).__name__}"


class Alert:
    """Alerts when the lag crosses ``limit`` milliseconds; runs the operator's command once for each crossing."""

    def __init__(self, limit: float, command: tuple[str, ...], pair: tuple[str, str]) -> None:
        self.firing = False
        self.results: list[str] = []  # what became of commands, until somebody takes it
        self._limit, self._command, self._pair = limit, command, pair
        self._running: Thread | None = None

    def judge(self, sample: Sample) -> tuple[str, ...]:
        """What to report now: a crossing in either direction. A lag that isn't known changes nothing."""
        events = tuple(self.results)
        del self.results[: len(events)]
        if sample.lag_ms is None or self.firing == (sample.lag_ms >= self._limit):
            return events
        self.firing = not self.firing
        if not self.firing:
            return (*events, f"alert over: lag {sample.lag_ms:.0f} ms")
        if self._command and not (self._running and self._running.is_alive()):
            self._running = in_background(partial(self._run, sample), "alert")
        return (*events, f"alert: lag {sample.lag_ms:.0f} ms, limit {self._limit:g} ms")

    def wait(self) -> None:
        """A moment for a command under way to end; it goes on without us."""
        if self._running:
            self._running.join(COMMAND_GRACE)

    def _run(self, sample: Sample) -> None:
        primary, replica = self._pair
        facts = {"CCR_PRIMARY": primary, "CCR_REPLICA": replica}
        facts |= {"CCR_LAG_MS": f"{sample.lag_ms:.0f}", "CCR_LINK": sample.link}
        answer = process.run(self._command, deadline=COMMAND_LIMIT, environment=facts)
        if not answer.started:
            self.results.append(f"alert command can't be run: {answer.last_line}")
        elif answer.expired:
            self.results.append(f"alert command ended after {COMMAND_LIMIT:g} s")
        elif answer.code:
            self.results.append(f"alert command failed with exit code {answer.code}: {answer.last_line}")


Show = Callable[[Sample, tuple[str, ...]], None]


def watch(
    probe: Probe,
    platform: Platform,
    figures: Stats,
    alert: Alert | None,
    *,
    interval: float,
    limit: float | None,
    goal: Goal | None,
    show: Show,
) -> Ended:
    """Go on until the goal is reached or the time is up.

    ``interval`` and ``limit`` in seconds; no limit: until a signal ends it.
    """
    began = due = monotonic()
    before: Sample | None = None
    trouble, settled = "", 0
    while True:
        sample = probe.sample(platform.states)
        events = (*happened(before, sample), *(alert.judge(sample) if alert else ()))
        settled += probe.round_trip < math.inf
        if settled == SETTLED and interval < 2 * probe.round_trip < math.inf:
            seen = f"{probe.round_trip * 1000:.0f} ms"
            events += (f"--interval {interval:g} is below two round trips ({seen} each): samples will be late",)
        if platform.trouble != trouble:
            trouble = platform.trouble
            events += (trouble or "Aiven's API answers again",)
        figures.add(sample, events)
        show(sample, events)
        if goal and goal.reached(sample):
            return "reached"
        before = known(before, sample)
        due = max(due + interval, monotonic())  # what is late is left out, not made up for
        rest = max(0.0, due - monotonic())
        if limit is not None:
            left = began + limit - monotonic()
            if left <= rest:
                sleep(max(0.0, left))
                return "time is up"
        sleep(rest)
