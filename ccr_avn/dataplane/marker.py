"""Markers: small keys that are written to the primary and must arrive at the replica."""

import secrets
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccr_avn.dataplane.connect import Endpoint, connect, explained

if TYPE_CHECKING:
    import valkey

PREFIX = "ccr-avn:marker:"
TTL = 60.0
"""Seconds after which a marker is gone by itself, also when we die."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerResult:
    """``lag_ms``: for each marker that arrived, milliseconds from its acknowledgement's request to its being read."""

    samples: int
    lag_ms: tuple[float, ...]

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
    primary: Endpoint,
    replica: Endpoint,
    *,
    samples: int = 20,
    timeout: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> MarkerResult:
    """Send ``samples`` markers through, one after the other; ``timeout`` is in seconds, for each.

    Stops at the first that does not arrive: one is enough to know.

    Raises:
        Unreachable: a side can't be asked, or refuses the write.
    """
    key = f"{PREFIX}{secrets.token_hex(8)}"
    lags: list[float] = []
    with connect(primary) as source, connect(replica) as target:
        try:
            for number in range(samples):
                value = f"{number}:{time.time_ns() // 1_000_000}"
                began = clock()
                with explained(primary):
                    source.set(key, value, px=int(TTL * 1000))
                with explained(replica):
                    if not _arrives(target, key, value.encode(), began + timeout, clock, sleep):
                        break
                lags.append((clock() - began) * 1000)
        finally:
            with suppress(Exception):  # it expires by itself; its removal must not hide what went wrong
                source.delete(key)
    return MarkerResult(samples=samples, lag_ms=tuple(lags))


def _arrives(
    target: "valkey.Valkey",
    key: str,
    value: bytes,
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> bool:
    pause = 0.0002
    while target.get(key) != value:
        if clock() >= until:
            return False
        sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True
