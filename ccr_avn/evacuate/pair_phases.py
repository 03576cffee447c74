"""In which phase each pair is, computed from the events of all runs, for the live table and the report."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from ccr_avn import clock
from ccr_avn.background import new_lock
from ccr_avn.plan import events

Phase = Literal[
    "waiting", "checking", "fenced", "promoting", "promoted", "closing", "done", "refused", "half-way", "failed"
]
CLOSING = ("audit", "close", "closed", "power-off")
ENDS: tuple[Phase, ...] = ("done", "refused", "half-way", "failed")


@dataclass(slots=True, kw_only=True)
class PairPhase:
    """``since``: when its phase began, on the clock. ``outage``: seconds in which no writes were accepted; until it is
    over, ``no_writes_since``. ``past``: the phases before, each with its beginning and end."""

    name: str
    since: float
    phase: Phase = "waiting"
    no_writes_since: float | None = None
    outage: float | None = None
    text: str = ""
    past: list[tuple[Phase, float, float]] = field(default_factory=list)


class PairPhases:
    """``changed`` is called after each change of a phase, in the thread of the pair."""

    def __init__(self, names: Iterable[str]) -> None:
        self.changed: Callable[[PairPhase], None] = lambda _: None
        self.pairs = {name: PairPhase(name=name, since=clock.monotonic()) for name in names}
        self._one_at_a_time = new_lock()

    def saw(self, name: str, event: events.Event) -> None:
        pair = self.pairs[name]
        match event:
            case events.RunStarted():
                self._enter(pair, "checking")
            case events.ChangeStarted(slug="fence"):
                pair.no_writes_since = clock.monotonic()
            case events.StepDone(slug="fence", outcome="changed"):
                self._enter(pair, "fenced")
            case events.ChangeStarted(slug="promote"):
                self._enter(pair, "promoting")
            case events.StepDone(slug="promote", outcome="found"):
                pair.no_writes_since = None  # another run sent it: this one did not see the whole pause
            case events.StepDone(slug="accepts-writes"):
                if pair.no_writes_since is not None:
                    pair.outage, pair.no_writes_since = clock.monotonic() - pair.no_writes_since, None
                self._enter(pair, "promoted")
            case events.StepStarted(slug=slug) if slug in CLOSING and pair.phase == "promoted":
                self._enter(pair, "closing")
            case _:
                pass

    def ended(self, name: str, phase: Phase, text: str = "") -> None:
        """*waiting*: it was checked ahead of a turn that did not come."""
        pair = self.pairs[name]
        pair.text, pair.no_writes_since = text, None
        self._enter(pair, phase)

    @property
    def longest(self) -> tuple[float, str]:
        """The longest outage so far, one that goes on included, and whose it is; 0 and nothing where there was none."""
        return max(((self.outage_of(pair), pair.name) for pair in self.pairs.values()), default=(0.0, ""))

    def outage_of(self, pair: PairPhase) -> float:
        """So far, in seconds; 0: there was none, or it was not seen as a whole."""
        since = pair.no_writes_since
        return clock.monotonic() - since if since is not None else pair.outage or 0.0

    def _enter(self, pair: PairPhase, phase: Phase) -> None:
        if phase == pair.phase:
            return
        at = clock.monotonic()
        if pair.phase != "waiting":
            pair.past.append((pair.phase, pair.since, at))
        pair.phase, pair.since = phase, at
        with self._one_at_a_time:
            self.changed(pair)
