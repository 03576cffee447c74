"""Progress of many runs: one line for each change of a pair, prefixed with its name; in a terminal a live table."""

from rich.console import Group
from rich.text import Text

from ccr_avn.evacuate.board import ENDS, Board, Line, Phase
from ccr_avn.output import console
from ccr_avn.output.live import Display
from ccr_avn.output.outlet import emitted
from ccr_avn.output.progress import PlainProgress
from ccr_avn.plan import events
from ccr_avn.printable import printable_line
from ccr_avn.units import format_duration


class PairProgress(PlainProgress):
    """The sink of one pair's run: it updates the board, and reports what must be reported at once."""

    def __init__(self, name: str, board: Board) -> None:
        super().__init__()
        self._name = name
        self._board = board

    def __call__(self, event: events.Event) -> None:
        self._board.saw(self._name, event)
        match event:
            case events.Missed(asked=True):
                self.once(event.told)
            case events.ChangeEnded(doubt=doubt) if doubt:
                self.line(doubt)
            case events.StepDone(finding=finding):
                self.warn(finding)
            case events.Undone():
                end = f"NOT undone: {event.failed}" if event.failed else event.done or "undone"
                self.line(f"{event.slug}: {end}")
            case _:
                pass

    def line(self, text: str) -> None:
        console.note(f"{self._name}: {text}")


def change_of(line: Line) -> str:
    """One line for a change of its phase."""
    more = f": {line.text}" if line.text else ""
    if line.phase == "fenced":
        more = ": writes are paused"
    if line.phase == "promoted":
        more = ": takes writes" + ("" if line.outage is None else f", after {format_duration(line.outage)} without")
    return f"{line.name}: {line.phase}{more}"


class PlainBoard:
    """Elsewhere than in a terminal: nothing is shown before something changes."""

    def open(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

    def changed(self, line: Line) -> None:
        console.note(change_of(line))


STYLES: dict[Phase, str] = {
    "fenced": "yellow",
    "promoting": "yellow",
    "half-way": "red",
    "failed": "red",
    "checking": "",
    "closing": "",
    "promoted": "",
    "refused": "magenta",
    "waiting": "",
    "done": "green",
}
"""The first ones are shown where a terminal has too few lines for all."""


class LiveBoard(Display, PlainBoard):
    """The totals and the longest outage so far under a row for each pair. What has ended badly is printed, and stays.

    It never takes more lines than the terminal has.
    """

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board

    def changed(self, line: Line) -> None:
        if line.phase in ("failed", "half-way", "refused"):
            super().changed(line)

    def __rich__(self) -> Group:
        width, order = self.console.width, list(STYLES)
        pairs = sorted(self._board.lines.values(), key=lambda one: order.index(one.phase))
        shown = pairs[: max(1, self.console.height - 4)]
        names = min(max((len(one.name) for one in shown), default=0), width // 2)
        rows = [self._row(one, names) for one in sorted(shown, key=lambda one: one.name)]
        for row in (*rows, totals := self._totals()):
            row.rstrip()
            row.no_wrap = True
            row.truncate(width, overflow="ellipsis")
        return Group(*rows, totals)

    def _row(self, one: Line, names: int) -> Text:
        held = self._board.clock() - one.held_since if one.held_since is not None else one.outage
        text = "" if one.phase == "done" else printable_line(emitted(one.text))  # that it is says enough
        row = Text(f"{shortened(one.name, names):{names}} ")
        row.append(f"{one.phase:9}", style=STYLES[one.phase])
        return row.append(f" {format_duration(held) if held else '':>9} {text}")

    def _totals(self) -> Text:
        counts = {phase: self._board.count(phase) for phase in STYLES}
        under_way = sum(count for phase, count in counts.items() if phase not in (*ENDS, "waiting"))
        parts = [f"{counts['waiting']} waiting", f"{under_way} under way"]
        parts += [f"{counts[phase]} {phase}" for phase in ENDS if counts[phase] or phase == "done"]
        longest, whose = self._board.longest
        outage = f"; longest outage {format_duration(longest)}: {whose}" if whose and longest else ""
        return Text(", ".join(parts) + outage)


def shortened(name: str, width: int) -> str:
    """Names of services are alike at their beginnings and differ at their ends: what is left out is in the middle."""
    sides = name.split("/")
    room = (width - len(sides) + 1) // len(sides)
    tail = (room - 1) * 2 // 3
    if len(name) <= width:
        return name
    return "/".join(side if len(side) <= room else f"{side[: room - 1 - tail]}…{side[-tail:]}" for side in sides)
