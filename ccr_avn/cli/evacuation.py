"""Runs an evacuation from the first check to the exit code: checks, table, question, runs, result."""

import fnmatch
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import FrameType

from ccr_avn import process
from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Service
from ccr_avn.background import new_lock
from ccr_avn.cli.conduct import ask
from ccr_avn.cli.evacuation_result import (
    EvacuationResult,
    lines_of,
    must_be_known,
    question,
    sentence,
    table,
)
from ccr_avn.cli.pair_run import Common, PairRun, verb_of
from ccr_avn.cli.session import Session
from ccr_avn.errors import CcrError, Interrupted
from ccr_avn.evacuate.avn_turns import AvnTurns, ServiceList, at_once
from ccr_avn.evacuate.choose import Choice, judge, left_by, select
from ccr_avn.evacuate.schedule import Schedule, State, Turn
from ccr_avn.history.journals import drills_of
from ccr_avn.monitoring.collect import Looks, look_at_all
from ccr_avn.monitoring.pairs import Pair, pairs_of
from ccr_avn.output import console
from ccr_avn.output.progress import PairPhases, PlainProgress
from ccr_avn.plan import events
from ccr_avn.plan.preview import describe, preview
from ccr_avn.procedures.lookup import must_be_clouds
from ccr_avn.signals import handled

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)

SWITCH = 0.001
"""Seconds after which a thread lets others run: one whose writes are paused must not wait for one that computes."""


@dataclass(slots=True, kw_only=True, repr=False)
class Evacuation(Common):
    """One run of the command. ``first_list``: the first `avn service list`, under way."""

    first_list: Callable[[], tuple[Service, ...]]
    _result: EvacuationResult = field(init=False)
    _pairs: dict[str, Pair] = field(default_factory=dict)
    _over: bool = False  # every pair has ended

    def run(self) -> None:
        """Raises:
        CcrError: some pair was refused or failed, or the run was interrupted.
        """
        self._look()
        if self.how.dry_run:
            self._preview()
            return
        for line in table(self._result.selection, self.want):
            console.note(line)
        if self.how.check:
            self._end_check()
            return
        session = self._begin()
        moves = [one for one in self._result.selection.choices if one.moves]
        try:
            if moves:
                ask(session, question(self._result.selection, self.want), yes=self.how.yes)
        except CcrError as problem:
            session.conclude(False, self._result.as_dict(), problem, only_looked=True)
            raise
        with handled(ENDING, self._arrived):  # also while the result is reported
            if moves:
                self._move(moves, session)
            self._over = True
            found, result = self._result.problem(self.stop), self._result.as_dict()
            session.finish(self._result.changed, result, lines_of(result), found, only_looked=True)

    # -- before anything is changed

    def _look(self) -> None:
        """What exists, and what will be done with it."""
        want, project = self.want, self.want.at.project
        services = self.first_list()
        for note in getattr(services, "left_out", ()):
            console.warn(note)
        journals = want.at.journals
        pairs = pairs_of(services, journals.promotions, drills_of(services, journals))
        here = {one.cloud for one in services}
        if empty := tuple(one for one in want.clouds if not fnmatch.filter(here, one)):
            must_be_clouds(self.world, project, empty, console.note)
        self._pairs = {one.name: one for one in pairs}
        selection = select(pairs, self._look_at(left_by(pairs, want)), want)
        must_be_known(selection, want, services)
        self._result = EvacuationResult(want=want, selection=selection, services={one.name: one for one in services})

    def _look_at(self, pairs: tuple[Pair, ...]) -> Looks:
        services = [one for pair in pairs if pair.counts or pair.replica_name for one in pair.services]
        return look_at_all(services, self.want.at, limit=self.want.data_timeout)

    def _preview(self) -> None:
        choices = self._result.selection.choices
        plans = {one.name: verb_of(one, self.want).plan() for one in choices if one.moves}
        programs = process.programs(self.want.at.avn)
        if self.how.json:
            described = {name: describe(plan, programs) for name, plan in plans.items()}
            result = {**self._result.chosen(), "plans": described}
            console.envelope("evacuate", result)
            return
        for one in choices:
            console.say(f"# {one.name}: {one.action}: {one.reason}")
            if one.name in plans:
                console.say(preview(plans[one.name], programs) + "\n")

    def _end_check(self) -> None:
        """With --check the table is the result.

        Raises:
            Refused: some can't be moved.
        """
        result = self._result.chosen()
        if self._result.selection.count("refuse"):
            problem = self._result.refusal()
            problem.result = result
            raise problem
        if self.how.json:
            console.envelope("evacuate", result)
        else:
            console.say(sentence(self._result.selection))

    def _begin(self) -> Session:
        console.commit()
        session = Session(
            "evacuate",
            json=self.how.json,
            progress=PlainProgress(),
            run_id=self.want.at.run,
            clouds=list(self.want.clouds),
            mode=self.want.mode,
            project=self.want.at.project.name,
            pairs=[one.as_dict() for one in self._result.selection.choices],
        )
        session.sinks = [session.journal]
        console.about(session.about)
        session.start(f"evacuate {' '.join(self.want.clouds)}")
        return session

    # -- the runs

    def _move(self, moves: list[Choice], session: Session) -> None:
        process.raise_descriptors()
        sys.setswitchinterval(SWITCH)
        want = self.want
        schedule = Schedule(parallel=want.parallel, canary=want.canary, stop_after=want.stop_after, stop=self.stop)
        in_place = sys.stderr is not None and sys.stderr.isatty()
        self.began, self.phases = session.began, PairPhases([one.name for one in moves], in_place=in_place)
        turns = self._share_avn(several=lambda: len(schedule.under_way) > 1)
        choices, results, one_at_a_time = {one.name: one for one in moves}, self._result.pairs, new_lock()

        def work(name: str, turn: Turn) -> State:
            pair = PairRun(choice=choices[name], common=self, judge=self._judge_again(name))
            command = pair.choice.action
            with one_at_a_time:
                session.emit(events.PairStarted(at=session.now(), pair=name, command=command, run=pair.run_id))
            result = pair.run(turn)
            if result.state == "not begun":
                self.phases.ended(name, "waiting")
            else:
                results[name] = result
                self.phases.ended(name, result.state, result.summary)
            how, head = result.as_dict(), result.journal_head
            with one_at_a_time:
                session.emit(events.PairEnded(at=session.now(), pair=name, run=result.run, head=head, result=how))
            return result.ended

        with self.phases.live or nullcontext():
            schedule.run(list(choices), work, tick=self._answer_stop)
        self._result.slowed, self._result.full = turns.slowed, schedule.full

    def _share_avn(self, *, several: Callable[[], bool]) -> AvnTurns:
        """``several``: whether more than one pair is under way."""
        turns = self.turns = AvnTurns(min(self.want.parallel, at_once()))
        listing = (self.world.avn, *map(str, avn.service_list(self.want.at.project).argv[1:]))
        self.services = ServiceList(
            ask=lambda: turns.ask_for_all(lambda: process.run(listing, deadline=self.world.call_timeout)),
            several=several,
        )
        return turns

    def _judge_again(self, name: str) -> Callable[[], Choice] | None:
        """Of --auto: a primary may have come back, or be lost, by the time that its turn comes."""
        pair = self._pairs.get(name)
        if self.want.mode != "auto" or pair is None or not pair.replica_name:
            return None
        return lambda: judge(pair, self._look_at((pair,)), self.want)

    def _answer_stop(self) -> None:
        if news := self.stop.news():
            console.note(f"stopping: {news}")

    def _arrived(self, number: int, _: FrameType | None) -> None:
        """Ctrl-C once: begin no more; again: as in a single run, for each."""
        self.stop.ask(number, at_once=number in (signal.SIGTERM, signal.SIGHUP))
        if self._over and self.stop.level > 1:
            late = Interrupted(number)
            late.changed = self._result.changed
            raise late
