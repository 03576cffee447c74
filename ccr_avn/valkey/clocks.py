"""The clocks of servers: what they show, and by how much two of them differ."""

from typing import TYPE_CHECKING

from valkey.exceptions import ResponseError

from ccr_avn import clock
from ccr_avn.valkey.connect import Endpoint, explained

if TYPE_CHECKING:
    import valkey

NOTICEABLE = 1.0  # seconds: clocks that differ by less make no difference that anybody would see
SAMPLES = 3  # the quickest answer bounds the error best


def server_time(client: "valkey.Valkey") -> int:
    """Milliseconds since 1970 by the server's own clock; 0 where the user may not ask."""
    try:
        seconds, micros = client.time()  # type: ignore[misc]
    except ResponseError:
        return 0
    return int(seconds) * 1000 + int(micros) // 1000


def ahead(client: "valkey.Valkey") -> tuple[float, float]:
    """Seconds by which the server's clock is ahead of this machine's, and by how much that may be wrong either way."""
    return min((_ahead_once(client) for _ in range(SAMPLES)), key=lambda found: found[1])


def _ahead_once(client: "valkey.Valkey") -> tuple[float, float]:
    wall, began = clock.now(), clock.monotonic()
    seconds, micros = client.time()  # type: ignore[misc]
    took = clock.monotonic() - began
    return float(seconds) + float(micros) / 1e6 - (wall + took / 2), took / 2


def apart(source: tuple[float, float], target: tuple[float, float]) -> float:
    """Seconds by which the target's clock is certainly ahead (negative: behind) of the source's, of answers of `ahead`."""
    difference, error = target[0] - source[0], target[1] + source[1]
    return difference if abs(difference) > error else 0.0


def skew(source: "valkey.Valkey", target: "valkey.Valkey", primary: Endpoint, replica: Endpoint) -> float:
    """Seconds by which the replica's clock is certainly ahead of the primary's; 0 where a user may not ask for TIME."""
    found = []
    for client, endpoint in ((source, primary), (target, replica)):
        with explained(endpoint, connected=True):
            try:
                found.append(ahead(client))
            except ResponseError:
                return 0.0
    return apart(*found)
