"""Progress of one run or of the pairs of an evacuation: a line for each change, or what moves in a terminal."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console, Group
from rich.text import Text

from ccr_avn import clock
from ccr_avn.background import new_lock
from ccr_avn.output import console
from ccr_avn.output.console import emitted, emitted_line
from ccr_avn.output.tables import live, shortened
from ccr_avn.plan import events
from ccr_avn.plan.model import Finding
from ccr_avn.units import format_duration

Sink = Callable[[events.Event], None]

FOREVER = 10.0**8
"""Seconds: a limit that long is none."""


class PlainProgress:
    """One line whenever what is seen changes."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StepStarted():
                self._last = ""
            case events.Looked(finding=finding) if finding.verdict == "wait" and event.limit:
                limit = f" (up to {event.limit:g} s)" if event.limit < FOREVER else ""
                self.once(f"{event.slug}: waiting: {finding.reason}{limit}")
            case events.Missed():
                self.once(f"{event.slug}: {event.text}")
            case events.ChangeStarted():
                self.line(f"{event.slug}: {shlex.join(event.argv)}")
            case events.ChangeEnded(doubt=doubt) if doubt:
                self.line(f"{event.slug}: {doubt}")
            case events.StepDone():
                self.warn(event.finding)
                self.done(event)
            case events.Undone():
                self.line(f"{event.slug}: undone" if not event.failed else f"{event.slug}: NOT undone: {event.failed}")
            case _:
                pass

    def close(self) -> None:
        """Nothing is held."""

    def line(self, text: str) -> None:
        console.progress(text)

    def once(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self.line(text)

    def warn(self, finding: Finding) -> None:
        for warning in finding.warnings:
            self.line(f"warning: {warning}")

    def done(self, event: events.StepDone) -> None:
        if not event.finding.facts.get("unsaid"):
            self.line(done_line(event))


def done_line(event: events.StepDone) -> str:
    word = {"found": "already so", "changed": "done", "proven": "ok", "failed": "NOT done"}[event.outcome]
    return f"{event.slug}: {word}: {event.finding.reason} ({event.seconds:.1f} s)"


class Quiet(PlainProgress):
    """Warnings only."""

    def line(self, text: str) -> None:
        if text.startswith("warning: "):
            super().line(text)


class LiveProgress(PlainProgress):
    """One line that moves for the step under way; a settled line for each step that is done."""

    def __init__(self) -> None:
        super().__init__()
        self._step: events.StepStarted | None = None
        self._began = 0.0
        self._seen = ""
        self.live = live("stderr", self.picture)

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StepStarted():
                self._step, self._began, self._seen = event, clock.monotonic(), ""
                self.close()
                self.live = live("stderr", self.picture)
                self.live.start()
            case events.Looked(finding=finding) if finding.verdict == "wait":
                self._seen = finding.reason
            case events.Missed():
                self._seen = event.text
            case events.RunEnded():
                self.close()
            case _:
                super().__call__(event)

    def close(self) -> None:
        self.live.stop()

    def line(self, text: str) -> None:
        self.live.console.print(Text(emitted(text), style="yellow" if text.startswith("warning:") else ""))

    def done(self, event: events.StepDone) -> None:
        self.close()
        if event.finding.facts.get("unsaid"):
            return
        mark = ("✗ ", "red") if event.outcome == "failed" else ("✓ ", "green")
        self.live.console.print(Text.assemble(mark, emitted(done_line(event))))

    def picture(self, _: Console) -> Text:
        if self._step is None:
            return Text()
        limit = f" of {self._step.limit:g}" if 0 < self._step.limit < FOREVER else ""
        elapsed = f" ({clock.monotonic() - self._began:.0f}{limit} s)"
        seen = f"; {self._seen}" if self._seen else ""
        rest = emitted_line(f": {self._step.purpose}{seen}")  # behind what no narrow terminal may cut
        line = Text.assemble(("… ", "cyan"), self._step.slug, (elapsed, "dim"), rest)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line


Phase = Literal[
    "waiting", "checking", "fenced", "promoting", "promoted", "closing", "done", "refused", "half-way", "failed"
]
CLOSING = ("audit", "close", "closed", "power-off")
ENDS: tuple[Phase, ...] = ("done", "refused", "half-way", "failed")


@dataclass(slots=True, kw_only=True)
class PairPhase:
    """``since``: when its phase began, on the clock. ``outage``: seconds in which no writes were accepted; until it is
    over, ``no_writes_since``. ``past``: the phases before, each with its beginning and end."""

    name: str
    since: float
    phase: Phase = "waiting"
    no_writes_since: float | None = None
    outage: float | None = None
    text: str = ""
    past: list[tuple[Phase, float, float]] = field(default_factory=list)


def change_of(pair: PairPhase) -> str:
    """One line for a change of its phase."""
    more = f": {pair.text}" if pair.text else ""
    if pair.phase == "fenced":
        more = ": writes are paused"
    if pair.phase == "promoted":
        more = ": accepts writes" + ("" if pair.outage is None else f", after {format_duration(pair.outage)} without")
    return f"{pair.name}: {pair.phase}{more}"


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


class PairPhases:
    """In which phase each pair is. A change is one line; ``in_place``: there is a table, and what ends badly is printed.

    The table has a row for each pair, the totals, and the longest outage so far. It never takes more lines than the
    terminal has.
    """

    def __init__(self, names: Iterable[str], *, in_place: bool = False) -> None:
        self.pairs = {name: PairPhase(name=name, since=clock.monotonic()) for name in names}
        self.live = live("stderr", self.picture) if in_place else None
        self._one_at_a_time = new_lock()

    def saw(self, name: str, event: events.Event) -> None:
        pair = self.pairs[name]
        match event:
            case events.RunStarted():
                self._enter(pair, "checking")
            case events.ChangeStarted(slug="fence"):
                pair.no_writes_since = clock.monotonic()
            case events.StepDone(slug="fence", outcome="changed"):
                self._enter(pair, "fenced")
            case events.ChangeStarted(slug="promote"):
                self._enter(pair, "promoting")
            case events.StepDone(slug="promote", outcome="found"):
                pair.no_writes_since = None  # another run sent it: this one did not see the whole pause
            case events.StepDone(slug="accepts-writes"):
                if pair.no_writes_since is not None:
                    pair.outage, pair.no_writes_since = clock.monotonic() - pair.no_writes_since, None
                self._enter(pair, "promoted")
            case events.StepStarted(slug=slug) if slug in CLOSING and pair.phase == "promoted":
                self._enter(pair, "closing")
            case _:
                pass

    def ended(self, name: str, phase: Phase, text: str = "") -> None:
        """*waiting*: it was checked ahead of a turn that did not come."""
        pair = self.pairs[name]
        pair.text, pair.no_writes_since = text, None
        self._enter(pair, phase)

    @property
    def longest(self) -> tuple[float, str]:
        """The longest outage so far, one that goes on included, and whose it is; 0 and nothing where there was none."""
        return max(((self.outage_of(pair), pair.name) for pair in self.pairs.values()), default=(0.0, ""))

    def outage_of(self, pair: PairPhase) -> float:
        """So far, in seconds; 0: there was none, or it was not seen as a whole."""
        since = pair.no_writes_since
        return clock.monotonic() - since if since is not None else pair.outage or 0.0

    def _enter(self, pair: PairPhase, phase: Phase) -> None:
        if phase == pair.phase:
            return
        at = clock.monotonic()
        if pair.phase != "waiting":
            pair.past.append((pair.phase, pair.since, at))
        pair.phase, pair.since = phase, at
        with self._one_at_a_time:
            if self.live is None or phase in ("failed", "half-way", "refused"):
                console.progress(change_of(pair))

    def picture(self, terminal: Console) -> Group:
        width, order = terminal.width, list(STYLES)
        pairs = sorted(self.pairs.values(), key=lambda one: order.index(one.phase))
        shown = pairs[: max(1, terminal.height - 4)]
        names = min(max((len(one.name) for one in shown), default=0), width // 2)
        rows = [self._row(one, names) for one in sorted(shown, key=lambda one: one.name)]
        for row in (*rows, totals := self._totals()):
            row.rstrip()
            row.no_wrap = True
            row.truncate(width, overflow="ellipsis")
        return Group(*rows, totals)

    def _row(self, one: PairPhase, names: int) -> Text:
        outage = self.outage_of(one)
        text = "" if one.phase == "done" else emitted_line(one.text)  # that it is says enough
        row = Text(f"{shortened(one.name, names):{names}} ")
        row.append(f"{one.phase:9}", style=STYLES[one.phase])
        return row.append(f" {format_duration(outage) if outage else '':>9} {text}")

    def _totals(self) -> Text:
        counts = Counter(pair.phase for pair in self.pairs.values())
        under_way = sum(count for phase, count in counts.items() if phase not in (*ENDS, "waiting"))
        parts = [f"{counts['waiting']} waiting", f"{under_way} under way"]
        parts += [f"{counts[phase]} {phase}" for phase in ENDS if counts[phase] or phase == "done"]
        longest, whose = self.longest
        outage = f"; longest outage {format_duration(longest)}: {whose}" if whose and longest else ""
        return Text(", ".join(parts) + outage)


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
        console.progress(f"{self._name}: {text}")
