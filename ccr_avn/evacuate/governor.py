"""Limits how many avn processes run at once, over all pairs: fewer under rate limiting, urgent ones first."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

AGING = 30.0
"""Seconds after which what yields to others is as urgent as they are: a write pause must not run out by it."""

LEASE = 2.0
"""Seconds for which a place is kept for a pair whose writes are paused: one that takes longer waits like the others."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two tries where the platform says slow down and not for how long."""

LOOK = 0.5
"""Seconds between two looks at the time."""


class Rank(IntEnum):
    """Who goes first."""

    FENCED = 0  # writes are paused: every moment is outage
    PROMOTION = 1
    BOOKKEEPING = 2  # applications have their new primary already


@dataclass(slots=True, eq=False)
class Place:
    """One of those that may run now. ``until``: when it no longer counts; None: it counts until it is given back."""

    rank: Rank
    until: float | None = None

    def counts(self, now: float) -> bool:
        return self.until is None or now < self.until


@dataclass(slots=True, eq=False)
class _Waiting:
    rank: Callable[[], Rank]
    number: int
    since: float

    def order(self, now: float) -> tuple[Rank, int]:
        rank = self.rank()
        late = rank is Rank.BOOKKEEPING and now - self.since >= AGING
        return (Rank.PROMOTION if late else rank), self.number


@dataclass(slots=True, kw_only=True)
class Governor:
    """``most``: how many at once when nothing is wrong. Additive increase, multiplicative decrease."""

    most: int
    clock: Callable[[], float] = time.monotonic
    limit: float = field(init=False)
    slowed: int = field(default=0, init=False)  # how often the platform said slow down
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _waiting: list[_Waiting] = field(default_factory=list, init=False)
    _places: list[Place] = field(default_factory=list, init=False)
    _numbers: int = field(default=0, init=False)
    _not_before: float = field(default=-math.inf, init=False)
    _halved: float = field(default=-math.inf, init=False)
    _in_a_row: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    @contextmanager
    def place(self, rank: Callable[[], Rank], check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait for a place, and give it back. ``check`` is called now and then, and may raise."""
        mine = self.take(rank, check)
        try:
            yield
        finally:
            self.give_back(mine)

    def take(
        self, rank: Callable[[], Rank], check: Callable[[], None] = lambda: None, lease: float | None = None
    ) -> Place:
        """Wait for a place; ``lease``: seconds for which it is kept, else until it is given back."""
        with self._changed:
            self._numbers += 1
            mine = _Waiting(rank, self._numbers, self.clock())
            self._waiting.append(mine)
            try:
                while not self._may_go(mine):
                    self._changed.wait(
                        max(0.001, min(LOOK, self._not_before - self.clock())) if self._paused() else LOOK
                    )
                    check()
            finally:
                self._waiting.remove(mine)
                self._changed.notify_all()
            place = Place(rank(), None if lease is None else self.clock() + lease)
            self._places.append(place)
            return place

    def give_back(self, place: Place) -> None:
        with self._changed:
            if place in self._places:
                self._places.remove(place)
            self._changed.notify_all()

    def slow_down(self, again_in: float | None) -> float:
        """The platform said so: fewer at once, and nobody asks before the time that is given back, in seconds."""
        with self._changed:
            now = self.clock()
            self.slowed += 1
            self._in_a_row += 1
            if now - self._halved >= 1.0:  # many at once are told the same, and that is one sign
                self.limit, self._halved = max(1.0, self.limit / 2), now
            pause = again_in or min(FIRST_PAUSE * 2.0 ** (self._in_a_row - 1), LONGEST_PAUSE)
            self._not_before = max(self._not_before, now + pause)
            return pause

    def went_well(self) -> None:
        """An avn was answered: a little more at once."""
        with self._changed:
            self._in_a_row = 0
            self.limit = min(float(self.most), self.limit + 0.5 / self.limit)
            self._changed.notify_all()

    def _paused(self) -> bool:
        return self.clock() < self._not_before

    def _may_go(self, mine: _Waiting) -> bool:
        now = self.clock()
        running = [one.rank for one in self._places if one.counts(now)]
        if self._paused() or len(running) >= int(self.limit):
            return False
        if mine.order(now)[0] is Rank.BOOKKEEPING and min(running, default=Rank.BOOKKEEPING) < Rank.BOOKKEEPING:
            return False  # it would take a core from a promotion
        return min(self._waiting, key=lambda one: one.order(now)) is mine
