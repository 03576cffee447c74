"""One pair's access to avn among many: waits for its turn, shares reads, stops when asked to."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ccr_avn.aiven import failure
from ccr_avn.evacuate.governor import PATIENCE, Governor, Rank
from ccr_avn.evacuate.shared import SharedReads
from ccr_avn.evacuate.stop import RunSignals
from ccr_avn.plan import events
from ccr_avn.plan.outcome import TOO_MANY
from ccr_avn.process import Answer

SAME_MOMENT = 5.0
"""Seconds by which a read may be older than its question, where nothing of the pair was changed or waited for since: the
question in a terminal takes longer, and what decides is looked at again on the data plane while writes are paused."""

NICE = 10
"""By how much an avn of bookkeeping gives the processor to others."""

LONG = 10.0**9
"""Seconds: what is waited for has a limit of its own."""


@dataclass(slots=True, kw_only=True)
class Lane:
    """``moved``: called once, when the new primary takes writes."""

    governor: Governor
    shared: SharedReads
    signals: RunSignals
    run_avn: Callable[..., Answer]
    clock: Callable[[], float]
    moved: Callable[[], None]
    rank: Rank = Rank.PROMOTION
    _paused: bool = False
    _known: float = -math.inf  # on the clock: what began before tells nothing new of this pair

    def run(self, argv: tuple[str, ...], *, deadline: float) -> Answer:
        """For :class:`ccr_avn.asking.World`."""
        since = max(self._known, self.clock() - SAME_MOMENT)
        if (
            self.rank is Rank.BOOKKEEPING
        ):  # a place first, so that what many share then begins when nobody is in a hurry
            with self.governor.place(self.rank, self.signals.check):
                pass
        told = self.shared.answer(argv, since=since, deadline=deadline)
        if told is not None:
            return told
        with self.governor.place(self.rank, self.signals.check):
            return self._ask(argv, deadline)

    def slow_down(self, again_in: float | None) -> float | None:
        return self.governor.slow_down(again_in)

    def __call__(self, event: events.Event) -> None:
        """A sink of the run's events."""
        match event:
            case events.StepStarted(slug="fence"):
                self._paused = self.governor.paused.acquire(timeout=PATIENCE)
                self.rank = Rank.FENCED
            case events.Looked(finding=finding) if finding.verdict != "go":
                self._known = self.clock()
            case events.ChangeStarted() | events.Missed():
                self._known = self.clock()
            case events.ChangeEnded(slug=slug):
                self._known = self.clock()
                if slug == "promote":
                    self.leave()  # what is waited for now is the platform
            case events.StepDone(slug="accepts-writes"):
                self.leave()
                self.rank = Rank.BOOKKEEPING
                self.moved()
            case _:
                pass

    def leave(self) -> None:
        """Its writes are not paused any more, or the rest is up to the platform."""
        if self._paused:
            self.governor.paused.release()
        self._paused = False

    def _ask(self, argv: tuple[str, ...], deadline: float) -> Answer:
        """In a thread, so that the waiting caller can be interrupted; an abandoned read is harmless."""
        nice = NICE if self.rank is Rank.BOOKKEEPING else 0
        answer = ended_early(lambda: self.run_avn(argv, deadline=deadline, nice=nice), self.signals)
        if answer.code == 0:
            self.governor.went_well()
        return answer


def ended_early(work: Callable[[], Answer], signals: RunSignals) -> Answer:
    """Raises:
    Interrupted: the run is to end, and this need not be waited for.
    """
    done = threading.Event()
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 (raised again where the answer is waited for)
            found.append(error)
        finally:
            done.set()

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:  # a limit of processes: it can't be interrupted then, and a promotion under way goes on
        run()
    signals.wait(done, LONG)
    answer = found[0]
    if isinstance(answer, BaseException):
        raise answer
    assert isinstance(answer, Answer)  # noqa: S101 (what work gives)
    return answer


def asking(governor: Governor, run_avn: Callable[..., Answer], path: str) -> Callable[[tuple[str, ...], float], Answer]:
    """For the reads that are shared: put off for as long as the platform says so, 300 s at most."""

    def ask(argv: tuple[str, ...], deadline: float) -> Answer:
        put_off = 0.0
        while True:
            with governor.place(Rank.PROMOTION):
                answer = run_avn((path, *argv[1:]), deadline=deadline)
            if answer.code == 0:
                governor.went_well()
                return answer
            told = failure.read(answer)
            if told.status != TOO_MANY or put_off >= 300.0:
                return answer
            put_off += governor.slow_down(told.again_in)

    return ask
