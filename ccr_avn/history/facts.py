"""What runs noted as plain data: the facts of their first line, of their findings, and their results."""

import shlex
from datetime import datetime
from typing import Annotated, Any

from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from ccr_avn.units import format_duration

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
    """What is missing, or odd as in a damaged journal, is its default: an auditor gets a report all the same."""

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
        """What can be done now: the command that goes on with it, else what the refusal says."""
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
