"""A clock that goes on while the machine is suspended: what a server does meanwhile, it does in that time."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS counts a suspend in its monotonic clock


def awake() -> float:
    """Seconds since some moment in the past. ``time.monotonic`` stands still during a suspend on Linux."""
    return time.clock_gettime(_CLOCK)
