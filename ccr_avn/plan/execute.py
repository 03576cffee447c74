"""Interpreter: runs a plan. Polls, undoes on abort, raises when a gate refuses."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from ccr_avn.clock import poll
from ccr_avn.errors import AvnError, CcrError, Changed, Interrupted, Locked, Refused, Unreachable, note
from ccr_avn.plan import events
from ccr_avn.plan.model import Act, Answers, Call, Finding, Plan, Poll, Sent, Step, fill, go, wait
from ccr_avn.plan.outcome import FailedChange, TooOld, joined, timed_out, whole
from ccr_avn.plan.reads import Reader, World

T = TypeVar("T")

__all__ = ["Run", "World"]

LAG = 5.0
"""Seconds for which the platform's reads may lag behind a change."""

DOUBT = 10.0
"""Seconds to look for the effect of a change that ended without an answer."""

MEANWHILE = 5.0
"""Time limit in seconds to find out, before undoing, whether another run was faster: writes wait for it."""

BRIEF = 2.0
"""Seconds to look for the effect of a change that avn said had failed."""


class Run:
    """One run of one plan. ``changed`` tells, also after an error, whether the control plane was changed."""

    def __init__(
        self, plan: Plan, world: World, emit: Callable[[events.Event], None], seen: Answers | None = None
    ) -> None:
        self.plan = plan
        self.seen: Any = Answers() if seen is None else seen
        self.changed: Changed = False
        self._world = world
        self._emit = emit
        self._began = world.clock()
        self._reader = Reader(world, emit, self._now, self._sleep)
        self._to_undo: list[Step[Any]] = []
        self._done: set[str] = set()
        self._final_sent = False

    def check(self) -> None:
        """Run all checks before the first change; all refusals are reported together.

        Raises:
            Refused: one or more gates answered stop.
        """
        refusals = []
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
        if refusals:
            raise joined(refusals)

    def act(self) -> None:
        """Run the steps; when one fails before the point of no return, undo what can be undone."""
        try:
            for step in self.plan.steps:
                self._step(step)
        except BaseException as problem:
            with suppress(Interrupted), self._world.held():  # what ended the run is reported, not what came after it
                self._abandon(problem)
                self._clean_up(problem)
            raise
        finally:
            with suppress(Interrupted), self._world.held():
                self._release()

    @property
    def past_return(self) -> bool:
        """Whether the point of no return is behind us, or behind an earlier run that the checks found."""
        return self._final_sent or self.plan.beyond(self.seen)

    def _abandon(self, problem: BaseException) -> None:
        """Past the point of no return nothing is undone. Where another run is at it, this did nothing."""
        ours = self._final_sent or not isinstance(problem, Locked)
        if ours and (self.past_return or (self._to_undo and self._passed_meanwhile())):
            self._final_sent = True
            self.changed = self.changed or True
            return
        while self._to_undo:
            self._undo(self._to_undo.pop(), problem)

    def _clean_up(self, problem: BaseException) -> None:
        """Take the steps that are for every end, in order; the first that fails keeps those behind it from acting."""
        for step in self.plan.steps:
            if not step.always or step.slug in self._done:
                continue
            try:
                note(problem, f"{step.slug}: {self._step(step).reason}")
            except CcrError as error:
                note(problem, whole(error))
                self.changed = self.changed or "unknown"  # something is left
                break

    def _passed_meanwhile(self) -> bool:
        """Whether another run passed the point of no return; no answer in time counts as no."""
        for step in self.plan.meanwhile:
            with suppress(CcrError):
                answer = self._reader.ask(step.read, self.seen, at_most=MEANWHILE)
                if step.gate.judge(answer, self.seen).verdict == "go":
                    return True
        return False

    def _step(self, step: Step[Any]) -> Finding:
        began = self._now()
        limit = step.poll.limit
        self._emit(events.StepStarted(at=began, slug=step.slug, purpose=step.purpose, rule=step.gate.rule, limit=limit))
        try:
            finding, outcome = self._through(step, began)
        except CcrError as problem:
            forgiven = step.optional or (step.advisory and isinstance(problem, AvnError))
            if not isinstance(problem, Interrupted):
                self._done.add(step.slug)
            if not forgiven or isinstance(problem, Interrupted):
                raise
            warning = f"{step.slug}: {problem.what} ({problem.detail}); {problem.hint}"
            finding, outcome = go("not checked" if step.advisory else "left undone", warnings=(warning,)), "failed"
        seconds = self._now() - began
        self._done.add(step.slug)
        self._emit(events.StepDone(at=self._now(), slug=step.slug, finding=finding, seconds=seconds, outcome=outcome))
        return finding

    def _through(self, step: Step[Any], began: float) -> tuple[Finding, events.Outcome]:
        if step.unneeded and (why := step.unneeded(self.seen)):
            return go(why, skipped=True), "proven"
        if step.change is None:
            return self._until_go(step, step.poll, began), "proven"
        return self._changed_unless_done(step, step.change, began)

    def _changed_unless_done(
        self, step: Step[Any], change: Call[None] | Act, began: float
    ) -> tuple[Finding, events.Outcome]:
        sent = 0
        while True:
            finding = self._until_go(step, step.poll, began, settled=("go", "todo"))
            if finding.verdict == "go":
                return finding, "changed" if sent else "found"
            if isinstance(change, Act):
                return self._act(step, change), "changed"
            failure = self._change(step, change)
            at, sent = self._now(), sent + 1
            if failure is None:
                return self._until_go(step, step.poll, at, lag=LAG), "changed"
            try:
                return self._settle_doubt(step, failure, at), "changed"
            except AvnError:
                pause = failure.cause.again_in or min(2.0**sent, LAG)
                if not step.again or failure.cause.is_final or self._now() + pause > began + step.poll.limit:
                    raise
            self._put_off(step, failure.detail, pause)

    def _act(self, step: Step[Any], change: Act) -> Finding:
        """What is done in this process tells by itself how it ended: its answer can't be lost."""
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

    def _change(self, step: Step[Any], change: Call[None]) -> FailedChange | None:
        """Run the change once. Gives back how it failed, or None."""
        self._reader.forget()
        put_off = 0.0
        while True:
            failure = self._send(step, change)
            cause = failure and failure.cause
            pause = self._reader.put_off(cause.status, cause.again_in, put_off) if cause else None
            if failure is None or pause is None:
                return failure
            self.changed = failure.changed_before
            if step.final:  # it was refused: there is still a way back
                self._final_sent = False
            put_off += pause
            self._put_off(step, failure.detail, pause)

    def _put_off(self, step: Step[Any], why: str, pause: float) -> None:
        self._emit(events.Missed(at=self._now(), slug=step.slug, why=f"not now: {why}", again_in=pause, asked=True))
        self._sleep(pause)

    def _send(self, step: Step[Any], change: Call[None]) -> FailedChange | None:
        argv = fill(change.argv, self.seen)
        with self._world.held():
            if step.guard:
                step.guard(self.seen)
            self._start(step, argv)
            before, self.changed = self.changed, True
            sent: Sent = "unanswered"  # a second signal may end it
            self.seen.keep(step.slug, sent)
            answer = self._reader.avn(argv)
            failure = None if answer.code == 0 else FailedChange(answer, self._world.explain(answer), change, before)
            refused, doubt = bool(failure and failure.refused), failure.why if failure else ""
            undone = refused or not answer.started
            sent = "answered" if failure is None else "refused" if undone else "unanswered"
            self.seen.keep(step.slug, sent)
            self._emit(
                events.ChangeEnded(
                    at=self._now(),
                    slug=step.slug,
                    seconds=answer.seconds,
                    doubt=doubt,
                    refused=refused,
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

    def _settle_doubt(self, step: Step[Any], failure: FailedChange, began: float) -> Finding:
        """A change that failed may have taken effect anyway: only a read can show that.

        Raises:
            AvnError: it did not act, or nothing tells.
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
            raise failure.error(f"{failure.detail}; then the check for its effect failed: {error.detail}") from None
        if finding is None:
            raise self._without_effect(step, failure)
        return self._until_go(step, step.poll, self._now(), lag=LAG) if step.doubts else finding

    def _without_effect(self, step: Step[Any], failure: FailedChange) -> AvnError:
        self.changed = failure.changed_before or ("unknown" if failure.silent else False)
        if step.final:  # it did not act, so there is a way back; a later step's failure opens none
            self._final_sent = failure.silent
        return failure.error()

    def _effect(self, looks: tuple[Step[Any], ...], limit: float, began: float) -> Finding | None:
        """What shows that a change acted: any one *go* does. None: all were still unchanged after ``limit`` seconds.

        Raises:
            AvnError, Unreachable: at the end one of the looks gave no answer, so nothing tells.
        """

        def look() -> tuple[Finding | None, AvnError | Unreachable | None]:
            silent: AvnError | Unreachable | None = None
            for step in looks:
                try:
                    finding = self._judged(step, Poll(limit=limit), began)
                except (AvnError, Unreachable) as error:
                    silent = error
                else:
                    if finding.verdict == "go":
                        return finding, None
            return None, silent

        within = began + limit - self._now()
        found, silent = poll(
            look, lambda seen: seen[0], within=within, first=0.2, longest=1.0, clock=self._now, sleep=self._sleep
        )
        if silent:
            raise silent
        return found

    def _until_go(
        self,
        step: Step[T],
        timing: Poll,
        began: float,
        *,
        lag: float = 0.0,
        settled: tuple[str, ...] = ("go",),
    ) -> Finding:
        """Ask until the gate says go, or else what is ``settled``.

        Raises:
            CcrError: the gate's own kind when it says stop; the poll's own kind at its limit.
            AvnError: the same, behind the point of no return, where a server could not be asked.
        """
        silent: Unreachable | None = None

        def look() -> Finding:
            nonlocal silent
            try:
                silent = None
                return self._judged(step, timing, began)
            except Unreachable as trouble:
                if not (timing.limit and self.past_return):
                    raise
                silent = trouble
                return self._looked(step, wait(f"{trouble.what}: {trouble.detail}"), timing, began)

        finding = poll(
            look,
            lambda found: found.verdict in settled or (found.verdict == "stop" and self._now() - began >= lag),
            within=began + timing.limit - self._now(),
            first=timing.first,
            longest=timing.interval,
            clock=self._now,
            sleep=self._sleep,
        )
        if finding.verdict in settled:
            return finding
        if finding.verdict == "stop" and self._now() - began >= lag:
            raise step.gate.refused(finding.reason, detail=finding.detail, hint=finding.hint)
        raise timed_out(step, replace(timing, error=AvnError, hint=silent.hint) if silent else timing, finding)

    def _judged(self, step: Step[T], poll: Poll, began: float) -> Finding:
        answer = self._reader.answer(step, self.seen, changed=self.changed)
        finding = step.gate.judge(answer, self.seen)
        if left_out := getattr(answer, "left_out", ()):
            finding = replace(finding, warnings=(*left_out, *finding.warnings))
        self.seen.remember(step, answer)
        return self._looked(step, finding, poll, began)

    def _looked(self, step: Step[Any], finding: Finding, poll: Poll, began: float) -> Finding:
        argv = fill(step.read.argv or step.command, self.seen)
        elapsed = self._now() - began
        self._emit(
            events.Looked(at=self._now(), slug=step.slug, argv=argv, finding=finding, elapsed=elapsed, limit=poll.limit)
        )
        return finding

    def _sleep(self, seconds: float) -> None:
        self._reader.forget()
        self._world.sleep(seconds)

    def _undo(self, step: Step[Any], problem: BaseException) -> None:
        """Each on its own: a failure does not prevent the others."""
        failed, done = "", ""
        try:
            done = step.undo(self.seen) if step.undo else ""
        except CcrError as error:
            failed = whole(error)
        note(problem, f"{step.slug}: NOT undone: {failed}" if failed else f"{step.slug}: {done or 'undone'}")
        self._emit(events.Undone(at=self._now(), slug=step.slug, done=done, failed=failed))

    def _release(self) -> None:
        """Release what a change opened; failures are ignored."""
        for step in reversed(self.plan.steps):
            if step.release and (self.seen.has(step) or isinstance(step.change, Act)):
                with suppress(CcrError):
                    step.release(self.seen)

    def _now(self) -> float:
        return self._world.clock() - self._began
