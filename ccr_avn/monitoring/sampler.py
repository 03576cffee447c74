"""Takes the samples: a marker through the pair, then INFO of both sides.

A marker is this watch's field of one well-known hash. Its value is when it was written, by the primary's own clock:
whoever finds it on a replica knows that everything written before that time has arrived. After the loss of the primary
it bounds what a failover loses. It lives for an hour, since a replica hides a key that has run out, and the decision to
fail over may take that long; it is taken away when a watch ends in good order.
"""

import math
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from valkey.exceptions import ResponseError

from ccr_avn.monitoring.sample import Sample
from ccr_avn.monitoring.side import WatchedSide
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.marker import WATCH, server_time
from ccr_avn.valkey.replication import ReplicationInfo, lag_of, link_of, read_replication

if TYPE_CHECKING:
    import valkey

TTL = 3600.0
"""Seconds after which the marker is gone by itself, also when we die."""

HELD_BACK = "writes are paused, or it hangs"

UNDER_WAY = 10_000
"""Markers under way that are remembered: a replica that is further behind will show a later one."""


@dataclass(frozen=True, slots=True)
class _Written:
    """The primary's stream at one sample, and how much of it was ours by then."""

    at: float
    side: ReplicationInfo
    changes: int
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
        self.primary = WatchedSide(primary, clock=clock)
        self.replica = WatchedSide(replica, clock=clock)
        self._field = secrets.token_hex(4)
        self._patience = patience
        self._clock, self._now, self._sleep = clock, now, sleep
        self._sent: deque[tuple[int, float]] = deque(maxlen=UNDER_WAY)  # the number of a marker, and when it was sent
        self._number = self._changes = self._bytes = 0  # of our own markers
        self._arrived_at = clock()  # when the last marker that has arrived was written
        self._write_trouble = ""
        self._least = {"write": math.inf, "read": math.inf}
        self._before: _Written | None = None

    @property
    def round_trip(self) -> float:
        """The least seconds that the slower side took to answer; infinite until both have."""
        return max(self._least.values())

    def take(self, states: tuple[str, str] = ("", "")) -> Sample:
        """One sample; never raises for a side that can't be asked. ``states``: Aiven's words for both services."""
        reached = self.replica.ready()
        at = self._now()
        stamp = self.primary.ask(server_time)
        if stamp is not None:
            self._write(stamp)
        lag = self._lag() if reached and self._sent else None
        replica = self.replica.ask(lambda client: read_replication(client, self.replica.endpoint.service))
        primary = None
        if stamp is not None:  # a server that was silent just now is not asked twice in one sample
            primary = self.primary.ask(lambda client: read_replication(client, self.primary.endpoint.service))
        return Sample(
            at=at,
            link=link_of(primary, replica),
            lag_bytes=lag_of(primary, replica),
            # Overstated rather than understated: while nothing proves an arrival it grows, whoever is to blame.
            lag_ms=(self._clock() - self._arrived_at) * 1000 if lag is None else lag,
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
        """Take the marker away, where that can be done without waiting; else it runs out by itself."""
        with suppress(Exception):  # its removal must not hide why we end
            if not self._write_trouble and not self.primary.trouble:
                self.primary.ask(lambda client: client.hdel(WATCH, self._field))
        for side in (self.primary, self.replica):
            side.close()

    def _write(self, stamp: int) -> None:
        """Send a marker. The connection of one without an answer is closed: what the server holds back ends with it."""
        self._number += 1
        value, sent = f"{stamp}:{self._number}", self._clock()
        self._sent.append((self._number, sent))

        def write(client: "valkey.Valkey") -> Any:
            pipe = client.pipeline(transaction=False)
            pipe.hset(WATCH, self._field, value)
            pipe.pexpire(WATCH, int(TTL * 1000))
            return pipe.execute(raise_on_error=False)[0]  # type: ignore[no-untyped-call]  # valkey-py has none

        answer = self.primary.ask(write)
        took = self._clock() - sent
        if answer is None:
            cut = took < 0.9 * self.primary.endpoint.timeout
            self._write_trouble = self.primary.trouble if cut else HELD_BACK
        elif isinstance(answer, ResponseError):  # a replica by now, or memory that is full
            self._write_trouble = f"writes are refused: {answer}"
        else:
            self._write_trouble = ""
            self._least["write"] = min(took, self._least["write"])
            self._changes += 2
            self._bytes += size(("HSET", WATCH, self._field, value), ("PEXPIREAT", WATCH, str(stamp)))

    def _lag(self) -> float | None:
        """Milliseconds from the writing of the marker that has newly arrived to its being read; None: none has."""
        number = self.replica.ask(self._found)
        arrived = None
        while number is not None and self._sent and self._sent[0][0] <= number:
            arrived = self._arrived_at = self._sent.popleft()[1]
        return None if arrived is None else (self._clock() - arrived) * 1000

    def _found(self, client: "valkey.Valkey") -> int | None:
        """Our marker on the replica; the newest is waited for only once its writing is acknowledged."""
        until, pause = self._clock() + self._patience, 0.0002
        while True:
            number = self._read(client)
            if number == self._number or self._clock() >= until or self._write_trouble or self.primary.trouble:
                return number
            self._sleep(pause)
            pause = min(pause * 1.5, 0.02)

    def _read(self, client: "valkey.Valkey") -> int | None:
        asked = self._clock()
        try:
            found: Any = client.hget(WATCH, self._field)
        except ResponseError:  # it loads, or serves nothing while its link is down: INFO will tell
            return None
        self._least["read"] = min(self._clock() - asked, self._least["read"])
        return int(found.partition(b":")[2]) if found else None

    def _rate(self, primary: ReplicationInfo | None) -> float | None:
        """Bytes a second that others wrote since the previous sample; a restarted server counts from zero."""
        before, self._before = self._before, None
        if primary is None:
            return None
        now = self._before = _Written(self._clock(), primary, self._changes, self._bytes)
        if before is None or before.side.run_id != primary.run_id or now.at <= before.at:
            return None
        counted = before.side.last_save == primary.last_save  # a save sets the number of changes back
        if counted and primary.changes - before.side.changes == now.changes - before.changes:
            return 0.0  # also where the stream holds more than markers: pings, and what selects a database
        others = primary.offset - before.side.offset - (now.bytes - before.bytes)
        return max(0.0, others / (now.at - before.at))


def size(*commands: tuple[str, ...]) -> int:
    """Bytes that commands take in the replication stream."""
    return sum(len(f"*{len(words)}\r\n") + sum(len(f"${len(one)}\r\n{one}\r\n") for one in words) for words in commands)
