"""The screen of a watch in a terminal: the state of the pair, the lag as a sparkline, recent events."""

import os
import select
import sys
import time
from contextlib import suppress
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ccr_avn.monitoring.sample import Sample, Stats
from ccr_avn.output.outlet import emitted, outlet
from ccr_avn.printable import printable_line
from ccr_avn.units import format_bytes, format_lag

BARS = "▁▂▃▄▅▆▇█"
EVENTS_SHOWN = 8


class Screen:
    """Shows ``figures`` while entered, and hears the key that ends it."""

    def __init__(self, pair: tuple[str, str], figures: Stats) -> None:
        self._pair = pair
        self._figures = figures
        to: Any = outlet("stdout")
        self._console = Console(file=to, highlight=False, markup=False)
        self._live = Live(self, console=self._console, refresh_per_second=4, transient=True, redirect_stderr=False)
        self._terminal: Any = None

    def __enter__(self) -> Self:
        self._terminal = _quiet_keys()
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        _restore_keys(self._terminal)

    def pause(self, seconds: float) -> bool:
        """Wait that long, or until `q` is typed; whether it was."""
        until = time.monotonic() + seconds
        while self._terminal is not None:
            ready, _, _ = select.select([sys.stdin], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return False
            typed = os.read(sys.stdin.fileno(), 64)
            if b"q" in typed.lower() or not typed:  # nothing: the terminal has gone
                return True
        time.sleep(max(0.0, until - time.monotonic()))
        return False

    def __rich__(self) -> Group:
        last = self._figures.last
        if last is None:
            return Group(Text(f"{self._pair[0]} → {self._pair[1]}: asking …", style="dim"))
        width = max(10, self._console.width - 12)
        return Group(
            _headline(self._pair, last),
            _sides(self._pair, last),
            Text.assemble(("lag ms     ", "dim"), sparkline(list(self._figures.lags)[-width:])),
            Text(_figures_told(self._figures), style="dim"),
            *_events(self._figures),
            Text("q ends", style="dim"),
        )


def summary_lines(pair: tuple[str, str], figures: Stats) -> list[str]:
    """What stays on the terminal when the live part has gone."""
    found = figures.summary()
    lag = ", ".join(f"{name} {format_lag(value)}" for name, value in found["lag_ms"].items())
    arrived = f"{found['markers_arrived']} markers arrived, link up {found['link_up_percent']} %"
    return [
        f"{pair[0]} > {pair[1]}: {found['samples']} samples in {found['seconds']:g} s, {arrived}",
        f"lag: {lag}; at most {format_bytes(found['lag_bytes_max'])}",
        *(f"{time.strftime('%H:%M:%S', time.localtime(at))}  {printable_line(event)}" for at, event in figures.events),
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


def _safe(text: str) -> str:
    return printable_line(emitted(text))


def _sides(pair: tuple[str, str], last: Sample) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in ("service", "state", "role", "offset", "last IO", ""):
        table.add_column(head, style="dim" if not head else "", header_style="dim")
    trouble = last.primary_trouble or last.write_trouble
    for name, state, side, told in (
        (pair[0], last.primary_state, last.primary, trouble),
        (pair[1], last.replica_state, last.replica, last.replica_trouble),
    ):
        heard = "-" if side is None or side.last_io_seconds is None else f"{side.last_io_seconds} s"
        known = (side.role, f"{side.offset:,}") if side else ("-", "-")
        cells = (Text(_safe(cell)) for cell in (name, state or "-", *known, heard))  # no markup of rich's
        table.add_row(*cells, Text(_safe(told), style="red", overflow="ellipsis", no_wrap=True))
    return table


def _figures_told(figures: Stats) -> str:
    found = figures.summary()
    lag = ", ".join(f"{name} {format_lag(value)}" for name, value in found["lag_ms"].items())
    return f"           {lag}   ({found['samples']} samples, link up {found['link_up_percent']} %)"


def _events(figures: Stats) -> list[Text]:
    shown = list(figures.events)[-EVENTS_SHOWN:]
    return [
        Text.assemble(
            (time.strftime("%H:%M:%S  ", time.localtime(at)), "dim"),
            _safe(event),
            overflow="ellipsis",
            no_wrap=True,
        )
        for at, event in shown
    ]


def _quiet_keys() -> Any:
    """Keys come at once and unseen; Ctrl-C stays Ctrl-C. None where there is no keyboard."""
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin.fileno())
    tty.setcbreak(sys.stdin.fileno())
    return before


def _restore_keys(before: Any) -> None:
    if before is None:
        return
    import termios

    with suppress(termios.error):  # the terminal may have gone
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
