"""`ccr-avn watch`."""

import json as json_text
import shlex
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccr_avn.aiven.program import default_project
from ccr_avn.cli.options import Reaching
from ccr_avn.errors import Interrupted, Refused, TimedOut, UsageError
from ccr_avn.hooks import a_command
from ccr_avn.monitoring.loop import Alert, Goal, Platform
from ccr_avn.monitoring.loop import watch as go_on
from ccr_avn.monitoring.probe import Probe, Sample, Stats
from ccr_avn.monitoring.prometheus import Metrics
from ccr_avn.options import Opt, Primary, Replica, above_zero, flag, seconds, spelled, word
from ccr_avn.output import console
from ccr_avn.output.overview import picture, summary_lines
from ccr_avn.output.tables import live as shown_in_place
from ccr_avn.procedures.gates.services import paired_otherwise
from ccr_avn.procedures.lookup import look_up
from ccr_avn.procedures.setting import endpoint
from ccr_avn.signals import Signals

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.monitoring.loop import Ended, Show

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

A_TIME = spelled(r"\d+(\.\d+)?[smhd]?", "value", "a number and s, m, h or d", "--for 10m")
A_LAG = spelled(
    r"(?=.*[1-9])\d+(\.\d+)?(ms)?",
    "value",
    "bytes, or milliseconds with ms behind the number; above 0",
    "--until-lag-below 4096, or --until-lag-below 50ms",
)


def _an_address(option: str, text: str) -> None:
    port = text.rpartition(":")[2]
    if not port.isdecimal() or int(port) > 65535:
        what = f"invalid value for {option}: {text!r}"
        raise UsageError(what, detail="an address, a colon, a port", hint="--listen 9121")


def watch(
    *,
    primary: Primary,
    replica: Replica,
    duration: Annotated[
        str | None,
        Opt(help="End after this time: 30, 90s, 10m, 2h, 1d.", names=("--for",), metavar="TIME", rule=A_TIME),
    ] = None,
    interval: Annotated[float, seconds("Interval between samples.", above_zero)] = 1,
    until_lag_below: Annotated[
        str | None, word("N", "End with exit 0 below this lag: 4096 bytes, or 50ms.", A_LAG)
    ] = None,
    alert_lag: Annotated[float | None, word("MS", "Alert when the lag exceeds MS.", above_zero)] = None,
    alert_command: Annotated[
        str | None, word("CMD", "Run CMD on an alert, without a shell; CCR_LAG_MS is set.", a_command)
    ] = None,
    listen: Annotated[
        str | None, word("[ADDR:]PORT", "Serve Prometheus metrics; on loopback without ADDR.", _an_address)
    ] = None,
    state_interval: Annotated[float, seconds("Interval between calls of avn; 0: only one call.")] = 30,
    data_timeout: Annotated[float, seconds("Time limit for a server to answer.", above_zero)] = 2,
    json: Annotated[bool, flag("Print JSON lines in a terminal too.")] = False,
    reaching: Reaching,
) -> None:
    """Watch the lag of REPLICA: live in a terminal, else one JSON line per sample. Ctrl-C ends it.

    Examples:
      ccr-avn watch eu us
      ccr-avn watch eu us --until-lag-below 50ms --for 60s
      ccr-avn watch eu us --alert-lag 1000 --alert-command ./page-me.sh
    """
    names = (primary, replica)
    limit = float(duration.rstrip("smhd")) * UNITS.get(duration[-1], 1.0) if duration else None
    goal = None
    if until_lag_below:
        in_ms = until_lag_below.endswith("ms")
        goal = Goal(below=float(until_lag_below.removesuffix("ms")), unit="ms" if in_ms else "bytes")
    alert = _alert(alert_lag, alert_command, names)
    setting = reaching.setting()
    services = reaching.services(*names)
    if otherwise := paired_otherwise("watch", *services):  # what follows nobody may be watched: it was a pair
        raise Refused(otherwise.reason, hint=otherwise.hint)
    sides = (replace(endpoint(one, setting), timeout=data_timeout) for one in services)
    probe = Probe(*sides, patience=min(interval, data_timeout))

    def ask() -> "tuple[Service, ...]":
        found = look_up(reaching.world(), setting.project, names)
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
            metrics = Metrics(names, setting.project.name or default_project(), listen) if listen else None
            show = _faces(stack, names, figures, metrics, live=live)
            ended = go_on(probe, platform, figures, alert, interval=interval, limit=limit, goal=goal, show=show)
        except Interrupted as asked:
            ended, signal = "asked to", asked
    _finish(figures, names, ended, signal, goal, live=live)


def _faces(stack: ExitStack, names: tuple[str, str], figures: Stats, metrics: Metrics | None, *, live: bool) -> "Show":
    """Where samples are shown."""
    if metrics:
        stack.enter_context(closing(metrics))
        console.note(f"metrics: {metrics.url}")
    if live:
        stack.enter_context(shown_in_place("stdout", lambda terminal: picture(names, figures, terminal.width)))

    def show(sample: Sample, events: tuple[str, ...]) -> None:
        if metrics:
            metrics.show(sample)
        if not live:
            _line(names, {**sample.as_dict(), "events": list(events)})

    return show


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
            f"the lag of {names[1]} did not fall below {goal.below:g} {goal.unit}",
            detail=f"last seen: {last}",
            hint="wait longer (--for), or find the cause: ccr-avn status",
        )


def _alert(limit: float | None, command: str | None, names: tuple[str, str]) -> Alert | None:
    if limit is not None:
        return Alert(limit, tuple(shlex.split(command or "")), names)
    if command is not None:
        what, why = "--alert-command requires --alert-lag", "the command runs when the lag exceeds --alert-lag"
        raise UsageError(what, detail=why, hint="--alert-lag 1000")
    return None
