"""Waiting for a condition: with a generous limit, and with what was seen last when it does not come."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT = 60.0
"""Seconds after which a condition counts as never coming. A busy machine must not reach it: no test measures time."""


def until(condition: Callable[[], T], what: str = "", limit: float = LIMIT, pause: float = 0.005) -> T:
    """Wait until ``condition`` is true, and give what it answered. ``what`` and its last answer go into the failure."""
    end = time.monotonic() + limit
    while not (answer := condition()):
        name = what or getattr(condition, "__qualname__", "a condition")
        assert time.monotonic() < end, f"waited {limit:g} s for {name}; last seen: {answer!r}"
        time.sleep(pause)
    return answer
