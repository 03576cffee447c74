"""Runs one pair of an evacuation in a thread: the plan of `switchover` or `failover`, with its own journal."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ccr_avn import clock, process
from ccr_avn.aiven.program import Program, world_of
from ccr_avn.cli.conduct import How, carry_out
from ccr_avn.cli.session import Session
from ccr_avn.errors import CHANGED, CcrError, Interrupted, NotBegun, Refused
from ccr_avn.evacuate.avn_turns import AvnTurns
from ccr_avn.evacuate.choose import Choice, Want
from ccr_avn.evacuate.pair_avn import PairAvn
from ccr_avn.evacuate.pair_phases import PairPhases
from ccr_avn.evacuate.schedule import Ended, State, Turn
from ccr_avn.evacuate.service_list import ServiceList
from ccr_avn.evacuate.stop import RunSignals, Stop
from ccr_avn.history.journals import JournalsHere
from ccr_avn.hooks import Hooks
from ccr_avn.output.pairs import PairProgress
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.printable import printable_line
from ccr_avn.procedures.failover import Failover
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.switchover import Switchover
from ccr_avn.procedures.verb import Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options of `evacuate`. Times are in seconds."""

    want: Want
    setting: Setting
    old_primary: Literal["close", "power-off"]
    parallel: int
    canary: int
    stop_after: int
    hooks: Hooks
    write_env_dir: Path | None
    data_timeout: float
    promote_timeout: float
    doubt_timeout: float
    call_timeout: float
    json: bool
    yes: bool
    words: tuple[str, ...] = ()  # the options that were typed and that the command of a single pair has too
    words_of_switchovers: tuple[str, ...] = ()  # those that only a switchover has


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How one pair ended. ``phases``: each with its beginning and end, in seconds since the evacuation began.

    ``lost``: bytes that only the old primary has; ``loss_seconds``: an estimate, of a failover. None: not known.
    """

    choice: Choice
    ended: Ended
    run: str
    head: str
    summary: str
    result: dict[str, Any]
    outage_ms: float | None = None
    lost: int | None = None
    loss_seconds: float | None = None
    goes_on_with: str = ""
    enable: str = ""
    notes: tuple[str, ...] = ()  # what the operator must know now
    phases: tuple[tuple[str, float, float], ...] = ()

    @property
    def state(self) -> State | Literal["half-way"]:
        """*half-way*: its promotion was sent, and the rest is not done."""
        return "half-way" if self.ended.state == "failed" and "promoted" in self.result else self.ended.state

    @property
    def promoted(self) -> bool:
        """Whether its replica was seen to be the primary."""
        return self.ended.state == "done" or bool(self.result.get("promoted", self.result.get("new_primary")))

    def told(self) -> dict[str, Any]:
        """As plain data, without secrets."""
        half = ("new_primary", "promoted", "old_primary", "writes_paused_until", "ways_to_close")
        return {
            "state": self.state,
            "promoted": self.promoted,
            "half_way": {key: self.result.get(key) for key in half} if self.state == "half-way" else None,
            "notes": list(self.notes),
            "changed": self.ended.changed,
            "exit_code": self.ended.code,
            "run": self.run,
            "journal_head": self.head,
            "summary": self.summary,
            "outage_ms": self.outage_ms,
            "bytes_not_replicated": self.lost,
            "estimated_loss_seconds": self.loss_seconds,
            "goes_on_with": self.goes_on_with or None,
            "phases": [list(one) for one in self.phases],
            "details": {key: self.result.get(key) for key in ("error", "detail", "hint") if self.result.get(key)},
        }


@dataclass(slots=True, kw_only=True)
class OneOfMany:
    """``began``: when the evacuation did, on the monotonic clock. ``judge``: of --auto, what the pair is like now."""

    choice: Choice
    given: Given
    evacuation: str
    began: float
    judge: Callable[[], Choice] | None = None
    _session: Session | None = None
    _hooks: Any = field(default=None)

    @property
    def session(self) -> Session:
        """Made when the pair's turn comes, so that its name tells when that was."""
        if self._session is None:
            self._session = Session(
                self.choice.action, json=True, progress=_Silent(), argv=self._words, **self._facts()
            )
        return self._session

    @property
    def run_id(self) -> str:
        return self.session.run_id

    def verb(self) -> Verb:
        """What the single command would run, for this pair."""
        given, choice = self.given, self.choice
        at = replace(
            given.setting,
            run=self._session.run_id if self._session else self.evacuation,
            journals=JournalsHere(given.setting.project.name),
            now=clock.now(),
        )
        if choice.action == "failover":
            return Failover(
                at=at,
                replica=choice.replica,
                allow_data_loss=True,
                promote_timeout=given.promote_timeout,
                doubt_timeout=given.doubt_timeout,
                family=choice.family,
            )
        return Switchover(
            at=at,
            primary=choice.primary,
            replica=choice.replica,
            max_lag_bytes=given.want.max_lag_bytes,
            old_primary=given.old_primary,
            promote_timeout=given.promote_timeout,
            doubt_timeout=given.doubt_timeout,
            family=choice.family,
        )

    def perform(
        self,
        phases: PairPhases,
        turns: AvnTurns,
        services: ServiceList,
        stop: Stop,
        program: Program,
        turn: Turn,
    ) -> Moved:
        """Never raises: how it ended is a value, and no pair's end is another's."""
        session, signals, name = self.session, RunSignals(stop), self.choice.name
        session.progress = PairProgress(name, phases)
        session.sinks = [session.timeline.append, session.journal, session.progress]
        pair_avn = PairAvn(
            turns=turns,
            services=services,
            signals=signals,
            run_avn=process.run,
            clock=time.monotonic,
            moved=turn.leave,
        )
        session.sinks.append(pair_avn)
        try:
            self._decide(turn)
            return self._ended(pair_avn, signals, program, phases, turn)
        except CcrError as problem:
            return self._failed(problem, phases)
        except Exception as bug:  # noqa: BLE001 (in a thread: it would be lost, and the other pairs go on)
            return self._failed(_bug(bug), phases)
        finally:
            pair_avn.leave()

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
            self.choice = replace(self.choice, action=now.action, reason=now.reason, behind=now.behind)
        self.session.command, self.session.facts = self.choice.action, self._facts()

    def _ended(self, pair_avn: PairAvn, signals: RunSignals, program: Program, phases: PairPhases, turn: Turn) -> Moved:
        """Raises:
        CcrError: as the run ended.
        """
        session, given, verb = self.session, self.given, self.verb()
        world = world_of(
            program.path,
            call_timeout=given.call_timeout,
            run=pair_avn.run,
            known=pair_avn.known,
            sleep=signals.sleep,
            held=signals.held,
            slow_down=pair_avn.turns.slow_down,
        )
        hooks = replace(given.hooks, about=self.choice.name, seconds={})
        run = carry_out(
            verb,
            session,
            How(json=True, hooks=hooks, write_env=self._env),
            lambda _: self._take(turn),
            lambda confirm: session.run_in(world, verb, program.version, confirm),
        )
        outcome = verb.outcome(session.ended(run, hooks=hooks.seconds))
        result = session.conclude(run, outcome.result, outcome.problem)
        if outcome.problem:
            return self._failed(outcome.problem, phases)
        return self._done(run, result, phases)

    def _take(self, turn: Turn) -> None:
        """Where a single run asks its question, one of many waits for its turn.

        Raises:
            NotBegun: none came.
            Refused: it was to be failed over, and its primary answers.
        """
        session, began, came = self.session, time.monotonic(), False
        try:
            turn.take()
            came = True
        finally:
            if (seconds := round(time.monotonic() - began, 1)) or not came:
                session.emit(events.Asked(at=session.now(), question="its turn", confirmed=came, seconds=seconds))
        known = session.run.seen.known if self.judge and session.run and self.choice.action == "failover" else None
        if known and known.primary:
            raise Refused(
                f"{self.choice.primary} answers after all",
                hint="run the same command again: it decides again how this pair is moved",
            )

    def _done(self, run: Run, result: dict[str, Any], phases: PairPhases) -> Moved:
        ended = Ended(state="done", changed=run.changed)
        return self._moved(ended, result, phases, summary=f"{self.choice.replica} is the primary now")

    def _failed(self, problem: CcrError, phases: PairPhases) -> Moved:
        began = bool(problem.changed) or any(isinstance(one, events.ChangeStarted) for one in self.session.timeline)
        state: State = "failed"
        if not began and isinstance(problem, Interrupted | NotBegun):
            state = "not begun"
        elif not began and isinstance(problem, Refused):
            state = "refused"
        told = {"error": problem.what, "detail": problem.detail, "hint": problem.hint, **problem.result}
        summary = "; ".join(one for one in (problem.what, problem.detail) if one)
        if isinstance(problem, Interrupted):
            summary = problem.what
        return self._moved(
            Ended(state=state, changed=problem.changed, code=problem.exit_code - (CHANGED if problem.changed else 0)),
            told,
            phases,
            summary=printable_line(summary),
            goes_on_with=self.single(),
            notes=problem.notes,
        )

    def _moved(self, ended: Ended, result: dict[str, Any], phases: PairPhases, **more: Any) -> Moved:
        pair = phases.pairs[self.choice.name]
        past = [*pair.past, (pair.phase, pair.since, time.monotonic())]
        moved = Moved(
            choice=self.choice,
            ended=ended,
            run=self.run_id if self.session.run else "",
            head=self.session.journal.head,
            result=result,
            outage_ms=self._outage(),
            lost=result.get("bytes_not_replicated"),
            loss_seconds=(result.get("rpo_estimate") or {}).get("seconds"),
            phases=tuple((phase, round(a - self.began, 3), round(b - self.began, 3)) for phase, a, b in past),
            **more,
        )
        return replace(moved, enable=self._enable()) if moved.promoted else moved

    def _outage(self) -> float | None:
        verb, run = self.verb(), self.session.run
        return verb.outage(self.session.ended(run)) if run and isinstance(verb, Switchover) else None

    def lost(self, ended: Ended) -> Moved:
        """Where nothing else is known of its end than that it raised something."""
        return Moved(
            choice=self.choice, ended=ended, run="", head="", summary=ended.why, result={}, goes_on_with=self.single()
        )

    def single(self) -> str:
        """The command that goes on with this pair alone."""
        return shlex.join(("ccr-avn", *self._words))

    @property
    def _words(self) -> tuple[str, ...]:
        given, choice = self.given, self.choice
        words: tuple[str, ...] = ("switchover", choice.primary, choice.replica, *given.words_of_switchovers)
        if choice.action == "failover":
            partial = ("--force-partial",) if given.setting.tolerance else ()
            words = ("failover", choice.replica, "--allow-data-loss", *partial)
        env = ("--write-env", str(self._env)) if self._env else ()
        return (*words, *env, *given.words, *given.setting.options)

    @property
    def _env(self) -> Path | None:
        return self.given.write_env_dir / f"{self.choice.replica}.env" if self.given.write_env_dir else None

    def _enable(self) -> str:
        """What gives the new primary a replica again; in which cloud is for the operator to say."""
        name = self.choice.replica
        words = ("ccr-avn", "enable", name, f"{name[:60]}-2", *self.given.setting.project.flag)
        return f'{shlex.join(words)} --replica-cloud "${{CLOUD:?}}"'

    def _facts(self) -> dict[str, Any]:
        given, choice = self.given, self.choice
        facts: dict[str, Any] = {"replica": choice.replica, "project": given.setting.project.name}
        if choice.action == "switchover":
            facts |= {"primary": choice.primary, "old_primary": given.old_primary}
        return {**facts, "evacuation": self.evacuation}


def _bug(bug: Exception) -> CcrError:
    problem = CcrError(f"internal error: {type(bug).__name__}", detail="the pair's own journal shows how far it got")
    problem.changed = getattr(bug, "changed", "unknown")
    return problem


class _Silent(PairProgress):
    """Until there are phases."""

    def __init__(self) -> None:
        super().__init__("", PairPhases(()))
