"""The screen of a watch in a terminal: the state of the pair, the lag as a sparkline, recent events."""

from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ccr_avn.monitoring.probe import Sample, Stats
from ccr_avn.output.console import emitted
from ccr_avn.output.tables import live
from ccr_avn.printable import printable_line
from ccr_avn.units import format_bytes, format_lag, local_time

BARS = "▁▂▃▄▅▆▇█"
EVENTS_SHOWN = 8


def screen(pair: tuple[str, str], figures: Stats) -> Live:
    """Shows ``figures`` while entered."""
    return live("stdout", lambda console: picture(pair, figures, console.width))


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
