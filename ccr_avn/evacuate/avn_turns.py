"""How the pairs of an evacuation share avn: turns, one list of services for all, each pair's own access."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import from_json

from ccr_avn import clock
from ccr_avn.aiven import failure
from ccr_avn.background import new_lock, new_semaphore
from ccr_avn.evacuate.schedule import RunSignals
from ccr_avn.plan import events
from ccr_avn.plan.model import Call
from ccr_avn.plan.reads import RATE_LIMITED, TOO_MANY
from ccr_avn.process import Answer

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two tries where the platform says slow down and not for how long."""

LOOK = 0.5
"""Seconds between two checks whether the operator stopped it."""

TICK = 0.1
"""Seconds between two looks whether others have passed."""

AGING = 120.0
"""Seconds for which they are let pass: a write pause on an old primary must not run out by it."""

PATIENCE = 2.0
"""Seconds for which a pair waits for others before its writes are paused: one that hangs keeps nobody longer."""


Stage = Literal["before", "paused", "after"]
"""Of a pair: before its writes are paused; while they are; after the new primary takes them, with bookkeeping left."""


def at_once() -> int:
    """How many avn, on this machine: they work for a moment, and wait for the platform."""
    return 2 * (os.cpu_count() or 1)


class AvnTurns:
    """``most``: how many at once; the last place is for pairs whose writes are paused: there every moment is outage.

    ``slowed``: how often the platform said slow down.
    """

    def __init__(self, most: int) -> None:
        self._all, self._unhurried = new_semaphore(most), new_semaphore(max(1, most - 1))
        self._pauses = new_semaphore(most)
        self._promoting: set[object] = set()  # the turns that are held or waited for, but those of bookkeeping
        self._not_before = -math.inf
        self._in_a_row = 0
        self.slowed = 0

    def let_others_pass(self, check: Callable[[], None]) -> None:
        """Bookkeeping, when applications have their new primary, takes no processor from those that promote."""
        until = clock.monotonic() + AGING
        while self._promoting and clock.monotonic() < until:
            clock.sleep(TICK)
            check()

    @contextmanager
    def turn(self, stage: Stage = "before", check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait for a turn, and give it back. ``check`` is called now and then, and may raise."""
        with ExitStack() as taken:
            if stage == "after":
                self.let_others_pass(check)
            else:
                mine = object()
                self._promoting.add(mine)
                taken.callback(self._promoting.discard, mine)
            for places in (self._all,) if stage == "paused" else (self._unhurried, self._all):
                while not places.acquire(timeout=LOOK):
                    check()
                taken.callback(places.release)
            while (left := self._not_before - clock.monotonic()) > 0:
                clock.sleep(min(LOOK, left))
                check()
            yield

    def begin_pause(self) -> Callable[[], None]:
        """Before writes are paused: wait until few others have theirs paused. What is given back is called at its end."""
        return self._pauses.release if self._pauses.acquire(timeout=PATIENCE) else lambda: None

    def slow_down(self, again_in: float | None) -> float:
        """Rate limited: nobody asks before the returned time, in seconds."""
        self.slowed += 1
        pause = again_in or min(FIRST_PAUSE * 2.0**self._in_a_row, LONGEST_PAUSE)
        self._in_a_row += 1
        self._not_before = max(self._not_before, clock.monotonic() + pause)
        return pause

    def went_well(self) -> None:
        """An avn was answered."""
        self._in_a_row = 0

    def ask_for_all(self, run: Callable[[], Answer]) -> Answer:
        """A read that many wait for: put off while Aiven says slow down, as any read is."""
        put_off = 0.0
        while True:
            with self.turn():
                answer = run()
            if answer.code == 0:
                self.went_well()
                return answer
            why = failure.read(answer)
            if why.status != TOO_MANY or put_off >= RATE_LIMITED:
                return answer
            put_off += self.slow_down(why.again_in)


Rows = Mapping[str, Any] | None
"""By name, as they were printed; None: the list failed, or can't be read."""


@dataclass(slots=True, kw_only=True)
class ServiceList:
    """``ask`` runs the list. A read that was asked for at some time is never answered by a list that began before it.

    Those who ask while a list is under way wait for its end and share the next one, as it may have seen the old state.
    """

    ask: Callable[[], Answer]
    several: Callable[[], bool] = lambda: True  # one pair alone asks for its own service, and not for all
    _listing: AbstractContextManager[Any] = field(default_factory=new_lock, init=False)
    _last: tuple[float, Rows] = field(default=(-math.inf, None), init=False)  # when it began, what it said

    def answer(self, call: Call[Any], *, since: float) -> Answer | None:
        """What this read would print; None: it must be asked itself. ``since``: of what moment, at the earliest."""
        if call.from_list is None or not (self.several() or self._last[0] >= since):
            return None
        rows = self._rows_since(since)
        found = None if rows is None else call.from_list(rows)
        if found is None:
            return None
        argv = tuple(str(word) for word in call.argv)
        return Answer(argv=argv, code=0, stdout=json.dumps(found), stderr="", seconds=0.0)

    def _rows_since(self, since: float) -> Rows:
        if self._last[0] < since:
            with self._listing:
                if self._last[0] < since:
                    began = clock.monotonic()
                    self._last = (began, _rows(self.ask()))
        return self._last[1]


def _rows(answer: Answer) -> Rows:
    if answer.code != 0:
        return None
    try:
        return {one["service_name"]: one for one in from_json(answer.stdout)}
    except (ValueError, TypeError, KeyError):
        return None


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
    _stage: Stage = "before"
    _end_pause: Callable[[], None] = lambda: None
    _outdated: float = -math.inf  # on the clock: what began before shows nothing new of this pair

    def known(self, call: Call[Any]) -> Answer | None:
        """The answer to a read that a list of all services gives."""
        if self._stage == "after":
            self.turns.let_others_pass(self.signals.check)
        return self.services.answer(call, since=max(self._outdated, clock.monotonic() - SAME_MOMENT))

    def run(self, argv: tuple[str, ...], *, deadline: float) -> Answer:
        with self.turns.turn(self._stage, self.signals.check):
            answer = self.signals.interruptible(lambda: self.run_avn(argv, deadline=deadline))
        if answer.code == 0:
            self.turns.went_well()
        return answer

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StepStarted(slug="fence"):
                self._end_pause = self.turns.begin_pause()
                self._stage = "paused"
            case events.StepDone(slug="accepts-writes"):
                self.leave()
                self._stage = "after"
                self.moved()
            case events.Looked(finding=finding) if finding.verdict != "go":
                self._outdated = clock.monotonic()
            case events.StepStarted(slug="siblings-listed") | events.ChangeStarted() | events.Missed():
                self._outdated = clock.monotonic()
            case events.ChangeEnded(slug=slug):
                self._outdated = clock.monotonic()
                if slug == "promote":
                    self.leave()  # what is waited for now is the platform
            case _:
                pass

    def leave(self) -> None:
        """Another pair's writes may be paused."""
        end, self._end_pause = self._end_pause, lambda: None
        end()
