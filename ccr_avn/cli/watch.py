"""`ccr-avn watch`."""

import json as json_text
import re
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccr_avn.aiven.program import default_project
from ccr_avn.cli import options
from ccr_avn.cli.options import Avn, CaFile, CallTimeout, Primary, ProjectName, Replica, Route, flattened
from ccr_avn.errors import Interrupted, Refused, TimedOut, UsageError
from ccr_avn.hooks import words
from ccr_avn.monitoring.loop import Alert, Goal, Platform
from ccr_avn.monitoring.loop import watch as go_on
from ccr_avn.monitoring.probe import Probe
from ccr_avn.monitoring.prometheus import Metrics
from ccr_avn.monitoring.sample import Sample, Stats
from ccr_avn.output import console
from ccr_avn.output.screen import screen, summary_lines
from ccr_avn.procedures.gates.services import paired_otherwise
from ccr_avn.procedures.lookup import look_up
from ccr_avn.procedures.setting import endpoint
from ccr_avn.signals import Signals

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.monitoring.loop import Ended, Pause, Show

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@flattened
def watch(
    primary: Primary,
    replica: Replica,
    project: ProjectName = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="End after this time: 30, 90s, 10m, 2h, 1d.")
    ] = None,
    interval: Annotated[float, options.seconds("Interval between samples.", options.above_zero)] = 1,
    until_lag_below: Annotated[
        str | None,
        typer.Option("--until-lag-below", metavar="N", help="End with exit 0 below this lag: 4096 bytes, or 50ms."),
    ] = None,
    alert_lag: Annotated[
        float | None,
        typer.Option("--alert-lag", metavar="MS", callback=options.above_zero, help="Alert when the lag exceeds MS."),
    ] = None,
    alert_command: Annotated[
        str | None,
        typer.Option("--alert-command", metavar="CMD", help="Run CMD on an alert, without a shell; CCR_LAG_MS is set."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="[ADDR:]PORT", help="Serve Prometheus metrics; on loopback without ADDR."),
    ] = None,
    state_interval: Annotated[
        float,
        options.seconds("Interval between calls of avn; 0: only one call."),
    ] = 30,
    data_timeout: Annotated[float, options.seconds("Time limit for a server to answer.", options.above_zero)] = 2,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines in a terminal too.")] = False,
    avn: Avn = None,
) -> None:
    """Watch the lag of REPLICA: live in a terminal, else one JSON line per sample. `q` or Ctrl-C ends it.

    Examples:
      ccr-avn watch eu us
      ccr-avn watch eu us --until-lag-below 50ms --for 60s
      ccr-avn watch eu us --alert-lag 1000 --alert-command ./page-me.sh
    """
    names = (primary, replica)
    limit, goal, address = _seconds(duration), _goal(until_lag_below), _address(listen)
    alert = _alert(alert_lag, alert_command, names)
    setting = options.setting(project, ca_file, route)
    services = look_up(avn, setting.project, names, call_timeout, console.note)
    if otherwise := paired_otherwise("watch", *services):  # what follows nobody may be watched: it was a pair
        raise Refused(otherwise.reason, hint=otherwise.hint)
    sides = (replace(endpoint(one, setting), timeout=data_timeout) for one in services)
    probe = Probe(*sides, patience=min(interval, data_timeout))

    def ask() -> "tuple[Service, ...]":
        found = look_up(avn, setting.project, names, call_timeout)
        if all(one.uri for one in found):
            probe.readdress(*(endpoint(one, setting) for one in found))
        return found

    platform, figures = Platform(services, ask, state_interval), Stats()
    live = sys.stdout is not None and sys.stdout.isatty() and not json
    signal: Interrupted | None = None
    with Signals(), ExitStack() as stack:
        try:
            stack.callback(probe.close)
            stack.callback(platform.stop)
            if alert:
                stack.callback(alert.wait)
            platform.start()
            metrics = Metrics(names, setting.project.name or default_project(), *address) if address else None
            show, pause = _faces(stack, names, figures, metrics, live=live)
            ended = go_on(
                probe, platform, figures, alert, interval=interval, limit=limit, goal=goal, show=show, pause=pause
            )
        except Interrupted as asked:
            ended, signal = "asked to", asked
    _finish(figures, names, ended, signal, goal, live=live)


def _faces(
    stack: ExitStack, names: tuple[str, str], figures: Stats, metrics: Metrics | None, *, live: bool
) -> "tuple[Show, Pause]":
    """Where samples are shown, and how to wait meanwhile."""
    if metrics:
        stack.enter_context(closing(metrics))
        console.note(f"metrics: {metrics.url}")
    pause = stack.enter_context(screen(names, figures)) if live else None

    def show(sample: Sample, events: tuple[str, ...]) -> None:
        if metrics:
            metrics.show(sample)
        if not pause:
            _line(names, {**sample.as_dict(), "events": list(events)})

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    return show, pause or wait


def _line(names: tuple[str, str], facts: dict[str, Any]) -> None:
    console.say(json_text.dumps({"schema": console.SCHEMA, "command": "watch", "pair": list(names), **facts}))


def _finish(
    figures: Stats,
    names: tuple[str, str],
    ended: "Ended",
    signal: Interrupted | None,
    goal: Goal | None,
    *,
    live: bool,
) -> None:
    """The summary, and the exit code.

    Raises:
        TimedOut: the goal was not reached.
    """
    if live:
        console.say("\n".join(summary_lines(names, figures)))
    else:
        _line(names, {"ended": ended, "summary": figures.summary()})
    if signal:
        raise typer.Exit(signal.exit_code)
    if goal and ended != "reached":
        seen = figures.last
        last = f"lag {seen.lag_bytes} bytes, {seen.lag_ms} ms, link {seen.link}" if seen else "no sample"
        raise TimedOut(
            f"the lag of {names[1]} did not get below {goal.below:g} {goal.unit}",
            detail=f"last seen: {last}",
            hint="wait longer: --for, or find the cause: ccr-avn status",
        )


def _matched(option: str, text: str, pattern: str, detail: str, hint: str) -> re.Match[str]:
    """Raises:
    UsageError: the text is not as the pattern.
    """
    found = re.fullmatch(pattern, text)
    if not found:
        raise UsageError(f"invalid value for {option}: {text!r}", detail=detail, hint=hint)
    return found


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = _matched("--for", text, r"(\d+(?:\.\d+)?)([smhd]?)", "a number and s, m, h or d", "--for 10m")
    return float(found[1]) * UNITS[found[2]]


def _goal(text: str | None) -> Goal | None:
    if text is None:
        return None
    found = _matched(
        "--until-lag-below",
        text,
        r"(?=.*[1-9])(\d+(?:\.\d+)?)(ms)?",
        "bytes, or milliseconds with ms behind the number; above 0",
        "--until-lag-below 4096, or --until-lag-below 50ms",
    )
    return Goal(below=float(found[1]), unit="ms" if found[2] else "bytes")


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        what = f"invalid value for --listen: {text!r}"
        raise UsageError(what, detail="an address, a colon, a port", hint="--listen 9121")
    return host.strip("[]") or "127.0.0.1", int(port)


def _alert(limit: float | None, command: str | None, names: tuple[str, str]) -> Alert | None:
    if limit is not None:
        return Alert(limit, words("--alert-command", command), names)
    if command is not None:
        needs, why = "--alert-command needs --alert-lag", "no lag is given at which to run it"
        raise UsageError(needs, detail=why, hint="--alert-lag 1000")
    return None
