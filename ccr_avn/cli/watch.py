"""`ccr-avn watch`."""

import re
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccr_avn.aiven.program import default_project
from ccr_avn.cli import options
from ccr_avn.cli.options import Avn, CaFile, CallTimeout, Primary, ProjectName, Replica, Route
from ccr_avn.errors import Interrupted, Refused, TimedOut, UsageError
from ccr_avn.hooks import words
from ccr_avn.monitoring.loop import Alert, Goal, Terms
from ccr_avn.monitoring.loop import watch as go_on
from ccr_avn.monitoring.prometheus import Metrics
from ccr_avn.monitoring.sample import Platform, Stats
from ccr_avn.monitoring.sampler import Sampler
from ccr_avn.output import console
from ccr_avn.output.screen import Screen, summary_lines
from ccr_avn.procedures.gates.services import paired_otherwise
from ccr_avn.procedures.lookup import look_up
from ccr_avn.procedures.steps import endpoint
from ccr_avn.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccr_avn.monitoring.loop import Ended, Pause, Show

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


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
    """Watch the lag of REPLICA: live in a terminal, else one JSON line per sample. `q` or Ctrl-C ends it."""
    limit, goal, address = _seconds(duration), _goal(until_lag_below), _address(listen)
    alert = _alert(alert_lag, alert_command, (primary, replica))
    setting = options.setting(project, ca_file, route)
    names = (primary, replica)
    first, second = look_up(avn, setting.project, names, call_timeout, console.note)
    if otherwise := paired_otherwise("watch", first, second):  # what follows nobody may be watched: it was a pair
        raise Refused(otherwise.reason, hint=otherwise.hint)
    sides = [replace(endpoint(one, setting), timeout=data_timeout) for one in (first, second)]

    def ask() -> Any:
        return look_up(avn, setting.project, names, call_timeout)

    def found(first: Any, second: Any) -> None:
        if first.uri and second.uri:
            sampler.readdress(endpoint(first, setting), endpoint(second, setting))

    label = setting.project.name or default_project()
    serve = partial(Metrics, names, label, *address) if address else None
    sampler = Sampler(*sides, patience=min(interval, data_timeout))
    platform = Platform((first, second), ask, state_interval, found)
    figures = Stats()
    live = sys.stdout is not None and sys.stdout.isatty() and not json
    ended, signal = _go_on(
        Terms(interval=interval, limit=limit, goal=goal), sampler, platform, figures, alert, names, serve, live=live
    )
    _finish(figures, names, ended, signal, goal, live=live)


def _go_on(
    terms: Any,
    sampler: Any,
    platform: Any,
    figures: "Stats",
    alert: "Alert | None",
    names: tuple[str, str],
    serve: "Callable[[], Metrics] | None",
    *,
    live: bool,
) -> "tuple[Ended, Interrupted | None]":
    """Watch; a signal ends it in good order. How it ended."""
    with Signals(), ExitStack() as stack:
        try:
            stack.callback(sampler.close)
            stack.callback(platform.stop)
            if alert:
                stack.callback(alert.wait)
            platform.start()
            shows, pause = _faces(stack, figures, names, serve, live=live)

            def show(sample: Any, events: tuple[str, ...]) -> None:
                for each in shows:
                    each(sample, events)

            return go_on(terms, sampler, platform, figures, alert, show=show, pause=pause), None
        except Interrupted as signal:
            return "asked to", signal


def _faces(
    stack: ExitStack, figures: "Stats", names: tuple[str, str], serve: "Callable[[], Metrics] | None", *, live: bool
) -> "tuple[list[Show], Pause]":
    """Where samples are shown, and how to wait meanwhile."""
    shows: list[Show] = []
    if serve:
        metrics = serve()
        stack.callback(metrics.close)
        console.note(f"metrics: {metrics.url}")
        shows.append(lambda sample, _: metrics.show(sample))
    if live:
        screen = stack.enter_context(Screen(names, figures))
        return shows, screen.pause
    shows.append(lambda sample, events: _line(names, {**sample.told(), "events": list(events)}))
    return shows, _plain_pause


def _plain_pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _line(names: tuple[str, str], told: dict[str, Any]) -> None:
    import json

    pair = {"schema": console.SCHEMA, "command": "watch", "pair": list(names)}
    console.say(json.dumps({**pair, **told}))


def _finish(
    figures: "Stats",
    names: tuple[str, str],
    ended: "Ended",
    signal: Interrupted | None,
    goal: "Goal | None",
    *,
    live: bool,
) -> None:
    """The summary, and the exit code.

    Raises:
        TimedOut: the goal was not reached.
    """
    if live:
        for line in summary_lines(names, figures):
            console.say(line)
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


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not found:
        raise UsageError(f"invalid value for --for: {text!r}", detail="a number and s, m, h or d", hint="--for 10m")
    return float(found[1]) * UNITS[found[2]]


def _goal(text: str | None) -> "Goal | None":
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms)?", text)
    if not found or not float(found[1]):
        raise UsageError(
            f"invalid value for --until-lag-below: {text!r}",
            detail="bytes, or milliseconds with ms behind the number; above 0",
            hint="--until-lag-below 4096, or --until-lag-below 50ms",
        )
    return Goal(below=float(found[1]), unit="ms" if found[2] else "bytes")


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"invalid value for --listen: {text!r}", detail="an address, a colon, a port", hint="--listen 9121"
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def _alert(limit: float | None, command: str | None, names: tuple[str, str]) -> "Alert | None":
    if limit is None:
        if command is not None:
            raise UsageError(
                "--alert-command needs --alert-lag",
                detail="no lag is given at which to run it",
                hint="--alert-lag 1000",
            )
        return None
    return Alert(limit, words("--alert-command", command), names)
