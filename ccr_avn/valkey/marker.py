"""Markers: test keys that prove that what is written to the primary arrives at the replica."""

import secrets
import statistics
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import eq

from valkey.exceptions import ValkeyError

from ccr_avn import clock
from ccr_avn.clock import poll
from ccr_avn.errors import NotProven
from ccr_avn.valkey import clocks
from ccr_avn.valkey.connect import Endpoint, connect, explained

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
    def minimum(self) -> float:
        return min(self.lag_ms, default=0.0)

    @property
    def median(self) -> float:
        return statistics.median(self.lag_ms) if self.lag_ms else 0.0

    @property
    def maximum(self) -> float:
        return max(self.lag_ms, default=0.0)


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
        skew = clocks.skew(source, target, primary, replica)
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
        newest, now = max(stamps, default=0), clocks.server_time(client)
    return (now - newest) / 1000 if newest and now else None
