"""How far the clocks of two servers are apart: each keeps expiry as a moment and judges it by its own clock."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import valkey

NOTICEABLE = 1.0
"""Seconds: clocks that differ by less make no difference that anybody would see."""

SAMPLES = 3
"""The quickest answer bounds the error best."""


def ahead(client: "valkey.Valkey") -> tuple[float, float]:
    """Seconds by which the server's clock is ahead of this machine's, and by how much that may be wrong either way."""
    return min((_ahead(client) for _ in range(SAMPLES)), key=lambda found: found[1])


def apart(source: tuple[float, float], target: tuple[float, float]) -> float:
    """Seconds by which the target's clock is certainly ahead (negative: behind) of the source's, of answers of `ahead`."""
    difference, error = target[0] - source[0], target[1] + source[1]
    return difference if abs(difference) > error else 0.0


def _ahead(client: "valkey.Valkey") -> tuple[float, float]:
    wall, began = time.time(), time.monotonic()
    seconds, micros = client.time()  # type: ignore[misc]
    took = time.monotonic() - began
    return float(seconds) + float(micros) / 1e6 - (wall + took / 2), took / 2
