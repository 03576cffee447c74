"""Reads journals: every line once, into a typed event; and checks that the chain of their hashes is intact."""

import hashlib
import json
from collections.abc import Iterator
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
    """A journal as far as it can be read. ``half``: it ends in the middle of a line; ``head``: hash of the last line.

    ``started``, ``ended``: the lines that open and close it, None: it has none that can be read.
    """

    path: Path
    lines: tuple[Line, ...]
    half: bool
    head: str
    events: tuple[Event, ...]
    started: RunStarted | None
    ended: RunEnded | None

    @property
    def run(self) -> str:
        return self.started.run if self.started else self.path.stem


def read(path: Path) -> Record:
    """Raises: UsageError: the file can't be opened."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read", detail=str(error.strerror), hint="ccr-avn runs list") from None
    lines = tuple(map(_line, raw.removesuffix(b"\n").split(b"\n"))) if raw else ()
    events = tuple(line.event for line in lines if line.event)
    return Record(
        path=path,
        lines=lines,
        half=bool(raw) and not raw.endswith(b"\n"),
        head=lines[-1].hash if lines else "",
        events=events,
        started=next((one for one in events if isinstance(one, RunStarted)), None),
        ended=next((one for one in events if isinstance(one, RunEnded)), None),
    )


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
    findings, notes = list(_chain(record)), []
    if record.run != record.path.stem:
        findings.append(f"it is the journal of {record.run}, under another name")
    ends = [number for number, line in enumerate(record.lines, 1) if isinstance(line.event, RunEnded)]
    count = len(record.lines)
    if ends and ends[0] != count:
        findings.append(f"{count - ends[0]} line(s) follow the closing line {ends[0]}")
    if record.half:
        findings.append(
            f"the file ends in the middle of line {count}: the run died while writing, or the file was truncated"
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
    return Verdict(lines=count, head=record.head, findings=tuple(findings), notes=tuple(notes))


def _chain(record: Record) -> Iterator[str]:
    expected = ""
    if not record.lines:
        yield "the journal is empty"
    for number, line in enumerate(record.lines, 1):
        if not line.readable:
            yield f"line {number} can't be read: it was changed, or only half of it was written"
        elif line.previous != expected and number == 1:
            yield "line 1 is not the first that was written: what came before it was removed or moved"
        elif line.previous != expected:
            yield (
                f"line {number} does not follow line {number - 1}: one of the two was changed,"
                " or a line between them removed or moved"
            )
        elif number == 1 and not isinstance(line.event, RunStarted):
            yield "line 1 does not open a run"
        expected = line.hash
