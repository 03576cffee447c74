"""The screen of a watch in a terminal: the state of the pair, the lag as a sparkline, recent events."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ccr_avn.monitoring.probe import Sample, Stats
from ccr_avn.output.outlet import emitted, outlet
from ccr_avn.printable import printable_line
from ccr_avn.units import format_bytes, format_lag

BARS = "▁▂▃▄▅▆▇█"
EVENTS_SHOWN = 8


@contextmanager
def screen(pair: tuple[str, str], figures: Stats) -> Iterator[Callable[[float], bool]]:
    """Shows ``figures`` while entered. Gives a function that waits so many seconds, or until `q` is typed: whether it was."""
    to: Any = outlet("stdout")
    console = Console(file=to, highlight=False, markup=False)
    live = Live(
        console=console,
        get_renderable=lambda: picture(pair, figures, console.width),
        refresh_per_second=4,
        transient=True,
        redirect_stderr=False,
    )
    with _unseen_keys() as has_keys, live:

        def pause(seconds: float) -> bool:
            until = time.monotonic() + seconds
            while has_keys:
                ready, _, _ = select.select([sys.stdin], [], [], max(0.0, until - time.monotonic()))
                if not ready:
                    return False
                typed = os.read(sys.stdin.fileno(), 64)
                if b"q" in typed.lower() or not typed:  # nothing: the terminal has gone
                    return True
            time.sleep(seconds)
            return False

        yield pause


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
            Text.assemble((f"{_clock(at)}  ", "dim"), _safe(event), overflow="ellipsis", no_wrap=True)
            for at, event in list(figures.events)[-EVENTS_SHOWN:]
        ),
        Text("q ends", style="dim"),
    )


def summary_lines(pair: tuple[str, str], figures: Stats) -> list[str]:
    """What stays on the terminal when the live part has gone."""
    found = figures.summary()
    arrived = f"{found['markers_arrived']} markers arrived, link up {found['link_up_percent']} %"
    return [
        f"{pair[0]} > {pair[1]}: {found['samples']} samples in {found['seconds']:g} s, {arrived}",
        f"lag: {_lags(found)}; at most {format_bytes(found['lag_bytes_max'])}",
        *(f"{_clock(at)}  {printable_line(event)}" for at, event in figures.events),
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


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _safe(text: str) -> str:
    return printable_line(emitted(text))


@contextmanager
def _unseen_keys() -> Iterator[bool]:
    """Keys come at once and unseen; Ctrl-C stays Ctrl-C. Whether there is a keyboard."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield False
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin.fileno())
    tty.setcbreak(sys.stdin.fileno())
    try:
        yield True
    finally:
        with suppress(termios.error):  # the terminal may have gone
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
