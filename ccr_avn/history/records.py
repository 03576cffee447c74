"""Reads journals: each line into a typed event, what it noted into plain data; checks the chain of their hashes."""

import hashlib
import json
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from ccr_avn.errors import UsageError
from ccr_avn.history.journal import KEPT
from ccr_avn.plan.events import Event, RunEnded, RunStarted
from ccr_avn.redact import redacted_in
from ccr_avn.units import format_duration

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
    return Verdict(findings=tuple(findings), notes=tuple(notes))


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


# -- what runs noted

Number = Annotated[float, Field(strict=True, gt=-1e12, lt=1e12)]
Whole = Annotated[int, Field(strict=True)]


def _epoch(value: Any) -> Any:
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value


Moment = Annotated[float, Field(strict=True, gt=-1e12, lt=1e12), BeforeValidator(_epoch)]
"""Seconds since 1970, of an ISO 8601 time."""


def within(*path: str) -> Any:
    """A value within an object; None: it is not there."""
    return Field(None, validation_alias=AliasPath(*path))


class Lenient(BaseModel):
    """What is missing, or invalid as in a damaged journal, gets its default: an auditor gets a report anyway."""

    model_config = ConfigDict(frozen=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_where_odd(cls, value: Any, handler: Any, info: Any) -> Any:
        try:
            return handler(value)
        except ValidationError:
            return cls.model_fields[info.field_name].get_default()


class Started(Lenient):
    """What a run is about, as its first line says."""

    primary: str = ""
    replica: str = ""
    project: str = ""
    avn: str = ""
    temporary_replica: str = ""
    replica_plan: str = ""
    replica_cloud: str = ""
    level: str = ""
    pairs: tuple[dict[str, Any], ...] = ()


class Noted(Lenient):
    """The facts of findings that a later run, or a report, asks for. ``created``: seconds since 1970, by name."""

    created: dict[str, int] | int | None = None
    follows: str = ""
    replication_id: str = ""
    ip_filter: Any = None
    writes_paused_until: Moment | None = None
    lag_bytes: Whole | None = None
    ahead_bytes: Whole | None = None
    ahead_writes: Whole | None = None
    lapsed: bool = False
    equal_by_value: tuple[str, str, int] | None = None
    skipped: Any = None
    gone: Any = None


class Side(Lenient):
    """A service of a pair; ``role``: primary, replica, or what else it is."""

    name: str = ""
    role: str = "service"
    type: str = ""
    plan: str = ""
    cloud: str = ""
    state: str = ""

    @property
    def details(self) -> tuple[str, ...]:
        return tuple(one for one in (f"{self.type} {self.plan}".strip(), self.cloud, self.state) if one)


class Risk(Lenient):
    what: str = ""
    fix: str = ""


class Assumption(Lenient):
    name: str = ""
    what: str = ""
    outcome: str = ""
    saw: str = ""
    otherwise: str = ""
    critical: bool = False


class Pair(Lenient):
    """One pair of an evacuation: what was chosen, and how it ended. ``phases_seconds``: kind, began, ended, in seconds."""

    model_config = ConfigDict(extra="allow")

    pair: str = ""
    state: str = "not begun"
    action: str = ""
    reason: str = ""
    others: tuple[str, ...] = ()
    run: str = ""
    journal_head: str = ""
    summary: str = ""
    notes: tuple[str, ...] = ()
    hint: str = ""
    next: tuple[tuple[str, ...], ...] = ()
    outage_ms: Number | None = None
    bytes_not_replicated: Number | None = None
    estimated_loss_seconds: Number | None = None
    phases_seconds: tuple[tuple[str, Number, Number], ...] = ()

    @property
    def advice(self) -> str:
        """What can be done now: the command that resumes it, else what the refusal says."""
        return shlex.join(self.next[0]) if self.next else self.hint

    @property
    def outage(self) -> str:
        return "" if self.outage_ms is None else format_duration(self.outage_ms / 1000)


class Result(Lenient):
    """What a run said in the end, by whichever command."""

    error: str = ""
    detail: str = ""
    before: tuple[Side, ...] = ()
    after: tuple[Side, ...] = ()
    risks: tuple[Risk, ...] = ()
    restore: tuple[str, ...] = ()
    # of a promotion
    old_primary: str = ""
    promoted: bool = False
    writes_paused_until: Moment | None = None
    ways_to_close: tuple[str, ...] | None = None
    write_outage_ms: Number | None = None
    bytes_not_replicated: Number | None = None
    seconds_to_first_write: Number | None = None
    loss_seconds: Number | None = within("rpo_estimate", "seconds")
    loss_how: str | None = within("rpo_estimate", "how")
    # of enable and verify
    samples: Whole | None = within("marker", "samples")
    arrived: Whole | None = within("marker", "arrived")
    median_ms: Number | None = within("marker", "median_ms")
    maximum_ms: Number | None = within("marker", "maximum_ms")
    lag_bytes: Whole | None = within("replication", "lag_bytes")
    # of a drill
    rto_ms: Number | None = None
    not_received_ms: Number | None = None
    assumptions: tuple[Assumption, ...] = ()
    usd_an_hour: Number | None = within("cost", "usd_an_hour")
    existed_seconds: Number | None = within("cost", "seconds")
    estimate_usd: Number | None = within("cost", "estimate_usd")
    proven_by: str = ""
    terminate: str = ""
    # of an evacuation
    pairs: tuple[Pair, ...] = ()
    enable: tuple[str, ...] = ()
    still_open: tuple[dict[str, str], ...] = ()
    replicas_in_cloud: tuple[str, ...] = ()
    outages_not_measured: int = 0
