"""Runs an evacuation from the first check to the exit code: checks, table, question, runs, result."""

import os
import secrets
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

from ccr_avn import process, typed
from ccr_avn.aiven.program import Program, known
from ccr_avn.cli import promotion_options
from ccr_avn.cli.evacuation_told import (
    Failed,
    consequences,
    counts,
    lines_of,
    must_be_known,
    not_begun,
    sentence,
    spread,
    table,
    told_of,
)
from ccr_avn.cli.one_of_many import Given, Moved, OneOfMany
from ccr_avn.errors import CcrError, Interrupted, NotConfirmed, Refused
from ccr_avn.evacuate.board import Board
from ccr_avn.evacuate.choose import Choice, Selection, left_by, select
from ccr_avn.evacuate.governor import Governor, at_once
from ccr_avn.evacuate.lane import asking
from ccr_avn.evacuate.schedule import Ended, Schedule, Turn
from ccr_avn.evacuate.shared import SharedReads
from ccr_avn.evacuate.stop import Stop
from ccr_avn.history.journal import Journal
from ccr_avn.history.promotions import promotions
from ccr_avn.monitoring.collect import look_at_all
from ccr_avn.monitoring.pairs import pairs_of
from ccr_avn.output import console
from ccr_avn.output.many import PlainBoard
from ccr_avn.plan import events
from ccr_avn.plan.preview import describe, preview
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
    moved: dict[str, Moved] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)
    run_id: str = field(
        default_factory=lambda: f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    )
    _began: float = field(default_factory=time.monotonic)
    _journal: Journal | None = None
    _slowed: int = 0

    def run(self, *, check: bool, dry_run: bool) -> None:
        """Raises:
        CcrError: some pair was refused or failed, or the run was interrupted.
        """
        path = process.find_avn(self.given.setting.avn)
        selection = self._look()
        if dry_run:
            self._preview(selection)
            return
        if check:
            self._show(selection)
            self._end_check(selection)
            return
        self._show(selection)
        moves = [one for one in selection.choices if one.moves]
        self._journal = Journal(self.run_id)
        console.commit()
        self._emit(self._started(selection))
        try:
            if moves:
                self._ask(selection)
                self._move(moves, known(path))
        except CcrError as problem:
            self._close(problem, selection)
            raise
        found = self._problem(selection)
        self._close(found, selection)
        self._tell(selection, found)

    # -- before anything is changed

    def _look(self) -> Selection:
        given = self.given
        want, setting = given.want, given.setting
        services = self.first_list.answer()
        for note in getattr(services, "left_out", ()):
            console.warn(note)
        pairs = pairs_of(services, promotions(setting.project.name))
        looks = look_at_all(
            left_by(pairs, want), limit=given.data_timeout, ca_file=setting.ca_file, route=setting.route
        )
        selection = select(pairs, looks, want)
        must_be_known(selection, want)
        return selection

    def _preview(self, selection: Selection) -> None:
        shown = {one.name: self._one(one).move().plan for one in selection.choices if one.moves}
        avn = self.given.setting.avn or "avn"
        if self.given.json:
            plans = {name: describe(plan, avn) for name, plan in shown.items()}
            result = {**counts(selection), "pairs": [told_of(one) for one in selection.choices], "plans": plans}
            console.envelope("evacuate", ok=True, changed=False, result=result)
            return
        for one in selection.choices:
            console.say(f"# {one.name}: {one.action}: {one.reason}")
            if one.name in shown:
                console.say(preview(shown[one.name], avn) + "\n")

    def _show(self, selection: Selection) -> None:
        """The table: standard error, as what stands before a question; with --check it is the result."""
        for line in table(selection, self.given.want):
            console.note(line)

    def _end_check(self, selection: Selection) -> None:
        problem = None
        if selection.count("refuse"):
            problem = self._refusal(selection, [])
        if self.given.json and not problem:
            result = {**counts(selection), "pairs": [told_of(one) for one in selection.choices]}
            console.envelope("evacuate", ok=True, changed=False, result=result)
        elif not problem:
            console.say(sentence(selection))
        if problem:
            problem.result = {**counts(selection), "pairs": [told_of(one) for one in selection.choices]}
            raise problem

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
        answer = promotion_options.answer_to(question)
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
        run_avn = process.run
        governor = Governor(most=min(given.parallel, at_once(os.cpu_count() or 1, preloaded=given.preloaded)))
        schedule = Schedule(parallel=given.parallel, canary=given.canary, stop_after=given.stop_after, stop=self.stop)
        ask = asking(governor, run_avn, program.path)
        shared = SharedReads(project=given.setting.project, ask=ask, askers=lambda: schedule.under_way)
        if self.first_list.told:
            shared.know(self.first_list.told.pop(), self.first_list.began)
        board = Board([one.name for one in moves])
        shown = _shown(board)
        board.changed = shown.changed
        jobs = {one.name: self._one(one) for one in moves}

        def work(name: str, turn: Turn) -> Ended:
            job = jobs.pop(name)
            self._emit(events.PairStarted(at=self._now(), pair=name, command=job.choice.action, run=job.run_id))
            result = job.perform(board, governor, shared, self.stop, program, turn)
            if result.ended.state == "not begun":
                board.withdrawn(name)
            else:
                self.moved[name] = result
                board.ended(name, result.ended.state, result.summary)
            self._emit(
                events.PairEnded(at=self._now(), pair=name, run=result.run, head=result.head, told=result.told())
            )
            return result.ended

        with handled(ENDING, self._arrived):
            shown.open()
            try:
                schedule.run([one.name for one in moves], work, tick=self._answer_stop)
            finally:
                shown.close()
        self._slowed = governor.slowed

    def _answer_stop(self) -> None:
        if told := self.stop.heard():
            console.note(f"stopping: {told}")

    def _one(self, choice: Choice) -> OneOfMany:
        return OneOfMany(choice=choice, given=self.given, evacuation=self.run_id, began=self._began)

    def _arrived(self, number: int, _: FrameType | None) -> None:
        """Ctrl-C once: begin no more; again: as in a single run, for each."""
        self.stop.ask(number, at_once=number in (signal.SIGTERM, signal.SIGHUP))

    # -- what came of it

    def _problem(self, selection: Selection) -> CcrError | None:
        """What keeps this from being done: an interruption, a failure, a refusal, in this order."""
        results = list(self.moved.values())
        failed = [one for one in results if one.ended.state == "failed"]
        changed = any(one.ended.changed for one in results)
        begun = set(self.moved)
        left = [one.name for one in selection.choices if one.moves and one.name not in begun]
        problem: CcrError | None = None
        if self.stop.level and (left or failed):
            problem = Interrupted(
                self.stop.number, hint="run the same command again: finished pairs are recognised and not touched"
            )
        elif failed:
            problem = Failed(failed, left)
        elif selection.count("refuse") or any(one.ended.state == "refused" for one in results):
            problem = self._refusal(selection, [one for one in results if one.ended.state == "refused"])
        if problem:
            problem.changed = changed
            problem.result = self._result(selection)
        return problem

    def _refusal(self, selection: Selection, refused: list[Moved]) -> CcrError:
        names = [one.name for one in selection.choices if one.action == "refuse"] + [one.choice.name for one in refused]
        hints = [one.hint for one in selection.choices if one.action == "refuse" and one.hint]
        hints += [one.goes_on_with for one in refused]
        problem = Refused(
            f"{len(names)} can't be moved: {', '.join(names)}",
            detail="; ".join(f"{one.name}: {one.reason}" for one in selection.choices if one.action == "refuse")
            or "; ".join(f"{one.choice.name}: {one.summary}" for one in refused),
            hint=hints[0] if hints else "",
        )
        problem.resumable = False  # the same command refuses them again
        return problem

    def _result(self, selection: Selection) -> dict[str, Any]:
        results = [self.moved[one.name] for one in selection.choices if one.name in self.moved]
        pairs = [
            {**told_of(one), **(self.moved[one.name].told() if one.name in self.moved else not_begun(one))}
            for one in selection.choices
        ]
        outages = sorted(one.outage_ms for one in results if one.outage_ms is not None)
        lost = [one.lost for one in results if one.lost is not None]
        return {
            "run": self.run_id,
            **counts(selection),
            "moved": sum(one.ended.state == "done" for one in results),
            "failed": sum(one.ended.state == "failed" for one in results),
            "not_begun": sum(one.moves and one.name not in self.moved for one in selection.choices),
            "outage_ms": spread(outages),
            "bytes_not_replicated": {"sum": sum(lost), "worst": max(lost)} if lost else None,
            "estimated_loss_seconds": _worst([one.loss_seconds for one in results]),
            "slowed_down": self._slowed,
            "pairs": pairs,
            "replicas_in_cloud": list(selection.replicas_here),
            "enable": [one.enable for one in results if one.enable],
        }

    def _tell(self, selection: Selection, problem: CcrError | None) -> None:
        """Raises:
        CcrError: the problem.
        """
        result = self._result(selection)
        changed = any(one.ended.changed for one in self.moved.values())
        if self.given.json and not problem:
            journal = {"path": str(self._journal.path), "head": self._journal.head} if self._journal else {}
            console.envelope(
                "evacuate",
                ok=True,
                changed=bool(changed),
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

    def _close(self, problem: CcrError | None, selection: Selection) -> None:
        changed = any(one.ended.changed for one in self.moved.values())
        result = self._result(selection)
        if problem:
            result |= {"error": problem.what, "detail": problem.detail, "hint": problem.hint}
        code = problem.exit_code if problem else 0
        self._emit(events.RunEnded(at=self._now(), ok=not problem, changed=bool(changed), code=code, result=result))
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


def _worst(seconds: list[float | None]) -> float | None:
    return max((one for one in seconds if one is not None), default=None)


def _shown(board: Board) -> PlainBoard:
    """A table that lives in a terminal, one line a change elsewhere."""
    if sys.stderr is not None and sys.stderr.isatty():
        from ccr_avn.output.many_live import LiveBoard

        return LiveBoard(board)
    return PlainBoard()
