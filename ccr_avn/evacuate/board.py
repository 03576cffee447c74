"""The progress of each pair, computed from the events of all runs, for the table and the report."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ccr_avn.plan import events

Phase = Literal[
    "waiting", "checking", "fenced", "promoting", "promoted", "closing", "done", "refused", "half-way", "failed"
]
CLOSING = ("audit", "close", "closed", "power-off")
ENDS: tuple[Phase, ...] = ("done", "refused", "half-way", "failed")


@dataclass(slots=True, kw_only=True)
class Line:
    """``since``: when its phase began, on the clock. ``outage``: seconds in which writes were held back, or none were
    taken; until it is over, ``held_since``. ``phases``: each with its beginning and end."""

    name: str
    phase: Phase = "waiting"
    since: float = 0.0
    held_since: float | None = None
    outage: float | None = None
    text: str = ""
    phases: list[tuple[Phase, float, float]] = field(default_factory=list)


Told = Callable[[Line], None]


@dataclass(slots=True)
class Board:
    """``changed`` is called after each change of a phase, in the thread of the pair. ``outages``: of those that ended."""

    names: Sequence[str]
    changed: Told = lambda _: None
    clock: Callable[[], float] = time.monotonic
    lines: dict[str, Line] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.lines = {name: Line(name=name, since=self.clock()) for name in self.names}

    def saw(self, name: str, event: events.Event) -> None:
        line = self.lines[name]
        match event:
            case events.RunStarted():
                self._enter(line, "checking")
            case events.ChangeStarted(slug="fence"):
                line.held_since = self.clock()
            case events.StepDone(slug="fence", outcome="changed"):
                self._enter(line, "fenced")
            case events.ChangeStarted(slug="promote"):
                self._enter(line, "promoting")
            case events.StepDone(slug="promote", outcome="found"):
                line.held_since = None  # another run sent it: this one did not see the whole pause
            case events.StepDone(slug="accepts-writes"):
                if line.held_since is not None:
                    line.outage, line.held_since = self.clock() - line.held_since, None
                self._enter(line, "promoted")
            case events.StepStarted(slug=slug) if slug in CLOSING and line.phase == "promoted":
                self._enter(line, "closing")
            case _:
                pass

    def ended(self, name: str, phase: Phase, text: str) -> None:
        line = self.lines[name]
        line.text, line.held_since = text, None
        self._enter(line, phase)

    def withdrawn(self, name: str) -> None:
        """It was checked ahead of a turn that did not come: it waits, as those that were not."""
        self._enter(self.lines[name], "waiting")

    def count(self, phase: Phase) -> int:
        return sum(one.phase == phase for one in self.lines.values())

    @property
    def longest(self) -> tuple[float, str]:
        """The longest outage so far, one that goes on included, and whose it is; 0 and nothing where there was none."""
        now = self.clock()
        lengths = [
            (now - one.held_since if one.held_since is not None else one.outage or 0.0, one.name)
            for one in list(self.lines.values())
        ]
        return max(lengths, default=(0.0, ""))

    def _enter(self, line: Line, phase: Phase) -> None:
        if phase == line.phase:
            return
        now = self.clock()
        if line.phase != "waiting":
            line.phases.append((line.phase, line.since, now))
        line.phase, line.since = phase, now
        with self._lock:
            self.changed(line)
