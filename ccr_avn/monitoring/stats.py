"""Statistics of a watch, in bounded memory however long it runs."""

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import Any

from ccr_avn.monitoring.sample import Sample

KEPT = 3600
"""Samples that median and p99 are taken over; least and most are over all of them."""

EVENTS_KEPT = 50


class Stats:
    def __init__(self) -> None:
        self.lags: deque[float] = deque(maxlen=KEPT)
        self.events: deque[tuple[float, str]] = deque(maxlen=EVENTS_KEPT)
        self.samples = 0
        self.arrived = 0
        self.up = 0
        self.happened = 0
        self.least = math.inf
        self.most = 0.0
        self.most_bytes = 0
        self.began: float | None = None
        self.last: Sample | None = None

    def add(self, sample: Sample, events: Sequence[str]) -> None:
        self.began = sample.at if self.began is None else self.began
        self.last = sample
        self.samples += 1
        self.arrived += sample.arrived
        self.up += sample.link == "up"
        self.most_bytes = max(self.most_bytes, sample.lag_bytes or 0)
        if sample.lag_ms is not None:
            self.lags.append(sample.lag_ms)
            self.least = min(self.least, sample.lag_ms)
            self.most = max(self.most, sample.lag_ms)
        for event in events:
            self.note(sample.at, event)

    def note(self, at: float, event: str) -> None:
        self.happened += 1
        self.events.append((at, event))

    def summary(self) -> dict[str, Any]:
        """As plain data; milliseconds, bytes, seconds."""
        seconds = self.last.at - self.began if self.last and self.began is not None else 0.0
        known = bool(self.lags)
        return {
            "seconds": round(seconds, 1),
            "samples": self.samples,
            "markers_arrived": self.arrived,
            "link_up_percent": round(100 * self.up / self.samples, 2) if self.samples else None,
            "lag_ms": {
                "min": round(self.least, 3) if known else None,
                "median": round(statistics.median(self.lags), 3) if known else None,
                "p99": round(percentile(self.lags, 99), 3) if known else None,
                "max": round(self.most, 3) if known else None,
            },
            "lag_bytes_max": self.most_bytes,
            "events": self.happened,
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: a value that was seen."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
