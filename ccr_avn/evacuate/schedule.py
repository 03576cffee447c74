"""Decides when each pair starts: canaries first, a limited number at once, none after too many failures."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from ccr_avn.errors import Changed
from ccr_avn.evacuate.stop import Stop

TICK = 0.1
"""Seconds between two checks of what the operator asked for."""

BACKLOG = 200
"""Pairs whose new primary takes writes and whose bookkeeping goes on: each holds a thread and two connections."""

State = Literal["done", "refused", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    state: State
    changed: Changed = False
    code: int = 0


Work = Callable[[str, Callable[[], None]], Ended]
"""Moves the pair of that name; calls what it is given when the pair takes writes again, so that another may begin."""


@dataclass(slots=True, kw_only=True)
class Schedule:
    """``parallel``: pairs that don't take writes yet, at once. ``canary``: so many come to their end before the others."""

    parallel: int = 10
    canary: int = 1
    stop_after: int = 1
    stop: Stop = field(default_factory=Stop)
    ended: dict[str, Ended] = field(default_factory=dict, init=False)
    _queue: list[str] = field(default_factory=list, init=False)
    _under_way: set[str] = field(default_factory=set, init=False)
    _moving: set[str] = field(default_factory=set, init=False)
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

    def _may_begin(self) -> bool:
        if not self._queue or self.stop.level or self._failed >= self.stop_after:
            return False
        tried = sum(one.state != "refused" for one in self.ended.values())
        if tried < self.canary:
            return len(self._under_way) < min(self.canary - tried, self.parallel)
        return len(self._moving) < self.parallel and len(self._under_way) < self.parallel + BACKLOG

    @property
    def _failed(self) -> int:
        return sum(one.state == "failed" for one in self.ended.values())

    def _begin(self, name: str, work: Work) -> None:
        self._under_way.add(name)
        self._moving.add(name)

        def moved() -> None:
            with self._changed:
                self._moving.discard(name)
                self._changed.notify_all()

        def run() -> None:
            ended = Ended(state="failed", changed="unknown", code=1)
            with suppress(BaseException):  # whatever it is: it ends this pair as failed, and no other
                ended = work(name, moved)
            with self._changed:
                self.ended[name] = ended
                self._under_way.discard(name)
                self._moving.discard(name)
                self._changed.notify_all()

        threading.Thread(target=run, name=name, daemon=True).start()
