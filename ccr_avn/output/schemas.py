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

KEYS: dict[str, Any] = {
    key: kind
    for kind, keys in (
        (bool, "changed critical disconnected ok old_primary_closed promoted proven run_changed terminated would_go"),
        (int, "age_seconds applied_offset arrived backup_age_seconds bytes_not_replicated database exit_code keys"),
        (int, "bytes_not_replicated_at_worst keys_a_second lag_bytes lag_bytes_max last_io_seconds lines offset"),
        (int, "markers_arrived outages_not_measured replica_keys samples slowed_down writes_not_replicated"),
        (int, "pairs_failed pairs_half_way pairs_moved pairs_not_begun pairs_promoted"),
        (float, "clock_skew_seconds estimate_usd estimated_loss_seconds lag_ms limit_seconds link_up_percent max"),
        (float, "maximum_ms median median_ms min minimum_ms not_received_ms outage_ms p95 p99 rto_ms seconds worst"),
        (float, "seconds_to_first_write ttl_seconds usd_an_hour write_outage_ms write_rate writes_paused_seconds"),
        (Words, "change check compared_by_dump does_not_hold enable exposure findings gate last_known not_tested"),
        (Words, "notes others read reasons replicas_in_cloud restore shares_history_with successors to_create"),
        (Words, "terminated_services warnings ways_to_close"),
        (Moment, "at began created writes_paused_until"),
        (Outcome, "outcome run_outcome"),
        (Literal["ok", "warning", "critical", "unknown"], "health"),
        (list[Words], "next"),
        (dict[str, int], "counts"),
        (dict[str, float], "hooks_seconds"),
        (Any, "ip_filter ip_filter_before new old"),
    )
    for key in keys.split()
}
"""The type of a key, in all commands; of one that is not here it is text. Objects are added below, as they are declared."""


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def shape(title: str, keys: str, base: type[BaseModel] = Shape, *, absent: str = "", **kinds: Any) -> Any:
    """An object with these keys, besides those of its base. With a ``?`` behind it a key may be null.

    ``absent``: keys that may be missing, or null. ``kinds``: what only this object means by one of its keys.
    """
    known, made = {**KEYS, **kinds}, dict[str, Any]()
    for word in keys.split():
        key = word.removesuffix("?")
        kind = known.get(key, str)
        made[key] = (kind if key == word else kind | None, ...)
    for key in absent.split():
        made[key] = (known.get(key, str) | None, None)
    return create_model(title, __base__=base, **made)


# -- what every command says

Journal = shape("Journal", "path head trouble?")
Problem = shape("Problem", "kind what detail hint notes")
KEYS["error"] = Problem
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

Evidence = shape("Evidence", "outcome finding seconds", outcome=Literal["found", "changed", "proven", "failed"])
Run = shape("Run", "", absent="evidence", evidence=dict[str, Evidence])  # by step; only where the run came to its end
Side = shape("Side", "name role", absent="type plan cloud state")  # a service of a pair
Risk = shape("Risk", "what fix")
Difference = shape("Difference", "topic name old new", Risk)
KEYS |= {"before": list[Side], "after": list[Side], "risks": list[Risk], "differences": list[Difference]}
KEYS["last_drill"] = shape("LastDrill", "run age_seconds ok rto_ms? does_not_hold not_tested")
Step = shape("Step", "slug purpose read gate? continues_when limit_seconds change?")
Plan = shape("Plan", "title assumptions check steps", assumptions=Words, steps=list[Step])
Preview = shape("Preview", "plan", plan=Plan)  # with --dry-run

# -- enable and verify

KEYS["marker"] = shape("Markers", "samples arrived minimum_ms median_ms maximum_ms clock_skew_seconds")
KEYS["compare"] = shape(
    "Compared",
    "verdict level keys replica_keys counts examples reasons compared_by_dump keys_a_second seconds peak_memory_bytes",
    verdict=Literal["equal", "different", "inconclusive"],
    examples=list[shape("DifferentKey", "kind database key")],
    peak_memory_bytes=list[int],
)
KEYS["replication"] = shape("Replication", "lag_bytes? history")
Proof = shape("Proof", "", Run, absent="replication marker compare")
Enable = shape("Enable", "primary replica before after project? integration_id? proven", Proof)
EnableCheck = shape("EnableCheck", "primary replica would_go to_create", Run)
Verify = shape("Verify", "primary replica level", Proof, absent="before after")

# -- promotions

HalfWay = shape(
    "HalfWay", "new_primary? promoted?", absent="old_primary old_primary_closed writes_paused_until ways_to_close"
)  # where a run stands that ended behind its promotion
KEYS["half_way"] = HalfWay
Promotion = shape("Promotion", "old_primary? new_primary before after risks differences hooks_seconds", Run)
Switchover = shape(
    "Switchover",
    "write_outage_ms? bytes_not_replicated? writes_not_replicated?",
    Promotion,
    absent="ip_filter_before restore",
)
Loss = shape("Loss", "seconds? how applied_offset?")
Failover = shape("Failover", "seconds_to_first_write? proven rpo_estimate", Promotion, rpo_estimate=Loss)
FailoverCheck = shape("FailoverCheck", "replica would_go state? differences", Run)
SwitchoverCheck = shape("SwitchoverCheck", "primary last_drill?", FailoverCheck)

# -- drill

KEYS["cost"] = shape("Cost", "usd_an_hour? seconds estimate_usd?", seconds=int)
Assumption = shape(
    "Assumption",
    "name what outcome saw otherwise critical",
    outcome=Literal["does not hold", "holds", "not tested"],
)
Drill = shape(
    "Drill",
    "primary temporary_replica cost before after project? avn? level proven_by rto_ms? not_received_ms? assumptions"
    " terminated",
    Proof,
    absent="terminate",
    assumptions=list[Assumption],
)
DrillCheck = shape("DrillCheck", "primary temporary_replica cost would_go", Run)
LeftOver = shape("LeftOver", "name why hint run? created? state? usd_an_hour? running?")
DrillClean = shape("DrillClean", "terminated_services left", Run, left=list[LeftOver])

# -- evacuate

Choice = shape(
    "Choice",
    "pair primary replica? action reason hint lag_bytes? others",
    action=Literal["switchover", "failover", "done", "skip", "refuse"],
)
EvacuatedPair = shape(
    "EvacuatedPair",
    "state",
    Choice,
    absent="promoted half_way notes changed outcome exit_code run journal_head summary outage_ms bytes_not_replicated"
    " estimated_loss_seconds error next phases_seconds",
    state=Literal["done", "skipped", "refused", "failed", "half-way", "not begun"],
    phases_seconds=list[tuple[str, float, float]],  # name, began, ended
)  # one that was not begun has its state only
Evacuation = shape(
    "Evacuation",
    "run counts pairs_moved pairs_promoted pairs_half_way pairs_failed pairs_not_begun outages_ms? outages_not_measured"
    " bytes_not_replicated? bytes_not_replicated_at_worst? estimated_loss_seconds? slowed_down pairs replicas_in_cloud"
    " still_open enable",
    Run,
    outages_ms=shape("Spread", "median p95 worst"),
    pairs=list[EvacuatedPair],
    still_open=list[shape("OpenPrimary", "service close")],
)
EvacuationCheck = shape("EvacuationCheck", "counts pairs", pairs=list[Choice])
EvacuationPreview = shape("EvacuationPreview", "plans", EvacuationCheck, plans=dict[str, Plan])

# -- commands that look

DataPlane = shape("DataPlane", "role offset? history writes_paused_seconds?")
PairService = shape("PairService", "data_plane? trouble?", Side, data_plane=DataPlane)
PairStatus = shape(
    "PairStatus",
    "primary replica? services standing promoted_from? successors closed? shares_history_with drill? integration link"
    " lag_bytes? last_io_seconds? backup_age_seconds? exposure health reasons next last_drill?",
    services=list[PairService],
    drill=shape("DrillService", "run? age_seconds?"),
)
Status = shape("Status", "health pairs", pairs=list[PairStatus])
Doctor = shape("Doctor", "checks", checks=list[shape("Check", "name verdict seen")])
EarlierRun = shape(
    "EarlierRun",
    "run of title began? primary? replica? ended ended_as exit_code? run_changed run_outcome seconds",
    ended=Literal["done", "failed", "open", "not confirmed"],
)
RunsList = shape("RunsList", "runs", runs=list[EarlierRun])
RunsShow = shape(
    "RunsShow",
    "steps result error? last_known half_way? reopening? pairs",
    EarlierRun,
    steps=list[shape("EarlierStep", "slug outcome finding seconds", outcome=str)],
    reopening=shape("Reopening", "service ip_filter restore"),
    result=dict[str, Any],
    pairs=list[dict[str, Any]],
)  # result, pairs: as its journal has them
RunsVerify = shape("RunsVerify", "run lines head findings notes")
Endpoint = shape("Endpoint", "service host port username password tls uri")
Fence = shape("Fence", "ttl_seconds offset? token")
Unfence = shape("Unfence", "disconnected")

# -- a line of watch


class Line(Shape):
    form: Form = Field(alias="schema")
    command: Literal["watch"]
    pair: Words


Sample = shape(
    "Sample",
    "at link lag_bytes? lag_ms? arrived write_rate? last_io_seconds? primary? replica? primary_trouble primary_state"
    " replica_trouble replica_state write_trouble events",
    Line,
    arrived=bool,
    **dict.fromkeys(("primary", "replica"), shape("Server", "role offset history")),
    events=Words,
)
Summary = shape(
    "Summary",
    "seconds samples markers_arrived link_up_percent? lag_ms lag_bytes_max events",
    lag_ms=shape("Lags", "min? median? p99? max?"),
    events=int,
)
LastLine = shape("LastLine", "ended summary", Line, ended=Literal["reached", "time is up", "asked to"], summary=Summary)

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
