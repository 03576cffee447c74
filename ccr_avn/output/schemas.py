"""The form of what `--json` prints: docs/schema is made of it, and tests hold every output against it.

No command that is run loads it: what is printed is plain data. An object has the keys that are named here and no others.
"""

# mypy: disable-error-code="misc,valid-type"
# The types are made at run time, of a table.

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

Words = list[str]
Moment = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$",
        json_schema_extra={"format": "date-time"},
    ),
]
Form = Literal["ccr-avn/1"]
Outcome = Literal["unchanged", "changed", "unknown"]
Health = Literal["ok", "warning", "critical", "unknown"]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def shape(title: str, base: type[BaseModel] = Shape, /, **keys: Any) -> Any:
    """An object with these keys, each with the type of its value, besides those of its base."""
    made = {key: one if isinstance(one, tuple) else (one, ...) for key, one in keys.items()}
    return create_model(title, __base__=base, **made)  # type: ignore[call-overload]


def maybe(kind: Any) -> Any:
    """Of a key that may be absent."""
    return kind | None, None


# -- what every command says

Journal = shape("Journal", path=str, head=str, trouble=str | None)
Problem = shape("Problem", kind=str, what=str, detail=str, hint=str, notes=list[str])
Result = TypeVar("Result")


class Envelope(Shape, Generic[Result]):
    """The one object that --json prints, whatever happened."""

    form: Form = Field(alias="schema")
    command: str
    ok: bool
    changed: bool
    outcome: Outcome
    exit_code: int
    run: str | None
    journal: Journal | None
    result: Result | None
    error: Problem | None
    warnings: list[str]
    next: list[Words]


# -- what several commands say

Evidence = shape(
    "Evidence", outcome=Literal["found", "changed", "proven", "failed"], finding=str, seconds=float
)  # of a step
Run = shape("Run", evidence=maybe(dict[str, Evidence]))  # by step; absent where the run did not come to its end
Side = shape(
    "Side", name=str, role=str, type=maybe(str), plan=maybe(str), cloud=maybe(str), state=maybe(str)
)  # a service of a pair
Risk = shape("Risk", what=str, fix=str)
Difference = shape("Difference", Risk, topic=str, name=str, old=Any, new=Any)
LastDrill = shape(
    "LastDrill",
    run=str,
    age_seconds=int,
    ok=bool,
    rto_ms=float | None,
    does_not_hold=list[str],
    not_tested=list[str],
)
Step = shape(
    "Step",
    slug=str,
    purpose=str,
    read=Words,
    gate=Words | None,
    continues_when=str,
    limit_seconds=float,
    change=Words | None,
)
Plan = shape("Plan", title=str, assumptions=list[str], check=Words, steps=list[Step])
Preview = shape("Preview", plan=Plan)  # with --dry-run

# -- enable and verify

Markers = shape(
    "Markers",
    samples=int,
    arrived=int,
    minimum_ms=float,
    median_ms=float,
    maximum_ms=float,
    clock_skew_seconds=float,
)
Compared = shape(
    "Compared",
    verdict=Literal["equal", "different", "inconclusive"],
    level=str,
    keys=int,
    replica_keys=int,
    counts=dict[str, int],
    examples=list[shape("DifferentKey", kind=str, database=int, key=str)],
    reasons=list[str],
    compared_by_dump=list[str],
    keys_a_second=int,
    seconds=float,
    peak_memory_bytes=list[int],
)
Replication = shape("Replication", lag_bytes=int | None, history=str)
Proof = shape("Proof", Run, replication=maybe(Replication), marker=maybe(Markers), compare=maybe(Compared))
Pair = {"primary": str, "replica": str}
Sides = {"before": list[Side], "after": list[Side]}
Enable = shape("Enable", Proof, **Pair, **Sides, project=str | None, integration_id=str | None, proven=bool)
EnableCheck = shape("EnableCheck", Run, **Pair, would_go=bool, to_create=list[str])
Verify = shape("Verify", Proof, **Pair, level=str, before=maybe(list[Side]), after=maybe(list[Side]))

# -- promotions

HalfWay = shape(
    "HalfWay",
    new_primary=str | None,
    promoted=bool | None,
    old_primary=maybe(str),
    old_primary_closed=maybe(bool),
    writes_paused_until=maybe(Moment),
    ways_to_close=maybe(list[str]),
)  # where a run stands that ended behind its promotion
Promotion = shape(
    "Promotion",
    Run,
    old_primary=str | None,
    new_primary=str,
    **Sides,
    risks=list[Risk],
    differences=list[Difference],
    hooks_seconds=dict[str, float],
)
Switchover = shape(
    "Switchover",
    Promotion,
    write_outage_ms=float | None,
    bytes_not_replicated=int | None,
    writes_not_replicated=int | None,
    ip_filter_before=maybe(Any),
    restore=maybe(list[str]),
)
Loss = shape("Loss", seconds=float | None, how=str, applied_offset=int | None)
Failover = shape("Failover", Promotion, seconds_to_first_write=float | None, proven=bool, rpo_estimate=Loss)
FailoverCheck = shape("FailoverCheck", Run, replica=str, would_go=bool, state=str | None, differences=list[Difference])
SwitchoverCheck = shape("SwitchoverCheck", FailoverCheck, primary=str, last_drill=LastDrill | None)

# -- drill

Cost = shape("Cost", usd_an_hour=float | None, seconds=int, estimate_usd=float | None)
Assumption = shape(
    "Assumption",
    name=str,
    what=str,
    outcome=Literal["does not hold", "holds", "not tested"],
    saw=str,
    otherwise=str,
    critical=bool,
)
Drilled = {"primary": str, "temporary_replica": str, "cost": Cost}
Drill = shape(
    "Drill",
    Proof,
    **Drilled,
    **Sides,
    project=str | None,
    avn=str | None,
    level=str,
    proven_by=str,
    rto_ms=float | None,
    not_received_ms=float | None,
    assumptions=list[Assumption],
    terminated=bool,
    terminate=maybe(str),
)
DrillCheck = shape("DrillCheck", Run, **Drilled, would_go=bool)
LeftOver = shape(
    "LeftOver",
    name=str,
    why=str,
    hint=str,
    run=str | None,
    created=Moment | None,
    state=str | None,
    usd_an_hour=float | None,
    running=str | None,
)
DrillClean = shape("DrillClean", Run, terminated_services=list[str], left=list[LeftOver])

# -- evacuate

Choice = shape(
    "Choice",
    pair=str,
    primary=str,
    replica=str | None,
    action=Literal["switchover", "failover", "done", "skip", "refuse"],
    reason=str,
    hint=str,
    lag_bytes=int | None,
    others=list[str],
)
EvacuatedPair = shape(
    "EvacuatedPair",
    Choice,
    state=Literal["done", "skipped", "refused", "failed", "half-way", "not begun"],
    promoted=maybe(bool),
    half_way=maybe(HalfWay),
    notes=maybe(list[str]),
    changed=maybe(bool),
    outcome=maybe(Outcome),
    exit_code=maybe(int),
    run=maybe(str),
    journal_head=maybe(str),
    summary=maybe(str),
    outage_ms=maybe(float),
    bytes_not_replicated=maybe(int),
    estimated_loss_seconds=maybe(float),
    error=maybe(Problem),
    next=maybe(list[Words]),
    phases_seconds=maybe(list[tuple[str, float, float]]),  # name, began, ended
)  # one that was not begun has its state only
Evacuation = shape(
    "Evacuation",
    Run,
    run=str,
    counts=dict[str, int],
    pairs_moved=int,
    pairs_promoted=int,
    pairs_half_way=int,
    pairs_failed=int,
    pairs_not_begun=int,
    outages_ms=shape("Spread", median=float, p95=float, worst=float) | None,
    outages_not_measured=int,
    bytes_not_replicated=int | None,
    bytes_not_replicated_at_worst=int | None,
    estimated_loss_seconds=float | None,
    slowed_down=int,
    pairs=list[EvacuatedPair],
    replicas_in_cloud=list[str],
    still_open=list[shape("OpenPrimary", service=str, close=str)],
    enable=list[str],
)
EvacuationCheck = shape("EvacuationCheck", counts=dict[str, int], pairs=list[Choice])
EvacuationPreview = shape("EvacuationPreview", EvacuationCheck, plans=dict[str, Plan])

# -- commands that look

DataPlane = shape("DataPlane", role=str, offset=int | None, history=str, writes_paused_seconds=float | None)
PairStatus = shape(
    "PairStatus",
    primary=str,
    replica=str | None,
    services=list[shape("PairService", Side, data_plane=DataPlane | None, trouble=str | None)],
    standing=str,
    promoted_from=str | None,
    successors=list[str],
    closed=str | None,
    shares_history_with=list[str],
    drill=shape("DrillService", run=str | None, age_seconds=int | None) | None,
    integration=str,
    link=str,
    lag_bytes=int | None,
    last_io_seconds=int | None,
    backup_age_seconds=int | None,
    exposure=list[str],
    health=Health,
    reasons=list[str],
    next=list[Words],
    last_drill=LastDrill | None,
)
Status = shape("Status", health=Health, pairs=list[PairStatus])
Doctor = shape("Doctor", checks=list[shape("Check", name=str, verdict=str, seen=str)])
EarlierRun = shape(
    "EarlierRun",
    run=str,
    of=str,
    title=str,
    began=Moment | None,
    primary=str | None,
    replica=str | None,
    ended=Literal["done", "failed", "open", "not confirmed"],
    ended_as=str,
    exit_code=int | None,
    run_changed=bool,
    run_outcome=Outcome,
    seconds=float,
)
RunsList = shape("RunsList", runs=list[EarlierRun])
RunsShow = shape(
    "RunsShow",
    EarlierRun,
    steps=list[shape("EarlierStep", slug=str, outcome=str, finding=str, seconds=float)],
    result=dict[str, Any],
    error=Problem | None,
    last_known=list[str],
    half_way=HalfWay | None,
    reopening=shape("Reopening", service=str, ip_filter=Any, restore=list[str]) | None,
    pairs=list[dict[str, Any]],
)  # result, pairs: as its journal has them
RunsVerify = shape("RunsVerify", run=str, lines=int, head=str, findings=list[str], notes=list[str])
Endpoint = shape("Endpoint", service=str, host=str, port=str, username=str, password=str, tls=str, uri=str)
Fence = shape("Fence", ttl_seconds=float, offset=int | None, token=str)
Unfence = shape("Unfence", disconnected=bool)

# -- a line of watch

Server = shape("Server", role=str, offset=int, history=str)
Line = shape("Line", form=(Form, Field(alias="schema")), command=Literal["watch"], pair=list[str])
Sample = shape(
    "Sample",
    Line,
    at=Moment,
    link=str,
    lag_bytes=int | None,
    lag_ms=float | None,
    arrived=bool,
    write_rate=float | None,
    last_io_seconds=int | None,
    **dict.fromkeys(("primary", "replica"), Server | None),
    **{f"{side}_{what}": str for side in ("primary", "replica") for what in ("trouble", "state")},
    write_trouble=str,
    events=list[str],
)
Lags = shape("Lags", **dict.fromkeys(("min", "median", "p99", "max"), float | None))
Summary = shape(
    "Summary",
    seconds=float,
    samples=int,
    markers_arrived=int,
    link_up_percent=float | None,
    lag_ms=Lags,
    lag_bytes_max=int,
    events=int,
)
LastLine = shape("LastLine", Line, ended=Literal["reached", "time is up", "asked to"], summary=Summary)

RESULTS: dict[str, Any] = {
    "enable": Enable | EnableCheck | Preview,
    "verify": Verify | Proof,
    "switchover": Switchover | SwitchoverCheck | HalfWay | Preview,
    "failover": Failover | FailoverCheck | HalfWay | Preview,
    "evacuate": Evacuation | EvacuationCheck | EvacuationPreview,
    "drill": Drill | DrillCheck | DrillClean | Preview,
    "status": Status,
    "watch": None,  # it prints a line for each sample, and a last one
    "doctor": Doctor,
    "endpoint": Endpoint,
    "runs list": RunsList,
    "runs show": RunsShow,
    "runs verify": RunsVerify,
    "fence": Fence,
    "unfence": Unfence,
    "gate": dict[str, Any],  # each of its commands: what was found, by name
}
"""Of each command what `result` may be; null besides."""


def envelope_of(command: str) -> Any:
    """As a command prints it. One that is unknown has no result: what was typed is none."""
    name = "gate" if command.startswith("gate ") else command
    envelope = Envelope[RESULTS.get(name)]
    return RootModel[Sample | LastLine | envelope] if name == "watch" else envelope


def schema_of(command: str) -> dict[str, Any]:
    """As JSON Schema, draft 2020-12: keys may be added. Empty: what all commands have in common."""
    made = _published((envelope_of(command) if command else Envelope[Any]).model_json_schema(by_alias=True))
    title = f"ccr-avn {command or 'COMMAND'} --json"
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**about, "description": Envelope.__doc__, **made}


def _published(schema: Any) -> Any:
    """Without titles that say what the key says, and without the rule that no key may be added."""
    if isinstance(schema, list):
        return [_published(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _published(one)
        for key, one in schema.items()
        if not (key == "title" and isinstance(one, str)) and not (key == "additionalProperties" and one is False)
    }
