"""Decides when each pair begins: canaries first, a limited number at once, none after too many failures or a Ctrl-C."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Semaphore
from typing import Literal

from ccr_avn import clock
from ccr_avn.background import T, Task, in_background, new_event, new_semaphore
from ccr_avn.errors import Interrupted, NotBegun, Refused
from ccr_avn.signals import RESUME

TICK = 0.1
"""Seconds between two checks of what the operator asked for."""

MEANING = {
    0: "",
    1: "no more pairs are started, and those in progress finish; Ctrl-C again stops each of them as it stops a single run",
    2: "each is stopped as a single run is, without interrupting a change in progress; Ctrl-C again interrupts those too",
    3: "changes in progress are interrupted",
}


@dataclass(slots=True)
class Stop:
    """What the operator asked for so far.

    ``level`` 1: begin no more; 2: end each, but no change under way is broken into; 3: that too. It may be set in a
    signal handler: nothing is locked by that.
    """

    level: int = 0
    number: int = 2
    _announced: int = 0

    def ask(self, number: int, *, at_once: bool = False) -> None:
        """One signal more; ``at_once``: it means the end of every run, as SIGTERM does."""
        self.number = number
        self.level = min(3, max(self.level + 1, 2 if at_once else 1))

    def news(self) -> str:
        """What has been asked for since this was last called, in words; empty where nothing was."""
        if self.level == self._announced:
            return ""
        self._announced = self.level
        return MEANING[self.level]


@dataclass(slots=True)
class RunSignals:
    """The same for one run in its thread: what :class:`ccr_avn.signals.Signals` is for a single one."""

    stop: Stop
    _depth: int = 0
    _raised: int = 1

    @contextmanager
    def held(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        self.check()

    def check(self) -> None:
        """Raises:
        Interrupted: it was asked for, and not raised in this run yet.
        """
        level = self.stop.level
        if level > self._raised and (not self._depth or level > 2):
            self._raised = level
            raise Interrupted(self.stop.number, hint=RESUME)

    def sleep(self, seconds: float) -> None:
        """Raises:
        Interrupted: it was asked for meanwhile.
        """
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            self.check()
            clock.sleep(min(TICK, left))
        self.check()

    def interruptible(self, work: Callable[[], T]) -> T:
        """Do it in another thread, so that this one can end meanwhile; a read that nobody waits for is harmless.

        Raises:
            Interrupted: the run is to end.
        """
        try:
            task = Task(work, "avn")
        except Refused:  # a limit of processes: it can't be interrupted then, and a promotion under way goes on
            return work()
        while not task.ended(TICK):
            self.check()
        return task.result()


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
            raise NotBegun("not begun", detail="no more pairs were started; nothing was changed")

    def leave(self) -> None:
        """Another may have the place."""
        self._schedule.unmoved.discard(self)
        if self._taken:
            self._taken = False
            self._schedule.places.release()
        self._schedule.changed.set()


Work = Callable[[str, Turn], State]
"""Moves the pair of that name; reports what went wrong itself."""


@dataclass(slots=True, kw_only=True)
class Schedule:
    """``parallel``: how many pairs may have paused writes at once. ``canary``: this many finish before the others begin.

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
    changed: Event = field(default_factory=new_event, init=False)

    def __post_init__(self) -> None:
        self.places = new_semaphore(self.parallel)

    def run(self, names: Sequence[str], work: Work, tick: Callable[[], None] = lambda: None) -> dict[str, State]:
        """How each that was begun has ended; in the thread of the caller only ``tick`` is called, now and then."""
        queue = deque(names)
        while self.under_way or (queue and self._may_begin()):
            self.changed.clear()
            while queue and self._may_begin():
                self._begin(queue.popleft(), work)
            clock.wait(self.changed, TICK)
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
