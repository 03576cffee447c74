"""Interpreter: runs a plan. Polls, undoes on abort, raises when a gate refuses."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ccr_avn.clock import poll
from ccr_avn.errors import AvnError, CcrError, Changed, Interrupted, Locked, Refused, TooOld, Unreachable, note
from ccr_avn.plan import events
from ccr_avn.plan.model import Act, Answers, Call, Finding, Plan, Sent, Step, fill, go, wait
from ccr_avn.plan.reads import ABSENT, BRIEFLY, Failure, Reader, World, spelled
from ccr_avn.process import Answer

T = TypeVar("T")

LAG = 5.0  # seconds for which the platform's reads may lag behind a change
DOUBT = 10.0  # seconds to look for the effect of a change that ended without an answer
BRIEF = 2.0  # seconds to look for the effect of a change that avn said had failed
MEANWHILE = 5.0  # seconds to find out, before undoing, whether another run was faster: writes wait for it

AGAIN = "run the same command again: it checks the current state and resumes from there"


class Run:
    """One run of one plan. ``changed`` shows, even after an error, whether the control plane was changed."""

    def __init__(
        self, plan: Plan, world: World, emit: Callable[[events.Event], None], seen: Answers | None = None
    ) -> None:
        self.plan = plan
        self.seen: Any = Answers() if seen is None else seen
        self.changed: Changed = False
        self._world, self._emit = world, emit
        self._reader = Reader(world, emit)
        self._now = self._reader.now
        self._to_undo: list[Step[Any]] = []
        self._done: set[str] = set()
        self._sent: set[str] = set()  # the steps whose changes by avn may have acted
        self._final_sent = False

    def check(self) -> None:
        """Run all checks before the first change; all refusals are reported together.

        Raises: Refused: one or more gates answered stop.
        """
        refusals: list[Refused] = []
        for step in self.plan.checks:
            try:
                self._step(step)
            except TooOld:
                raise
            except Refused as refusal:
                refusals.append(refusal)
                self._reader.refused = True
            except (AvnError, Unreachable):
                if not refusals:
                    raise
                break  # what was refused before explains it
        if len(refusals) == 1:
            raise refusals[0]
        if refusals:
            what, detail, hint = (
                "; ".join(filter(None, dict.fromkeys(getattr(one, part) for one in refusals)))
                for part in ("what", "detail", "hint")
            )
            raise Refused(what, detail=detail, hint=hint)

    def act(self) -> None:
        """Run the steps; when one fails before the point of no return, undo what can be undone."""
        self._reader.forget()  # the question may have taken hours
        try:
            for step in self.plan.steps:
                self._step(step)
        except BaseException as problem:
            with (
                suppress(Interrupted),
                self._world.signals_held(),
            ):  # what ended the run is reported, not what came after
                self._abandon(problem)
                self._clean_up(problem)
            raise
        finally:
            with suppress(Interrupted), self._world.signals_held():
                self._release()

    @property
    def past_return(self) -> bool:
        """Whether the point of no return is behind us, or behind an earlier run that the checks found."""
        return self._final_sent or self.plan.passed_before(self.seen)

    def _abandon(self, problem: BaseException) -> None:
        """Past the point of no return nothing is undone. If another run holds the lock, this one did nothing."""
        ours = self._final_sent or not isinstance(problem, Locked)
        if ours and (self.past_return or (self._to_undo and self._overtaken())):
            self._final_sent = True
            self.changed = self.changed or True
            return
        while self._to_undo:
            self._undo(self._to_undo.pop(), problem)

    def _clean_up(self, problem: BaseException) -> None:
        """Take the steps that are for every end, in order; the first that fails keeps those behind it from acting."""
        for step in self.plan.steps:
            if not step.always or step.slug in self._done or (step.unneeded and step.unneeded(self.seen)):
                continue
            try:
                note(problem, f"{step.slug}: {self._step(step).reason}")
            except CcrError as error:
                note(problem, _in_one_line(error))
                self.changed = self.changed or "unknown"  # something is left
                break

    def _overtaken(self) -> bool:
        """Whether another run passed the point of no return meanwhile; no answer in time counts as no."""
        for step in self.plan.overtaken_by:
            with suppress(CcrError):
                answer = self._reader.ask(step.read, self.seen, at_most=MEANWHILE)
                if step.judge(answer, self.seen).verdict == "go":
                    return True
        return False

    def _undo(self, step: Step[Any], problem: BaseException) -> None:
        """Each on its own: a failure does not prevent the others."""
        failed, done = "", ""
        try:
            done = step.undo(self.seen) if step.undo else ""
        except CcrError as error:
            failed = _in_one_line(error)
        note(problem, f"{step.slug}: NOT undone: {failed}" if failed else f"{step.slug}: {done or 'undone'}")
        self._emit(events.Undone(at=self._now(), slug=step.slug, done=done, failed=failed))

    def _release(self) -> None:
        for step in reversed(self.plan.steps):
            if step.release and (self.seen.has(step) or isinstance(step.change, Act)):
                with suppress(CcrError):
                    step.release(self.seen)

    def _step(self, step: Step[Any]) -> Finding:
        began, rule, limit = self._now(), step.rule, step.poll.limit
        self._emit(events.StepStarted(at=began, slug=step.slug, purpose=step.purpose, rule=rule, limit=limit))
        outcome: events.Outcome = "proven"
        try:
            if step.unneeded and (why := step.unneeded(self.seen)):
                finding = go(why, skipped=True, unsaid=step.rare)
            elif step.change is None:
                finding = self._until_go(step, began)
            else:
                finding, outcome = self._changed_unless_done(step, step.change, began)
        except Interrupted:
            raise
        except CcrError as problem:
            self._done.add(step.slug)
            if not step.optional and not (step.advisory and isinstance(problem, AvnError)):
                raise
            warning = f"{step.slug}: {problem.what} ({problem.detail}); {problem.hint}"
            finding, outcome = go("not checked" if step.advisory else "left undone", warnings=(warning,)), "failed"
        taken_back = step.restores and outcome == "changed" and self._sent <= {step.restores, step.slug}
        if taken_back and not self.past_return:
            self.changed = False
        now = self._now()
        self._done.add(step.slug)
        self._emit(events.StepDone(at=now, slug=step.slug, finding=finding, seconds=now - began, outcome=outcome))
        return finding

    def _changed_unless_done(
        self, step: Step[Any], change: Call[None] | Act, began: float
    ) -> tuple[Finding, events.Outcome]:
        sent = 0
        while True:
            finding = self._until_go(step, began, settled=("go", "todo"))
            if finding.verdict == "go":
                return finding, "changed" if sent else "found"
            if isinstance(change, Act):
                return self._act(step, change), "changed"
            failure = self._change(step, change)
            at, sent = self._now(), sent + 1
            if failure is None:
                return self._until_go(step, at, lag=LAG), "changed"
            try:
                return self._settle_doubt(step, failure, at), "changed"
            except AvnError:
                pause = failure.cause.again_in or min(2.0**sent, LAG)
                if not step.again or failure.cause.is_final or self._now() + pause > began + step.poll.limit:
                    raise
            self._put_off(step, failure, pause)

    def _act(self, step: Step[Any], change: Act) -> Finding:
        """What is done in this process reports how it ended: its answer can't be lost."""
        self._reader.forget()
        self._start(step, fill(change.argv, self.seen))
        began = self._now()
        try:
            finding = change.run(self.seen)
        except Locked:
            self._to_undo = [one for one in self._to_undo if one is not step]
            raise
        self._emit(events.ChangeEnded(at=self._now(), slug=step.slug, seconds=self._now() - began))
        return finding

    def _change(self, step: Step[Any], change: Call[None]) -> "FailedChange | None":
        """Send the change; again only after a 429 where many runs share one limit. Gives back how it failed, or None."""
        self._reader.forget()
        waited = 0.0
        while True:
            failure = self._send(step, change)
            cause = failure and failure.cause
            pause = self._reader.rate_limited(cause.status, cause.again_in, waited) if cause else None
            if failure is None or pause is None:
                return failure
            self.changed = failure.changed_before
            if step.final:  # it was refused: there is still a way back
                self._final_sent = False
            waited += pause
            self._put_off(step, failure, pause)

    def _put_off(self, step: Step[Any], failure: "FailedChange", pause: float) -> None:
        self._reader.put_off(step.slug, f"not now: {failure.cause.reason}", pause, by_aiven=True)

    def _send(self, step: Step[Any], change: Call[None]) -> "FailedChange | None":
        argv = fill(change.argv, self.seen)
        with self._world.signals_held():
            if step.guard:
                step.guard(self.seen)
            self._start(step, argv)
            before, self.changed = self.changed, True
            sent: Sent = "unanswered"  # a second signal may end it
            self.seen.keep(step.slug, sent)
            answer = self._reader.avn(argv, BRIEFLY if step.brief else math.inf)
            failure = None if answer.code == 0 else FailedChange(answer, self._world.explain(answer), change, before)
            sent = failure.sent if failure else "answered"
            self.seen.keep(step.slug, sent)
            if sent != "refused":
                self._sent.add(step.slug)
            self._emit(
                events.ChangeEnded(
                    at=self._now(),
                    slug=step.slug,
                    seconds=answer.seconds,
                    doubt=failure.why if failure else "",
                    refused=answer.started and sent in ("refused", "absent"),
                    started=answer.started,
                )
            )
        return failure

    def _start(self, step: Step[Any], argv: tuple[str, ...]) -> None:
        if step.final:
            self._final_sent = True
        elif step.undo:
            self._to_undo.append(step)  # before it acts: one that breaks halfway is undone too
        self._emit(events.ChangeStarted(at=self._now(), slug=step.slug, argv=argv, final=step.final))

    def _settle_doubt(self, step: Step[Any], failure: "FailedChange", began: float) -> Finding:
        """A change that failed may have taken effect anyway: only a read can show that.

        Raises: AvnError: it did not act, or nothing shows whether it did.
        """
        if not failure.answer.started:
            raise self._without_effect(step, failure)
        unanswered = (DOUBT if failure.silent else BRIEF) if step.doubt_limit is None else step.doubt_limit
        try:
            finding = self._effect(step.doubts or (step,), BRIEF if failure.refused else unanswered, began)
        except (AvnError, Unreachable) as error:
            if failure.refused:  # that is an answer
                raise self._without_effect(step, failure) from None
            self.changed = failure.changed_before or "unknown"
            why = f"{failure.cause.reason}; then the check for its effect failed: {error.detail}"
            raise failure.error(why) from None
        if finding is None:
            raise self._without_effect(step, failure)
        return self._until_go(step, self._now(), lag=LAG) if step.doubts else finding

    def _without_effect(self, step: Step[Any], failure: "FailedChange") -> AvnError:
        self.changed = failure.changed_before or ("unknown" if failure.sent == "unanswered" else False)
        if step.final:  # it did not act, so there is a way back; a later step's failure opens none
            self._final_sent = failure.silent
        return failure.error(failure.cause.reason)

    def _effect(self, looks: tuple[Step[Any], ...], limit: float, began: float) -> Finding | None:
        """What shows that a change acted: any one *go* does. None: all were still unchanged after ``limit`` seconds.

        Raises: AvnError, Unreachable: at the end one of the reads gave no answer, so nothing shows it.
        """
        silent: AvnError | Unreachable | None = None

        def look() -> Finding | None:
            nonlocal silent
            silent = None
            for step in looks:
                try:
                    finding = self._judged(step, limit, began)
                except (AvnError, Unreachable) as error:
                    silent = error
                else:
                    if finding.verdict == "go":
                        return finding
            return None

        found = self._poll(look, bool, began + limit, first=0.2, longest=1.0)
        if silent and not found:
            raise silent
        return found

    def _until_go(
        self, step: Step[T], began: float, *, lag: float = 0.0, settled: tuple[str, ...] = ("go",)
    ) -> Finding:
        """Ask until the gate says go, or else what is ``settled``.

        Raises:
            CcrError: the gate's own kind when it says stop; the poll's own kind at its limit.
            AvnError: the same, behind the point of no return, where a server could not be asked.
        """
        silent: Unreachable | None = None
        timing = step.poll

        def look() -> Finding:
            nonlocal silent
            try:
                silent = None
                return self._judged(step, timing.limit, began)
            except Unreachable as trouble:
                if not (timing.limit and self.past_return):
                    raise
                silent = trouble
                return self._looked(step, wait(f"{trouble.what}: {trouble.detail}"), timing.limit, began)

        def stops(found: Finding) -> bool:
            return found.verdict == "stop" and self._now() - began >= lag

        finding = self._poll(
            look,
            lambda found: found.verdict in settled or stops(found),
            began + timing.limit,
            first=timing.first,
            longest=timing.interval,
        )
        if finding.verdict in settled:
            return finding
        if stops(finding):
            raise step.refused(finding.reason, detail=finding.detail, hint=finding.hint)
        late, hint = (AvnError, silent.hint) if silent else (timing.error, timing.hint)
        what = f"timed out after {timing.limit:g} s waiting until" if timing.limit else "condition not met yet:"
        raise late(
            f"{step.slug}: {what} {step.rule}",
            detail=f"last seen: {finding.reason}",
            hint=finding.hint or hint or "run the same command again: it resumes from the current state",
        )

    def _poll(
        self, look: Callable[[], T], enough: Callable[[T], object], until: float, *, first: float, longest: float
    ) -> T:
        now = self._now
        return poll(
            look, enough, within=until - now(), first=first, longest=longest, clock=now, sleep=self._reader.sleep
        )

    def _judged(self, step: Step[T], limit: float, began: float) -> Finding:
        answer = self._reader.answer(step, self.seen, changed=self.changed)
        finding = step.judge(answer, self.seen)
        if left_out := getattr(answer, "left_out", ()):
            finding = replace(finding, warnings=(*left_out, *finding.warnings))
        self.seen.remember(step.slug, answer)
        return self._looked(step, finding, limit, began)

    def _looked(self, step: Step[Any], finding: Finding, limit: float, began: float) -> Finding:
        argv, now = fill(step.look, self.seen), self._now()
        self._emit(events.Looked(at=now, slug=step.slug, argv=argv, finding=finding, elapsed=now - began, limit=limit))
        return finding


@dataclass(frozen=True, slots=True)
class FailedChange:
    answer: Answer
    cause: Failure
    change: Call[None]
    changed_before: Changed

    @property
    def silent(self) -> bool:
        """Whether it ended without output, so that its effect is unknown."""
        return self.answer.expired or self.answer.code < 0

    @property
    def refused(self) -> bool:
        """Whether the platform said no. Not found is no such answer: what was to be changed may be gone by it."""
        status = self.cause.status
        return not self.silent and status is not None and 400 <= status < 500 and status not in (ABSENT, 408)

    @property
    def sent(self) -> Sent:
        """How the request fared."""
        if self.cause.status == ABSENT:
            return "absent"
        return "refused" if self.refused or not self.answer.started else "unanswered"

    @property
    def why(self) -> str:
        if not self.answer.started:
            return f"it was not sent: {self.cause.reason}"
        return f"it failed ({self.cause.reason}); checking whether the request took effect"

    def error(self, detail: str) -> AvnError:
        return AvnError(f"`{spelled(self.answer.argv)}` failed", detail=detail, hint=self._hint() or AGAIN)

    def _hint(self) -> str:
        """What can help against this very failure; where it is a passing one that is to run it again."""
        cause, change = self.cause, self.change
        if cause.status is None and cause.hint:
            return cause.hint  # the network, or avn itself: nothing that the change's own hint is about
        if not change.hints:
            return "; ".join(filter(None, (cause.hint, change.hint)))
        if cause.status is not None:
            return change.hints.get(cause.status, "") or cause.hint
        return "" if self.silent else change.hint


def _in_one_line(error: CcrError) -> str:
    return "; ".join(filter(None, (error.what, error.detail, error.hint)))
