"""One pair's access to avn: it waits for its turn, shares reads with other pairs, and ends when it is stopped."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ccr_avn import clock
from ccr_avn.evacuate.avn_turns import AvnTurns
from ccr_avn.evacuate.service_list import ServiceList
from ccr_avn.evacuate.stop import RunSignals
from ccr_avn.plan import events
from ccr_avn.plan.model import Call
from ccr_avn.process import Answer

SAME_MOMENT = 5.0
"""Seconds by which a read may be older than its question, where nothing of the pair was changed or waited for since: the
question in a terminal takes longer, and what decides is looked at again on the data plane while writes are paused."""


@dataclass(slots=True, kw_only=True)
class PairAvn:
    """What a run's ``World`` needs of avn, and a sink of its events. ``moved``: called when the new primary takes writes."""

    turns: AvnTurns
    services: ServiceList
    signals: RunSignals
    run_avn: Callable[..., Answer]
    moved: Callable[[], None]
    now: Callable[[], float] = clock.monotonic
    _paused: bool = False
    _end_pause: Callable[[], None] = lambda: None
    _outdated: float = -math.inf  # on the clock: what began before shows nothing new of this pair

    def known(self, call: Call[Any]) -> Answer | None:
        """The answer to a read that a list of all services gives."""
        return self.services.answer(call, since=max(self._outdated, self.now() - SAME_MOMENT))

    def run(self, argv: tuple[str, ...], *, deadline: float) -> Answer:
        with self.turns.turn(urgent=self._paused, check=self.signals.check):
            answer = self.signals.interruptible(lambda: self.run_avn(argv, deadline=deadline))
        if answer.code == 0:
            self.turns.went_well()
        return answer

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StepStarted(slug="fence"):
                self._end_pause = self.turns.begin_pause()
                self._paused = True
            case events.StepDone(slug="accepts-writes"):
                self.leave()
                self._paused = False
                self.moved()
            case events.Looked(finding=finding) if finding.verdict != "go":
                self._outdated = self.now()
            case events.ChangeStarted() | events.Missed():
                self._outdated = self.now()
            case events.ChangeEnded(slug=slug):
                self._outdated = self.now()
                if slug == "promote":
                    self.leave()  # what is waited for now is the platform
            case _:
                pass

    def leave(self) -> None:
        """Another pair's writes may be paused."""
        end, self._end_pause = self._end_pause, lambda: None
        end()
