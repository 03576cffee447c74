"""Progress of many runs: one line for each change of a pair, prefixed with its name; in a terminal a live table."""

from collections import Counter

from rich.console import Group
from rich.text import Text

from ccr_avn.evacuate.pair_phases import ENDS, PairPhase, PairPhases, Phase
from ccr_avn.output import console
from ccr_avn.output.live import Display
from ccr_avn.output.outlet import emitted
from ccr_avn.output.progress import PlainProgress
from ccr_avn.plan import events
from ccr_avn.printable import printable_line
from ccr_avn.units import format_duration


class PairProgress(PlainProgress):
    """The sink of one pair's run: it updates its phase, and reports what must be reported at once."""

    def __init__(self, name: str, phases: PairPhases) -> None:
        super().__init__()
        self._name = name
        self._phases = phases

    def __call__(self, event: events.Event) -> None:
        self._phases.saw(self._name, event)
        match event:
            case events.Missed(asked=True):
                self.once(event.text)
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


def change_of(pair: PairPhase) -> str:
    """One line for a change of its phase."""
    more = f": {pair.text}" if pair.text else ""
    if pair.phase == "fenced":
        more = ": writes are paused"
    if pair.phase == "promoted":
        more = ": takes writes" + ("" if pair.outage is None else f", after {format_duration(pair.outage)} without")
    return f"{pair.name}: {pair.phase}{more}"


class PairLines:
    """Elsewhere than in a terminal: nothing is shown before something changes."""

    def open(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

    def changed(self, pair: PairPhase) -> None:
        console.note(change_of(pair))


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


class PairTable(Display, PairLines):
    """The totals and the longest outage so far under a row for each pair. What has ended badly is printed, and stays.

    It never takes more lines than the terminal has.
    """

    def __init__(self, phases: PairPhases) -> None:
        super().__init__()
        self._phases = phases

    def changed(self, pair: PairPhase) -> None:
        if pair.phase in ("failed", "half-way", "refused"):
            super().changed(pair)

    def __rich__(self) -> Group:
        width, order = self.console.width, list(STYLES)
        pairs = sorted(self._phases.pairs.values(), key=lambda one: order.index(one.phase))
        shown = pairs[: max(1, self.console.height - 4)]
        names = min(max((len(one.name) for one in shown), default=0), width // 2)
        rows = [self._row(one, names) for one in sorted(shown, key=lambda one: one.name)]
        for row in (*rows, totals := self._totals()):
            row.rstrip()
            row.no_wrap = True
            row.truncate(width, overflow="ellipsis")
        return Group(*rows, totals)

    def _row(self, one: PairPhase, names: int) -> Text:
        outage = self._phases.outage_of(one)
        text = "" if one.phase == "done" else printable_line(emitted(one.text))  # that it is says enough
        row = Text(f"{shortened(one.name, names):{names}} ")
        row.append(f"{one.phase:9}", style=STYLES[one.phase])
        return row.append(f" {format_duration(outage) if outage else '':>9} {text}")

    def _totals(self) -> Text:
        counts = Counter(pair.phase for pair in self._phases.pairs.values())
        under_way = sum(count for phase, count in counts.items() if phase not in (*ENDS, "waiting"))
        parts = [f"{counts['waiting']} waiting", f"{under_way} under way"]
        parts += [f"{counts[phase]} {phase}" for phase in ENDS if counts[phase] or phase == "done"]
        longest, whose = self._phases.longest
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
