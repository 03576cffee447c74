"""Interpreter: runs a plan, polls, un-does on abort, raises at a shut gate."""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ccr_avn import events, failure, process, program
from ccr_avn.errors import AvnError, CcrError, Changed, Interrupted, Refused, TimedOut, Unreachable
from ccr_avn.plan import ONCE, Call, Finding, Gate, Plan, Poll, Probe, Seen, Step, fill, go

T = TypeVar("T")

NEW_MISSES = 2
"""Misses in a row that a read is forgiven before any read has succeeded: a wrong token should show soon."""

MISSES = 7
"""Once one has succeeded: what worked before most likely fails in passing. With the back-off about 20 s."""

LAG = 5.0
"""Seconds for which the platform's reads may lag behind a change of ours."""

DOUBT = 10.0
"""Seconds to look for the effect of a change that ended without an answer."""

RATE_LIMITED = 300.0
"""Seconds in all that one read is put off because the platform says to try again later."""

BRIEF = 2.0
"""Seconds to look for the effect of a change that avn said had failed."""


USAGE = 2
"""The exit code of avn's own argument parser."""

EVENTUAL = (403, 404)
"""What the platform may answer for a while about what was changed just now: rights and services spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a run touches, so that a test can put its own in place. Times are in seconds."""

    avn: str
    call_timeout: float = 60.0
    run: Callable[..., process.Answer] = process.run
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)
    held: Callable[[], AbstractContextManager[None]] = nullcontext


AGAIN = "run the same command again: it looks first and goes on from there"


class Run:
    """One run of one plan. ``changed`` tells, also after an error, whether the control plane was changed."""

    def __init__(self, plan: Plan, world: World, emit: Callable[[events.Event], None]) -> None:
        self.plan = plan
        self.seen = Seen()
        self.changed: Changed = False
        self._world = world
        self._emit = emit
        self._began = world.clock()
        self._answered = False  # whether any avn read has succeeded yet
        self._refused = False  # whether a check did: what else can be told at once is told, and nothing is waited for
        self._fresh: tuple[tuple[str, ...], Any] | None = None  # the last read, while nothing has happened since
        self._to_undo: list[Step[Any]] = []
        self._final_sent = False

    def check(self) -> None:
        """Look at all that can be known before the first change; what refuses is told all at once.

        Raises:
            Refused: one or more gates answered stop.
        """
        refusals = []
        for step in self.plan.checks:
            try:
                self._step(step)
            except Refused as refusal:
                refusals.append(refusal)
                self._refused = True
            except (AvnError, Unreachable):
                if not refusals:
                    raise
                break  # what was refused before explains it
        if refusals:
            raise _joined(refusals)

    def act(self) -> None:
        """Run the steps; when one fails before the point of no return, undo what can be undone."""
        try:
            for step in self.plan.steps:
                self._step(step)
        except BaseException:
            if not self._final_sent:
                with self._world.held():
                    self._undo()
            raise

    def _step(self, step: Step[Any]) -> None:
        began = self._now()
        limit = step.poll.limit
        self._emit(events.StepStarted(at=began, slug=step.slug, purpose=step.purpose, rule=step.gate.rule, limit=limit))
        try:
            finding, outcome = self._through(step, began)
        except CcrError as problem:
            forgiven = step.optional or (step.advisory and isinstance(problem, AvnError))
            if not forgiven or isinstance(problem, Interrupted):
                raise
            warning = f"{step.slug}: {problem.what} ({problem.detail}); {problem.hint}"
            finding, outcome = go("not checked" if step.advisory else "left undone", warnings=(warning,)), "failed"
        seconds = self._now() - began
        self._emit(events.StepDone(at=self._now(), slug=step.slug, finding=finding, seconds=seconds, outcome=outcome))

    def _through(self, step: Step[Any], began: float) -> tuple[Finding, events.Outcome]:
        if step.unneeded and (why := step.unneeded(self.seen)):
            return go(why), "proven"
        if step.change is None:
            return self._until_go(step, step.poll, began), "proven"
        return self._changed_unless_done(step, step.change, began)

    def _changed_unless_done(
        self, step: Step[Any], change: Call[None] | Probe[None], began: float
    ) -> tuple[Finding, events.Outcome]:
        finding = self._judged(step, ONCE, began)
        if finding.verdict == "go":
            return finding, "found"
        if finding.verdict == "stop":
            raise _refused(step.gate, finding)
        failure = self._change(step, change)
        began = self._now()
        if failure is None:
            return self._until_go(step, step.poll, began, lag=LAG), "changed"
        return self._settle_doubt(step, failure, began), "changed"

    def _change(self, step: Step[Any], change: Call[None] | Probe[None]) -> "_Failure | None":
        """Run the change once. Gives back how it failed, or None."""
        self._fresh = None
        if isinstance(change, Probe):
            self._start(step, fill(change.argv, self.seen))
            began = self._now()
            change.look(self.seen)
            self._emit(events.ChangeEnded(at=self._now(), slug=step.slug, seconds=self._now() - began))
            return None
        argv = change.filled(self.seen)
        self._start(step, argv)
        before, self.changed = self.changed, True
        with self._world.held():
            answer = self._avn(argv)
            failure = None if answer.code == 0 else _Failure(answer, change, before)
            doubt = failure.why if failure else ""
            self._emit(events.ChangeEnded(at=self._now(), slug=step.slug, seconds=answer.seconds, doubt=doubt))
        return failure

    def _start(self, step: Step[Any], argv: tuple[str, ...]) -> None:
        if step.final:
            self._final_sent = True
        elif step.undo:
            self._to_undo.append(step)  # before it acts: one that breaks halfway is undone too
        self._emit(events.ChangeStarted(at=self._now(), slug=step.slug, argv=argv, final=step.final))

    def _settle_doubt(self, step: Step[Any], failure: "_Failure", began: float) -> Finding:
        """A change that failed may have acted all the same: only a look tells.

        Raises:
            AvnError: it did not act, or nothing tells.
        """
        limit = DOUBT if failure.silent else BRIEF
        look = step.doubt or step
        try:
            finding = self._until_go(look, Poll(limit=limit, first=0.2, interval=1.0), began, lag=limit)
        except (AvnError, Unreachable) as error:
            self.changed = failure.changed_before or "unknown"
            raise failure.error(f"{failure.detail}; then the look that would tell failed: {error.detail}") from None
        except (Refused, TimedOut):
            self.changed = failure.changed_before or ("unknown" if failure.silent else False)
            if step.final:  # it did not act, so there is a way back; a later step's failure opens none
                self._final_sent = failure.silent
            raise failure.error() from None
        return self._until_go(step, step.poll, self._now(), lag=LAG) if step.doubt else finding

    def _until_go(self, step: Step[T], poll: Poll, began: float, *, lag: float = 0.0) -> Finding:
        """Ask until the gate says go.

        Raises:
            CcrError: the gate's own kind when it says stop; the poll's own kind at its limit.
        """
        delay = poll.first
        while True:
            finding = self._judged(step, poll, began)
            if finding.verdict == "go":
                return finding
            elapsed = self._now() - began
            if finding.verdict == "stop" and elapsed >= lag:
                raise _refused(step.gate, finding)
            if elapsed >= poll.limit:
                raise _timed_out(step, poll, finding)
            self._sleep(min(delay, poll.limit - elapsed))
            delay = min(delay * 1.5, poll.interval)

    def _judged(self, step: Step[T], poll: Poll, began: float) -> Finding:
        answer = self._answer(step)
        finding = step.gate.judge(answer, self.seen)
        if left_out := getattr(answer, "left_out", ()):
            finding = replace(finding, warnings=(*left_out, *finding.warnings))
        self.seen.remember(step, answer)
        argv = fill(step.look.argv, self.seen)
        elapsed = self._now() - began
        self._emit(
            events.Looked(at=self._now(), slug=step.slug, argv=argv, finding=finding, elapsed=elapsed, limit=poll.limit)
        )
        return finding

    def _answer(self, step: Step[T]) -> T:
        """One good answer; misses are forgiven a few times, with back-off and jitter, or as long as the platform asks."""
        argv = fill(step.look.argv, self.seen)
        if self._fresh and self._fresh[0] == argv:
            answer: T = self._fresh[1]
            return answer
        misses, put_off = 0, 0.0
        while True:
            try:
                answer = self._ask(step.look, argv)
            except (AvnError, Unreachable) as error:
                misses += 1
                asked = getattr(error, "again_in", None)
                put_off += asked or 0.0
                if step.brief or misses > self._forgiven(error) or put_off > RATE_LIMITED:
                    raise
                pause = asked or min(0.25 * 2.0 ** (misses - 1), 5.0)
                pause *= 0.75 + 0.5 * self._world.jitter() if asked is None else 1.0 + 0.1 * self._world.jitter()
                why = f"{error.what}: {error.detail}" if error.detail else error.what
                self._emit(events.Missed(at=self._now(), slug=step.slug, why=why, again_in=pause, asked=bool(asked)))
                self._sleep(pause)
            else:
                self._fresh = (argv, answer) if isinstance(step.look, Call) else None
                return answer

    def _forgiven(self, error: AvnError | Unreachable) -> int:
        """How many misses in a row: none where asking again gives the same answer, or no answer would help."""
        if self._refused:
            return 0
        if isinstance(error, Unreachable):
            return MISSES if error.passing else 0
        if isinstance(error, failure.AvnFailed):
            if error.hopeless and not (self.changed and error.status in EVENTUAL):
                return 0
            if error.again_in is not None:
                return MISSES
        return MISSES if self._answered else NEW_MISSES

    def _ask(self, look: Call[T] | Probe[T], argv: tuple[str, ...]) -> T:
        if isinstance(look, Probe):
            return look.look(self.seen)
        answer = self._avn(argv)
        if answer.code != 0:
            told = failure.read(answer)
            if told.status == failure.ABSENT and look.absent is not None:
                self._answered = True
                return look.absent
            raise self._failed(answer, told, look.hint)
        parsed = look.parse(answer.stdout)
        self._answered = True
        return parsed

    def _failed(self, answer: process.Answer, told: failure.Failure, hint: str) -> CcrError:
        """An avn that does not know what it is asked may be too old: then that is what is said."""
        if answer.code == USAGE and (old := program.too_old(self._world.avn, self._world.run)):
            return old
        return failure.AvnFailed(
            f"`{_spelled(answer.argv)}` failed",
            told,
            hint=hint or "`ccr-avn doctor` tells whether avn, the token, the project and the network are fine",
            hopeless=answer.code == USAGE,
        )

    def _avn(self, argv: tuple[str, ...]) -> process.Answer:
        return self._world.run((self._world.avn, *argv[1:]), deadline=self._world.call_timeout)

    def _sleep(self, seconds: float) -> None:
        self._fresh = None
        self._world.sleep(seconds)

    def _undo(self) -> None:
        """Backwards, each on its own: one that fails does not keep the others from being undone."""
        while self._to_undo:
            step = self._to_undo.pop()
            failed = ""
            try:
                if step.undo:
                    step.undo(self.seen)
            except CcrError as error:
                failed = f"{error.what}: {error.detail}"
            self._emit(events.Undone(at=self._now(), slug=step.slug, failed=failed))

    def _now(self) -> float:
        return self._world.clock() - self._began


@dataclass(frozen=True, slots=True)
class _Failure:
    """A change that did not end with exit 0."""

    answer: process.Answer
    change: Call[None]
    changed_before: Changed

    @property
    def silent(self) -> bool:
        """Whether it ended without saying anything, so that nothing tells whether it acted."""
        return self.answer.expired or self.answer.code < 0

    @property
    def detail(self) -> str:
        return failure.read(self.answer).reason

    @property
    def why(self) -> str:
        return f"it failed ({self.detail}); looking whether it acted all the same"

    def error(self, detail: str = "") -> AvnError:
        told = failure.read(self.answer)
        hint = self._hint(told) or AGAIN
        return AvnError(f"`{_spelled(self.answer.argv)}` failed", detail=detail or told.reason, hint=hint)

    def _hint(self, told: failure.Failure) -> str:
        """What can help against this very failure; where it is a passing one that is to run it again."""
        if not self.change.hints:
            return self.change.hint
        if told.status is not None:
            return self.change.hints.get(told.status, "") or told.hint
        return told.hint or ("" if self.silent else self.change.hint)


def _spelled(argv: tuple[str, ...]) -> str:
    """The command's words up to the first option: enough to know it, short enough for a line."""
    words = list(argv[1:])
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(["avn", *words[:first]])


def _joined(refusals: list[Refused]) -> Refused:
    """One error of many."""
    if len(refusals) == 1:
        return refusals[0]
    parts = [
        tuple(dict.fromkeys(text for text in texts if text))
        for texts in zip(*((one.what, one.detail, one.hint) for one in refusals), strict=True)
    ]
    what, detail, hint = ("; ".join(part) for part in parts)
    return Refused(what, detail=detail, hint=hint)


def _refused(gate: Gate[Any], finding: Finding) -> CcrError:
    return gate.refused(finding.reason, detail=finding.detail, hint=finding.hint)


def _timed_out(step: Step[Any], poll: Poll, finding: Finding) -> CcrError:
    return poll.error(
        f"{step.slug}: not within {poll.limit:g} s: {step.gate.rule}",
        detail=f"last seen: {finding.reason}",
        hint=finding.hint or poll.hint or "run the same command again: it goes on from where the world stands",
    )
