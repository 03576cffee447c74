"""How a plan asks: reads are asked again after passing failures, or when Aiven says to slow down."""

import math
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ccr_avn import process
from ccr_avn.clock import monotonic, sleep
from ccr_avn.errors import AvnError, CcrError, Changed, Unreachable
from ccr_avn.plan import events
from ccr_avn.plan.model import Answers, Call, Probe, Step, fill
from ccr_avn.plan.outcome import ABSENT, TOO_MANY, AvnFailed, Failure, spelled

T = TypeVar("T")

NEW_MISSES = 2
"""Misses in a row that a read is forgiven before any read has succeeded: a wrong token should show soon."""

MISSES = 7
"""Once one has succeeded: what worked before most likely fails in passing. With the back-off about 20 s."""

BRIEFLY = 10.0
"""Seconds that avn may take for what the run can do without."""

RATE_LIMITED = 300.0
"""Seconds in all that one read is put off because the platform says to try again later."""

USAGE = 2
"""The exit code of avn's own argument parser."""

EVENTUAL = (403, 404)
"""What the platform may answer for a while about what was changed just now: rights and services spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a run touches, so that a test can put its own in place. Times are in seconds."""

    avn: str
    explain: Callable[[process.Answer], Failure]
    """Reads of an answer why it failed."""
    too_old: Callable[[Callable[..., process.Answer]], CcrError | None]
    """What to say where this avn does not know what it was asked because of its age."""
    call_timeout: float = 60.0
    run: Callable[..., process.Answer] = process.run
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], None] = sleep
    jitter: Callable[[], float] = field(default=random.random)
    held: Callable[[], AbstractContextManager[None]] = nullcontext
    known: Callable[[Call[Any]], process.Answer | None] = lambda _: None
    """The answer to a read where it need not be asked: many runs share one list."""
    slow_down: Callable[[float | None], float | None] = lambda _: None
    """After a 429: given the seconds that the platform named, for how many all runs wait; None: there is only this run."""


class Reader:
    """Asks for one run. ``now``: seconds since it began; ``sleep``: in seconds."""

    def __init__(
        self,
        world: World,
        emit: Callable[[events.Event], None],
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._world = world
        self._emit = emit
        self._now = now
        self._sleep = sleep
        self.refused = False  # whether a check did: the others still look once, and nothing is waited for
        self._answered = False  # whether any avn read has succeeded yet
        self._fresh: tuple[Any, Any] | None = None  # the last read, and how it was read: until something happens

    def forget(self) -> None:
        """Something happened, or time passed: the last read is old."""
        self._fresh = None

    def answer(self, step: Step[T], seen: Answers, *, changed: Changed) -> T:
        """One good answer; misses are forgiven a few times, with back-off and jitter, or as long as Aiven asks."""
        argv = fill(step.read.argv, seen)
        key = (argv, step.read.parse) if isinstance(step.read, Call) else None
        if self._fresh and self._fresh[0] == key:
            answer: T = self._fresh[1]
            return answer
        misses, put_off = 0, 0.0
        while True:
            try:
                answer = self.ask(step.read, seen, BRIEFLY if step.brief else math.inf)
            except (AvnError, Unreachable) as error:
                asked = getattr(error, "again_in", None)
                shared = None if step.brief else self.put_off(getattr(error, "status", None), asked, put_off)
                put_off += (asked or 0.0) if shared is None else shared
                misses += shared is None
                if shared is None and (
                    step.brief or misses > self._forgiven(error, changed=changed) or put_off > RATE_LIMITED
                ):
                    raise
                pause = self._pause(asked, misses) if shared is None else shared
                why = f"{error.what}: {error.detail}" if error.detail else error.what
                by_aiven = bool(asked) or shared is not None
                self._emit(events.Missed(at=self._now(), slug=step.slug, why=why, again_in=pause, asked=by_aiven))
                self._sleep(pause)
            else:
                self._fresh = (key, answer) if key else None
                return answer

    def _pause(self, asked: float | None, misses: int) -> float:
        """Until the next try, in seconds; ``asked``: by Aiven."""
        if asked:
            return asked * (1.0 + 0.1 * self._world.jitter())
        return float(min(0.25 * 2.0 ** (misses - 1), 5.0) * (0.75 + 0.5 * self._world.jitter()))

    def put_off(self, status: int | None, again_in: float | None, so_far: float) -> float | None:
        """Seconds to wait after a 429 where many runs share one limit; None: it is no 429, nothing is shared, or it took too long."""
        if status != TOO_MANY or so_far > RATE_LIMITED:
            return None
        return self._world.slow_down(again_in)

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
        answer = self._world.known(read) or self.avn(fill(read.argv, seen), at_most)
        if answer.code != 0:
            failure = self._world.explain(answer)
            if failure.status == ABSENT and read.absent is not None:
                self._answered = True
                return read.absent
            raise self._failed(answer, failure, read.hint)
        parsed = read.parse(answer.stdout)
        self._answered = True
        return parsed

    def _failed(self, answer: process.Answer, failure: Failure, hint: str) -> CcrError:
        """An avn that does not know what it is asked may be too old: then that is what is said."""
        if answer.code == USAGE and (old := self._world.too_old(self._world.run)):
            return old
        return AvnFailed(
            f"`{spelled(answer.argv)}` failed",
            failure,
            hint=hint or "`ccr-avn doctor` shows whether avn, the token, the project and the network are fine",
            hopeless=answer.code == USAGE,
        )

    def avn(self, argv: tuple[str, ...], at_most: float = math.inf) -> process.Answer:
        return self._world.run((self._world.avn, *argv[1:]), deadline=min(self._world.call_timeout, at_most))
