"""One sample of a pair: both sides, and the state that Aiven reports; and the statistics of a watch's samples."""

import math
import statistics
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ccr_avn.aiven.models import Service
from ccr_avn.errors import CcrError
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

    def told(self) -> dict[str, Any]:
        """As plain data."""
        told = asdict(self)
        for name, side in (("primary", self.primary), ("replica", self.replica)):
            told[name] = {"role": side.role, "offset": side.offset, "history": side.replid} if side else None
        told["last_io_seconds"] = self.replica.last_io_seconds if self.replica else None
        for name in ("lag_ms", "write_rate", "at"):
            told[name] = None if told[name] is None else round(told[name], 3)
        return told


def known(before: Sample | None, now: Sample) -> Sample:
    """``now`` with what it lacks as it was last known: what happens while a side does not answer shows afterwards."""
    if before is None:
        return now
    link = before.link if now.link == UNKNOWN else now.link
    return replace(now, primary=now.primary or before.primary, replica=now.replica or before.replica, link=link)


def happened(before: Sample | None, now: Sample) -> tuple[str, ...]:
    """What is worth a line for people. ``before``: as far as :func:`known`."""
    if before is None:
        return tuple(_troubled(now))
    return (
        *_side_changed("primary", before.primary, now.primary, before.primary_trouble, now.primary_trouble),
        *_side_changed("replica", before.replica, now.replica, before.replica_trouble, now.replica_trouble),
        *_link_changed(before, now),
        *_writes_changed(before, now),
        *_state_changed("primary", before.primary_state, now.primary_state),
        *_state_changed("replica", before.replica_state, now.replica_state),
    )


def _troubled(now: Sample) -> Iterable[str]:
    yield from (trouble for trouble in (now.primary_trouble, now.replica_trouble, now.write_trouble) if trouble)
    if now.link not in ("up", UNKNOWN):
        yield f"link: {now.link}"


def _side_changed(
    which: str, before: ReplicationInfo | None, now: ReplicationInfo | None, old: str, new: str
) -> Iterable[str]:
    if new and not old:
        yield f"{which} does not answer: {new}"
    if old and not new:
        yield f"{which} answers again"
    if before and now and before.run_id != now.run_id:
        yield f"{which} was restarted"
    if before and now and before.role != now.role:
        promoted = " (promoted)" if now.role == "master" else ""
        yield f"{which} is now a {now.role}{promoted}"


def _link_changed(before: Sample, now: Sample) -> Iterable[str]:
    if now.link not in (before.link, UNKNOWN):
        yield f"link {now.link}" + (f", was {before.link}" if before.link != UNKNOWN else "")


def _writes_changed(before: Sample, now: Sample) -> Iterable[str]:
    if now.primary_trouble or before.primary_trouble:
        return  # that it does not answer is told already
    if now.write_trouble != before.write_trouble:
        yield f"primary: {now.write_trouble or 'writes go through again'}"


def _state_changed(which: str, before: str, now: str) -> Iterable[str]:
    if before and now and before != now:
        yield f"{which} is {now}, was {before}"


Ask = Callable[[], tuple[Service, ...]]


class Platform:
    """``states``: the last known words for both services. ``interval`` in seconds; 0: never ask again.

    ``found`` is called with every answer, in the background.
    """

    def __init__(
        self,
        services: tuple[Service, Service],
        ask: Ask,
        interval: float,
        found: Callable[[Service, Service], None] = lambda *_: None,
    ) -> None:
        self.states = (services[0].state, services[1].state)
        self.trouble = ""
        self._ask = ask
        self._found = found
        self._interval = interval
        self._over = threading.Event()

    def start(self) -> None:
        if self._interval:
            threading.Thread(target=self._go_on, daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _go_on(self) -> None:
        while not self._over.wait(self._interval):
            try:
                first, second = self._ask()
                self._found(first, second)
            except CcrError as error:
                self.trouble = error.what
            except Exception as bug:  # noqa: BLE001 (in a thread: it would end the asking without a word)
                self.trouble = f"internal error: {type(bug).__name__}"
            else:
                self.trouble, self.states = "", (first.state, second.state)


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
