"""Probes a pair for `watch`: sends a marker through it, then reads INFO of both sides.

A marker is this watch's field of one well-known hash. Its value is when it was written, by the primary's own clock:
finding it on a replica shows that everything written before that time has arrived. After the loss of the primary
it bounds what a failover loses. It lives for an hour, since a replica hides a key that has run out, and the decision to
fail over may take that long; it is taken away when a watch ends in good order.
"""

import math
import random
import secrets
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from libvalkey import pack_command
from valkey import Valkey
from valkey.exceptions import ResponseError

from ccr_avn import clock
from ccr_avn.background import T
from ccr_avn.errors import Unreachable
from ccr_avn.units import iso
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.marker import WATCH
from ccr_avn.valkey.replication import ReplicationInfo, lag_of, link_of
from ccr_avn.valkey.server_facts import read_replication, server_time

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


TTL = 3600.0
"""Seconds after which the marker expires, even if we die."""

HELD_BACK = "writes are paused, or it hangs"

UNDER_WAY = 10_000
"""Markers under way that are remembered: a replica that is further behind will show a later one."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect."""


class Side:
    """A connection to one side that is kept. ``trouble``: why it can't be asked just now, else empty.

    After a late answer, which says nothing of the next, it is made again at once; after a failed attempt with a pause.
    The endpoint's timeout limits each answer.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.trouble = endpoint, ""
        self._client: Valkey | None = None
        self._pause, self._not_before = FIRST_PAUSE, 0.0

    def ask(self, question: Callable[[Valkey], T]) -> T | None:
        """The answer, or None with the reason in ``trouble``. One attempt, or none while a pause lasts."""
        if self._client is None and clock.monotonic() < self._not_before:
            return None
        try:
            if self._client is None:
                self._client = connect(self.endpoint, name="ccr-avn:watch")
                self._pause = FIRST_PAUSE
            with explained(self.endpoint, connected=True):
                answer = question(self._client)
        except Unreachable as error:
            self.trouble = error.what
            if self._client is None:
                spread = random.uniform(0.8, 1.2)  # noqa: S311 (spread, not secret)
                self._not_before = clock.monotonic() + self._pause * spread
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self.close()
            return None
        self.trouble = ""
        return answer

    def state(self) -> ReplicationInfo | None:
        return self.ask(lambda client: read_replication(client, self.endpoint.service))

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class Probe:
    """``patience``: seconds that a sample waits for its marker to arrive; in a later sample it still counts."""

    def __init__(self, primary: Endpoint, replica: Endpoint, *, patience: float) -> None:
        self.primary, self.replica = Side(primary), Side(replica)
        self._field, self._patience = secrets.token_hex(4), patience
        self._sent: deque[tuple[int, float]] = deque(maxlen=UNDER_WAY)  # the number of a marker, and when it was sent
        self._number = self._changes = self._bytes = 0  # of our own markers
        self._arrived_at = clock.monotonic()  # when the last marker that has arrived was written
        self._write_trouble = ""
        self._fastest_write = self._fastest_read = math.inf
        self._before: tuple[float, ReplicationInfo, int, int] | None = None  # the primary, and what was ours by then

    @property
    def round_trip(self) -> float:
        """The least seconds that the slower side took to answer; infinite until both have."""
        return max(self._fastest_write, self._fastest_read)

    def sample(self, states: tuple[str, ...] = ("", "")) -> Sample:
        """One sample; never raises for a side that can't be asked. ``states``: Aiven's words for both services."""
        reached = self.replica.ask(lambda _: True)  # so that what is timed afterwards is the answer alone
        at = clock.now()
        stamp = self.primary.ask(server_time)
        if stamp is not None:
            self._write(stamp)
        lag = self._lag() if reached and self._sent else None
        replica = self.replica.state()
        # A server that was silent just now is not asked twice.
        primary = None if stamp is None else self.primary.state()
        return Sample(
            at=at,
            link=link_of(primary, replica),
            lag_bytes=lag_of(primary, replica),
            # Overstated rather than understated: while nothing proves an arrival it grows, whoever is to blame.
            lag_ms=(clock.monotonic() - self._arrived_at) * 1000 if lag is None else lag,
            arrived=lag is not None,
            write_rate=self._rate(primary),
            primary=primary,
            replica=replica,
            primary_trouble=self.primary.trouble,
            write_trouble=self.primary.trouble or self._write_trouble,
            replica_trouble=self.replica.trouble,
            primary_state=states[0],
            replica_state=states[1],
        )

    def readdress(self, primary: Endpoint, replica: Endpoint) -> None:
        """Addresses and passwords may change while a watch goes on: the next connection uses these."""
        for side, found in ((self.primary, primary), (self.replica, replica)):
            side.endpoint = replace(side.endpoint, uri=found.uri)

    def close(self) -> None:
        """Remove the marker if that needs no waiting; otherwise it expires."""
        with suppress(Exception):  # its removal must not hide why we end
            if not self._write_trouble and not self.primary.trouble:
                self.primary.ask(lambda client: client.hdel(WATCH, self._field))
        for side in (self.primary, self.replica):
            side.close()

    def _write(self, stamp: int) -> None:
        """Send a marker. The connection of one without an answer is closed: what the server holds back ends with it."""
        self._number += 1
        value, sent = f"{stamp}:{self._number}", clock.monotonic()
        self._sent.append((self._number, sent))

        def write(client: Valkey) -> Any:
            pipe = client.pipeline(transaction=False)
            pipe.hset(WATCH, self._field, value)
            pipe.pexpire(WATCH, int(TTL * 1000))
            return pipe.execute(raise_on_error=False)[0]

        answer = self.primary.ask(write)
        took = clock.monotonic() - sent
        if answer is None:
            cut = took < 0.9 * self.primary.endpoint.timeout
            self._write_trouble = self.primary.trouble if cut else HELD_BACK
        elif isinstance(answer, ResponseError):  # a replica by now, or memory that is full
            self._write_trouble = f"writes are refused: {answer}"
        else:
            self._write_trouble = ""
            self._fastest_write = min(took, self._fastest_write)
            self._changes += 2
            self._bytes += size(("HSET", WATCH, self._field, value), ("PEXPIREAT", WATCH, str(stamp)))

    def _lag(self) -> float | None:
        """Milliseconds from the writing of the marker that has newly arrived to its being read; None: none has."""
        number = self.replica.ask(self._arrived)
        sent = None
        while number is not None and self._sent and self._sent[0][0] <= number:
            sent = self._arrived_at = self._sent.popleft()[1]
        return None if sent is None else (clock.monotonic() - sent) * 1000

    def _arrived(self, client: Valkey) -> int | None:
        """The number of our marker on the replica; the newest is waited for only once its writing is acknowledged."""
        until, pause = clock.monotonic() + self._patience, 0.0002
        while True:
            asked = clock.monotonic()
            try:
                found: Any = client.hget(WATCH, self._field)
            except ResponseError:  # it loads, or serves nothing while its link is down: INFO will tell
                found = None
            else:
                self._fastest_read = min(clock.monotonic() - asked, self._fastest_read)
            number = int(found.partition(b":")[2]) if found else None
            if number == self._number or clock.monotonic() >= until or self._write_trouble or self.primary.trouble:
                return number
            clock.sleep(pause)
            pause = min(pause * 1.5, 0.02)

    def _rate(self, primary: ReplicationInfo | None) -> float | None:
        """Bytes a second that others wrote since the previous sample; a restarted server counts from zero."""
        at, before = clock.monotonic(), self._before
        self._before = (at, primary, self._changes, self._bytes) if primary else None
        if primary is None or before is None:
            return None
        began, then, our_changes, our_bytes = before
        if then.run_id != primary.run_id or at <= began:
            return None
        counted = then.last_save == primary.last_save  # a save sets the number of changes back
        if counted and primary.changes - then.changes == self._changes - our_changes:
            return 0.0  # also where the stream holds more than markers: pings, and what selects a database
        others = primary.offset - then.offset - (self._bytes - our_bytes)
        return max(0.0, others / (at - began))


def size(*commands: tuple[str, ...]) -> int:
    """Bytes that commands take in the replication stream."""
    return sum(len(pack_command(words)) for words in commands)
