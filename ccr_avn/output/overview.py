"""What status and watch show: all pairs as a table, once or again and again; one pair and its lag in place."""

import shlex
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ccr_avn import clock, process
from ccr_avn.errors import CcrError, Interrupted, OutOfTime
from ccr_avn.history.journals import Drilled, not_for_long
from ccr_avn.monitoring.status import WORSE, PairStatus, overall
from ccr_avn.output import console
from ccr_avn.output.console import emitted, emitted_line, outlet
from ccr_avn.output.tables import Column, live, prose, text
from ccr_avn.printable import printable_line
from ccr_avn.units import NONE, format_age, format_bytes, format_lag, iso, local_time

if TYPE_CHECKING:
    from ccr_avn.monitoring.probe import Sample, Stats

COLUMNS = (
    Column(head="HEALTH", styles={"ok": "green", "warning": "yellow", "unknown": "magenta", "critical": "bold red"}),
    Column(head="STANDING", rank=2),
    Column(head="PRIMARY", kind="name"),
    Column(head="REPLICA", kind="name"),
    Column(head="CLOUDS", rank=4),
    Column(head="PLANS", rank=7),
    Column(head="STATES", rank=1),
    Column(head="INTEGRATION", rank=6),
    Column(head="LINK", styles={"up": "", "-": "", "": "red"}),
    Column(head="LAG"),
    Column(head="LAST IO", rank=5),
    Column(head="BACKUP", rank=3),
    Column(head="EXPOSURE", rank=8, kind="prose"),
)

NAMED = 3
"""Primaries without a drill that are named."""

Drills = Mapping[str, Drilled]
"""The last drill of each primary."""


def as_dict(found: tuple[PairStatus, ...], drills: Drills) -> dict[str, Any]:
    last = {name: drill.as_dict() for name, drill in drills.items()}
    pairs = [{**one.as_dict(), "last_drill": last.get(one.pair.primary_name)} for one in found]
    return {"health": overall(found), "pairs": pairs}


def shown(found: tuple[PairStatus, ...], drills: Drills, warnings: Iterable[str] = ()) -> str:
    """The table, the worst first, and what there is to say below it; ready to be put out. No command is wrapped."""
    if not found:
        return "no Valkey or Redis services in this project"
    ordered = sorted(found, key=lambda one: (-WORSE.index(one.health), not one.pair.counts))
    more = troubles(ordered)
    if not any(one.pair.counts or one.health != "ok" for one in found):
        more.append("unknown: there is no pair; name a pair that must exist with --expect PRIMARY:REPLICA")
    more += [*_not_drilled(found, drills), *(f"warning: {one}" for one in warnings)]
    lines = [one for line in more for one in ([line] if line.startswith("next: ") else prose(line, "stdout"))]
    return "\n".join([text([row(one) for one in ordered], COLUMNS, indent=0), *map(emitted, lines)])


def _not_drilled(found: tuple[PairStatus, ...], drills: Drills) -> list[str]:
    """Hints, no part of the health: whether a switchover would work here is best known by trying."""
    names = list(dict.fromkeys(one.pair.primary_name for one in found if one.standing == "pair" and one.pair.primary))
    due = not_for_long(names, drills)
    hints = [
        f"last drill of {name}: {drills[name].describe()}" for name in names if name not in due and not drills[name].ok
    ]
    if due:
        some = ", ".join(due[:NAMED]) + (f" and {len(due) - NAMED} more" if len(due) > NAMED else "")
        hints.append(f"no drill in 90 days from this machine: {some}; ccr-avn drill {due[0]} --replica-cloud CLOUD")
    return hints


def troubles(found: Iterable[PairStatus]) -> list[str]:
    """One line for each pair of which there is more to say, and one for each command that can help."""
    return [
        printable_line(line)
        for one in found
        if one.reasons
        for line in (
            f"{one.health}: {one.pair.name}: {'; '.join(one.reasons)}",
            *(f"next: {shlex.join(words)}" for words in one.next),
        )
    ]


def row(one: PairStatus) -> tuple[str, ...]:
    pair = one.pair
    return (
        one.health,
        one.standing if one.age is None else f"{one.standing}, {format_age(one.age)} old",
        pair.primary_name,
        pair.replica_name or NONE,
        _both(one, "cloud"),
        _both(one, "plan"),
        _both(one, "state"),
        pair.integration if pair.replica_name else NONE,
        one.link,
        format_bytes(one.lag_bytes),
        NONE if one.last_io_seconds is None else f"{one.last_io_seconds} s",
        format_age(one.backup_age),
        ", ".join(one.exposure) or NONE,
    )


def _both(one: PairStatus, what: str) -> str:
    """Both sides' word for it; one where they have the same, or there is one side only."""
    absent = "elsewhere" if one.pair.elsewhere else "gone"
    return " > ".join(dict.fromkeys(str(getattr(side, what)) if side else absent for _, _, side, _ in one.sides))


# -- a status that is repeated

CTRL_C = 128 + signal.SIGINT


class Repeated:
    """Repeats a check until Ctrl-C: in place in a terminal, with the age of what is shown; elsewhere one block after another.

    ``look`` gives what is shown, and the exit code that it deserves; ``every``: seconds between two looks;
    ``failed``: the exit code for a look that failed; 0: its own.
    """

    def __init__(self, look: Callable[[], tuple[str, int]], every: float, failed: int = 0) -> None:
        self._look, self._every, self._failed = look, every, failed
        self._shown, self._at, self._trouble = "asking avn …", 0.0, ""

    def go_on(self) -> int:
        """The exit code of the last look, when Ctrl-C or the time limit ends it.

        Raises:
            CcrError: the first look failed. Those that fail later are shown, and tried again.
            Interrupted: before there was a first look, or by another signal.
        """
        in_place, code = outlet("stdout").isatty(), None
        try:
            with live("stdout", self.picture, transient=False) if in_place else nullcontext():
                while True:
                    code = self._again(code)
                    if not in_place:
                        said = f"error: {self._trouble}" if self._trouble else self._shown
                        console.hand_over(f"{iso(clock.now())}\n{said}\n")
                    clock.sleep(self._every)
        except Interrupted as ended:
            if code is None or not (isinstance(ended, OutOfTime) or ended.code == CTRL_C):
                raise
            process.end_all()
            return code

    def picture(self, _: Console) -> Group:
        """Below its age, which matters most when avn has not answered for a while."""
        age = f"at {local_time(self._at)}, {format_age(clock.now() - self._at)} ago; " if self._at else ""
        head = Text(f"{age}every {self._every:g} s; Ctrl-C ends", style="dim")
        trouble = [Text(emitted(f"the last check failed: {self._trouble}"), style="red")] if self._trouble else []
        return Group(head, *trouble, Text.from_ansi(self._shown, no_wrap=True))

    def _again(self, code: int | None) -> int:
        try:
            self._shown, code = self._look()
        except CcrError as problem:
            if code is None or isinstance(problem, Interrupted):
                raise
            self._trouble, code = f"{problem.what} ({problem.detail})", self._failed or problem.exit_code
        else:
            self._at, self._trouble = clock.now(), ""
        return code


# -- one pair that is watched

BARS = "▁▂▃▄▅▆▇█"
EVENTS_SHOWN = 8


def picture(pair: tuple[str, str], figures: "Stats", width: int) -> Group:
    last = figures.last
    if last is None:
        return Group(Text(f"{pair[0]} → {pair[1]}: asking …", style="dim"))
    found = figures.summary()
    known = f"           {_lags(found)}   ({found['samples']} samples, link up {found['link_up_percent']} %)"
    return Group(
        _headline(pair, last),
        _sides(pair, last),
        Text.assemble(("lag ms     ", "dim"), sparkline(list(figures.lags)[-max(10, width - 12) :])),
        Text(known, style="dim"),
        *(
            Text.assemble((f"{local_time(at)}  ", "dim"), emitted_line(event), overflow="ellipsis", no_wrap=True)
            for at, event in list(figures.events)[-EVENTS_SHOWN:]
        ),
        Text("Ctrl-C ends", style="dim"),
    )


def summary_lines(pair: tuple[str, str], figures: "Stats") -> list[str]:
    """What stays on the terminal when the live part has gone."""
    found = figures.summary()
    arrived = f"{found['markers_arrived']} markers arrived, link up {found['link_up_percent']} %"
    return [
        f"{pair[0]} > {pair[1]}: {found['samples']} samples in {found['seconds']:g} s, {arrived}",
        f"lag: {_lags(found)}; at most {format_bytes(found['lag_bytes_max'])}",
        *(f"{local_time(at)}  {printable_line(event)}" for at, event in figures.events),
    ]


def sparkline(values: list[float]) -> str:
    """One bar a value, the highest for the greatest; never taller than what 1 ms deserves."""
    top = max([*values, 1.0])
    return "".join(BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] for value in values)


def _headline(pair: tuple[str, str], last: "Sample") -> Text:
    style = "green" if last.link == "up" else "red"
    rate = "-" if last.write_rate is None else f"{format_bytes(last.write_rate)}/s"
    rest = f"   lag {format_lag(last.lag_ms)}, {format_bytes(last.lag_bytes)}   writes {rate}"
    return Text.assemble(
        (emitted_line(f"{pair[0]} → {pair[1]}"), "bold"), "   link ", (emitted_line(last.link), style), rest
    )


def _sides(pair: tuple[str, str], last: "Sample") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in ("service", "state", "role", "offset", "last IO", ""):
        table.add_column(head, style="dim" if not head else "", header_style="dim")
    for name, state, side, trouble in (
        (pair[0], last.primary_state, last.primary, last.primary_trouble or last.write_trouble),
        (pair[1], last.replica_state, last.replica, last.replica_trouble),
    ):
        heard = "-" if side is None or side.last_io_seconds is None else f"{side.last_io_seconds} s"
        known = (side.role, f"{side.offset:,}") if side else ("-", "-")
        cells = (Text(emitted_line(cell)) for cell in (name, state or "-", *known, heard))  # no markup of rich's
        table.add_row(*cells, Text(emitted_line(trouble), style="red", overflow="ellipsis", no_wrap=True))
    return table


def _lags(summary: dict[str, Any]) -> str:
    return ", ".join(f"{name} {format_lag(value)}" for name, value in summary["lag_ms"].items())
