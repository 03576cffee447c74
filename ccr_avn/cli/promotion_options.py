"""What switchover and failover share on the command line: the question, hooks, the env file."""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import typer

from ccr_avn.cli import options
from ccr_avn.cli.options import Check, DryRun, Json, PollInterval
from ccr_avn.connection import Connection
from ccr_avn.errors import CcrError, NotConfirmed, UsageError
from ccr_avn.files import replace_file
from ccr_avn.hooks import Hooks, words
from ccr_avn.output import console, outlet
from ccr_avn.plan import events
from ccr_avn.signals import Signals

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.cli.session import Session
    from ccr_avn.errors import Changed
    from ccr_avn.plan.execute import Run
    from ccr_avn.plan.model import Plan
    from ccr_avn.procedures.seen import Seen

Yes = Annotated[bool, typer.Option("--yes", help="Skip confirmation (required when not interactive).")]
WriteEnv = Annotated[
    Path | None,
    typer.Option(
        "--write-env",
        metavar="FILE",
        help="Write the new REDIS_URL and VALKEY_URL to FILE (mode 0600).",
        callback=options.a_file_to_replace,
    ),
]
Before = Annotated[str | None, typer.Option(metavar="CMD", help="Run CMD before the first change; stop if it fails.")]
After = Annotated[str | None, typer.Option(metavar="CMD", help="Run CMD after success.")]
OnFailure = Annotated[str | None, typer.Option(metavar="CMD", help="Run CMD if the run fails.")]
HookTimeout = Annotated[float, options.seconds("Time limit for each CMD.", options.above_zero)]
DoubtTimeout = Annotated[
    float,
    options.seconds("How long to wait for an unanswered deletion to take effect."),
]
DrillService = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", callback=options.a_name, help="Promote REPLICA though it is a drill's: its name again."
    ),
]
PromoteTimeout = Annotated[
    float, options.seconds("Time limit for the promotion; writes stay paused meanwhile.", options.at_least_one)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a promotion is run, and what is asked and written around it."""

    check: Check = False
    dry_run: DryRun = False
    yes: Yes = False
    json: Json = False
    write_env: WriteEnv = None
    drill_service: DrillService = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooking:
    """The operator's commands, as they were typed."""

    before: Before = None
    after: After = None
    on_failure: OnFailure = None

    def hooks(self, timeout: float) -> Hooks:
        """``timeout``: seconds.

        Raises:
            UsageError: one can't be split into words.
        """
        return Hooks(
            before=words("--before", self.before),
            after=words("--after", self.after),
            on_failure=words("--on-failure", self.on_failure),
            timeout=timeout,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times are in seconds."""

    promote_timeout: PromoteTimeout = 600
    doubt_timeout: DoubtTimeout = 60
    hook_timeout: HookTimeout = 60
    poll_interval: PollInterval = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run came to its end. ``problem``: it found something that must not pass for success."""

    result: dict[str, Any]
    lines: tuple[str, ...]
    problem: CcrError | None = None


class Move(Protocol):
    """A promotion with all its output, whether alone or one of many."""

    command: ClassVar[str]

    @property
    def plan(self) -> "Plan": ...
    def new(self, seen: "Seen") -> "Service | None": ...
    def old(self, seen: "Seen") -> str: ...
    def is_due(self, seen: "Seen") -> bool:
        """Whether anything is promoted, so that there is something to ask."""

    def explain(self, run: "Run", problem: CcrError) -> None: ...
    def outcome(self, session: "Session", run: "Run", hooks: dict[str, float]) -> Outcome: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What stands around the run of a plan. ``ask``: the question, which raises NotConfirmed."""

    project: str | None
    write_env: Path | None
    ask: "Callable[[Run], None]"
    checks_only: bool = False


def carry_out(
    move: Move,
    session: "Session",
    hooks: "Hooks",
    around: Around,
    perform: "Callable[[Callable[[Run], None]], Run]",
) -> "Run":
    """The run with its question, hooks and env file; ``perform`` runs the plan, and is given what to call before it acts.

    Raises:
        CcrError: as the run ended.
    """
    current: list[Run] = []
    asking = False

    def seen() -> "Seen":
        from ccr_avn.procedures.seen import Seen  # heavy

        return current[0].seen if current else Seen()

    def told(*, changed: "Changed") -> dict[str, str]:
        old, new = move.old(seen()), move.new(seen())
        return environment(session, move.command, around.project, old, new, changed=changed)

    def confirm(begun: "Run") -> None:
        nonlocal asking
        current.append(begun)
        if not around.checks_only and move.is_due(begun.seen):
            asking = True
            around.ask(begun)
            asking = False
            hooks.run_before(told(changed=False))

    session.sinks.append(writing_env(around.write_env, lambda: move.new(seen())))
    try:
        run = perform(confirm)
    except Exception as problem:  # an internal error is a failure too
        if not (asking or around.checks_only):
            with Signals():
                hooks.run("on-failure", told(changed=getattr(problem, "changed", False)))
        raise
    if not around.checks_only:
        with Signals():
            hooks.run("after", told(changed=run.changed))
    return run


def must_be_able_to_ask(*, yes: bool, why: str = "a promotion can't be undone") -> None:
    """Raises:
    UsageError: nobody is there to answer and --yes was not given.
    """
    if not yes and (sys.stdin is None or not sys.stdin.isatty()):
        raise UsageError(
            "confirmation needed: no terminal and no --yes",
            detail=why,
            hint="look first with --check or --dry-run, then add --yes",
        )


def ask(session: "Session", name: str, consequences: Mapping[str, str], *, yes: bool) -> None:
    """Say what will be; go on when the name of the service that is promoted was typed.

    ``consequences``: what is promoted, what is closed, how long writes are paused at most, what may be lost.

    Raises:
        NotConfirmed: something else was typed.
    """
    console.note(console.fitted(list(consequences.items()), console.columns("stderr")))
    if yes:
        return
    question = f"Type {name} to promote it; anything else stops here, with nothing changed: "
    began = time.monotonic()
    answer = answer_to(question)
    confirmed = answer == name
    seconds = time.monotonic() - began
    session.emit(events.Asked(at=session.now(), question=question.strip(), confirmed=confirmed, seconds=seconds))
    if not confirmed:
        raise NotConfirmed(
            "not confirmed",
            detail=f"expected {name!r}, got {answer!r}; nothing was changed",
            hint="run it again when you are sure, or with --check",
        )


def answer_to(question: str) -> str:
    """What is typed when the question is shown. Keys that were pressed before it are no answer."""
    with suppress(ImportError, OSError, ValueError):
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    outlet.put("stderr", outlet.emitted(question))
    return sys.stdin.readline().strip()


def environment(
    session: "Session", command: str, project: str | None, old: str, new: "Service | None", *, changed: "Changed"
) -> dict[str, str]:
    """What the hooks get: the only place besides `endpoint` and --write-env that holds a password."""
    uri = new.uri.get_secret_value() if new and new.uri else ""
    return {
        "CCR_COMMAND": command,
        "CCR_PROJECT": project or "",
        "CCR_OLD_PRIMARY": old,
        "CCR_NEW_PRIMARY": new.name if new else "",
        "CCR_NEW_URI": uri,
        "CCR_CHANGED": "unknown" if changed == "unknown" else "yes" if changed else "no",
        "CCR_RUN_ID": session.run_id,
    }


def writing_env(path: Path | None, new: "Callable[[], Service | None]") -> "Callable[[events.Event], None]":
    """A sink that writes the env file the moment that writes are accepted, and never stops a switch."""
    failed: list[Exception] = []

    def sink(event: "events.Event") -> None:
        service = new()
        if (
            path is None
            or failed
            or not isinstance(event, events.StepDone)
            or event.slug not in ("accepts-writes", "running")
        ):
            return
        if service is None or service.uri is None:
            return
        try:
            replace_file(path, Connection(service=service.name, uri=service.uri.get_secret_value()).env())
        except (OSError, ValueError, CcrError) as error:
            failed.append(error)
            why = getattr(error, "strerror", None) or str(error)
            console.warn(f"{path} can't be written: {why}; see `ccr-avn endpoint {service.name}`")

    return sink
