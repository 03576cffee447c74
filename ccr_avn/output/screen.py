"""What a terminal shows in place until Ctrl-C: the screen of a watch, and a status that is repeated."""

import signal
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ccr_avn import clock, process
from ccr_avn.errors import CcrError, Interrupted, OutOfTime
from ccr_avn.monitoring.probe import Sample, Stats
from ccr_avn.output import console
from ccr_avn.output.console import emitted, outlet
from ccr_avn.output.tables import live
from ccr_avn.printable import printable_line
from ccr_avn.units import format_age, format_bytes, format_lag, iso, local_time

BARS = "▁▂▃▄▅▆▇█"
EVENTS_SHOWN = 8


def screen(pair: tuple[str, str], figures: Stats) -> Live:
    """Shows ``figures`` while entered."""
    return live("stdout", lambda terminal: picture(pair, figures, terminal.width))


def picture(pair: tuple[str, str], figures: Stats, width: int) -> Group:
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
            Text.assemble((f"{local_time(at)}  ", "dim"), _safe(event), overflow="ellipsis", no_wrap=True)
            for at, event in list(figures.events)[-EVENTS_SHOWN:]
        ),
        Text("Ctrl-C ends", style="dim"),
    )


def summary_lines(pair: tuple[str, str], figures: Stats) -> list[str]:
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


def _headline(pair: tuple[str, str], last: Sample) -> Text:
    style = "green" if last.link == "up" else "red"
    rate = "-" if last.write_rate is None else f"{format_bytes(last.write_rate)}/s"
    rest = f"   lag {format_lag(last.lag_ms)}, {format_bytes(last.lag_bytes)}   writes {rate}"
    return Text.assemble((_safe(f"{pair[0]} → {pair[1]}"), "bold"), "   link ", (_safe(last.link), style), rest)


def _sides(pair: tuple[str, str], last: Sample) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in ("service", "state", "role", "offset", "last IO", ""):
        table.add_column(head, style="dim" if not head else "", header_style="dim")
    for name, state, side, trouble in (
        (pair[0], last.primary_state, last.primary, last.primary_trouble or last.write_trouble),
        (pair[1], last.replica_state, last.replica, last.replica_trouble),
    ):
        heard = "-" if side is None or side.last_io_seconds is None else f"{side.last_io_seconds} s"
        known = (side.role, f"{side.offset:,}") if side else ("-", "-")
        cells = (Text(_safe(cell)) for cell in (name, state or "-", *known, heard))  # no markup of rich's
        table.add_row(*cells, Text(_safe(trouble), style="red", overflow="ellipsis", no_wrap=True))
    return table


def _lags(summary: dict[str, Any]) -> str:
    return ", ".join(f"{name} {format_lag(value)}" for name, value in summary["lag_ms"].items())


def _safe(text: str) -> str:
    return printable_line(emitted(text))


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
