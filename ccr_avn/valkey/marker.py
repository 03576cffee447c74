"""Markers: test keys that prove that writes on the primary arrive, and the clock skew that matters for them."""

import secrets
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import eq
from typing import TYPE_CHECKING

from valkey.exceptions import ResponseError, ValkeyError

from ccr_avn.errors import NotProven
from ccr_avn.poll import poll
from ccr_avn.valkey.connect import Endpoint, connect, explained, in_background

if TYPE_CHECKING:
    import valkey

PREFIX = "ccr-avn:marker:"
WATCH = f"{PREFIX}watches"
"""The hash of `watch`: each has a field. It begins with when it was written, in ms since 1970 by the primary's clock."""
TTL = 60.0
"""Seconds after which a marker is gone by itself, also when we die, by the clock that is ahead."""


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
    primary: Endpoint,
    replica: Endpoint,
    *,
    samples: int = 20,
    timeout: float = 10.0,
    ttl: float = TTL,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
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
        skew = _skew(source, target, primary, replica)
        lives = int((ttl + max(0.0, skew)) * 1000)  # a replica hides what is over by its own clock
        try:
            for number in range(samples):
                value = f"{number}:{time.time_ns() // 1_000_000}".encode()
                began = clock()
                with explained(primary, connected=True):
                    source.set(key, value, px=lives)
                with explained(replica, connected=True):
                    there = poll(
                        lambda: target.get(key),
                        partial(eq, value),
                        within=began + timeout - clock(),
                        first=0.0002,
                        longest=0.05,
                        clock=clock,
                        sleep=sleep,
                    )
                if there != value:
                    with explained(primary, connected=True):
                        _still_there(source, key, value, primary.service)
                    break
                lags.append((clock() - began) * 1000)
        finally:
            with suppress(ValkeyError, OSError):  # it expires by itself; its removal must not hide what went wrong
                source.delete(key)
    return MarkerResult(samples=samples, lag_ms=tuple(lags), skew=skew)


def _still_there(source: "valkey.Valkey", key: str, value: bytes, service: str) -> None:
    """Raises:
    NotProven: it is not the link that lost the marker.
    """
    if source.get(key) == value:
        return
    raise NotProven(
        f"{service} dropped a marker before it could arrive",
        detail="the key is gone from the primary: evicted, flushed or expired",
        hint=f"check its memory policy: avn service get {service} --format '{{user_config}}'; or prove the link alone: "
        "--level link",
    )


def _skew(source: "valkey.Valkey", target: "valkey.Valkey", primary: Endpoint, replica: Endpoint) -> float:
    """Seconds by which the replica's clock is ahead of the primary's; 0 where TIME is refused."""
    here, there = _ahead(source, primary), _ahead(target, replica)
    return apart(here, there) if here and there else 0.0


def _ahead(client: "valkey.Valkey", endpoint: Endpoint) -> tuple[float, float] | None:
    with explained(endpoint, connected=True):
        try:
            return ahead(client)
        except ResponseError:  # a user who may not ask
            return None


def server_time(client: "valkey.Valkey") -> int:
    """Milliseconds since 1970 by the server's own clock; 0 where the user may not ask."""
    try:
        seconds, micros = client.time()  # type: ignore[misc]
    except ResponseError:
        return 0
    return int(seconds) * 1000 + int(micros) // 1000


def marker_age(endpoint: Endpoint) -> float | None:
    """Seconds since the newest marker of a `watch` that this side holds was written, by this side's clock; None: none.

    Whatever the primary acknowledged before that has arrived here: it bounds what a failover can lose. Negative: the
    marker is from the future, so that the clocks of the two differ and nothing is bounded.

    Raises:
        Unreachable: it can't be asked.
    """
    with connect(endpoint) as client, explained(endpoint, connected=True):
        held: dict[bytes, bytes] = client.hgetall(WATCH)
        stamps = [int(stamp) for value in held.values() if (stamp := value.partition(b":")[0]).isdigit()]
        newest, now = max(stamps, default=0), server_time(client)
    return (now - newest) / 1000 if newest and now else None


NOTICEABLE = 1.0
"""Seconds: clocks that differ by less make no difference that anybody would see."""

SAMPLES = 3
"""The quickest answer bounds the error best."""


def ahead(client: "valkey.Valkey") -> tuple[float, float]:
    """Seconds by which the server's clock is ahead of this machine's, and by how much that may be wrong either way."""
    return min((_clock_ahead(client) for _ in range(SAMPLES)), key=lambda found: found[1])


def apart(source: tuple[float, float], target: tuple[float, float]) -> float:
    """Seconds by which the target's clock is certainly ahead (negative: behind) of the source's, of answers of `ahead`."""
    difference, error = target[0] - source[0], target[1] + source[1]
    return difference if abs(difference) > error else 0.0


def _clock_ahead(client: "valkey.Valkey") -> tuple[float, float]:
    wall, began = time.time(), time.monotonic()
    seconds, micros = client.time()  # type: ignore[misc]
    took = time.monotonic() - began
    return float(seconds) + float(micros) / 1e6 - (wall + took / 2), took / 2


EVERY = 0.05
"""Seconds between two markers: as fine as the bound is."""

LIVES = 900.0
"""Seconds after which one is gone by itself, on both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a promoted replica had of the markers. ``bound``: seconds before it was seen promoted up to which it had all.

    None: no marker is there, so nothing bounds it.
    """

    sent: int
    newest: int
    bound: float | None


class Heartbeat:
    """One connection to the primary, one small key. A marker counts once the primary has acknowledged it."""

    def __init__(self, primary: Endpoint, run: str) -> None:
        self.key = f"{PREFIX}drill:{run[-6:]}"
        self._primary = primary
        self._moments: list[float] = []  # when each was sent, on the monotonic clock
        self._promoted_at: float | None = None
        self._ended = threading.Event()
        self._client = connect(primary, name="ccr-avn:drill-markers")
        self._write()
        self._thread = in_background(self._go_on, "markers")

    def saw_promoted(self) -> None:
        """The replica was just seen to be a primary: from here on nothing arrives any more."""
        self._promoted_at = self._promoted_at or time.monotonic()

    def received(self, replica: Endpoint) -> Received:
        """What the promoted replica has of it.

        Raises:
            Unreachable: it can't be asked.
        """
        with connect(replica) as client, explained(replica, connected=True):
            value = client.get(self.key)
        sent = len(self._moments)
        if not isinstance(value, bytes) or not value.isdigit() or int(value) > sent:
            return Received(sent=sent, newest=0, bound=None)
        newest = int(value)
        promoted = self._promoted_at or time.monotonic()
        return Received(sent=sent, newest=newest, bound=max(0.0, promoted - self._moments[newest - 1]))

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(self._primary.timeout + 1)
        with suppress(ValkeyError, OSError):  # it expires by itself
            self._client.delete(self.key)
        self._client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def _go_on(self) -> None:
        while not self._ended.wait(EVERY):
            with suppress(Exception):  # a marker that is not acknowledged is none
                self._write()

    def _write(self) -> None:
        at = time.monotonic()
        with explained(self._primary, connected=True):
            if self._client.set(self.key, str(len(self._moments) + 1), px=int(LIVES * 1000)):
                self._moments.append(at)
