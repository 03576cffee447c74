"""Limits how many avn processes run at once, over all pairs, urgent ones first; none while the platform says slow down."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

AGING = 120.0
"""Seconds after which what yields to others is as urgent as they are: a write pause must not run out by it."""

PATIENCE = 2.0
"""Seconds for which a pair waits for others before its writes are paused: one that hangs keeps nobody longer."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two tries where the platform says slow down and not for how long."""

LOOK = 0.5
"""Seconds between two checks of the clock."""


def at_once(cores: int, *, preloaded: bool) -> int:
    """How many avn: a start is work for the processor; a fork of one that is loaded mostly waits for the platform."""
    return cores * 2 if preloaded else math.ceil(cores * 1.5)


class Rank(IntEnum):
    """Who goes first."""

    FENCED = 0  # writes are paused: every moment is outage
    PROMOTION = 1
    BOOKKEEPING = 2  # applications have their new primary already


@dataclass(slots=True, kw_only=True)
class Governor:
    """``most``: how many at once, and how many pairs have their writes paused.

    Bookkeeping has the places that promotions leave, as it would take a core from them.
    """

    most: int
    clock: Callable[[], float] = time.monotonic
    paused: threading.Semaphore = field(init=False)
    slowed: int = field(default=0, init=False)  # how often the platform said slow down
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _called: dict[Rank, threading.Condition] = field(init=False)
    _waiting: Counter[Rank] = field(default_factory=Counter, init=False)
    _running: Counter[Rank] = field(default_factory=Counter, init=False)
    _not_before: float = field(default=-math.inf, init=False)
    _in_a_row: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.paused = threading.Semaphore(self.most)
        self._called = {rank: threading.Condition(self._lock) for rank in Rank}

    @contextmanager
    def place(self, rank: Rank, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait for a place, and give it back. ``check`` is called now and then, and may raise."""
        since = self.clock()
        with self._lock:
            self._waiting[rank] += 1
            try:
                while not self._has_room(rank, self.clock() - since):
                    left = self._not_before - self.clock()
                    self._called[rank].wait(min(LOOK, left) if left > 0 else LOOK)
                    check()
            finally:
                self._waiting[rank] -= 1
            self._running[rank] += 1
            self._call()
        try:
            yield
        finally:
            with self._lock:
                self._running[rank] -= 1
                self._call()

    def slow_down(self, again_in: float | None) -> float:
        """Rate limited: no request before the returned time, in seconds."""
        with self._lock:
            self.slowed += 1
            pause = again_in or min(FIRST_PAUSE * 2.0**self._in_a_row, LONGEST_PAUSE)
            self._in_a_row += 1
            self._not_before = max(self._not_before, self.clock() + pause)
            return pause

    def went_well(self) -> None:
        """An avn was answered."""
        self._in_a_row = 0

    def _call(self) -> None:
        """As many as there can be places for, and not all who wait: there may be hundreds."""
        for called in self._called.values():
            called.notify(self.most)

    def _has_room(self, rank: Rank, waited: float) -> bool:
        promoting = self._running[Rank.FENCED] + self._running[Rank.PROMOTION]
        if self.clock() < self._not_before or any(self._waiting[one] for one in Rank if one < rank and waited < AGING):
            return False
        if rank is Rank.BOOKKEEPING:
            return promoting + self._running[rank] < self.most and (not promoting or waited >= AGING)
        return promoting < self.most
