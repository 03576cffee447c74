"""Runs a verb from its options to its exit code: preview, or check, ask, act, report. Alone, and as one of many pairs."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ccr_avn import clock, process
from ccr_avn.aiven.models import Service
from ccr_avn.aiven.program import identify
from ccr_avn.cli.options import Asking, How
from ccr_avn.cli.session import Session
from ccr_avn.connection import Connection
from ccr_avn.errors import CcrError, NotConfirmed
from ccr_avn.files import replace_file
from ccr_avn.output import console, tables
from ccr_avn.output.tables import Column
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.plan.preview import describe, preview
from ccr_avn.plan.reads import World
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.verb import Question, Verb
from ccr_avn.signals import Signals, unlimited, within

RANKS = {"link": 1, "lag": 2, "cloud": 3, "plan": 4, "state": 5}
"""Of what is said of both services: the higher, the sooner a narrow terminal has no room for it."""


def conduct(
    verb: Verb,
    how: How,
    asking: Asking,
    world: World | None = None,
    *,
    began: float | None = None,
) -> None:
    """One run of one verb. ``world``: what it touches, if the avn is known already; ``began``: when the command did, on
    the monotonic clock.

    Raises:
        CcrError: as the run ended.
    """
    if how.dry_run:
        plan, programs = verb.plan(), process.programs(asking.avn)
        if how.json:
            console.envelope(verb.command, {"plan": describe(plan, programs)})
        else:
            console.say((how.shown or preview)(plan, programs))
        return
    world = world or asking.world(identify(asking.avn))
    facts = {**verb.facts(), "project": verb.at.project.name}
    session = Session(verb.command, json=how.json, quiet=how.quiet, run_id=verb.at.run, **facts)
    console.commit()
    console.about(session.about)
    run = carry_out(verb, session, how, own_world(verb, world), lambda asked: ask(session, asked, yes=how.yes))
    loaded = session.began - began if began is not None else 0.0
    ended = session.ended(run, hooks=how.hooks.took, loaded=loaded)
    done = verb.checked(ended) if how.check else verb.outcome(ended)
    lines = [one if isinstance(one, str) else tables.text(one) for one in done.lines]
    session.finish(run.changed, done.result, lines, done.problem, only_looked=not verb.resumable)


@contextmanager
def own_world(verb: Verb, world: World) -> Iterator[World]:
    """The same, of this process: signals are heard, and the verb's time is limited."""
    limit = verb.time_limit
    more = (*((signal.SIGTSTP,) if verb.never_suspend else ()), *((signal.SIGALRM,) if limit else ()))
    with Signals(*more) as signals, within(limit):
        yield replace(world, signals_held=signals.held)


def carry_out(
    verb: Verb,
    session: Session,
    how: How,
    world: AbstractContextManager[World],
    ask: Callable[[Question], None],
) -> Run:
    """The run with its question, hooks and env file.

    Raises:
        CcrError: as the run ended.
    """
    asking = False

    def confirm(run: Run) -> None:
        nonlocal asking
        asking = True
        asked = verb.confirm(run.seen, ask)
        asking = False
        if asked:
            how.hooks.run_before(environment(verb, session))

    session.sinks.append(writing_env(how.write_env, verb, session))
    try:
        with world as here:
            run = session.perform(here, verb, None if how.check else confirm)
    except Exception as problem:  # an internal error is a failure too
        if not (asking or how.check):
            with Signals():
                how.hooks.run("on-failure", environment(verb, session, getattr(problem, "changed", False)))
        raise
    if not how.check:
        with Signals():
            how.hooks.run("after", environment(verb, session, run.changed))
    return run


def ask(session: Session, question: Question, *, yes: bool) -> None:
    """Say what will be; go on when what the question asks for was typed.

    Raises:
        NotConfirmed: something else was typed.
    """
    for line in question.shown:
        console.note(line if isinstance(line, str) else tables.text(line[1:], sides(line[0]), "stderr"))
    console.note(tables.text(list(question.consequences.items()), to="stderr"))
    if yes:
        return
    began = clock.monotonic()
    with unlimited():
        with suppress(ImportError, OSError, ValueError):  # keys that were pressed before it is shown are no answer
            import termios

            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        console.put("stderr", console.emitted(question.text))
        answer = sys.stdin.readline().strip()
    confirmed, seconds = answer == question.answer, clock.monotonic() - began
    text = question.text.strip()
    session.emit(events.Asked(at=session.now(), question=text, confirmed=confirmed, seconds=seconds))
    if not confirmed:
        raise NotConfirmed(
            "not confirmed",
            detail=f"expected {question.answer!r}, got {answer!r}; nothing was changed",
            hint="run it again when you are sure, or check first with --check",
        )


def sides(heads: Sequence[str]) -> list[Column]:
    """The columns of a table of both services."""
    return [Column(head=one, rank=RANKS.get(one, 0), kind="name" if one == "service" else "word") for one in heads]


def environment(verb: Verb, session: Session, changed: Any = False) -> dict[str, str]:
    """What the hooks get: the only place besides `endpoint` and --write-env that holds a password."""
    new = promoted_service(verb, session)
    return {
        "CCR_COMMAND": verb.command,
        "CCR_PROJECT": verb.at.project.name or "",
        "CCR_OLD_PRIMARY": verb.source(session.run.seen if session.run else Seen()),
        "CCR_NEW_PRIMARY": new.name if new else "",
        "CCR_NEW_URI": new.uri.get_secret_value() if new and new.uri else "",
        "CCR_CHANGED": "unknown" if changed == "unknown" else "yes" if changed else "no",
        "CCR_RUN_ID": session.run_id,
    }


def promoted_service(verb: Verb, session: Session) -> Service | None:
    return session.run.seen.checked.get(getattr(verb, "replica", "")) if session.run else None


def writing_env(path: Path | None, verb: Verb, session: Session) -> Callable[[events.Event], None]:
    """A sink that writes the env file the moment that writes are accepted, and never stops a promotion."""
    failed: list[Exception] = []

    def sink(event: events.Event) -> None:
        done = event.slug if isinstance(event, events.StepDone) else ""
        if path is None or failed or done not in ("accepts-writes", "running"):
            return
        service = promoted_service(verb, session)
        if service is None or service.uri is None:
            return
        try:
            replace_file(path, Connection(service=service.name, uri=service.uri.get_secret_value()).env())
        except (OSError, ValueError, CcrError) as error:
            failed.append(error)
            why = getattr(error, "strerror", None) or str(error)
            console.warn(f"{path} can't be written: {why}; see `ccr-avn endpoint {service.name}`")

    return sink
