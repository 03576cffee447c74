"""Limits how many avn processes run at once, over all pairs: fewer under rate limiting, urgent ones first."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

AGING = 120.0
"""Seconds after which what yields to others is as urgent as they are: a write pause must not run out by it."""

LEASE = 2.0
"""Seconds for which a place is kept for a pair whose writes are paused: one that takes longer waits like the others."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two tries where the platform says slow down and not for how long."""

LOOK = 0.5
"""Seconds between two checks of the clock."""

SOON = 0.05
"""Seconds: of many that look at the time, one in so long sees whose turn it is."""


def at_once(cores: int, *, preloaded: bool) -> int:
    """How many avn: a start is work for the processor; a fork of one that is loaded mostly waits for the platform."""
    return cores * 2 if preloaded else math.ceil(cores * 1.5)


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
    lease: float | None
    place: Place | None = None  # once it may go
    called: threading.Event = field(default_factory=threading.Event)

    def order(self, now: float) -> tuple[Rank, int]:
        rank = self.rank()
        late = rank is Rank.BOOKKEEPING and now - self.since >= AGING
        return (Rank.PROMOTION if late else rank), self.number


@dataclass(slots=True, kw_only=True)
class Governor:
    """``most``: how many at once when nothing is wrong. Additive increase, multiplicative decrease.

    Bookkeeping has the places that promotions leave, and gives the processor to them (`Lane`): it keeps no promotion
    waiting, unless the platform has said slow down.
    """

    most: int
    clock: Callable[[], float] = time.monotonic
    limit: float = field(init=False)
    slowed: int = field(default=0, init=False)  # how often the platform said slow down
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _waiting: list[_Waiting] = field(default_factory=list, init=False)
    _places: list[Place] = field(default_factory=list, init=False)
    _numbers: int = field(default=0, init=False)
    _not_before: float = field(default=-math.inf, init=False)
    _halved: float = field(default=-math.inf, init=False)
    _in_a_row: int = field(default=0, init=False)
    _seen: float = field(default=-math.inf, init=False)  # when somebody saw whose turn it is

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
        with self._lock:
            self._numbers += 1
            mine = _Waiting(rank, self._numbers, self.clock(), lease)
            self._waiting.append(mine)
            self._call()
        try:
            while not mine.called.wait(self._pause()):
                check()
                self._look_at_the_time()
        except BaseException:
            self._leave(mine)
            raise
        assert mine.place is not None  # noqa: S101 (who is called has one)
        return mine.place

    def give_back(self, place: Place) -> None:
        with self._lock:
            if place in self._places:
                self._places.remove(place)
            self._call()

    def slow_down(self, again_in: float | None) -> float:
        """Rate limited: fewer at once, and no request before the returned time, in seconds."""
        with self._lock:
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
        with self._lock:
            self._in_a_row = 0
            self.limit = min(float(self.most), self.limit + 0.5 / self.limit)
            self._call()

    def _leave(self, mine: _Waiting) -> None:
        """It waits no more."""
        with self._lock:
            if mine.place:
                self._places.remove(mine.place)
            else:
                self._waiting.remove(mine)
            self._call()

    def _pause(self) -> float:
        left = self._not_before - self.clock()
        return max(0.001, min(LOOK, left)) if left > 0 else LOOK

    def _look_at_the_time(self) -> None:
        """A pause may be over, or a lease. Hundreds wait: not everybody's look need be one at all the others."""
        with self._lock:
            if self.clock() - self._seen >= SOON or len(self._waiting) == 1:
                self._call()

    def _call(self) -> None:
        """Those whose turn it is, and nobody else: hundreds would wake for nothing."""
        now = self._seen = self.clock()
        while self._waiting and now >= self._not_before:
            first = min(self._waiting, key=lambda one: one.order(now))
            if not self._has_room(first, now):
                return
            self._waiting.remove(first)
            first.place = Place(first.rank(), None if first.lease is None else now + first.lease)
            self._places.append(first.place)
            first.called.set()

    def _has_room(self, first: _Waiting, now: float) -> bool:
        running = [one.rank for one in self._places if one.counts(now)]
        promoting = sum(one is not Rank.BOOKKEEPING for one in running)
        if first.rank() is not Rank.BOOKKEEPING:
            return (promoting if self.limit >= self.most else len(running)) < int(self.limit)
        gives_way = promoting and first.order(now)[0] is Rank.BOOKKEEPING  # it would take a core from them
        return not gives_way and len(running) < int(self.limit)
