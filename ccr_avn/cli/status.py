"""`ccr-avn status`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ccr_avn import process
from ccr_avn.cli import options
from ccr_avn.cli.help import HelpCommand
from ccr_avn.cli.options import Avn, CaFile, CallTimeout, Json, ProjectName, Route
from ccr_avn.errors import CcrError, Interrupted, OutOfTime, UsageError
from ccr_avn.monitoring.ask import begin
from ccr_avn.output import console
from ccr_avn.signals import Signals, within

WARN_LAG, CRIT_LAG = 10 * 1024 * 1024, 100 * 1024 * 1024

UNKNOWN = 3
"""Exit code of Nagios' plugins, and of --exit-code, for whatever keeps us from telling."""


Format = Literal["table", "json", "nagios", "prometheus"]


class CantTell(CcrError):
    """Where the exit code is the health, a failure of ours must not look like one of the pairs."""

    code = UNKNOWN


class StatusCommand(HelpCommand):
    """Where the exit code is the health, every failure of ours is UNKNOWN, exit code 3: also a word mistyped."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        nagios, health = asks_for_nagios(args), "--exit-code" in args
        with _unknown_instead(nagios=nagios, health=health):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        nagios, limit = ctx.params.get("form") == "nagios", ctx.params.get("timeout")
        with _unknown_instead(nagios=nagios, health=bool(ctx.params.get("exit_code"))):
            try:
                with Signals(signal.SIGALRM), within(limit):
                    return super().invoke(ctx)
            except Interrupted as ended:
                process.end_all()
                ended.detail, ended.hint = f"--timeout {limit:g}" if isinstance(ended, OutOfTime) else "", ""
                raise


COMMAND = StatusCommand


def asks_for_nagios(words: list[str]) -> bool:
    """Whether the words say `--format nagios`, even when others among them can't be understood."""
    return "--format=nagios" in words or ("--format", "nagios") in pairwise(words)


def status(
    context: typer.Context,
    service: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERVICE]...", callback=options.a_name, help="Show only the pairs of these services."),
    ] = None,
    project: ProjectName = None,
    data_plane: Annotated[
        bool, typer.Option("--data-plane/--no-data-plane", help="Connect to the servers too, or only ask Aiven.")
    ] = True,
    data_timeout: Annotated[float, options.seconds("Time limit for all servers to answer.", options.above_zero)] = 3,
    form: Annotated[
        Format,
        typer.Option("--format", help="nagios: one line, exit 0/1/2/3; prometheus: for the textfile collector."),
    ] = "table",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="F",
            help="Write the metrics to this file, atomically.",
            callback=options.a_file_to_replace,
        ),
    ] = None,
    warn_lag: Annotated[
        int, typer.Option("--warn-lag", metavar="BYTES", help="Lag at which a pair is WARNING.")
    ] = WARN_LAG,
    crit_lag: Annotated[
        int, typer.Option("--crit-lag", metavar="BYTES", help="Lag at which a pair is CRITICAL.")
    ] = CRIT_LAG,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect", metavar="PRIMARY:REPLICA", help="A pair that must exist, else CRITICAL; @FILE: one per line."
        ),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 0 ok, 1 warning, 2 critical, 3 unknown, by the worst health.")
    ] = False,
    timeout: Annotated[  # noqa: ARG001 (its time begins earlier: StatusCommand.invoke)
        float | None,
        typer.Option(
            metavar="S", help="Time limit for the whole command; then it is UNKNOWN.", callback=options.above_zero
        ),
    ] = None,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Show every pair at a glance: states, link, lag, backups and risks.

    Examples:
      ccr-avn status
      ccr-avn status --expect eu:us --format nagios
      ccr-avn status --format prometheus --output ccr.prom
    """
    names, expected = tuple(service or ()), _expected(expect or [])
    if not data_plane:
        options.refuse_unused(context, "--no-data-plane", "--data-plane", "data_timeout", "warn_lag", "crit_lag")
    form = _checked(form, output, json=json, warn_lag=warn_lag, crit_lag=crit_lag)
    answer = begin(avn, project, call_timeout, _wanted(names, expected), console.note)
    from ccr_avn.cli.status_told import look_and_tell  # heavy: avn is asked already meanwhile
    from ccr_avn.monitoring.verdicts import Limits

    code = look_and_tell(
        answer(),
        form,
        output,
        names=names,
        expected=expected,
        setting=options.setting(project, ca_file, route),
        data_timeout=data_timeout if data_plane else None,
        limits=Limits(warn=warn_lag, crit=crit_lag),
    )
    if exit_code:
        raise typer.Exit(code)


def _expected(given: list[str]) -> tuple[tuple[str, str], ...]:
    """The pairs that must be there.

    Raises:
        UsageError: a word is no pair, or a file can't be read.
    """
    words = [word for one in given for word in (_lines(Path(one[1:])) if one.startswith("@") else [one])]
    pairs = []
    for word in words:
        primary, colon, replica = word.partition(":")
        if not colon or primary == replica:
            raise UsageError(
                f"invalid value for --expect: {word!r}",
                detail="two service names, separated by a colon",
                hint="--expect eu:us",
            )
        options.check_name("--expect PRIMARY", primary)
        options.check_name("--expect REPLICA", replica)
        pairs.append((primary, replica))
    return tuple(dict.fromkeys(pairs))


def _wanted(names: tuple[str, ...], expected: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """All names that are known, in case that they have to be asked for one by one."""
    return tuple(dict.fromkeys([*names, *(name for pair in expected for name in pair)]))


def _lines(file: Path) -> list[str]:
    """What a file says, without comments; a file that names no pair would expect nothing without a word.

    Raises:
        UsageError: it can't be read, or says nothing.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(
            f"--expect: {file} can't be read", detail=why, hint="one PRIMARY:REPLICA per line; # starts a comment"
        ) from None
    if not any(lines):
        raise UsageError(f"--expect: {file} names no pair", detail="it is empty", hint="one PRIMARY:REPLICA per line")
    return [line for line in lines if line]


def _checked(form: Format, output: Path | None, *, json: bool, warn_lag: int, crit_lag: int) -> Format:
    """The format that is meant.

    Raises:
        UsageError: the options don't go together.
    """
    if json and form not in ("table", "json"):
        raise UsageError(
            f"--json and --format {form} don't go together",
            detail="there is only one output format",
            hint="omit one of them",
        )
    if output and form != "prometheus":
        raise UsageError(
            "--output requires --format prometheus",
            detail="it is for node_exporter's textfile collector",
            hint="for other formats: ccr-avn status > FILE",
        )
    if not 0 < warn_lag <= crit_lag:
        raise UsageError(
            f"--warn-lag {warn_lag} and --crit-lag {crit_lag} don't go together",
            detail="both in bytes, above 0, and --warn-lag not above --crit-lag",
            hint="--warn-lag 10485760 --crit-lag 104857600",
        )
    return "json" if json else form


@contextmanager
def _unknown_instead(*, nagios: bool, health: bool) -> Iterator[None]:
    """Turn every failure of ours into one line for Nagios, or into the exit code for unknown."""
    try:
        yield
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except Exception as problem:
        if nagios:
            _end_unknown(problem)
        if health:
            told = problem if isinstance(problem, CcrError) else CcrError(_why(problem))
            raise CantTell(told.what, detail=told.detail, hint=told.hint) from problem
        raise


def _end_unknown(problem: Exception) -> None:
    from ccr_avn.monitoring.nagios import failure

    console.say(failure(_why(problem)))
    raise typer.Exit(UNKNOWN)


def _why(problem: Exception) -> str:
    if isinstance(problem, CcrError):
        return f"{problem.what} ({problem.detail})" if problem.detail else problem.what
    if hasattr(problem, "format_message"):
        return str(problem.format_message())
    return f"internal error: {type(problem).__name__}"
