"""`ccr-avn status`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccr_avn.cli import options
from ccr_avn.cli.options import Avn, CaFile, CallTimeout, Json, ProjectName, Route
from ccr_avn.cli.pages import HelpCommand
from ccr_avn.errors import CcrError, Interrupted, UsageError
from ccr_avn.files import PUBLIC, replace_file
from ccr_avn.history import drills
from ccr_avn.monitoring.collect import begin, look_at_all
from ccr_avn.monitoring.health import overall, pair_statuses
from ccr_avn.monitoring.nagios import failure, line_of
from ccr_avn.monitoring.pairs import chosen, pairs_of, with_expected
from ccr_avn.monitoring.prometheus import text_of
from ccr_avn.monitoring.verdicts import CODES, Limits
from ccr_avn.output import console
from ccr_avn.output.tables import rows, troubles

if TYPE_CHECKING:
    from ccr_avn.monitoring.health import PairStatus

WARN_LAG, CRIT_LAG = 10 * 1024 * 1024, 100 * 1024 * 1024

NAMED = 3
"""Primaries without a drill that are named."""

UNKNOWN = 3
"""Exit code of Nagios' plugins, and of --exit-code, for whatever keeps us from telling."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


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
        nagios = ctx.params.get("form") == Format.NAGIOS
        with _unknown_instead(nagios=nagios, health=bool(ctx.params.get("exit_code"))):
            return super().invoke(ctx)


COMMAND = StatusCommand


def asks_for_nagios(words: list[str]) -> bool:
    """Whether the words say `--format nagios`, even when others among them can't be understood."""
    return "--format=nagios" in words or ("--format", "nagios") in pairwise(words)


def status(
    service: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Only pairs that one of these is part of.")
    ] = None,
    project: ProjectName = None,
    data_plane: Annotated[
        bool, typer.Option("--data-plane/--no-data-plane", help="Ask the servers too, or only Aiven.")
    ] = True,
    data_timeout: Annotated[
        float, typer.Option("--data-timeout", metavar="S", help="Time limit for all servers to answer.")
    ] = 3,
    form: Annotated[
        Format,
        typer.Option("--format", help="nagios: one line, exit 0/1/2/3; prometheus: for the textfile collector."),
    ] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="F", help="Write the metrics to this file, atomically.")
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
            "--expect", metavar="PRIMARY:REPLICA", help="A pair that must exist, else critical; @FILE: one a line."
        ),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 0 ok, 1 warning, 2 critical, 3 unknown, by the worst health.")
    ] = False,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Show every pair at a glance: states, link, lag, backups, and what an outage would hit."""
    names, expected = tuple(service or ()), _expected(expect or [])
    form = _checked(names, form, output, json=json, warn_lag=warn_lag, crit_lag=crit_lag)
    options.not_negative(call_timeout=call_timeout, data_timeout=data_timeout)
    trusted, project = options.readable(ca_file), options.project_name(project)
    answer = begin(avn, project, call_timeout, _wanted(names, expected), console.note)
    services, way = answer(), route.value if route else None
    every = pairs_of(services)
    pairs = with_expected(chosen(every, names), every, expected)
    looks = look_at_all(pairs, limit=data_timeout, ca_file=trusted, route=way) if data_plane else None
    limits = Limits(warn=warn_lag, crit=crit_lag)
    found = pair_statuses(pairs, looks, limits=limits, now=datetime.now(UTC))
    _show(found, form, output, limits, getattr(services, "left_out", ()), project)
    if exit_code:
        raise typer.Exit(CODES[overall(found)])


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
                f"--expect can't be {word!r}", detail="two services with a colon between", hint="--expect eu:us"
            )
        options.names(**{"--expect PRIMARY": primary, "--expect REPLICA": replica})
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
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise UsageError(
            f"--expect: {file} can't be read", detail=why, hint="one PRIMARY:REPLICA a line, # begins a comment"
        ) from None
    if not any(lines):
        raise UsageError(f"--expect: {file} names no pair", detail="it is empty", hint="one PRIMARY:REPLICA a line")
    return [line for line in lines if line]


def _checked(
    names: tuple[str, ...], form: Format, output: Path | None, *, json: bool, warn_lag: int, crit_lag: int
) -> Format:
    """The format that is meant.

    Raises:
        UsageError: the options don't go together.
    """
    for name in names:
        options.names(SERVICE=name)
    if json and form not in (Format.TABLE, Format.JSON):
        raise UsageError(
            f"--json and --format {form.value} don't go together", detail="one output, one format", hint="leave one out"
        )
    if output and form is not Format.PROMETHEUS:
        raise UsageError(
            "--output goes with --format prometheus only",
            detail="it is for node_exporter's textfile collector",
            hint="for other formats: ccr-avn status > FILE",
        )
    if not 0 < warn_lag <= crit_lag:
        raise UsageError(
            f"--warn-lag {warn_lag} and --crit-lag {crit_lag} don't go together",
            detail="bytes, above 0, and the warning comes first",
            hint="--warn-lag 10485760 --crit-lag 104857600",
        )
    return Format.JSON if json else form


def _show(
    found: "tuple[PairStatus, ...]",
    form: Format,
    output: Path | None,
    limits: "Limits",
    left_out: tuple[str, ...],
    project: str | None,
) -> None:
    """``left_out``: what avn said that can't be read."""
    if form is not Format.NAGIOS:
        for note in left_out:
            console.warn(note)
    match form:
        case Format.NAGIOS:
            line, code = line_of(found, limits, left_out)
            console.say(line)
            raise typer.Exit(code)
        case Format.PROMETHEUS:
            _show_metrics(found, output)
        case Format.JSON:
            pairs = [{**one.told(), **last} for one, last in zip(found, _last_drills(found, project), strict=True)]
            result = {"health": overall(found), "pairs": pairs, "warnings": list(left_out)}
            console.envelope("status", ok=True, changed=False, result=result)
        case Format.TABLE:
            console.say(console.table(rows(found), indent="") if found else "no Valkey or Redis services here")
            for line in troubles(found, project):
                console.say(line)
            if found and not any(one.pair.counts or one.health != "ok" for one in found):
                console.say("unknown: there is no pair; one that must be there is named with --expect PRIMARY:REPLICA")
            for line in _not_drilled(found, project):
                console.say(line)


def _last_drills(found: "tuple[PairStatus, ...]", project: str | None) -> list[dict[str, Any]]:
    newest, now = drills.newest(project), time.time()
    told = (newest.get(one.pair.primary_name) for one in found)
    return [{"last_drill": one.data(now) if one else None} for one in told]


def _not_drilled(found: "tuple[PairStatus, ...]", project: str | None) -> list[str]:
    """A hint, no part of the health: whether a switchover would work here is best known by trying."""
    names = [one.pair.primary_name for one in found if one.rank == "pair" and one.pair.primary]
    due = drills.not_for_long(names, drills.newest(project), time.time()) if names else []
    if not due:
        return []
    some = ", ".join(due[:NAMED]) + (f" and {len(due) - NAMED} more" if len(due) > NAMED else "")
    return [f"no drill in 90 days from this machine: {some}; ccr-avn drill {due[0]} --replica-cloud CLOUD"]


def _show_metrics(found: "tuple[PairStatus, ...]", output: Path | None) -> None:
    if output is None:
        console.say(text_of(found).rstrip("\n"))
        return
    try:
        replace_file(output, text_of(found), PUBLIC)  # the collector is another user
    except OSError as error:
        raise UsageError(
            f"--output: {output} can't be written",
            detail=error.strerror or str(error),
            hint="name a file in a directory that is there and may be written to",
        ) from None


@contextmanager
def _unknown_instead(*, nagios: bool, health: bool) -> Iterator[None]:
    """Turn every failure of ours into one line for Nagios, or into the exit code for unknown."""
    try:
        yield
    except (typer.Exit, typer.Abort, BrokenPipeError, Interrupted):
        raise
    except Exception as problem:
        if nagios:
            _end_unknown(problem)
        if health:
            told = problem if isinstance(problem, CcrError) else CcrError(_why(problem))
            raise CantTell(told.what, detail=told.detail, hint=told.hint) from problem
        raise


def _end_unknown(problem: Exception) -> None:
    console.say(failure(_why(problem)))
    raise typer.Exit(UNKNOWN)


def _why(problem: Exception) -> str:
    if isinstance(problem, CcrError):
        return f"{problem.what} ({problem.detail})" if problem.detail else problem.what
    if hasattr(problem, "format_message"):
        return str(problem.format_message())
    return f"internal error: {type(problem).__name__}"
