"""How a plan asks: reads are asked again after passing failures, or when Aiven says to slow down."""

import math
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeVar

from ccr_avn import process
from ccr_avn.clock import monotonic, sleep
from ccr_avn.errors import AvnError, CcrError, Changed, Unreachable
from ccr_avn.plan import events
from ccr_avn.plan.model import Answers, Call, Probe, Step, fill

T = TypeVar("T")

PASSING_STATUS = (408, 417, 425, 429)  # refusals that may pass with time; every other 4xx is final
TOO_MANY = 429  # the status with which the platform says slow down: what was asked was not done
ABSENT = 404  # the status of what does not exist

EVENTUAL = (403, 404)  # what may be answered for a while about what was changed just now: rights and services spread
NEW_MISSES = 2  # in a row that a read is forgiven before any has succeeded: a wrong token should show soon
MISSES = 7  # once one has succeeded: what worked before most likely fails in passing. With the back-off about 20 s
BRIEFLY = 10.0  # seconds that avn may take for what the run can do without
RATE_LIMITED = 300.0  # seconds in all that one read is put off because the platform says to try again later
USAGE = 2  # the exit code of avn's own argument parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """``status``: of the API's answer, where there was one. ``again_in``: seconds the platform asks to wait.

    ``lasting``: it is how this machine is set up, so asking again gives the same answer.
    """

    reason: str
    hint: str = ""
    status: int | None = None
    again_in: float | None = None
    lasting: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the platform answered no, and asking again gives the same answer: a 429 is no such answer."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in PASSING_STATUS


class AvnFailed(AvnError):
    def __init__(self, what: str, failure: Failure, *, hint: str = "", hopeless: bool = False) -> None:
        super().__init__(what, detail=failure.reason, hint=failure.hint or hint)
        self.status, self.again_in = failure.status, failure.again_in
        self.hopeless = hopeless or failure.is_final or failure.lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a run touches, so that a test can put its own in place. Times are in seconds."""

    avn: str
    explain: Callable[[process.Answer], Failure]
    """Reads of an answer why it failed."""
    too_old: Callable[[Callable[..., process.Answer]], CcrError | None]
    """What to say where this avn does not know what it was asked because of its age."""
    version: str = ""  # of avn
    call_timeout: float = 60.0
    run: Callable[..., process.Answer] = field(default_factory=lambda: process.run)
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], None] = sleep
    jitter: Callable[[], float] = random.random
    signals_held: Callable[[], AbstractContextManager[None]] = nullcontext
    shared_answer: Callable[[Call[Any]], process.Answer | None] = lambda _: None
    """The answer to a read where it need not be asked: many runs share one list."""
    shared_pause: Callable[[float | None], float | None] = lambda _: None
    """After a 429: given the seconds that the platform named, for how many all runs wait; None: there is only this run."""


class Reader:
    def __init__(self, world: World, emit: Callable[[events.Event], None]) -> None:
        self._world, self._emit = world, emit
        self._began = world.clock()
        self.refused = False  # whether a check did: the others still look once, and nothing is waited for
        self._answered = False  # whether any avn read has succeeded yet
        self._fresh: tuple[Any, Any] | None = None  # the last read, and how it was read: until something happens

    def now(self) -> float:
        """Seconds since the run began."""
        return self._world.clock() - self._began

    def sleep(self, seconds: float) -> None:
        self.forget()
        self._world.sleep(seconds)

    def forget(self) -> None:
        """Something happened, or time passed: the last read is old."""
        self._fresh = None

    def answer(self, step: Step[T], seen: Answers, *, changed: Changed) -> T:
        """One good answer; misses are forgiven a few times, with back-off and jitter, or as long as Aiven asks."""
        key = (fill(step.read.argv, seen), step.read.parse) if isinstance(step.read, Call) else None
        if self._fresh and self._fresh[0] == key:
            answer: T = self._fresh[1]
            return answer
        misses, waited = 0, 0.0
        while True:
            try:
                answer = self.ask(step.read, seen, BRIEFLY if step.brief else math.inf)
            except (AvnError, Unreachable) as error:
                asked = getattr(error, "again_in", None)
                pause = None if step.brief else self.rate_limited(getattr(error, "status", None), asked, waited)
                by_aiven = bool(asked) or pause is not None
                if pause is None:
                    misses += 1
                    pause = self._pause(asked, misses)
                    waited += asked or 0.0
                    if step.brief or misses > self._forgiven(error, changed=changed) or waited > RATE_LIMITED:
                        raise
                else:
                    waited += pause
                self.put_off(step.slug, f"{error.what}: {error.detail}".removesuffix(": "), pause, by_aiven=by_aiven)
            else:
                self._fresh = (key, answer) if key else None
                return answer

    def put_off(self, slug: str, why: str, pause: float, *, by_aiven: bool) -> None:
        self._emit(events.Missed(at=self.now(), slug=slug, why=why, again_in=pause, asked=by_aiven))
        self.sleep(pause)

    def rate_limited(self, status: int | None, again_in: float | None, waited: float) -> float | None:
        """Seconds to wait after a 429 where many runs share one limit; None: it is no 429, nothing is shared, or it took too long."""
        return self._world.shared_pause(again_in) if status == TOO_MANY and waited <= RATE_LIMITED else None

    def _pause(self, asked: float | None, misses: int) -> float:
        """Until the next try, in seconds; ``asked``: by Aiven."""
        jitter = self._world.jitter()
        return asked * (1.0 + 0.1 * jitter) if asked else min(0.25 * 2.0 ** (misses - 1), 5.0) * (0.75 + 0.5 * jitter)

    def _forgiven(self, error: AvnError | Unreachable, *, changed: Changed) -> int:
        """How many misses in a row: none where asking again gives the same answer, or no answer would help."""
        if self.refused:
            return 0
        if isinstance(error, Unreachable):
            return MISSES if error.passing else 0
        if isinstance(error, AvnFailed):
            if error.hopeless and not (changed and error.status in EVENTUAL):
                return 0
            if error.again_in is not None:
                return MISSES
        return MISSES if self._answered else NEW_MISSES

    def ask(self, read: Call[T] | Probe[T], seen: Answers, at_most: float = math.inf) -> T:
        """One read; ``at_most``: seconds that avn may take."""
        if isinstance(read, Probe):
            return read.read(seen)
        answer = self._world.shared_answer(read) or self.avn(fill(read.argv, seen), at_most)
        if answer.code == 0:
            parsed = read.parse(answer.stdout)
            self._answered = True
            return parsed
        failure, not_understood = self._world.explain(answer), answer.code == USAGE
        if failure.status == ABSENT and read.absent is not None:
            self._answered = True
            return read.absent
        if not_understood and (old := self._world.too_old(self._world.run)):
            raise old
        hint = read.hint or "`ccr-avn doctor` checks avn, the token, the project and the network"
        raise AvnFailed(f"`{spelled(answer.argv)}` failed", failure, hint=hint, hopeless=not_understood)

    def avn(self, argv: tuple[str, ...], at_most: float = math.inf) -> process.Answer:
        return self._world.run((self._world.avn, *argv[1:]), deadline=min(self._world.call_timeout, at_most))


def spelled(argv: tuple[str, ...]) -> str:
    """The command's words up to the first option: enough to know it, short enough for a line."""
    return " ".join(("avn", *takewhile(lambda word: not word.startswith("-"), argv[1:])))
