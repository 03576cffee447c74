"""Plain progress of many runs: one line for each change of a pair, prefixed with its name."""

from ccr_avn.evacuate.board import Board, Line
from ccr_avn.output import console
from ccr_avn.output.progress import PlainProgress
from ccr_avn.plan import events
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
                self._once(event.told)
            case events.ChangeEnded(doubt=doubt) if doubt:
                self.line(doubt)
            case events.StepDone(finding=finding):
                for warning in finding.warnings:
                    self.line(f"warning: {warning}")
            case events.Undone():
                end = f"NOT undone: {event.failed}" if event.failed else event.done or "undone"
                self.line(f"{event.slug}: {end}")
            case _:
                pass

    def line(self, text: str) -> None:
        console.note(f"{self._name}: {text}")


def told(line: Line) -> str:
    """One line for a change."""
    more = {
        "fenced": ": writes are paused",
        "promoted": f": takes writes, after {format_duration(line.outage)} without"
        if line.outage is not None
        else ": takes writes",
    }.get(line.phase, f": {line.text}" if line.text else "")
    return f"{line.name}: {line.phase}{more}"


class PlainBoard:
    """Elsewhere than in a terminal."""

    def open(self) -> None:
        """Nothing is shown before something changes."""

    def close(self) -> None:
        """Nothing is held."""

    def changed(self, line: Line) -> None:
        console.note(told(line))
