"""`ccr-avn status`."""

from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ccr_avn.cli import options
from ccr_avn.cli.options import Avn, CaFile, CallTimeout, Json, ProjectName, Route
from ccr_avn.errors import CcrError, UsageError

if TYPE_CHECKING:
    from ccr_avn.status.standing import Limits, Standing

UNKNOWN = 3
"""Nagios' exit code for whatever keeps us from telling."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


class StatusCommand(TyperCommand):
    """With `--format nagios` every failure of ours is UNKNOWN, one line and exit code 3: also a word mistyped."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        wanted = asks_for_nagios(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as problem:
            if wanted:
                _end_unknown(problem)
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as problem:
            if ctx.params.get("form") == Format.NAGIOS:
                _end_unknown(problem)
            raise


def asks_for_nagios(words: list[str]) -> bool:
    """Whether the words say `--format nagios`, even when others among them can't be understood."""
    return "--format=nagios" in words or ("--format", "nagios") in pairwise(words)


def status(
    service: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Only pairs that one of these is a side of.")
    ] = None,
    project: ProjectName = None,
    data_plane: Annotated[
        bool, typer.Option("--data-plane/--no-data-plane", help="Ask the servers too, or only Aiven.")
    ] = True,
    data_timeout: Annotated[
        float, typer.Option("--data-timeout", metavar="S", help="Longest that all the servers together may take.")
    ] = 3,
    form: Annotated[
        Format,
        typer.Option("--format", help="nagios: one line, exit 0/1/2/3; prometheus: for the textfile collector."),
    ] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="F", help="Put the metrics there, at one stroke.")
    ] = None,
    warn_lag: Annotated[
        int, typer.Option("--warn-lag", metavar="BYTES", help="From this lag on a pair is a warning.")
    ] = 10 * 1024 * 1024,
    crit_lag: Annotated[
        int, typer.Option("--crit-lag", metavar="BYTES", help="From this lag on a pair is critical.")
    ] = 100 * 1024 * 1024,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Show every pair at a glance: states, link, lag, backups, and what an outage would hit."""
    names = tuple(service or ())
    form = _checked(names, form, output, json=json, warn_lag=warn_lag, crit_lag=crit_lag)
    options.not_negative(call_timeout=call_timeout, data_timeout=data_timeout)
    trusted, project = options.readable(ca_file), options.project_name(project)
    from ccr_avn.status.ask import begin

    answer = begin(avn, project, call_timeout)
    from datetime import UTC, datetime

    from ccr_avn.status.looks import look_at_all
    from ccr_avn.status.pairs import chosen, pairs_of
    from ccr_avn.status.standing import Limits, standings

    pairs = chosen(pairs_of(answer()), names)
    looks = (
        look_at_all(pairs, limit=data_timeout, ca_file=trusted, route=route.value if route else None)
        if data_plane
        else None
    )
    limits = Limits(warn=warn_lag, crit=crit_lag)
    _show(standings(pairs, looks, limits=limits, now=datetime.now(UTC), named=names), form, output, limits)


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


def _show(found: "tuple[Standing, ...]", form: Format, output: Path | None, limits: "Limits") -> None:
    from ccr_avn import console

    match form:
        case Format.NAGIOS:
            from ccr_avn.formats.nagios import line_of

            line, code = line_of(found, limits)
            console.say(line)
            raise typer.Exit(code)
        case Format.PROMETHEUS:
            _show_metrics(found, output)
        case Format.JSON:
            from ccr_avn.status.standing import worst

            pairs = [one.told() for one in found]
            console.envelope("status", ok=True, changed=False, result={"health": worst(found), "pairs": pairs})
        case Format.TABLE:
            from ccr_avn.formats.tables import rows, troubles

            console.say(console.table(rows(found), indent="") if found else "no Valkey or Redis services here")
            for line in troubles(found):
                console.say(line)


def _show_metrics(found: "tuple[Standing, ...]", output: Path | None) -> None:
    from ccr_avn import console
    from ccr_avn.formats.exposition import text_of

    if output is None:
        console.say(text_of(found).rstrip("\n"))
        return
    from ccr_avn.formats.files import write_for_all

    write_for_all(output, text_of(found))


def _end_unknown(problem: Exception) -> None:
    from ccr_avn import console
    from ccr_avn.formats.nagios import failure

    if isinstance(problem, CcrError):
        why = f"{problem.what} ({problem.detail})" if problem.detail else problem.what
    elif hasattr(problem, "format_message"):
        why = str(problem.format_message())
    else:
        why = f"a bug in ccr-avn: {type(problem).__name__}"
    console.say(failure(why))
    raise typer.Exit(UNKNOWN)
