"""Decides when each pair starts: canaries first, a limited number at once, none after too many failures."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ccr_avn.errors import Changed, NotBegun
from ccr_avn.evacuate.stop import Stop

TICK = 0.1
"""Seconds between two checks of what the operator asked for."""

BACKLOG = 200
"""Pairs whose new primary takes writes and whose bookkeeping goes on: each holds a thread and two connections."""

State = Literal["done", "refused", "failed", "not begun"]
"""*not begun*: it was checked ahead of its turn, and none came: nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    state: State
    changed: Changed = False
    code: int = 0
    why: str = ""  # of what its work raised


@dataclass(frozen=True, slots=True)
class Turn:
    """What a pair has to say to the schedule. ``take``: wait for a place, after the checks and before anything is changed;
    raises NotBegun. ``moved``: it takes writes again, so that another may have the place."""

    take: Callable[[], None]
    moved: Callable[[], None]


Work = Callable[[str, Turn], Ended]
"""Moves the pair of that name."""


@dataclass(slots=True, kw_only=True)
class Schedule:
    """``parallel``: pairs that don't take writes, at once. ``canary``: so many come to their end before the others begin.

    The checks of the next few pairs run meanwhile, so that a place is not held by one that is only looked at.
    """

    parallel: int = 10
    canary: int = 1
    stop_after: int = 1
    stop: Stop = field(default_factory=Stop)
    ended: dict[str, Ended] = field(default_factory=dict, init=False)
    full: str = field(default="", init=False)  # why no more threads can be started
    _queue: list[str] = field(default_factory=list, init=False)
    _under_way: set[str] = field(default_factory=set, init=False)
    _pending: set[str] = field(default_factory=set, init=False)  # of those under way, who doesn't take writes yet
    _checked: list[str] = field(default_factory=list, init=False)  # in the order in which they wait for a turn
    _moving: set[str] = field(default_factory=set, init=False)  # of those pending, who has had its turn
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)

    def run(self, names: Sequence[str], work: Work, tick: Callable[[], None] = lambda: None) -> dict[str, Ended]:
        """How each that was started has ended; in the thread of the caller only ``tick`` is called, now and then."""
        self._queue = list(names)
        while True:
            with self._changed:
                while self._may_begin():
                    self._begin(self._queue.pop(0), work)
                if not self._under_way:
                    return dict(self.ended)
                self._changed.wait(TICK)
            tick()

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    def _may_begin(self) -> bool:
        if not self._queue or self._stopped or self.full:
            return False
        tried = sum(one.state != "refused" for one in self.ended.values())
        if tried < self.canary:
            return len(self._under_way) < min(self.canary - tried, self.parallel)
        ahead = math.ceil(self.parallel / 2)
        return len(self._pending) < self.parallel + ahead and len(self._under_way) < self.parallel + BACKLOG

    @property
    def _stopped(self) -> bool:
        return bool(self.stop.level) or sum(one.state == "failed" for one in self.ended.values()) >= self.stop_after

    def _begin(self, name: str, work: Work) -> None:
        self._under_way.add(name)
        self._pending.add(name)

        def run() -> None:
            try:
                ended = work(name, Turn(lambda: self._take(name), lambda: self._leave(name)))
            except BaseException as error:  # noqa: BLE001 (whatever it is: it ends this pair as failed, and no other)
                why = f"internal error: {type(error).__name__}"
                ended = Ended(state="failed", changed="unknown", code=1, why=why)
            with self._changed:
                if ended.state != "not begun":
                    self.ended[name] = ended
                self._under_way.discard(name)
                self._leave(name)

        try:
            threading.Thread(target=run, name=name, daemon=True).start()
        except RuntimeError as error:  # a limit of processes: those under way come to their end
            self.full = str(error)
            self._under_way.discard(name)
            self._pending.discard(name)

    def _take(self, name: str) -> None:
        """Raises:
        NotBegun: the operator, or the failures of others, ended it.
        """
        with self._changed:
            if name in self._moving:
                return
            self._checked.append(name)
            while not self._stopped and (self._checked[0] != name or len(self._moving) >= self.parallel):
                self._changed.wait(TICK)
            self._checked.remove(name)
            if self._stopped:
                raise NotBegun("not begun", detail="no more pairs were to begin; nothing was changed")
            self._moving.add(name)
            self._changed.notify_all()

    def _leave(self, name: str) -> None:
        with self._changed:
            self._pending.discard(name)
            self._moving.discard(name)
            self._changed.notify_all()
