"""The main loop of `watch`: takes a sample, reacts to it, pauses, until something ends it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ccr_avn.monitoring.alert import Alert
from ccr_avn.monitoring.sample import Platform, Sample, happened, known
from ccr_avn.monitoring.sampler import Sampler
from ccr_avn.monitoring.stats import Stats

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


class Floor:
    """Reports once if samples are requested faster than both sides can answer. ``interval``: seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._samples = 0

    def judge(self, round_trip: float | None) -> tuple[str, ...]:
        """``round_trip``: the least seconds that the slower side took so far."""
        self._samples += round_trip is not None
        if self._samples != SETTLED or round_trip is None or self._interval >= 2 * round_trip:
            return ()
        seen = f"{round_trip * 1000:.0f} ms"
        return (f"--interval {self._interval:g} is below two round trips ({seen} each): samples will be late",)


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
    trouble, floor = "", Floor(terms.interval)
    while True:
        sample = sampler.take(platform.states)
        events = (*happened(before, sample), *(alert.judge(sample) if alert else ()), *floor.judge(sampler.round_trip))
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
