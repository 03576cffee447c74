"""Asking again until it is enough."""

from collections.abc import Callable
from typing import TypeVar

from ccr_avn.clock import monotonic
from ccr_avn.clock import sleep as clock_sleep

T = TypeVar("T")


def poll(
    look: Callable[[], T],
    enough: Callable[[T], object],
    *,
    within: float,
    first: float,
    longest: float,
    growth: float = 1.5,
    clock: Callable[[], float] = monotonic,
    sleep: Callable[[float], object] = clock_sleep,
) -> T:
    """What was seen last: what is enough, or what there was at the limit. Looks at least once. Times are in seconds.

    ``first`` and ``longest``: between two looks at the beginning, and at most.
    """
    until, pause = clock() + within, first
    while not enough(found := look()) and (left := until - clock()) > 0:
        sleep(min(pause, left))
        pause = min(pause * growth, longest)
    return found
