"""Takes the samples: a marker through the pair, then INFO of both sides.

The marker is one well-known key whose value is the time of its writing, in milliseconds since 1970. Whoever finds it on
a replica knows that everything written before that time has arrived: after the loss of the primary it bounds what a
failover loses. It lives for an hour, since a replica hides a key that has run out, and the decision to fail over may
take that long; it is taken away when a watch ends in good order.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.connect import Endpoint
from ccr_avn.dataplane.link import Side, read_side
from ccr_avn.dataplane.marker import WATCH
from ccr_avn.status.standing import link_of
from ccr_avn.watch.sample import Sample
from ccr_avn.watch.side import WatchedSide

if TYPE_CHECKING:
    import valkey

KEY = WATCH
TTL = 3600.0
"""Seconds after which the marker is gone by itself, also when we die."""


@dataclass(slots=True)
class _Offset:
    at: float
    offset: int
    run_id: str


class Sampler:
    """``patience``: seconds to wait for a marker; later ones may still arrive in its place."""

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
        # A fence, or memory that is full, holds back writes while INFO still answers: a connection for each.
        self.writer = WatchedSide(replace(primary, timeout=min(primary.timeout, patience)), clock=clock)
        self.primary = WatchedSide(primary, clock=clock)
        self.replica = WatchedSide(replica, clock=clock)
        self._patience = patience
        self._clock, self._now, self._sleep = clock, now, sleep
        self._arrived_at = clock()  # when the last marker that has arrived was written
        self._before: _Offset | None = None
        self._refused = ""

    def take(self, states: tuple[str, str] = ("", "")) -> Sample:
        """One sample; never raises for a side that can't be asked. ``states``: Aiven's words for both services."""
        ready = (self.writer.ready(), self.replica.ready())
        at, began = self._now(), self._clock()
        stamp = int(at * 1000)
        written = ready[0] and self._write(stamp)
        arrived = self._await(stamp, began) if written and ready[1] else None
        replica = self.replica.ask(lambda client: read_side(client, self.replica.endpoint.service))
        primary = self.primary.ask(lambda client: read_side(client, self.primary.endpoint.service))
        if arrived is not None:
            self._arrived_at = began
        link = link_of(primary, replica)
        return Sample(
            at=at,
            link=link,
            lag_bytes=max(0, primary.offset - replica.offset) if link == "up" and primary and replica else None,
            lag_ms=self._lag(arrived),
            arrived=arrived is not None,
            write_rate=self._rate(primary),
            primary=primary,
            replica=replica,
            primary_trouble=self.primary.trouble,
            write_trouble=self._refused or (self.writer.trouble and "writes are held back, or it hangs"),
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
        if not self.writer.trouble:
            with suppress(Exception):  # its removal must not hide why we end
                self.writer.ask(_take_away)
        for side in (self.writer, self.primary, self.replica):
            side.close()

    def _write(self, stamp: int) -> bool:
        """Whether it was acknowledged. A server that refuses writes (a replica by now, or full) still answers."""
        from valkey.exceptions import ResponseError

        def write(client: "valkey.Valkey") -> str:
            try:
                client.set(KEY, stamp, px=int(TTL * 1000))
            except ResponseError as refusal:
                return f"writes are refused: {refusal}"
            return ""

        refused = self.writer.ask(write)
        self._refused = refused or ""
        return refused == ""

    def _await(self, stamp: int, began: float) -> float | None:
        """Milliseconds until it, or a later one of another watch, was read; None when it did not come in time."""
        from valkey.exceptions import ResponseError

        def poll(client: "valkey.Valkey") -> float | None:
            pause = 0.0002
            while True:
                try:
                    found: Any = client.get(KEY)
                except ResponseError:  # it loads, or serves nothing while its link is down: INFO will tell
                    return None
                taken = self._clock() - began
                if found and found.isdigit() and int(found) >= stamp:
                    return taken * 1000
                if taken >= self._patience:
                    return None
                self._sleep(pause)
                pause = min(pause * 1.5, 0.02)

        return self.replica.ask(poll)

    def _lag(self, arrived: float | None) -> float:
        """Overstated rather than understated: while nothing proves an arrival it grows, whoever is to blame."""
        return arrived if arrived is not None else (self._clock() - self._arrived_at) * 1000

    def _rate(self, primary: Side | None) -> float | None:
        """Bytes a second since the sample before; a server that started anew counts anew."""
        before, self._before = self._before, None
        if primary is None:
            return None
        self._before = _Offset(self._clock(), primary.offset, primary.run_id)
        if before is None or before.run_id != primary.run_id or self._before.at <= before.at:
            return None
        return max(0.0, (primary.offset - before.offset) / (self._before.at - before.at))


def _take_away(client: "valkey.Valkey") -> None:
    client.delete(KEY)
