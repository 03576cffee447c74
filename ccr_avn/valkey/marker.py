"""Keys of ccr-avn's own in a service: markers that arrive or not, a first write, the heartbeat of a drill."""

import secrets
import statistics
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import eq
from typing import Any

from valkey.exceptions import BusyLoadingError, ReadOnlyError, ValkeyError

from ccr_avn import clock
from ccr_avn.background import Repeated
from ccr_avn.clock import poll
from ccr_avn.errors import NotProven
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.replication import QUESTION, ReplicationInfo, parse_replication
from ccr_avn.valkey.server_facts import clock_skew, server_time

PREFIX = "ccr-avn:marker:"
WATCH = f"{PREFIX}watches"
"""The hash of `watch`: each has a field. It begins with when it was written, in ms since 1970 by the primary's clock."""
TTL = 60.0  # seconds after which a marker is gone by itself, also when we die, by the clock that is ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerResult:
    """``lag_ms``: for each marker that arrived, milliseconds from its acknowledgement's request to its being read.

    ``skew``: seconds by which the replica's clock is ahead of the primary's (negative: behind), where that is certain.
    """

    samples: int
    lag_ms: tuple[float, ...]
    skew: float = 0.0

    @property
    def arrived(self) -> int:
        return len(self.lag_ms)

    @property
    def spread(self) -> tuple[float, float, float]:
        """The least, the median, the most."""
        lags = self.lag_ms or (0.0,)
        return min(lags), statistics.median(lags), max(lags)


def run_marker(
    primary: Endpoint, replica: Endpoint, *, samples: int = 20, timeout: float = 10.0, ttl: float = TTL
) -> MarkerResult:
    """Send ``samples`` markers through, one after the other; ``timeout`` is in seconds, for each.

    Stops at the first that does not arrive: one is enough to know.

    Raises:
        NotProven: the primary itself evicted a marker.
        Unreachable: a side can't be asked, or refuses the write.
    """
    key = f"{PREFIX}{secrets.token_hex(8)}"
    lags: list[float] = []
    with connect(primary) as source, connect(replica) as target:
        skew = clock_skew(source, target, primary, replica)
        lives = int((ttl + max(0.0, skew)) * 1000)  # a replica hides what is over by its own clock
        try:
            while len(lags) < samples:
                value = f"{len(lags)}:{int(clock.now() * 1000)}".encode()
                began = clock.monotonic()
                with explained(primary, connected=True):
                    source.set(key, value, px=lives)
                within = began + timeout - clock.monotonic()
                with explained(replica, connected=True):
                    there = poll(lambda: target.get(key), partial(eq, value), within=within, first=0.0002, longest=0.05)
                if there != value:
                    with explained(primary, connected=True):
                        held = source.get(key)
                    if held != value:
                        raise _dropped(primary.service)
                    break
                lags.append((clock.monotonic() - began) * 1000)
        finally:
            with suppress(ValkeyError, OSError):  # it expires by itself; its removal must not hide what went wrong
                source.delete(key)
    return MarkerResult(samples=samples, lag_ms=tuple(lags), skew=skew)


def _dropped(service: str) -> NotProven:
    return NotProven(
        f"{service} dropped a marker before it could arrive",
        detail="the key is gone from the primary: evicted, flushed or expired",
        hint=f"check its memory policy: avn service get {service} --format '{{user_config}}'; or prove the link alone: "
        "--level link",
    )


def marker_age(endpoint: Endpoint) -> float | None:
    """Seconds since the newest marker of a `watch` that this side holds was written, by this side's clock; None: none.

    Whatever the primary acknowledged before that has arrived here: it bounds what a failover can lose. Negative: the
    marker is from the future, so that the clocks of the two differ and nothing is bounded.

    Raises: Unreachable: it can't be asked.
    """
    with connect(endpoint) as client, explained(endpoint, connected=True):
        held: dict[bytes, bytes] = client.hgetall(WATCH)
        stamps = [int(stamp) for value in held.values() if (stamp := value.partition(b":")[0]).isdigit()]
        newest, now = max(stamps, default=0), server_time(client)
    return (now - newest) / 1000 if newest and now else None


NOT_YET = ("READONLY", "MASTERDOWN", "LOADING")
"""How a server that is being promoted refuses a write; any other refusal does not end with the promotion."""


def accepts_write(endpoint: Endpoint, *, timeout: float = 2.0) -> ReplicationInfo | None:
    """The primary that takes a key and gives it back just now, if there is one; the key expires. Seconds.

    Raises: Unreachable: it can't be asked at all.
    """
    key, value = f"{PREFIX}{secrets.token_hex(8)}", secrets.token_hex(8)
    with connect(endpoint, name="ccr-avn:accepts-writes", timeout=timeout) as client:
        asked: Any = client.pipeline(transaction=False)
        with explained(endpoint, connected=True):
            asked.set(key, value, px=int(TTL * 1000))
            asked.get(key)
            asked.execute_command(*QUESTION)  # a replica that is writable takes keys as well
            asked.delete(key)  # where that fails it expires by itself
            written, read, info, _ = asked.execute(raise_on_error=False)
            for answer in (written, read, info):
                if isinstance(answer, (ReadOnlyError, BusyLoadingError)) or str(answer).startswith(NOT_YET):
                    return None
                if isinstance(answer, ValkeyError):
                    raise answer
    side = parse_replication(info, endpoint.service)
    return side if read == value.encode() and side.role == "master" else None


EVERY = 0.05  # seconds between two markers: as fine as the bound is
LIVES = 900.0  # seconds after which one is gone by itself, on both sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a promoted replica had of the markers. ``bound``: seconds before it was seen promoted up to which it had all.

    None: no marker is there, so nothing bounds it.
    """

    sent: int
    newest: int = 0
    bound: float | None = None


class Heartbeat:
    """One connection to the primary, one small key. A marker counts once the primary has acknowledged it."""

    def __init__(self, primary: Endpoint, run: str) -> None:
        self.key = f"{PREFIX}drill:{run[-6:]}"
        self._primary = primary
        self._moments: list[float] = []  # when each was sent, on the monotonic clock
        self._promoted_at: float | None = None
        self._client = connect(primary, name="ccr-avn:drill-markers")
        self._write()
        self._repeated = Repeated(self._write, lambda: EVERY, "markers")

    def saw_promoted(self) -> None:
        """The replica was just seen to be a primary: from here on nothing more arrives."""
        self._promoted_at = self._promoted_at or clock.monotonic()

    def received(self, replica: Endpoint) -> Received:
        """What the promoted replica has of it. Raises: Unreachable: it can't be asked."""
        with connect(replica) as client, explained(replica, connected=True):
            value = client.get(self.key)
        sent = len(self._moments)
        if not isinstance(value, bytes) or not value.isdigit() or int(value) > sent:
            return Received(sent=sent)
        newest = int(value)
        promoted = self._promoted_at or clock.monotonic()
        return Received(sent=sent, newest=newest, bound=max(0.0, promoted - self._moments[newest - 1]))

    def stop(self) -> None:
        self._repeated.stop()
        self._repeated.join(self._primary.timeout + 1)
        with suppress(ValkeyError, OSError):  # it expires by itself
            self._client.delete(self.key)
        self._client.close()

    def _write(self) -> None:
        at = clock.monotonic()
        with explained(self._primary, connected=True):
            if self._client.set(self.key, str(len(self._moments) + 1), px=int(LIVES * 1000)):
                self._moments.append(at)
