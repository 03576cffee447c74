"""The table of a terminal: every pair with its phase, totals, and the longest outage so far."""

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ccr_avn.evacuate.board import ENDS, Board, Line, Phase
from ccr_avn.history.summary import format_duration
from ccr_avn.output import console
from ccr_avn.output.many import PlainBoard, told
from ccr_avn.output.outlet import emitted, outlet
from ccr_avn.printable import printable_line

STYLES = {"fenced": "yellow", "promoting": "yellow", "failed": "red", "refused": "magenta", "done": "green"}
FIRST: tuple[Phase, ...] = (
    "fenced",
    "promoting",
    "failed",
    "checking",
    "closing",
    "promoted",
    "refused",
    "waiting",
    "done",
)
"""Which rows are shown where a terminal has too few lines for all."""


class LiveBoard(PlainBoard):
    """It never takes more lines than the terminal has; what has ended badly is also printed, and stays."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._console = Console(file=outlet("stderr"), highlight=False)  # type: ignore[arg-type]
        self._live: Live | None = None

    def open(self) -> None:
        self._live = Live(self, console=self._console, refresh_per_second=4, transient=True, redirect_stdout=False)
        self._live.start()

    def close(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def changed(self, line: Line) -> None:
        if line.phase in ("failed", "refused"):
            console.note(told(line))

    def __rich__(self) -> Group:
        return Group(table(self._board, self._console.width, max(1, self._console.height - 4)), totals(self._board))


def table(board: Board, width: int, rows: int) -> Table:
    """At most so many rows, the most telling ones, in the order of the names."""
    lines = list(board.lines.values())
    shown = sorted(lines, key=lambda one: FIRST.index(one.phase))[:rows]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=max(12, width // 2))
    grid.add_column(no_wrap=True, width=9)
    grid.add_column(no_wrap=True, width=9, justify="right")
    grid.add_column(no_wrap=True, overflow="ellipsis")
    now = board.clock()
    for one in sorted(shown, key=lambda line: line.name):
        held = now - one.held_since if one.held_since is not None else one.outage
        clean = printable_line(emitted(one.text))
        grid.add_row(
            Text(one.name),
            Text(one.phase, style=STYLES.get(one.phase, "")),
            Text(format_duration(held) if held else ""),
            Text(clean),
        )
    return grid


def totals(board: Board) -> Text:
    counts = {phase: board.count(phase) for phase in FIRST}
    under_way = sum(count for phase, count in counts.items() if phase not in (*ENDS, "waiting"))
    told_of = [f"{counts['waiting']} waiting", f"{under_way} under way"]
    told_of += [f"{counts[phase]} {phase}" for phase in ENDS if counts[phase] or phase == "done"]
    longest, whose = board.longest
    line = Text(
        ", ".join(told_of) + (f"; longest outage {format_duration(longest)}: {whose}" if whose and longest else "")
    )
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
