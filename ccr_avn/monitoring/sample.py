"""One sample of a pair: both sides, and the state that Aiven reports; what changed since the last; the statistics of all."""

import math
import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ccr_avn.units import iso
from ccr_avn.valkey.replication import ReplicationInfo

UNKNOWN = "unknown"
"""The link, while the replica does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """``at``: seconds since 1970. None: not known just now; a trouble says why a side could not be asked.

    ``lag_ms``: from a marker's writing to its being read; while none arrives, the time since the last that did.
    ``write_rate``: bytes of replication stream a second, without our own markers. States are Aiven's words.
    """

    at: float
    link: str
    lag_bytes: int | None = None
    lag_ms: float | None = None
    arrived: bool = False
    write_rate: float | None = None
    primary: ReplicationInfo | None = None
    replica: ReplicationInfo | None = None
    primary_trouble: str = ""
    replica_trouble: str = ""
    write_trouble: str = ""
    primary_state: str = ""
    replica_state: str = ""

    def as_dict(self) -> dict[str, Any]:
        facts = asdict(self)
        for name, side in (("primary", self.primary), ("replica", self.replica)):
            facts[name] = {"role": side.role, "offset": side.offset, "history": side.replid} if side else None
        facts["last_io_seconds"] = self.replica.last_io_seconds if self.replica else None
        for name in ("lag_ms", "write_rate"):
            facts[name] = None if facts[name] is None else round(facts[name], 3)
        facts["at"] = iso(self.at, "milliseconds")
        return facts


def known(before: Sample | None, now: Sample) -> Sample:
    """``now`` with what it lacks as it was last known: what happens while a side does not answer shows afterwards."""
    if before is None:
        return now
    link = before.link if now.link == UNKNOWN else now.link
    return replace(now, primary=now.primary or before.primary, replica=now.replica or before.replica, link=link)


def happened(before: Sample | None, now: Sample) -> tuple[str, ...]:
    """What is worth a line for people. ``before``: as far as :func:`known`."""
    if before is None:
        link = "" if now.link in ("up", UNKNOWN) else f"link: {now.link}"
        return tuple(filter(None, (now.primary_trouble, now.replica_trouble, now.write_trouble, link)))
    events = [event for which in ("primary", "replica") for event in _side_changed(which, before, now)]
    if now.link not in (before.link, UNKNOWN):
        events.append(f"link {now.link}" + (f", was {before.link}" if before.link != UNKNOWN else ""))
    silent = now.primary_trouble or before.primary_trouble  # that it does not answer is said already
    if now.write_trouble != before.write_trouble and not silent:
        events.append(f"primary: {now.write_trouble or 'writes succeed again'}")
    return tuple(events)


def _side_changed(which: str, before: Sample, now: Sample) -> Iterator[str]:
    (old, was, old_state), (new, trouble, state) = (
        [getattr(one, f"{which}{what}") for what in ("", "_trouble", "_state")] for one in (before, now)
    )
    if bool(trouble) != bool(was):
        yield f"{which} does not answer: {trouble}" if trouble else f"{which} answers again"
    if old and new and old.run_id != new.run_id:
        yield f"{which} was restarted"
    if old and new and old.role != new.role:
        yield f"{which} is now a {new.role}" + (" (promoted)" if new.role == "master" else "")
    if state and old_state and state != old_state:
        yield f"{which} is {state}, was {old_state}"


KEPT = 3600
"""Samples that median and p99 are taken over; least and most are over all of them."""

EVENTS_KEPT = 50


class Stats:
    """The statistics of a watch; what they keep is bounded."""

    def __init__(self) -> None:
        self.lags: deque[float] = deque(maxlen=KEPT)
        self.events: deque[tuple[float, str]] = deque(maxlen=EVENTS_KEPT)
        self.samples = self.arrived = self.up = self.happened = self.most_bytes = 0
        self.least, self.most = math.inf, 0.0
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
            self.least, self.most = min(self.least, sample.lag_ms), max(self.most, sample.lag_ms)
        self.happened += len(events)
        self.events.extend((sample.at, event) for event in events)

    def summary(self) -> dict[str, Any]:
        """As plain data; milliseconds, bytes, seconds. A percentile is the nearest rank: a value that was seen."""
        seconds = self.last.at - self.began if self.last and self.began is not None else 0.0
        lag: dict[str, float | None] = dict.fromkeys(("min", "median", "p99", "max"))
        if self.lags:
            p99 = sorted(self.lags)[math.ceil(len(self.lags) * 0.99) - 1]
            figures = (self.least, statistics.median(self.lags), p99, self.most)
            lag = {name: round(value, 3) for name, value in zip(lag, figures, strict=True)}
        return {
            "seconds": round(seconds, 1),
            "samples": self.samples,
            "markers_arrived": self.arrived,
            "link_up_percent": round(100 * self.up / self.samples, 2) if self.samples else None,
            "lag_ms": lag,
            "lag_bytes_max": self.most_bytes,
            "events": self.happened,
        }
