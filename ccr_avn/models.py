"""The few facts read out of avn's JSON. Raw JSON travels no further than this module."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from ccr_avn import redact
from ccr_avn.errors import AvnError

SERVING = ("RUNNING", "REBALANCING")
"""States in which a service answers its clients; REBALANCING swaps nodes while serving."""

REDACTED = "<redacted>"
READ_REPLICA = "read_replica"

T = TypeVar("T")


def _none_to_empty(value: Any) -> Any:
    return () if value is None else value


def _none_to_object(value: Any) -> Any:
    return {} if value is None else value


def _not_enabled_id(value: Any) -> Any:
    """avn replaces the null id of a row that is not enabled by a sentence, even in ``--json``."""
    return None if value == "(integration not enabled)" else value


Many = BeforeValidator(_none_to_empty)
Mapping = Annotated[dict[str, Any], BeforeValidator(_none_to_object)]


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=False, hide_input_in_errors=True)


class Progress(Fact):
    phase: str | None = None
    completed: bool | None = None
    current: float | None = None
    maximum: float | None = Field(default=None, alias="max")
    unit: str | None = None


class NodeState(Fact):
    name: str
    state: str
    progress_updates: Annotated[tuple[Progress, ...], Many] = ()

    def __str__(self) -> str:
        phases = [
            f"{one.phase} {one.current:g}/{one.maximum:g}" if one.current is not None and one.maximum else one.phase
            for one in self.progress_updates
            if one.phase and not one.completed
        ]
        return f"{self.name} {self.state}" + (f" ({', '.join(phases)})" if phases else "")


class Integration(Fact):
    """A row of ``integration-list``; the same row is listed on both services, so its direction matters."""

    id: Annotated[str | None, BeforeValidator(_not_enabled_id)] = Field(alias="service_integration_id", default=None)
    type: str = Field(alias="integration_type")
    enabled: bool
    active: bool
    source: str | None = Field(alias="source_service", default=None)
    dest: str | None = Field(alias="dest_service", default=None)
    source_endpoint: str | None = Field(alias="source_endpoint_id", default=None)
    dest_endpoint: str | None = Field(alias="dest_endpoint_id", default=None)

    def feeds(self, service: str) -> bool:
        """Whether this row makes ``service`` a read replica."""
        return self.type == READ_REPLICA and self.enabled and self.dest == service

    def is_fed_by(self, service: str) -> bool:
        return self.type == READ_REPLICA and self.enabled and self.source == service


class User(Fact):
    username: str
    type: str | None = None
    password: SecretStr | None = None
    access_control: Mapping = {}


class Backup(Fact):
    name: str = Field(alias="backup_name")
    taken: datetime = Field(alias="backup_time")
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
    plan: str
    cloud: str = Field(alias="cloud_name")
    uri: SecretStr | None = Field(alias="service_uri", default=None)  # null while building
    is_cluster: bool = Field(alias="is_cluster_plan", default=False)
    protected: bool = Field(alias="termination_protection", default=False)
    vpc: str | None = Field(alias="project_vpc_id", default=None)
    created: datetime | None = Field(alias="create_time", default=None)  # tells namesakes apart
    node_count: int | None = None
    memory_mb: float | None = Field(alias="node_memory_mb", default=None)
    nodes: Annotated[tuple[NodeState, ...], Many] = Field(alias="node_states", default=())
    user_config: Mapping = {}
    integrations: Annotated[tuple[Integration, ...], Many] = Field(alias="service_integrations", default=())
    users: Annotated[tuple[User, ...], Many] = ()
    components: Annotated[tuple[Component, ...], Many] = ()
    backups: Annotated[tuple[Backup, ...], Many] = ()
    tags: Mapping = {}
    maintenance: Mapping = {}

    @property
    def due(self) -> tuple[dict[str, Any], ...]:
        """Maintenance that is planned for it."""
        updates = self.maintenance.get("updates")
        return tuple(one for one in updates if isinstance(one, dict)) if isinstance(updates, list) else ()

    @property
    def serving(self) -> bool:
        return self.state in SERVING

    @property
    def persistence(self) -> str:
        """``rdb`` or ``off``; an absent key behaves as ``rdb``."""
        return str(self.user_config.get(f"{self.type}_persistence") or "rdb")

    @property
    def source(self) -> str | None:
        """The primary that this service replicates, if it is a read replica."""
        return next((row.source for row in self.integrations if row.feeds(self.name)), None)

    @property
    def replicas(self) -> tuple[str, ...]:
        return tuple(row.dest for row in self.integrations if row.is_fed_by(self.name) and row.dest)


class IntegrationType(Fact):
    type: str = Field(alias="integration_type")
    sources: Annotated[tuple[str, ...], Many] = Field(alias="source_service_types", default=())
    dests: Annotated[tuple[str, ...], Many] = Field(alias="dest_service_types", default=())


class Tag(Fact):
    key: str
    value: str


def _reader(shape: Any) -> Callable[[str], Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(shape)

    def read(stdout: str) -> Any:
        try:
            answer = json.loads(stdout)
            redact.learn(answer)  # before anything can be said of it
            return adapter.validate_python(answer)
        except (ValueError, RecursionError) as error:
            raise _unreadable(error) from None

    return read


def services(stdout: str) -> tuple[Service, ...]:
    """``avn service list --json``."""
    found: tuple[Service, ...] = _services(stdout)
    return found


def service(stdout: str) -> Service:
    """``avn service get --json``."""
    found: Service = _service(stdout)
    return found


def backups(stdout: str) -> tuple[Backup, ...]:
    """``avn service backup-list --json``."""
    found: tuple[Backup, ...] = _backups(stdout)
    return found


def integrations(stdout: str) -> tuple[Integration, ...]:
    """``avn service integration-list --json``."""
    found: tuple[Integration, ...] = _integrations(stdout)
    return found


def integration_types(stdout: str) -> tuple[IntegrationType, ...]:
    """``avn service integration-types-list --json``."""
    found: tuple[IntegrationType, ...] = _integration_types(stdout)
    return found


def tags(stdout: str) -> tuple[Tag, ...]:
    """``avn service tags list --json``."""
    found: tuple[Tag, ...] = _tags(stdout)
    return found


def user(stdout: str) -> User:
    """``avn service user-get --json``."""
    found: User = _user(stdout)
    return found


def objects(stdout: str) -> tuple[dict[str, Any], ...]:
    """Any JSON list of objects, for checks that only count or name them."""
    found: tuple[dict[str, Any], ...] = _objects(stdout)
    return found


def nothing(stdout: str) -> None:
    """A changing command says nothing that can be relied on: what became of it is read afterwards."""


_services = _reader(tuple[Service, ...])
_service = _reader(Service)
_backups = _reader(tuple[Backup, ...])
_integrations = _reader(tuple[Integration, ...])
_integration_types = _reader(tuple[IntegrationType, ...])
_tags = _reader(tuple[Tag, ...])
_user = _reader(User)
_objects = _reader(tuple[dict[str, Any], ...])


def _unreadable(error: Exception) -> AvnError:
    """avn answered something else than documented. The answer itself may hold passwords: it is not shown."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        detail = f"{'.'.join(str(part) for part in first['loc']) or 'the answer'}: {first['type']}"
    else:
        detail = "not JSON" if isinstance(error, json.JSONDecodeError) else type(error).__name__
    return AvnError(
        "avn answered something that can't be read",
        detail=detail,
        hint="run it again; if it stays, `ccr-avn doctor` shows which avn is used and whether it is supported",
    )
