"""What all commands that run a plan share: event sinks, signals, the journal, the result."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from ccr_avn import clock, typed
from ccr_avn.errors import CcrError, Changed, Interrupted, Locked
from ccr_avn.history.journal import Journal
from ccr_avn.output import console
from ccr_avn.output.progress import LiveProgress, PlainProgress, Quiet, Sink
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.plan.reads import World
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.verb import Ended, Verb


class Session:
    """One run of one command. ``facts`` go into the journal: names, no secrets. ``argv``: what resumes it, if not what was typed."""

    def __init__(
        self,
        command: str,
        *,
        run_id: str,
        json: bool,
        quiet: bool = False,
        progress: PlainProgress | None = None,
        argv: tuple[str, ...] | None = None,
        **facts: Any,
    ) -> None:
        self.command = command
        self.argv = typed.words() if argv is None else argv
        self.json = json
        self.quiet = quiet
        self.facts = facts
        self.run_id = run_id
        self.timeline: list[events.Event] = []
        self.journal = Journal(self.run_id)
        in_a_terminal = sys.stderr is not None and sys.stderr.isatty()
        usual: type[PlainProgress] = Quiet if quiet else LiveProgress if in_a_terminal else PlainProgress
        self.progress = progress or usual()
        self.sinks: list[Sink] = [self.timeline.append, self.journal, self.progress]
        self.run: Run | None = None
        self._held: Callable[[], AbstractContextManager[None]] = nullcontext
        self.began = clock.monotonic()  # the run's own clock

    @property
    def done(self) -> list[events.StepDone]:
        """The steps that are done, as they ended."""
        return [event for event in self.timeline if isinstance(event, events.StepDone)]

    def now(self) -> float:
        """Seconds since the run began, as its events count them."""
        return clock.monotonic() - self.began

    def start(self, title: str, slugs: tuple[str, ...] = (), **more: Any) -> None:
        """``more``: facts besides those that it has."""
        facts = {**self.facts, **more}
        self.emit(
            events.RunStarted(
                at=0.0, run=self.run_id, command=self.command, title=title, slugs=slugs, facts=facts, argv=self.argv
            )
        )

    def emit(self, event: events.Event) -> None:
        """Pass an event to all sinks. One that fails is left out from then on: the run matters more than its reports.

        Raises:
            Interrupted: a signal came meanwhile; every sink has received the event before.
        """
        with self._held():
            for sink in tuple(self.sinks):
                try:
                    sink(event)
                except Interrupted:  # the second signal
                    raise
                except Exception as error:  # noqa: BLE001 (whatever it is)
                    self.sinks.remove(sink)
                    name = getattr(sink, "__name__", type(sink).__name__).strip("_").lower().replace("_", " ")
                    console.warn(f"{name} failed ({type(error).__name__}); continuing without it")

    def perform(self, world: World, verb: Verb, confirm: Callable[[Run], None] | None) -> Run:
        """Run the verb's plan.

        ``confirm`` asks, between the checks and the first change; None: the checks are all. The ``held`` of the world
        keeps signals from breaking into what must be whole.

        Raises:
            CcrError: as the plan's gates, avn or a signal ended it; it knows whether anything had been changed.
        """
        plan = verb.plan()
        self._held = world.signals_held
        self.began = world.clock()
        run = self.run = Run(plan, world, self.emit, Seen())
        self.start(plan.title, tuple(step.slug for step in plan.all_steps), avn=world.version)
        try:
            run.check()
            self.progress.close()
            if confirm:
                confirm(run)
                self._act(run, verb.ended_by_signal)
        except Exception as error:
            error.changed = run.changed  # type: ignore[attr-defined]  # a bug's exit code must tell it too
            with suppress(Exception):  # what ended the run is reported, whatever else can't be
                self._explain(verb, run, error)
            with suppress(Interrupted):  # what ended the run is reported, not what came while it was written down
                self._end(ok=False, changed=run.changed, code=getattr(error, "exit_code", 1), result=_failure(error))
            raise
        finally:
            self.progress.close()
            console.commit(run.changed)
        return run

    def ended(self, run: Run, problem: CcrError | None = None, **more: Any) -> Ended:
        past, changed = run.past_return, bool(run.changed)
        return Ended(seen=run.seen, timeline=self.timeline, changed=changed, past_return=past, problem=problem, **more)

    def _explain(self, verb: Verb, run: Run, error: Exception) -> None:
        """Add to an error what the operator must know of the world as it was left."""
        if isinstance(error, Locked):  # what another run does is its own to report
            return
        problem = error if isinstance(error, CcrError) else None
        notes, facts = verb.half_way(self.ended(run, problem))
        if problem is None:  # an internal error has no notes
            for text in notes:
                console.warn(text)
            return
        problem.notes += notes
        problem.result = {**facts, **problem.result}
        problem.resumable = problem.resumable and verb.resumable

    def _act(self, run: Run, ended_by_signal: str) -> None:
        """``ended_by_signal``: the step whose end by a signal is no failure."""
        try:
            run.act()
        except Interrupted:
            under_way = [event.slug for event in self.timeline if isinstance(event, events.StepStarted)][-1:]
            if not ended_by_signal or under_way != [ended_by_signal]:
                raise

    def finish(
        self,
        changed: Changed,
        result: dict[str, Any],
        lines: Sequence[str],
        problem: CcrError | None = None,
        *,
        only_looked: bool = False,
    ) -> None:
        """Show the result. ``problem``: the run came to its end, and found something that must not pass for success.

        ``only_looked``: what was found is not half of a change, of this run or an earlier one.

        Raises:
            CcrError: the problem, which carries the result.
        """
        result = self.conclude(changed, result, problem, only_looked=only_looked)
        if not problem and self.json:
            console.envelope(self.command, result, changed=changed)
        if not (self.json or self.quiet):
            for line in (*lines, *self._not_shown()):
                console.say(line)
        if problem:
            raise problem

    def conclude(
        self, changed: Changed, result: dict[str, Any], problem: CcrError | None = None, *, only_looked: bool = False
    ) -> dict[str, Any]:
        """Close the journal; the result with its evidence, which the problem carries too."""
        evidence = {
            event.slug: {
                "outcome": event.outcome,
                "finding": event.finding.reason,
                "seconds": round(event.seconds, 3),
            }
            for event in self.done
        }
        result = {**result, "evidence": evidence}
        self._held = nullcontext
        if problem:
            problem.changed, problem.result = changed or not only_looked, result
            self._end(ok=False, changed=problem.changed, code=problem.exit_code, result={**_failure(problem), **result})
        else:
            self._end(ok=True, changed=changed, code=0, result=result)
        return result

    def about(self) -> dict[str, Any]:
        """Which run this is, and what must not be missed, for the envelope."""
        found = [text for event in self.done for text in event.finding.warnings]
        return {
            "run": self.run_id,
            "journal": {
                "path": str(self.journal.path),
                "head": self.journal.head,
                "trouble": self.journal.trouble or None,
            },
            "warnings": [*found, *console.warnings(), *console.troubles()],
        }

    def _not_shown(self) -> list[str]:
        """What standard error did not take."""
        if not console.troubles():
            return []
        warnings = [f"warning: {text}" for event in self.done for text in event.finding.warnings]
        lost = [f"could not be written: {one}; see ccr-avn runs show {self.run_id}" for one in console.troubles()]
        return [*warnings, *lost]

    def _end(self, *, ok: bool, changed: Changed, code: int, result: dict[str, Any]) -> None:
        ended = events.RunEnded(at=self.now(), ok=ok, changed=changed, code=code, result=result)
        self.emit(ended)
        self.journal.close()
        if self.journal.trouble:
            console.note(f"journal: {self.run_id} is incomplete: {self.journal.trouble}")
        elif self.journal.head and not (self.json or self.quiet):
            console.note(f"journal: {self.run_id}, head {self.journal.head}")


def _failure(error: Exception) -> dict[str, Any]:
    """How it ended, for the journal."""
    kind = type(error).__name__.lstrip("_")
    if not isinstance(error, CcrError):
        return {"error": f"internal error: {kind}", "kind": kind}
    return {"error": error.what, "detail": error.detail, "hint": error.hint, "kind": kind, **error.result}
