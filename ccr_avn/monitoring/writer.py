"""Writes the markers of a watch, one at a time: a late answer is looked for again at the next sample.

A fence, or memory that is full, holds back writes while INFO still answers: so this has a connection of its own, and
a sample goes on without the answer after a while.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from valkey import exceptions

from ccr_avn.monitoring.side import WatchedSide
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.marker import WATCH

if TYPE_CHECKING:
    import valkey

KEY = WATCH
TTL = 3600.0
"""Seconds after which the marker is gone by itself, also when we die."""

HELD_BACK = "writes are paused, or it hangs"


@dataclass(frozen=True, slots=True)
class Marker:
    """``stamp``: its value, milliseconds since 1970. ``sent``: when, by the monotonic clock."""

    stamp: int
    sent: float

    @property
    def size(self) -> int:
        """Bytes that it takes in the replication stream, where its time to live is an absolute one."""
        words = ("SET", KEY, str(self.stamp), "PXAT", str(self.stamp))
        return len(f"*{len(words)}\r\n") + sum(len(f"${len(word)}\r\n{word}\r\n") for word in words)


class Writer(WatchedSide):
    """``patience``: seconds that a call waits for an answer; the endpoint's timeout is when the answer is given up.

    ``acknowledged`` and ``bytes``: of all markers so far. ``round_trip``: the least seconds that an answer took.
    """

    def __init__(self, endpoint: Endpoint, *, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(endpoint, clock=clock)
        self.acknowledged = self.bytes = 0
        self.round_trip: float | None = None
        self._patience = min(patience, endpoint.timeout)
        self._refused = ""
        self._given_up = False
        self._waiting: Marker | None = None
        self._wire: Any = None

    @property
    def told(self) -> str:
        """Why markers can't be written just now, else empty."""
        return self._refused or (HELD_BACK if self._given_up else self.trouble)

    @property
    def answered(self) -> bool:
        """Whether the marker that was sent last is acknowledged."""
        return self._waiting is None and not self.told

    def write(self, stamp: int) -> Marker | None:
        """Send a marker, unless an earlier one has no answer yet: then that one. None: it can't be sent."""
        return self.ask(lambda client: self._written(client, stamp))

    def take_away(self) -> None:
        """Remove the marker where that can be done without waiting; else it runs out by itself."""
        if self.answered:
            self.ask(self._removed)

    def close(self) -> None:
        self._wire = self._waiting = None
        super().close()

    def _written(self, client: "valkey.Valkey", stamp: int) -> Marker:
        if self._wire is None:
            self._wire = client.connection_pool.get_connection("SET")
        if self._waiting is not None and not self._has_answer(self._waiting):
            return self._waiting
        marker = self._waiting = Marker(stamp, self._clock())
        self._wire.send_command("SET", KEY, stamp, "PX", int(TTL * 1000))
        if self._has_answer(marker):
            taken = self._clock() - marker.sent
            self.round_trip = min(taken, self.round_trip or taken)
        return marker

    def _has_answer(self, marker: Marker) -> bool:
        """Whether it is answered by now. A server that refuses writes (a replica by now, or full) answers too.

        Raises:
            valkey.TimeoutError: there has been none for so long that it is given up.
        """
        if not self._wire.can_read(self._patience):
            if self._clock() - marker.sent < self.endpoint.timeout:
                return False
            self._given_up = True
            raise exceptions.TimeoutError("no answer to a write")
        self._waiting, self._given_up = None, False
        try:
            self._wire.read_response()
        except exceptions.ResponseError as refusal:
            self._refused = f"writes are refused: {refusal}"
            return True
        self._refused = ""
        self.acknowledged += 1
        self.bytes += marker.size
        return True

    def _removed(self, _: "valkey.Valkey") -> bool:
        self._wire.send_command("DEL", KEY)
        self._wire.read_response()
        return True
