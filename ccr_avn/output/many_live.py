"""The live table of an evacuation: every pair with its phase, the totals, and the longest outage so far."""

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ccr_avn.evacuate.board import ENDS, Board, Line, Phase
from ccr_avn.output import console
from ccr_avn.output.many import PlainBoard, told
from ccr_avn.output.outlet import emitted, outlet
from ccr_avn.printable import printable_line
from ccr_avn.units import format_duration

STYLES = {"fenced": "yellow", "promoting": "yellow", "refused": "magenta", "done": "green"}
STYLES |= {"failed": "red", "half-way": "red"}
FIRST: tuple[Phase, ...] = (
    "fenced",
    "promoting",
    "half-way",
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
        if line.phase in ("failed", "half-way", "refused"):
            console.note(told(line))

    def __rich__(self) -> Group:
        width, height = self._console.width, self._console.height
        rows = table(self._board, width, max(1, height - 4))
        return Group(*rows, _one_line(totals(self._board), width))


def table(board: Board, width: int, rows: int) -> list[Text]:
    """At most so many rows, the most telling ones, in the order of the names."""
    lines = list(board.lines.values())
    shown = sorted(lines, key=lambda one: FIRST.index(one.phase))[:rows]
    names = min(max((len(one.name) for one in shown), default=0), width // 2)
    now = board.clock()
    return [_row(one, now, names, width) for one in sorted(shown, key=lambda line: line.name)]


def shortened(name: str, width: int) -> str:
    """Names of services are alike at their beginnings and differ at their ends: what is left out is in the middle."""
    if len(name) <= width:
        return name
    sides = name.split("/")
    room = (width - len(sides) + 1) // len(sides)
    return "/".join(_middle(side, room) for side in sides)


def _middle(word: str, width: int) -> str:
    if len(word) <= width:
        return word
    tail = (width - 1) * 2 // 3
    return f"{word[: width - 1 - tail]}…{word[-tail:]}"


def _row(one: Line, now: float, names: int, width: int) -> Text:
    held = now - one.held_since if one.held_since is not None else one.outage
    row = Text(f"{shortened(one.name, names):{names}} ")
    row.append(f"{one.phase:9}", style=STYLES.get(one.phase, ""))
    text = "" if one.phase == "done" else printable_line(emitted(one.text))  # that it is says enough
    row.append(f" {format_duration(held) if held else '':>9} {text}")
    return _one_line(row, width)


def _one_line(text: Text, width: int) -> Text:
    text.rstrip()
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text


def totals(board: Board) -> Text:
    counts = {phase: board.count(phase) for phase in FIRST}
    under_way = sum(count for phase, count in counts.items() if phase not in (*ENDS, "waiting"))
    told_of = [f"{counts['waiting']} waiting", f"{under_way} under way"]
    told_of += [f"{counts[phase]} {phase}" for phase in ENDS if counts[phase] or phase == "done"]
    longest, whose = board.longest
    outage = f"; longest outage {format_duration(longest)}: {whose}" if whose and longest else ""
    return Text(", ".join(told_of) + outage)
