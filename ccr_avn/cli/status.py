"""`ccr-avn status`."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from ccr_avn import process
from ccr_avn.cli.commands import HelpCommand
from ccr_avn.cli.options import Reaching, refuse_unused
from ccr_avn.errors import CcrError, Interrupted, OutOfTime, UsageError
from ccr_avn.files import PUBLIC, replace_file
from ccr_avn.options import Json, Opt, a_file_to_replace, a_name, above_zero, choice, flag, seconds, word
from ccr_avn.output import console
from ccr_avn.printable import for_nagios
from ccr_avn.signals import Signals, within

if TYPE_CHECKING:
    from ccr_avn.monitoring.status import PairStatus

UNKNOWN = 3
"""Exit code of Nagios' plugins, and of --exit-code, if a failure of ccr-avn keeps the health from being known."""

USUAL = 10
"""Seconds between two looks of --watch."""

AGAIN = 1.0
"""Seconds after which the time limit interrupts once more what has not ended."""

Format = Literal["table", "json", "nagios", "prometheus"]


class HealthUnknown(CcrError):
    """If the exit code is the health, a failure of ccr-avn must not look like one of the pairs."""

    code = UNKNOWN


class StatusCommand(HelpCommand):
    """If the exit code is the health, every failure of ccr-avn is UNKNOWN, exit code 3, even a typing error."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        nagios = "--format=nagios" in args or ("--format", "nagios") in pairwise(args)
        for at in [
            at for at, one in enumerate(args) if one == "--watch"
        ]:  # its time may be left out: typer knows no such
            if not "".join(args[at + 1 : at + 2]).replace(".", "").isdecimal():
                args = [*args[:at], f"--watch={USUAL}", *args[at + 1 :]]
        with _unknown_instead(nagios=nagios, health="--exit-code" in args):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        nagios, limit = ctx.params.get("form") == "nagios", ctx.params.get("timeout")
        with _unknown_instead(nagios=nagios, health=bool(ctx.params.get("exit_code"))):
            try:
                with Signals(signal.SIGALRM), within(limit, again=AGAIN):
                    return super().invoke(ctx)
            except Interrupted as ended:
                process.end_all()
                ended.detail, ended.hint = f"--timeout {limit:g}" if isinstance(ended, OutOfTime) else "", ""
                raise


COMMAND = StatusCommand


def status(
    *,
    context: typer.Context,
    service: Annotated[
        list[str] | None,
        Opt(help="Show only the pairs of these services.", metavar="[SERVICE]...", argument=True, rule=a_name),
    ] = None,
    data_plane: Annotated[bool, flag("Connect to the servers too, or only ask Aiven.")] = True,
    data_timeout: Annotated[float, seconds("Time limit for all servers to answer.", above_zero)] = 3,
    form: Annotated[
        Format, choice("nagios: one line, exit 0/1/2/3; prometheus: for the textfile collector.", "--format")
    ] = "table",
    output: Annotated[Path | None, word("F", "Write the metrics to this file, atomically.", a_file_to_replace)] = None,
    warn_lag: Annotated[int, word("BYTES", "Lag at which a pair is WARNING.")] = 10 * 1024 * 1024,
    crit_lag: Annotated[int, word("BYTES", "Lag at which a pair is CRITICAL.")] = 100 * 1024 * 1024,
    expect: Annotated[
        list[str] | None, word("PRIMARY:REPLICA", "A pair that must exist, else CRITICAL; @FILE: one per line.")
    ] = None,
    exit_code: Annotated[bool, flag("Exit 0 ok, 1 warning, 2 critical, 3 unknown, by the worst health.")] = False,
    watch: Annotated[
        float | None,
        word("[S]", f"Repeat the table every S seconds ({USUAL} if not given) until Ctrl-C.", above_zero),
    ] = None,
    timeout: Annotated[  # noqa: ARG001 (its time begins earlier: StatusCommand.invoke)
        float | None, seconds("Time limit for the whole command; then it is UNKNOWN.", above_zero)
    ] = None,
    json: Json = False,
    reaching: Reaching,
) -> None:
    """Show every pair at a glance: states, link, lag, backups and risks.

    Examples:
      ccr-avn status --watch 30
      ccr-avn status --expect eu:us --format nagios
      ccr-avn status --format prometheus --output ccr.prom
    """
    names, expected = tuple(service or ()), _expected(expect or [])
    if not data_plane:
        refuse_unused(context, "--no-data-plane", "--data-plane", "data_timeout", "warn_lag", "crit_lag")
    form = _checked(form, output, watch, json=json, warn_lag=warn_lag, crit_lag=crit_lag)
    wanted = dict.fromkeys([*names, *(name for pair in expected for name in pair)])

    def look() -> Looked:
        answer = reaching.begin(*wanted)
        from ccr_avn.history.resume import unfinished  # heavy, as the others: avn is asked already meanwhile
        from ccr_avn.monitoring.health import judged
        from ccr_avn.monitoring.status import CODES, Known, overall
        from ccr_avn.output import overview  # noqa: F401 (it is used when avn has answered)

        services, at = answer(), reaching.setting()
        known = Known(at=at, warn=warn_lag, crit=crit_lag, unfinished=unfinished(reaching.project, at.now))
        found = judged(services, names, expected, known, data_timeout if data_plane else None)
        left_out, code = getattr(services, "left_out", ()), CODES[overall(found)] if exit_code else 0
        return Looked(found, left_out, at.project.name, code)

    raise typer.Exit(_repeat(look, watch, UNKNOWN if exit_code else 0) if watch else _show(look(), form, output))


class Looked(NamedTuple):
    """``left_out``: what avn said that can't be read; ``code``: the exit code."""

    found: "tuple[PairStatus, ...]"
    left_out: tuple[str, ...]
    project: str | None
    code: int


def _repeat(look: Callable[[], Looked], every: float, failed: int) -> int:
    """The exit code of the last look."""
    from ccr_avn.output.overview import Repeated

    return Repeated(lambda: (_table(seen := look()), seen.code), every, failed).go_on()


def _table(seen: Looked) -> str:
    from ccr_avn.history.journals import newest_drills
    from ccr_avn.output import overview

    return overview.shown(seen.found, newest_drills(seen.project), seen.left_out)


def _show(seen: Looked, form: Format, output: Path | None) -> int:
    """The exit code."""
    from ccr_avn.aiven.program import default_project
    from ccr_avn.history.journals import newest_drills
    from ccr_avn.monitoring import prometheus
    from ccr_avn.monitoring.status import nagios_line
    from ccr_avn.output import overview

    if form == "nagios":
        line, code = nagios_line(seen.found, seen.left_out)
        console.say(line)
        return code
    for note in seen.left_out:
        console.warn(note)
    if form == "json":
        console.envelope("status", overview.as_dict(seen.found, newest_drills(seen.project)), code=seen.code)
    elif form == "table":
        console.hand_over(overview.shown(seen.found, newest_drills(seen.project)))
    else:
        _give(prometheus.text_of(seen.found, seen.project or default_project()), output)
    return seen.code


def _give(metrics: str, output: Path | None) -> None:
    """Raises:
    UsageError: the file can't be written.
    """
    if output is None:
        console.say(metrics.rstrip("\n"))
        return
    try:
        replace_file(output, metrics, PUBLIC)  # the collector is another user
    except OSError as error:
        what, why = f"--output: {output} can't be written", error.strerror or str(error)
        raise UsageError(what, detail=why, hint="choose a file in an existing, writable directory") from None


def _expected(given: list[str]) -> tuple[tuple[str, str], ...]:
    """The pairs that must be there.

    Raises:
        UsageError: a word is no pair, or a file can't be read.
    """
    pairs = []
    for pair in (each for one in given for each in (_lines(Path(one[1:])) if one.startswith("@") else [one])):
        primary, colon, replica = pair.partition(":")
        if not colon or primary == replica:
            what = f"invalid value for --expect: {pair!r}"
            raise UsageError(what, detail="two service names, separated by a colon", hint="--expect eu:us")
        a_name("--expect PRIMARY", primary)
        a_name("--expect REPLICA", replica)
        pairs.append((primary, replica))
    return tuple(dict.fromkeys(pairs))


def _lines(file: Path) -> list[str]:
    """What a file says, without comments; a file that names no pair would expect nothing without a word.

    Raises:
        UsageError: it can't be read, or says nothing.
    """
    form = "one PRIMARY:REPLICA per line; # starts a comment"
    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"--expect: {file} can't be read", detail=why, hint=form) from None
    if not any(lines):
        raise UsageError(f"--expect: {file} names no pair", detail="it is empty", hint=form)
    return [line for line in lines if line]


def _checked(
    form: Format, output: Path | None, watch: float | None, *, json: bool, warn_lag: int, crit_lag: int
) -> Format:
    """The format that is meant.

    Raises:
        UsageError: the options don't go together.
    """
    rules = (
        (
            not json or form in ("table", "json"),
            f"--json can't be combined with --format {form}",
            "there is only one output format",
            "omit one of them",
        ),
        (
            not watch or (form == "table" and not json),
            "--watch is for the table",
            "a program repeats the command itself",
            "omit --watch, or --format",
        ),
        (
            not output or form == "prometheus",
            "--output requires --format prometheus",
            "it is for node_exporter's textfile collector",
            "for other formats: ccr-avn status > FILE",
        ),
        (
            0 < warn_lag <= crit_lag,
            f"invalid limits: --warn-lag {warn_lag} and --crit-lag {crit_lag}",
            "both are in bytes and above 0, and --warn-lag must not exceed --crit-lag",
            "--warn-lag 10485760 --crit-lag 104857600",
        ),
    )
    for holds, what, detail, hint in rules:
        if not holds:
            raise UsageError(what, detail=detail, hint=hint)
    return "json" if json else form


@contextmanager
def _unknown_instead(*, nagios: bool, health: bool) -> Iterator[None]:
    """Turn every failure of ccr-avn into one line for Nagios, or into the exit code for unknown."""
    try:
        yield
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except Exception as problem:
        what, detail, hint = f"internal error: {type(problem).__name__}", "", ""
        if isinstance(problem, CcrError):
            what, detail, hint = problem.what, problem.detail, problem.hint
        elif hasattr(problem, "format_message"):
            what = str(problem.format_message())
        if nagios:
            said = f"{what} ({detail})" if detail else what
            console.say(f"CCR UNKNOWN - {for_nagios(said)}")  # by what is loaded: a signal may have ended an import
            raise typer.Exit(UNKNOWN) from None
        if health:
            raise HealthUnknown(what, detail=detail, hint=hint) from problem
        raise
