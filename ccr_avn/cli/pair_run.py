"""Runs one pair of an evacuation in a thread: the plan of `switchover` or `failover`, with its own journal."""

import shlex
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ccr_avn import clock, process
from ccr_avn.cli.conduct import carry_out
from ccr_avn.cli.options import How
from ccr_avn.cli.session import Session
from ccr_avn.errors import CHANGED, CcrError, Changed, Interrupted, NotBegun, Refused, as_dict, outcome_of
from ccr_avn.evacuate.avn_turns import AvnTurns, PairAvn, ServiceList
from ccr_avn.evacuate.choose import Choice, Want
from ccr_avn.evacuate.schedule import RunSignals, State, Stop, Turn
from ccr_avn.history.journal import new_run
from ccr_avn.history.journals import JournalsHere
from ccr_avn.output.progress import PairPhases, PairProgress
from ccr_avn.plan import events
from ccr_avn.plan.reads import World
from ccr_avn.printable import printable_line
from ccr_avn.procedures.failover import Failover
from ccr_avn.procedures.switchover import Switchover

HALF_WAY = ("new_primary", "promoted", "old_primary", "writes_paused_until", "ways_to_close")


@dataclass(slots=True, kw_only=True, repr=False)  # it may be shown before it is whole
class Common:
    """What all pairs of an evacuation have in common. ``began``: on the monotonic clock.

    ``pair_words``: the options that were typed and that stand around the command of a single pair, too.
    """

    want: Want
    world: World
    how: How
    pair_words: tuple[str, ...]
    stop: Stop = field(default_factory=Stop)
    began: float = field(init=False)
    turns: AvnTurns = field(init=False)
    services: ServiceList = field(init=False)
    phases: PairPhases = field(init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """How one pair ended. ``phases``: each with its beginning and end, in seconds since the evacuation began.

    ``result``: as the single command reports it; ``resume``: the command that resumes this pair alone.
    """

    choice: Choice
    ended: State
    changed: Changed = False
    code: int = 0
    run: str = ""
    journal_head: str = ""
    summary: str
    result: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    outage_ms: float | None = None
    resume: str = ""
    notes: tuple[str, ...] = ()  # what the operator must know now
    phases: tuple[tuple[str, float, float], ...] = ()

    @property
    def state(self) -> State | Literal["half-way"]:
        """*half-way*: its promotion was sent, and the rest is not done."""
        return "half-way" if self.ended == "failed" and "promoted" in self.result else self.ended

    @property
    def promoted(self) -> bool:
        """Whether its replica was seen to be the primary."""
        return self.ended == "done" or bool(self.result.get("promoted", self.result.get("new_primary")))

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "promoted": self.promoted,
            "half_way": {key: self.result.get(key) for key in HALF_WAY} if self.state == "half-way" else None,
            "notes": list(self.notes),
            "changed": bool(self.changed),
            "outcome": outcome_of(self.changed),
            "exit_code": self.code,
            "run": self.run,
            "journal_head": self.journal_head,
            "summary": self.summary,
            "outage_ms": self.outage_ms,
            "bytes_not_replicated": self.result.get("bytes_not_replicated"),
            "estimated_loss_seconds": (self.result.get("rpo_estimate") or {}).get("seconds"),
            "error": self.error,
            "next": [shlex.split(self.resume)] if self.resume else [],
            "phases_seconds": [list(one) for one in self.phases],
        }


def verb_of(choice: Choice, want: Want) -> Switchover | Failover:
    """What the single command would run for this pair, with every option that both have."""

    def shared(verb: type[Switchover | Failover]) -> dict[str, Any]:
        return {one.name: getattr(want, one.name) for one in fields(verb) if hasattr(want, one.name)}

    if choice.action == "failover":
        return Failover(replica=choice.replica, **(shared(Failover) | {"allow_data_loss": True}))
    return Switchover(primary=choice.primary, replica=choice.replica, **shared(Switchover))


@dataclass(slots=True, kw_only=True)
class PairRun:
    """Made when the pair begins, as its run's name shows when that was. ``judge``: of --auto, what it is like now."""

    choice: Choice
    common: Common
    judge: Callable[[], Choice] | None = None
    run_id: str = field(default_factory=new_run)
    session: Session | None = None

    @property
    def verb(self) -> Switchover | Failover:
        want, at = self.common.want, self.common.want.at
        at = replace(at, run=self.run_id, journals=JournalsHere(at.project.name), now=clock.now())
        return verb_of(self.choice, replace(want, at=at))

    @property
    def words(self) -> tuple[str, ...]:
        """The command that resumes this pair alone."""
        verb, common = self.verb, self.common
        names = (verb.primary, verb.replica) if isinstance(verb, Switchover) else (verb.replica,)
        accepts = isinstance(verb, Failover) and common.want.allow_rejected_commands
        partial = ("--force-partial",) if accepts else ()
        env = ("--write-env", str(self._env_file)) if self._env_file else ()
        return (verb.command, *names, *verb.words(), *partial, *env, *common.pair_words)

    def run(self, turn: Turn) -> PairResult:
        """Never raises: how it ended is a value, and no pair's end is another's."""
        try:
            self._decide(turn)
            return self._moved(turn)
        except CcrError as problem:
            return self._failed(problem)
        except BaseException as bug:  # noqa: BLE001 (in a thread: it would be lost, and the other pairs go on)
            crash = CcrError(f"internal error: {type(bug).__name__}", detail="its own journal shows how far it got")
            crash.changed = getattr(bug, "changed", "unknown")
            return self._failed(crash)

    def _decide(self, turn: Turn) -> None:
        """What is done with it, decided again at its turn: by then a primary may have come back, or be lost.

        Raises:
            Refused: it can't be switched over, and is not proven to be lost.
            NotBegun: no turn came.
        """
        at_its_turn = False
        while self.judge and not at_its_turn:
            if at_its_turn := self.choice.action == "failover":
                turn.take()
            now = self.judge()
            if not now.moves:
                raise Refused(f"{self.choice.name}: {now.reason}", hint=now.hint)
            if now.action == self.choice.action == "switchover":
                return
            self.choice = replace(self.choice, action=now.action, reason=now.reason, lag_bytes=now.lag_bytes)

    def _moved(self, turn: Turn) -> PairResult:
        """Raises:
        CcrError: as the run ended.
        """
        common, verb, signals = self.common, self.verb, RunSignals(self.common.stop)
        session = self.session = Session(
            verb.command,
            json=True,
            progress=PairProgress(self.choice.name, common.phases),
            argv=self.words,
            run_id=self.run_id,
            project=common.want.at.project.name,
            evacuation=common.want.at.run,
            **verb.facts(),
        )
        pair_avn = PairAvn(
            turns=common.turns, services=common.services, signals=signals, run_avn=process.run, moved=turn.leave
        )
        session.sinks.append(pair_avn)
        world = replace(
            common.world,
            run=pair_avn.run,
            shared_answer=pair_avn.known,
            sleep=signals.sleep,
            signals_held=signals.held,
            shared_pause=common.turns.slow_down,
        )
        hooks = replace(common.how.hooks, about=self.choice.name, took={})
        try:
            run = carry_out(
                verb,
                session,
                How(json=True, hooks=hooks, write_env=self._env_file),
                nullcontext(world),
                lambda _: self._take(turn, session),
            )
        finally:
            pair_avn.leave()
        outcome = verb.outcome(session.ended(run, hooks=hooks.took))
        result = session.conclude(run.changed, outcome.result, outcome.problem)
        if outcome.problem:
            raise outcome.problem
        return self._result("done", changed=run.changed, result=result, summary=f"{verb.replica} is the primary now")

    def _take(self, turn: Turn, session: Session) -> None:
        """Where a single run asks its question, a pair of an evacuation waits for its turn.

        Raises:
            NotBegun: none came.
            Refused: it was to be failed over, and its primary answers.
        """
        began, came = clock.monotonic(), False
        try:
            turn.take()
            came = True
        finally:
            if (waited := round(clock.monotonic() - began, 1)) or not came:
                session.emit(events.Asked(at=session.now(), question="its turn", confirmed=came, seconds=waited))
        known = session.run.seen.sides if self.judge and session.run and self.choice.action == "failover" else None
        if known and known.primary:
            again = "run the same command again: it decides again how to move this pair"
            raise Refused(f"{self.choice.primary} answers after all", hint=again)

    def _failed(self, problem: CcrError) -> PairResult:
        timeline = self.session.timeline if self.session else []
        began = bool(problem.changed) or any(isinstance(one, events.ChangeStarted) for one in timeline)
        ended: State = "failed"
        if not began and isinstance(problem, Interrupted | NotBegun):
            ended = "not begun"
        elif not began and isinstance(problem, Refused):
            ended = "refused"
        why = problem.detail and not isinstance(problem, Interrupted)
        return self._result(
            ended,
            changed=problem.changed,
            code=problem.exit_code - (CHANGED if problem.changed else 0),
            result=problem.result,
            error=as_dict(problem),
            summary=printable_line(f"{problem.what}; {problem.detail}" if why else problem.what),
            resume=shlex.join(("ccr-avn", *self.words)),
            notes=problem.notes,
        )

    def _result(self, ended: State, **more: Any) -> PairResult:
        verb, session, began = self.verb, self.session, self.common.began
        ran = session is not None and session.run is not None
        outage = None
        if session and session.run and isinstance(verb, Switchover):
            outage = verb.outage(session.ended(session.run))
        pair = self.common.phases.pairs[self.choice.name]
        past = [*pair.past, (pair.phase, pair.since, clock.monotonic())]
        return PairResult(
            choice=self.choice,
            ended=ended,
            run=self.run_id if ran else "",
            journal_head=session.journal.head if session else "",
            outage_ms=outage,
            phases=tuple((phase, round(a - began, 3), round(b - began, 3)) for phase, a, b in past),
            **more,
        )

    @property
    def _env_file(self) -> Path | None:
        directory = self.common.want.write_env_dir
        return directory / f"{self.choice.replica}.env" if directory else None
