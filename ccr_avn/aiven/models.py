"""The facts read from avn's JSON. Raw JSON goes no further than this module."""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, SecretStr, model_validator

from ccr_avn.aiven.avn import NOT_ENABLED
from ccr_avn.aiven.lineage import FROM, Recorded, mark_in
from ccr_avn.aiven.reading import Fact, M, Rows, listed, parsed, rows_of, salvaged, unreadable

SERVING = ("RUNNING", "REBALANCING")
"""States in which a service answers its clients; REBALANCING swaps nodes while serving."""

READ_REPLICA = "read_replica"

REPLICABLE = ("valkey", "redis")
"""The service types that have read replicas of their own kind; all others are none of our business."""

UNKNOWN = "unknown"
IDLE_TIMEOUT = 300.0
"""Seconds: what ``valkey_timeout`` and ``redis_timeout`` are where they are not set."""

Moment = Annotated[datetime, AfterValidator(lambda one: one if one.tzinfo else one.replace(tzinfo=UTC))]
"""The platform's are in UTC, whether or not they say so."""

Object = dict[str, Any]


class Progress(Fact):
    phase: str | None = None
    completed: bool | None = None
    current: float | None = None
    maximum: float | None = Field(default=None, alias="max")
    unit: str | None = None


class NodeState(Fact):
    name: str
    state: str
    progress_updates: tuple[Progress, ...] = ()

    def __str__(self) -> str:
        phases = [
            f"{one.phase} {one.current:g}/{one.maximum:g}" if one.current is not None and one.maximum else one.phase
            for one in self.progress_updates
            if one.phase and not one.completed
        ]
        return f"{self.name} {self.state}" + (f" ({', '.join(phases)})" if phases else "")


class Integration(Fact):
    """A row of ``integration-list``; the same row is listed on both services, so its direction matters."""

    id: str | None = Field(alias="service_integration_id", default=None)
    type: str = Field(alias="integration_type")
    enabled: bool
    active: bool
    source: str | None = Field(alias="source_service", default=None)
    dest: str | None = Field(alias="dest_service", default=None)
    source_endpoint: str | None = Field(alias="source_endpoint_id", default=None)
    dest_endpoint: str | None = Field(alias="dest_endpoint_id", default=None)
    source_project: str | None = None
    dest_project: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _what_is_not_said(cls, value: Any) -> Any:
        """A row with an id is one that was enabled; one that is enabled acts unless it is said not to."""
        if not isinstance(value, dict):
            return value
        id_ = value.get("service_integration_id")
        id_ = None if id_ == NOT_ENABLED else id_
        enabled = id_ is not None if value.get("enabled") is None else value["enabled"]
        active = enabled if value.get("active") is None else value["active"]
        return {**value, "service_integration_id": id_, "enabled": enabled, "active": active}

    @property
    def crosses_projects(self) -> bool:
        """Whether its services are in two projects, so that one of the names means nothing in the other's."""
        return None not in (self.source_project, self.dest_project) and self.source_project != self.dest_project

    def feeds(self, service: str) -> bool:
        return self.type == READ_REPLICA and self.enabled and self.dest == service

    def is_fed_by(self, service: str) -> bool:
        return self.type == READ_REPLICA and self.enabled and self.source == service


class User(Fact):
    username: str
    type: str | None = None
    password: SecretStr | None = None
    access_control: Object = Field(default_factory=dict)


class Backup(Fact):
    name: str = Field(alias="backup_name")
    taken: Moment = Field(alias="backup_time")
    size: int | None = Field(alias="data_size", default=None)  # bytes before compression


class Component(Fact):
    component: str
    host: str
    port: int
    route: str
    usage: str


class Service(Fact):
    name: str = Field(alias="service_name", min_length=1)
    type: str = Field(alias="service_type")
    state: str
    plan: str = UNKNOWN
    cloud: str = Field(alias="cloud_name", default=UNKNOWN)
    uri: SecretStr | None = Field(alias="service_uri", default=None)  # null while building
    is_cluster: bool = Field(alias="is_cluster_plan", default=False)
    protected: bool = Field(alias="termination_protection", default=False)
    vpc: str | None = Field(alias="project_vpc_id", default=None)
    created: Moment | None = Field(alias="create_time", default=None)  # distinguishes namesakes
    node_count: int | None = None
    nodes: tuple[NodeState, ...] = Field(alias="node_states", default=())
    user_config: Object = Field(default_factory=dict)
    integrations: tuple[Integration, ...] = Field(alias="service_integrations", default=())
    users: tuple[User, ...] = ()
    components: tuple[Component, ...] = ()
    backups: tuple[Backup, ...] = ()
    tags: Object = Field(default_factory=dict)
    maintenance: Object = Field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # what the platform said of it that can't be read

    @property
    def due(self) -> tuple[Object, ...]:
        return tuple(_objects_in(self.maintenance, "updates"))

    @property
    def usernames(self) -> frozenset[str]:
        return frozenset({"default", *(one.username for one in self.users)})

    @property
    def serving(self) -> bool:
        return self.state in SERVING

    @property
    def persistence(self) -> str:
        """``rdb`` or ``off``; an absent key behaves as ``rdb``."""
        return str(self.user_config.get(f"{self.type}_persistence") or "rdb")

    @property
    def idle_timeout(self) -> float:
        """Seconds after which it ends an idle connection, 0 for never; the platform's default where nothing is set."""
        given = self.user_config.get(f"{self.type}_timeout")
        return float(given) if isinstance(given, int) and given >= 0 else IDLE_TIMEOUT

    @property
    def row(self) -> Integration | None:
        return next((row for row in self.integrations if row.feeds(self.name)), None)

    @property
    def source(self) -> str | None:
        """The primary that this service replicates, if it is a read replica.

        One of another project is ``PROJECT/NAME``, which is no service's name: it equals no namesake here.
        """
        source = self.row.source if self.row else None
        return f"{self.source_project}/{source}" if source and self.source_project else source

    @property
    def source_project(self) -> str | None:
        """The project of its primary where that is another: a service of that name here is a stranger."""
        return self.row.source_project if self.row and self.row.crosses_projects else None

    @property
    def replicas(self) -> tuple[str, ...]:
        fed = (row for row in self.integrations if row.is_fed_by(self.name) and row is not self.row)
        return tuple(row.dest for row in fed if row.dest)


class IntegrationType(Fact):
    type: str = Field(alias="integration_type")
    sources: tuple[str, ...] = Field(alias="source_service_types", default=())
    dests: tuple[str, ...] = Field(alias="dest_service_types", default=())


class Vpc(Fact):
    id: str = Field(alias="project_vpc_id")
    cloud: str = Field(alias="cloud_name")
    state: str = "ACTIVE"


class Offer(NamedTuple):
    """What a plan is in a cloud; None: not known."""

    memory_mb: float | None = None  # of a node
    usd_an_hour: float | None = None


Offers = dict[tuple[str, str, str], Offer]
"""By type, plan and cloud."""


class Tag(Fact):
    key: str
    value: str


def services(stdout: str) -> Rows[Service]:
    """``avn service list --json``, of those that can have read replicas; one that can't be read is left out."""
    kinds = ((one, one.get("service_type") if isinstance(one, dict) else None) for one in listed(stdout))
    # one of an unknown type is not passed over in silence
    return rows_of(Service, (one for one, kind in kinds if kind in REPLICABLE or not isinstance(kind, str)), "service")


def named_services(stdout: str) -> Rows[Service]:
    """The same, or ``avn service get --json``, for names that were asked for, whatever their type.

    Raises: AvnError: one can't be read: to leave it out would say that it does not exist.
    """
    answer = parsed(stdout)
    found = [salvaged(Service, one) for one in (answer if isinstance(answer, list) else [answer])]
    return Rows(found, (note for one in found for note in one.left_out))


def family(stdout: str, names: tuple[str, ...], recorded: Iterable[Recorded]) -> Rows[Service]:
    """Of all services those of these names, their primaries, and what follows or was promoted from one of these.

    ``recorded``: the promotions in this machine's journals.

    Raises: AvnError: one that is named can't be read.
    """
    named, others = family_in({_text(row, "service_name"): row for row in listed(stdout)}, names, recorded)
    found, rest = [salvaged(Service, row) for row in named], rows_of(Service, others, "service")
    return Rows((*found, *rest), (*(note for one in found for note in one.left_out), *rest.left_out))


def family_in(
    rows: Mapping[str, Any], names: tuple[str, ...], recorded: Iterable[Recorded]
) -> tuple[list[Any], list[Any]]:
    """Of the rows of all services, by name, those that are named, and the others."""
    named = [rows[name] for name in names if name in rows]
    known = {*names}.union(*map(_sources, named))
    known |= {one.new for one in recorded if one.origin.name in known}
    return named, [
        row
        for name, row in rows.items()
        if name not in names and (known & {name, *_sources(row)} or mark_in(_tags(row), known))
    ]


def service(stdout: str) -> Service:
    """``avn service get --json``."""
    return salvaged(Service, parsed(stdout))


def _rows_of(shape: type[M], what: str) -> Callable[[str], Rows[M]]:
    return lambda stdout: rows_of(shape, listed(stdout), what)


backups = _rows_of(Backup, "backup")
integrations = _rows_of(Integration, "integration")
integration_types = _rows_of(IntegrationType, "integration type")
vpcs = _rows_of(Vpc, "VPC")
tags = _rows_of(Tag, "tag")


def offers(stdout: str) -> Offers:
    """``avn service plans --cloud CLOUD --json``: all types, whatever cloud was named. It is large, and has no secrets."""
    try:
        types = json.loads(stdout)
    except (ValueError, RecursionError) as error:
        raise unreadable(error) from None
    if not isinstance(types, dict):
        raise unreadable(TypeError("it is not an object"))
    plans = [(kind, one) for kind in REPLICABLE for one in _objects_in(types.get(kind), "service_plans")]
    return {
        (kind, str(plan.get("service_plan")), cloud): Offer(*(_amount(region, key) for key in AMOUNTS))
        for kind, plan in plans
        if isinstance(plan.get("regions"), dict)
        for cloud, region in plan["regions"].items()
    }


AMOUNTS = ("node_memory_mb", "price_usd")


def _amount(region: Any, key: str) -> float | None:
    """Prices come as decimal words."""
    with suppress(TypeError, ValueError, AttributeError):
        return amount if (amount := float(region.get(key))) >= 0 else None
    return None


def _objects_in(holder: Any, key: str) -> list[dict[str, Any]]:
    rows = holder.get(key) if isinstance(holder, dict) else None
    return [one for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []


def objects(stdout: str) -> tuple[dict[str, Any], ...]:
    """Any JSON list of objects, for checks that only count or name them."""
    found = listed(stdout)
    if not all(isinstance(one, dict) for one in found):
        raise unreadable(TypeError("it is not a list of objects"))
    return tuple(found)


def _text(row: Any, key: str) -> str:
    value = row.get(key) if isinstance(row, dict) else None
    return value if isinstance(value, str) else ""


def _sources(row: Any) -> set[str]:
    """Which service it follows, and which one its tags name as its old primary."""
    rows = _objects_in(row, "service_integrations")
    follows = {_text(one, "source_service") for one in rows if _text(one, "dest_service") == _text(row, "service_name")}
    return {*follows, _text(_tags(row), FROM)} - {""}


def _tags(row: Any) -> dict[str, Any]:
    found = row.get("tags") if isinstance(row, dict) else None
    return found if isinstance(found, dict) else {}
