"""Reads journals: every line once, into a typed event; and checks that the chain of their hashes is intact."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ccr_avn.errors import UsageError
from ccr_avn.history.journal import KEPT
from ccr_avn.plan.events import Event, RunEnded, RunStarted
from ccr_avn.redact import redacted_in

EVENTS: dict[str, TypeAdapter[Event]] = {one.__name__: TypeAdapter(one) for one in KEPT}
LONGEST = 1e9
"""Seconds: no run takes longer; a line that says so was damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``event``: None where the line can't be read, or is of no known kind; ``previous``: the hash it says it follows."""

    hash: str
    readable: bool
    previous: Any
    event: Event | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A journal as far as it can be read. ``half``: it ends in the middle of a line."""

    path: Path
    lines: tuple[Line, ...]
    half: bool

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(line.event for line in self.lines if line.event)

    @property
    def unreadable(self) -> tuple[int, ...]:
        """The numbers of lines that are passed over."""
        return tuple(number for number, line in enumerate(self.lines, 1) if not line.event)

    @property
    def run(self) -> str:
        return self.started.run if self.started else self.path.stem

    @property
    def began(self) -> float | None:
        """When its first line was written, in seconds since 1970."""
        return self.started.time.timestamp() if self.started and self.started.time else None

    @property
    def written(self) -> float:
        """When its last line was, or the one that ends it."""
        last = self.ended or (self.events[-1] if self.events else None)
        return last.time.timestamp() if last and last.time else 0.0

    @property
    def started(self) -> RunStarted | None:
        return next((one for one in self.events if isinstance(one, RunStarted)), None)

    @property
    def ended(self) -> RunEnded | None:
        return next((one for one in self.events if isinstance(one, RunEnded)), None)

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return self.lines[-1].hash if self.lines else ""


def read(path: Path) -> Record:
    """Raises:
    UsageError: the file can't be opened.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read", detail=str(error.strerror), hint="ccr-avn runs list") from None
    *lines, rest = raw.split(b"\n")
    return Record(path=path, lines=tuple(map(_line, [*lines, rest] if rest else lines)), half=bool(rest))


def _line(raw: bytes) -> Line:
    entry, event = None, None
    with suppress(ValueError, RecursionError):  # what pydantic raises is a ValueError
        entry = json.loads(raw)
    if isinstance(entry, dict) and (kind := EVENTS.get(str(entry.get("event")))):
        with suppress(ValueError):
            event = kind.validate_python(redacted_in(entry))
            if not all(abs(getattr(event, name, 0.0)) < LONGEST for name in ("at", "seconds")):
                event = None
    readable = isinstance(entry, dict)
    previous = entry.get("previous") if isinstance(entry, dict) else None
    return Line(hash=hashlib.sha256(raw).hexdigest(), readable=readable, previous=previous, event=event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What checking the chain showed. ``findings``: what is wrong; ``notes``: what can't be decided from the file alone."""

    lines: int
    head: str
    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def verify(record: Record, head: str | None = None) -> Verdict:
    """Whether every line is the one that was written, in its place; with ``head`` also the last one."""
    findings, notes = [*_chain(record), *_frame(record)], []
    if record.half:
        findings.append(
            f"the file ends in the middle of line {len(record.lines)}: the run died while writing, or the file was truncated"
        )
    if head and record.head != head.lower():
        last = record.head or "missing"
        findings.append(f"the last line's hash is {last}, not {head}: the end was cut off or changed")
    elif head and not record.ended:
        notes.append("there is no closing line, but the last line is the one given with --head")
    elif not head and record.ended:
        notes.append("the last line itself is covered by --head only: the hash printed when the run ended")
    elif not head:
        findings.append("there is no closing line: the run died, is still running, or the end was cut off")
    return Verdict(lines=len(record.lines), head=record.head, findings=tuple(findings), notes=tuple(notes))


def _chain(record: Record) -> list[str]:
    findings, expected = [], ""
    for number, line in enumerate(record.lines, 1):
        if not line.readable:
            findings.append(f"line {number} can't be read: it was changed, or only half of it was written")
        elif line.previous != expected and number == 1:
            findings.append("line 1 is not the first that was written: what came before it was removed or moved")
        elif line.previous != expected:
            findings.append(
                f"line {number} does not follow line {number - 1}: one of the two was changed,"
                " or a line between them removed or moved"
            )
        expected = line.hash
    return findings


def _frame(record: Record) -> list[str]:
    """What holds for every whole journal: it opens, names its run, and nothing follows its closing line."""
    if not record.lines:
        return ["the journal is empty"]
    findings = []
    first = record.lines[0]
    if first.readable and not isinstance(first.event, RunStarted):
        findings.append("line 1 does not open a run")
    elif isinstance(first.event, RunStarted) and first.event.run != record.path.stem:
        findings.append(f"it is the journal of {first.event.run}, under another name")
    ends = [number for number, line in enumerate(record.lines, 1) if isinstance(line.event, RunEnded)]
    if ends and ends[0] != len(record.lines):
        findings.append(f"{len(record.lines) - ends[0]} line(s) follow the closing line {ends[0]}")
    return findings
