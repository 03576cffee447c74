"""Takes the samples: a marker through the pair, then INFO of both sides.

The marker is one well-known key whose value is the time of its writing, in milliseconds since 1970. Whoever finds it on
a replica knows that everything written before that time has arrived: after the loss of the primary it bounds what a
failover loses. It lives for an hour, since a replica hides a key that has run out, and the decision to fail over may
take that long; it is taken away when a watch ends in good order.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from valkey.exceptions import ResponseError

from ccr_avn.monitoring.sample import Sample
from ccr_avn.monitoring.side import WatchedSide
from ccr_avn.monitoring.writer import KEY, Marker, Writer
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.replication import ReplicationInfo, lag_of, link_of, read_replication

if TYPE_CHECKING:
    import valkey

ACKNOWLEDGED_WITHIN = 0.5
"""Seconds that a sample waits for its marker to be acknowledged, also where samples are closer together."""

UNDER_WAY = 10_000
"""Markers under way that are remembered: a replica that is further behind will show a later one."""


@dataclass(frozen=True, slots=True)
class _Written:
    """The primary's stream at one sample, and how much of it was ours by then."""

    at: float
    side: ReplicationInfo
    markers: int
    bytes: int


class Sampler:
    """``patience``: seconds that a sample waits for its marker to arrive; in a later sample it still counts."""

    def __init__(
        self,
        primary: Endpoint,
        replica: Endpoint,
        *,
        patience: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.writer = Writer(primary, patience=max(patience, ACKNOWLEDGED_WITHIN), clock=clock)
        self.primary = WatchedSide(primary, clock=clock)
        self.replica = WatchedSide(replica, clock=clock)
        self._patience = patience
        self._clock, self._now, self._sleep = clock, now, sleep
        self._under_way: deque[Marker] = deque(maxlen=UNDER_WAY)
        self._arrived_at = clock()  # when the last marker that has arrived was written
        self._stamp = 0
        self._read_within: float | None = None
        self._before: _Written | None = None

    @property
    def round_trip(self) -> float | None:
        """The least seconds that the slower side took to answer, once both have."""
        if self.writer.round_trip is None or self._read_within is None:
            return None
        return max(self.writer.round_trip, self._read_within)

    def take(self, states: tuple[str, str] = ("", "")) -> Sample:
        """One sample; never raises for a side that can't be asked. ``states``: Aiven's words for both services."""
        ready = (self.writer.ready(), self.replica.ready())
        at = self._now()
        if ready[0]:
            self._write(at)
        lag = self._arrived() if ready[1] and self._under_way else None
        replica = self.replica.ask(lambda client: read_replication(client, self.replica.endpoint.service))
        primary = self.primary.ask(lambda client: read_replication(client, self.primary.endpoint.service))
        link = link_of(primary, replica)
        return Sample(
            at=at,
            link=link,
            lag_bytes=lag_of(primary, replica),
            # Overstated rather than understated: while nothing proves an arrival it grows, whoever is to blame.
            lag_ms=(self._clock() - self._arrived_at) * 1000 if lag is None else lag,
            arrived=lag is not None,
            write_rate=self._rate(primary),
            primary=primary,
            replica=replica,
            primary_trouble=self.primary.trouble,
            write_trouble=self.writer.told,
            replica_trouble=self.replica.trouble,
            primary_state=states[0],
            replica_state=states[1],
        )

    def readdress(self, primary: Endpoint, replica: Endpoint) -> None:
        """Addresses and passwords may change while a watch goes on: the next connection uses these."""
        for side, found in ((self.writer, primary), (self.primary, primary), (self.replica, replica)):
            side.endpoint = replace(side.endpoint, uri=found.uri)

    def close(self) -> None:
        """Take the marker away, where that can be done without waiting; else it runs out by itself."""
        with suppress(Exception):  # its removal must not hide why we end
            self.writer.take_away()
        for side in (self.writer, self.primary, self.replica):
            side.close()

    def _write(self, at: float) -> None:
        self._stamp = max(int(at * 1000), self._stamp + 1)  # a clock that is set back must not look like an arrival
        marker = self.writer.write(self._stamp)
        if marker and not (self._under_way and self._under_way[-1] == marker):
            self._under_way.append(marker)

    def _arrived(self) -> float | None:
        """Milliseconds since the writing of the newest marker that has arrived now; None when none has.

        A later one of another watch is as good.
        """
        found = self.replica.ask(self._found)
        arrived: Marker | None = None
        while found is not None and self._under_way and self._under_way[0].stamp <= found:
            arrived = self._under_way.popleft()
        if arrived is None:
            return None
        self._arrived_at = arrived.sent
        return (self._clock() - arrived.sent) * 1000

    def _found(self, client: "valkey.Valkey") -> int | None:
        """The replica's marker; it is waited for only once its writing is acknowledged."""
        newest, until, pause = self._under_way[-1].stamp, self._clock() + self._patience, 0.0002
        while True:
            stamp = self._read(client)
            if stamp is not None and stamp >= newest:
                return stamp
            if self._clock() >= until or not self.writer.answered:
                return stamp
            self._sleep(pause)
            pause = min(pause * 1.5, 0.02)

    def _read(self, client: "valkey.Valkey") -> int | None:
        asked = self._clock()
        try:
            found: Any = client.get(KEY)
        except ResponseError:  # it loads, or serves nothing while its link is down: INFO will tell
            return None
        taken = self._clock() - asked
        self._read_within = min(taken, self._read_within or taken)
        return int(found) if found and found.isdigit() else None

    def _rate(self, primary: ReplicationInfo | None) -> float | None:
        """Bytes a second that others wrote since the previous sample; a restarted server counts from zero."""
        before, self._before = self._before, None
        if primary is None:
            return None
        now = self._before = _Written(self._clock(), primary, self.writer.acknowledged, self.writer.bytes)
        if before is None or before.side.run_id != primary.run_id or now.at <= before.at:
            return None
        counted = before.side.last_save == primary.last_save  # a save sets the number of changes back
        if counted and primary.changes - before.side.changes == now.markers - before.markers:
            return 0.0  # also where the stream holds more than markers: pings, and what selects a database
        others = primary.offset - before.side.offset - (now.bytes - before.bytes)
        return max(0.0, others / (now.at - before.at))
