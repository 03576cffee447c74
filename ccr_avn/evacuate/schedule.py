"""Decides when each pair begins: canaries first, a limited number at once, none after too many failures."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Semaphore
from typing import Literal

from ccr_avn.background import in_background
from ccr_avn.errors import NotBegun, Refused
from ccr_avn.evacuate.stop import Stop

TICK = 0.1
"""Seconds between two checks of what the operator asked for."""

BACKLOG = 200
"""Pairs whose new primary takes writes and whose bookkeeping goes on: each holds a thread and two connections."""

State = Literal["done", "refused", "failed", "not begun"]
"""*not begun*: it was checked ahead of its turn, and none came: nothing was changed."""


@dataclass(slots=True, eq=False)
class Turn:
    """What a pair has to say to the schedule: when it is ready to move, and when it takes writes again."""

    _schedule: "Schedule"
    _taken: bool = False

    def take(self) -> None:
        """Wait for a place, after the checks and before anything is changed.

        Raises:
            NotBegun: the operator, or the failures of others, ended it.
        """
        if self._taken:
            return
        while not (self._taken or self._schedule.stopped):
            self._taken = self._schedule.places.acquire(timeout=TICK)
        if self._schedule.stopped:
            raise NotBegun("not begun", detail="no more pairs were to begin; nothing was changed")

    def leave(self) -> None:
        """Another may have the place."""
        self._schedule.unmoved.discard(self)
        if self._taken:
            self._taken = False
            self._schedule.places.release()
        self._schedule.changed.set()


Work = Callable[[str, Turn], State]
"""Moves the pair of that name; reports by itself what went wrong."""


@dataclass(slots=True, kw_only=True)
class Schedule:
    """``parallel``: pairs that don't take writes, at once. ``canary``: so many come to their end before the others begin.

    The checks of the next few pairs run meanwhile, so that a place is not held by one that is only looked at.
    ``full``: why no more threads could be started.
    """

    parallel: int = 10
    canary: int = 1
    stop_after: int = 1
    stop: Stop = field(default_factory=Stop)
    ended: dict[str, State] = field(default_factory=dict, init=False)
    full: str = field(default="", init=False)
    under_way: set[str] = field(default_factory=set, init=False)
    unmoved: set[Turn] = field(default_factory=set, init=False)  # of those under way, which don't take writes yet
    places: Semaphore = field(init=False)
    changed: Event = field(default_factory=Event, init=False)

    def __post_init__(self) -> None:
        self.places = Semaphore(self.parallel)

    def run(self, names: Sequence[str], work: Work, tick: Callable[[], None] = lambda: None) -> dict[str, State]:
        """How each that was begun has ended; in the thread of the caller only ``tick`` is called, now and then."""
        queue = deque(names)
        while self.under_way or (queue and self._may_begin()):
            self.changed.clear()
            while queue and self._may_begin():
                self._begin(queue.popleft(), work)
            self.changed.wait(TICK)
            tick()
        return self.ended

    @property
    def stopped(self) -> bool:
        failed = list(self.ended.values()).count("failed")
        return bool(self.stop.level) or failed >= self.stop_after

    def _may_begin(self) -> bool:
        if self.stopped or self.full:
            return False
        tried = sum(one != "refused" for one in list(self.ended.values()))
        if tried < self.canary:
            return len(self.under_way) < min(self.canary - tried, self.parallel)
        ahead = math.ceil(self.parallel / 2)
        return len(self.unmoved) < self.parallel + ahead and len(self.under_way) < self.parallel + BACKLOG

    def _begin(self, name: str, work: Work) -> None:
        turn = Turn(self)

        def ends() -> None:
            self.under_way.discard(name)
            turn.leave()

        def run() -> None:
            state: State = "failed"
            try:
                state = work(name, turn)
            finally:
                if state != "not begun":
                    self.ended[name] = state
                ends()

        self.under_way.add(name)
        self.unmoved.add(turn)
        try:
            in_background(run, name)
        except Refused as error:  # a limit of processes: those under way come to their end
            self.full = error.detail
            ends()
