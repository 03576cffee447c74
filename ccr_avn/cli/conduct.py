"""Runs a verb from its options to its exit code: preview, or check, ask, act, report. Alone, and as one of many pairs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn.cli.questions import ask
from ccr_avn.cli.session import Session, show_preview
from ccr_avn.connection import Connection
from ccr_avn.errors import CcrError
from ccr_avn.files import replace_file
from ccr_avn.history.journal import new_run
from ccr_avn.hooks import Hooks
from ccr_avn.output import console
from ccr_avn.plan import events
from ccr_avn.plan.preview import preview
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.verb import Line, Question, Verb
from ccr_avn.signals import Signals

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.aiven.program import Program
    from ccr_avn.cli.options import Asking
    from ccr_avn.plan.execute import Run
    from ccr_avn.process import Ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What stands around a verb. ``shown``: how its plan is previewed."""

    json: bool
    check: bool = False
    dry_run: bool = False
    yes: bool = False
    hooks: Hooks = field(default_factory=Hooks)
    write_env: Path | None = None
    shown: Callable[..., str] = preview


Perform = Callable[[Callable[["Run"], None]], "Run"]
"""Runs the plan; it is given what to call between the checks and the first change."""


def conduct(
    verb: Verb,
    how: How,
    asking: "Asking",
    program: "Callable[[], Program]",
    *,
    ahead: "Ahead | None" = None,
    began: float | None = None,
) -> None:
    """One run of one verb. ``ahead``: the first question to avn, under way; ``began``: when the command did, monotonic.

    Raises:
        CcrError: as the run ended.
    """
    verb = replace(verb, at=replace(verb.at, run=new_run()))
    if how.dry_run:
        show_preview(verb.command, verb.plan(), asking.avn, json=how.json, shown=how.shown)
        return
    found = program()
    session = Session(verb.command, json=how.json, run_id=verb.at.run, **verb.facts(), project=verb.at.project.name)
    run = carry_out(
        verb,
        session,
        how,
        lambda question: ask(session, question, yes=how.yes),
        lambda confirm: session.perform(verb, found, asking.call_timeout, confirm, checks_only=how.check, ahead=ahead),
    )
    loaded = session.started - began if began is not None else 0.0
    ended = session.ended(run, hooks=how.hooks.seconds, loaded=loaded)
    done = verb.checked(ended) if how.check else verb.outcome(ended)
    lines = [line_of(one) for one in done.lines]
    session.finish(run.changed, done.result, lines, done.problem, only_looked=not verb.resumable)


def carry_out(verb: Verb, session: Session, how: How, ask: Callable[[Question], None], perform: Perform) -> "Run":
    """The run with its question, hooks and env file.

    Raises:
        CcrError: as the run ended.
    """
    asking = False

    def confirm(run: "Run") -> None:
        nonlocal asking
        if how.check:
            return
        asking = True
        asked = verb.confirm(run.seen, ask)
        asking = False
        if asked:
            how.hooks.run_before(environment(verb, session))

    session.sinks.append(writing_env(how.write_env, verb, session))
    try:
        run = perform(confirm)
    except Exception as problem:  # an internal error is a failure too
        if not (asking or how.check):
            with Signals():
                how.hooks.run("on-failure", environment(verb, session, getattr(problem, "changed", False)))
        raise
    if not how.check:
        with Signals():
            how.hooks.run("after", environment(verb, session, run.changed))
    return run


def line_of(line: Line) -> str:
    """A table fits the terminal that it is for."""
    if isinstance(line, str):
        return line
    return console.fitted([tuple(row) for row in line], console.columns("stdout"))


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


def promoted_service(verb: Verb, session: Session) -> "Service | None":
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
