"""Runs an evacuation from the first check to the exit code: checks, table, question, runs, result."""

import fnmatch
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from ccr_avn import process, typed
from ccr_avn.aiven import avn
from ccr_avn.aiven.program import Program, known, world_of
from ccr_avn.cli import questions
from ccr_avn.cli.evacuation_told import (
    Ends,
    consequences,
    counts,
    lines_of,
    must_be_known,
    sentence,
    table,
    told_of,
)
from ccr_avn.cli.one_of_many import Given, OneOfMany
from ccr_avn.errors import CcrError, Interrupted, NotConfirmed
from ccr_avn.evacuate.avn_turns import AvnTurns, at_once
from ccr_avn.evacuate.choose import Choice, Selection, judge, left_by, select
from ccr_avn.evacuate.pair_phases import PairPhases
from ccr_avn.evacuate.schedule import Ended, Schedule, Turn
from ccr_avn.evacuate.service_list import ServiceList
from ccr_avn.evacuate.stop import Stop
from ccr_avn.history.drills import drills_of
from ccr_avn.history.journal import Journal, new_run
from ccr_avn.history.promotions import promotions
from ccr_avn.monitoring.collect import Looks, look_at_all
from ccr_avn.monitoring.pairs import Pair, pairs_of
from ccr_avn.output import console
from ccr_avn.output.pairs import PairLines, PairTable
from ccr_avn.plan import events
from ccr_avn.plan.preview import describe, preview
from ccr_avn.procedures.lookup import must_be_clouds
from ccr_avn.signals import handled

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccr_avn.aiven.models import Service


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)


SWITCH = 0.001
"""Seconds after which a thread lets others run: one whose writes are paused must not wait for one that computes."""

_WRITING = threading.Lock()
"""The journal of the evacuation has many writers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstList:
    """The first `avn service list`, under way. ``told``: what avn said, once it has; ``began``: on the monotonic clock."""

    answer: "Callable[[], tuple[Service, ...]]"
    told: list[process.Answer]
    began: float


@dataclass(slots=True)
class Evacuation:
    """One run of the command."""

    given: Given
    first_list: FirstList
    ends: Ends = field(init=False)
    stop: Stop = field(default_factory=Stop)
    run_id: str = field(default_factory=new_run)
    _began: float = field(default_factory=time.monotonic)
    _journal: Journal | None = None
    _over: bool = False  # every pair has ended
    _pairs: dict[str, Pair] = field(default_factory=dict)

    def run(self, *, check: bool, dry_run: bool) -> None:
        """Raises:
        CcrError: some pair was refused or failed, or the run was interrupted.
        """
        path = process.find_avn(self.given.setting.avn)
        selection = self._look(path)
        if dry_run:
            self._preview(selection)
            return
        for line in table(selection, self.given.want):
            console.note(line)
        if check:
            self._end_check(selection)
            return
        moves = [one for one in selection.choices if one.moves]
        self._journal = Journal(self.run_id)
        console.commit()
        self._emit(self._started(selection))
        try:
            if moves:
                self._ask(selection)
        except CcrError as problem:
            self._close(problem)
            raise
        with handled(ENDING, self._arrived):  # also while the result is reported
            if moves:
                self._move(moves, known(path))
            self._over = True
            found = self.ends.problem(self.stop)
            self._close(found)
            self._tell(found)

    # -- before anything is changed

    def _look(self, path: str) -> Selection:
        given = self.given
        want, setting = given.want, given.setting
        services = self.first_list.answer()
        for note in getattr(services, "left_out", ()):
            console.warn(note)
        pairs = pairs_of(services, promotions(setting.project.name))
        here = {one.cloud for one in services}
        if empty := tuple(one for one in want.clouds if not fnmatch.filter(here, one)):
            world = world_of(known(path).path, call_timeout=given.call_timeout)
            must_be_clouds(world, setting.project, empty, console.note)
        self._pairs = {one.name: one for one in pairs}
        selection = select(pairs, self._look_at(left_by(pairs, want)), want, drills_of(services, setting.project.name))
        must_be_known(selection, want, services)
        listed = {one.name: one for one in services}
        self.ends = Ends(run=self.run_id, given=given, selection=selection, services=listed)
        return selection

    def _look_at(self, pairs: tuple[Pair, ...]) -> Looks:
        services = [one for pair in pairs if pair.counts for one in pair.services]
        return look_at_all(services, self.given.setting, limit=self.given.data_timeout)

    def _preview(self, selection: Selection) -> None:
        shown = {one.name: self._one(one).verb().plan() for one in selection.choices if one.moves}
        programs = process.programs(self.given.setting.avn)
        if self.given.json:
            plans = {name: describe(plan, programs) for name, plan in shown.items()}
            result = {**counts(selection), "pairs": [told_of(one) for one in selection.choices], "plans": plans}
            console.envelope("evacuate", ok=True, changed=False, result=result)
            return
        for one in selection.choices:
            console.say(f"# {one.name}: {one.action}: {one.reason}")
            if one.name in shown:
                console.say(preview(shown[one.name], programs) + "\n")

    def _end_check(self, selection: Selection) -> None:
        """With --check the table is the result.

        Raises:
            Refused: some can't be moved.
        """
        result = {**counts(selection), "pairs": [told_of(one) for one in selection.choices]}
        if selection.count("refuse"):
            problem = self.ends.refusal()
            problem.result = result
            raise problem
        if self.given.json:
            console.envelope("evacuate", ok=True, changed=False, result=result)
        else:
            console.say(sentence(selection))

    def _ask(self, selection: Selection) -> None:
        """Raises:
        NotConfirmed: something else was typed.
        """
        for line in consequences(selection, self.given):
            console.note(line)
        if self.given.yes:
            return
        wanted = " ".join(self.given.want.clouds)
        count = selection.count("switchover") + selection.count("failover")
        question = f"Type {wanted} to promote {count} replicas; anything else changes nothing: "
        began = time.monotonic()
        answer = questions.answer_to(question)
        seconds = time.monotonic() - began
        confirmed = answer == wanted
        self._emit(events.Asked(at=self._now(), question=question.strip(), confirmed=confirmed, seconds=seconds))
        if not confirmed:
            raise NotConfirmed(
                "not confirmed",
                detail=f"expected {wanted!r}, got {answer!r}; nothing was changed",
                hint="run it again when you are sure, or with --check",
            )

    # -- the runs

    def _move(self, moves: list[Choice], program: Program) -> None:
        given = self.given
        process.raise_descriptors()
        sys.setswitchinterval(SWITCH)
        turns = AvnTurns(min(given.parallel, at_once()))
        schedule = Schedule(parallel=given.parallel, canary=given.canary, stop_after=given.stop_after, stop=self.stop)
        listing = (program.path, *(str(word) for word in avn.service_list(given.setting.project).argv[1:]))
        services = ServiceList(
            ask=lambda: turns.ask_for_all(lambda: process.run(listing, deadline=given.call_timeout)),
            several=lambda: len(schedule.under_way) > 1,
        )
        if self.first_list.told:
            services.remember(self.first_list.told.pop(), self.first_list.began)
        phases = PairPhases([one.name for one in moves])
        shown = _shown(phases)
        phases.changed = shown.changed
        jobs = {one.name: self._one(one) for one in moves}

        def work(name: str, turn: Turn) -> Ended:
            job = jobs[name]
            self._emit(events.PairStarted(at=self._now(), pair=name, command=job.choice.action, run=job.run_id))
            result = job.perform(phases, turns, services, self.stop, program, turn)
            if result.state == "not begun":
                phases.ended(name, "waiting")
            else:
                self.ends.moved[name] = result
                phases.ended(name, result.state, result.summary)
            self._emit(
                events.PairEnded(at=self._now(), pair=name, run=result.run, head=result.head, told=result.told())
            )
            return result.ended

        shown.open()
        try:
            ended = schedule.run(list(jobs), work, tick=self._answer_stop)
        finally:
            shown.close()
        for name in ended.keys() - self.ends.moved:  # its work raised something
            self.ends.moved[name] = jobs[name].lost(ended[name])
        self.ends.slowed, self.ends.full = turns.slowed, schedule.full

    def _answer_stop(self) -> None:
        if told := self.stop.news():
            console.note(f"stopping: {told}")

    def _one(self, choice: Choice) -> OneOfMany:
        pair = self._pairs.get(choice.name) if self.given.want.mode == "auto" else None
        again = partial(self._judged, pair) if pair and pair.replica_name else None
        return OneOfMany(choice=choice, given=self.given, evacuation=self.run_id, began=self._began, judge=again)

    def _judged(self, pair: Pair) -> Choice:
        return judge(pair, self._look_at((pair,)), self.given.want)

    def _arrived(self, number: int, _: FrameType | None) -> None:
        """Ctrl-C once: begin no more; again: as in a single run, for each."""
        self.stop.ask(number, at_once=number in (signal.SIGTERM, signal.SIGHUP))
        if self._over and self.stop.level > 1:
            late = Interrupted(number)
            late.changed = self.ends.changed
            raise late

    # -- what came of it

    def _tell(self, problem: CcrError | None) -> None:
        """Raises:
        CcrError: the problem.
        """
        result = self.ends.result()
        if self.given.json and not problem:
            journal = {"path": str(self._journal.path), "head": self._journal.head} if self._journal else {}
            console.envelope(
                "evacuate",
                ok=True,
                changed=self.ends.changed,
                run=self.run_id,
                result=result,
                warnings=list(console.warnings()),
                journal=journal,
            )
        if not self.given.json:
            for line in lines_of(result):
                console.say(line)
        if problem:
            raise problem

    def _started(self, selection: Selection) -> events.RunStarted:
        want, setting = self.given.want, self.given.setting
        facts = {
            "clouds": list(want.clouds),
            "mode": want.mode,
            "project": setting.project.name,
            "pairs": [told_of(one) for one in selection.choices],
        }
        title = f"evacuate {' '.join(want.clouds)}"
        return events.RunStarted(
            at=0.0, run=self.run_id, command="evacuate", title=title, slugs=(), facts=facts, argv=typed.words()
        )

    def _close(self, problem: CcrError | None) -> None:
        result = self.ends.result()
        if problem:
            result |= {"error": problem.what, "detail": problem.detail, "hint": problem.hint}
        code = problem.exit_code if problem else 0
        self._emit(events.RunEnded(at=self._now(), ok=not problem, changed=self.ends.changed, code=code, result=result))
        if self._journal is None:
            return
        self._journal.close()
        if self._journal.head and not self.given.json:
            console.note(f"journal: {self.run_id}, head {self._journal.head}")

    def _emit(self, event: events.Event) -> None:
        if self._journal:
            with _WRITING:
                self._journal(event)

    def _now(self) -> float:
        return time.monotonic() - self._began


def _shown(phases: PairPhases) -> PairLines:
    """A table that lives in a terminal, one line a change elsewhere."""
    if sys.stderr is not None and sys.stderr.isatty():
        return PairTable(phases)
    return PairLines()
