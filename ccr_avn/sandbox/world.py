"""The platform's state machine: services, backups, integrations and their rules. No web, no processes, time given."""

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from ccr_avn.sandbox import catalogue
from ccr_avn.sandbox.options import SandboxOptions

MAX_REPLICAS = 5
OPEN_FILTER = ["0.0.0.0/0", "::/0"]


class ApiError(Exception):
    """What the API refuses, with its status and its words."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


class Servers(Protocol):
    """What the platform needs of the data plane."""

    def start(self, name: str, password: str, memory_mb: int, source: str | None) -> int: ...
    def promote(self, name: str) -> None: ...
    def stop(self, name: str) -> None: ...
    def shut(self, name: str, *, clients: bool) -> None: ...


@dataclass(slots=True, kw_only=True)
class Service:
    name: str
    type: str
    plan: str
    cloud: str
    password: str
    ready_at: float
    created: datetime
    user_config: dict[str, Any]
    protected: bool = False
    vpc: str | None = None
    port: int = 0
    powered: bool = True
    stalled: bool = False  # its build never ends
    rebalancing_until: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    lost: bool = False  # its API object is gone, as after a terminate by somebody else

    @property
    def persistence(self) -> str:
        return str(self.user_config.get(f"{self.type}_persistence") or "rdb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A read_replica integration."""

    id: str
    source: str
    dest: str
    active_at: float


class Platform:
    """Everything the API answers from. ``clock``: seconds; ``later(seconds, act)`` runs something in the background."""

    def __init__(
        self,
        options: SandboxOptions,
        servers: Servers,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.options = options
        self.services: dict[str, Service] = {}
        self.rows: dict[str, Row] = {}
        self.events: list[dict[str, Any]] = []
        self.stall_builds = 0  # how many of the next builds never end
        self._servers = servers
        self._clock = clock
        self._later = later

    # -- reading

    def find(self, name: str) -> Service:
        service = self.services.get(name)
        if service is None or service.lost:
            raise ApiError(404, "Service does not exist", "service_does_not_exist")
        return service

    def state(self, service: Service) -> str:
        now = self._clock()
        if not service.powered:
            return "POWEROFF"
        if service.stalled or now < service.ready_at:
            return "REBUILDING"
        return "REBALANCING" if now < service.rebalancing_until else "RUNNING"

    def backups(self, service: Service) -> list[dict[str, Any]]:
        """None for a replica, none without persistence; the first some seconds after RUNNING."""
        kept = catalogue.PLANS[service.plan][2]
        since = self._clock() - service.ready_at - self.options.backup_seconds
        if self.source_of(service.name) or service.persistence == "off" or not kept or since < 0 or service.stalled:
            return []
        taken = service.created + timedelta(seconds=self.options.build_seconds + self.options.backup_seconds)
        return [
            {
                "backup_name": f"backup-{taken:%Y%m%dT%H%M%S}",
                "backup_time": taken.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "data_size": 774144,
                "storage_location": service.cloud,
            }
        ]

    def source_of(self, name: str) -> str | None:
        return next((row.source for row in self.rows.values() if row.dest == name), None)

    def replicas_of(self, name: str) -> list[str]:
        return [row.dest for row in self.rows.values() if row.source == name]

    def is_active(self, row: Row) -> bool:
        return self._clock() >= row.active_at

    # -- changing

    def create(self, body: dict[str, Any]) -> Service:
        name, kind, plan = str(body["service_name"]), str(body["service_type"]), str(body["plan"])
        cloud = body.get("cloud") or catalogue.CLOUDS[0]
        if not 1 <= len(name) <= 64 or not name.islower():
            raise ApiError(400, "Service name must consist of 1-64 alphanumerical characters")
        if name in self.services:
            raise ApiError(409, "Service name is already in use in this project")
        if kind not in self.options.service_types:
            raise ApiError(400, f"Invalid service type '{kind}'", "invalid_service_type")
        if plan not in catalogue.PLANS:
            raise ApiError(400, f"Invalid plan '{plan}' for service type '{kind}'")
        if cloud not in catalogue.CLOUDS:
            raise ApiError(400, f"Invalid cloud '{cloud}'")
        source = self._replica_source(body, plan)
        config = {"ip_filter": list(OPEN_FILTER), f"{kind}_ssl": True, **(body.get("user_config") or {})}
        service = Service(
            name=name,
            type=kind,
            plan=plan,
            cloud=cloud,
            password=f"AVNS_{secrets.token_urlsafe(15)}",
            ready_at=self._clock() + self.options.build_seconds,
            created=datetime.now(UTC),
            user_config=config,
            protected=bool(body.get("termination_protection")),
            vpc=body.get("project_vpc_id"),
        )
        if self.stall_builds:
            self.stall_builds -= 1
            service.stalled = True
        service.port = self._servers.start(name, service.password, catalogue.PLANS[plan][1], source)
        self._apply_filter(service)
        self.services[name] = service
        if source:
            row = Row(id=str(uuid.uuid4()), source=source, dest=name, active_at=service.ready_at)
            self.rows[row.id] = row
        self._record("service_create", name)
        return service

    def update(self, name: str, body: dict[str, Any]) -> Service:
        service = self.find(name)
        if body.get("powered") is False and service.powered:
            self._power_off(service)
        if body.get("powered") is True and not service.powered:
            self._power_on(service)
        if "termination_protection" in body:
            service.protected = bool(body["termination_protection"])
        if (plan := body.get("plan")) and plan != service.plan:
            if plan not in catalogue.PLANS:
                raise ApiError(400, f"Invalid plan '{plan}' for service type '{service.type}'")
            service.plan = plan
        if (cloud := body.get("cloud")) and cloud != service.cloud:
            if cloud not in catalogue.CLOUDS:
                raise ApiError(400, f"Invalid cloud '{cloud}'")
            service.cloud = cloud
            service.rebalancing_until = self._clock() + self.options.build_seconds
        for key, value in (body.get("user_config") or {}).items():
            if value is None:
                service.user_config.pop(key, None)
            else:
                service.user_config[key] = value
        self._apply_filter(service)
        self._record("service_update", name)
        return service

    def delete(self, name: str) -> None:
        service = self.find(name)
        self._refuse_if_protected(service)
        self._servers.stop(name)
        del self.services[name]
        for row in [row for row in self.rows.values() if name in (row.source, row.dest)]:
            del self.rows[row.id]
        self._record("service_delete", name)

    def delete_integration(self, row_id: str) -> None:
        """Takes the row away at once; the server accepts writes some time later."""
        row = self.rows.pop(row_id, None)
        if row is None:
            raise ApiError(404, "Service integration not found", "service_integration_not_found")
        self._record("service_master_promotion", row.dest)
        self._later(self.options.promote_seconds, lambda: self._servers.promote(row.dest))

    def outage_began(self, names: list[str]) -> None:
        """In the mode of automatic promotion the replicas of what is lost are promoted after a while."""
        if self.options.auto_promote is None:
            return
        lost = [row for row in self.rows.values() if row.source in names and row.dest not in names]
        for row in lost:
            self._later(self.options.auto_promote, partial(self._promote_by_itself, row.id))

    def _promote_by_itself(self, row_id: str) -> None:
        if row_id in self.rows:
            self.delete_integration(row_id)

    def _replica_source(self, body: dict[str, Any], plan: str) -> str | None:
        wanted = [one for one in body.get("service_integrations") or [] if one["integration_type"] == "read_replica"]
        if not wanted:
            return None
        source = self.find(str(wanted[0]["source_service"]))
        if source.type != body["service_type"]:
            raise ApiError(400, "Read replica must be of the same service type as its source")
        allowed = plan.startswith("startup-") and not catalogue.PLANS[source.plan][3]
        if not allowed or not self.backups(source) or len(self.replicas_of(source.name)) >= MAX_REPLICAS:
            raise ApiError(403, "Creation of a read replica not allowed under current plan")
        return source.name

    def _power_off(self, service: Service) -> None:
        self._refuse_if_protected(service)
        service.powered = False
        self._servers.stop(service.name)

    def _power_on(self, service: Service) -> None:
        service.powered = True
        service.ready_at = self._clock() + self.options.build_seconds
        memory = catalogue.PLANS[service.plan][1]
        service.port = self._servers.start(service.name, service.password, memory, self.source_of(service.name))

    def _refuse_if_protected(self, service: Service) -> None:
        if service.protected:
            raise ApiError(
                403, "Service is protected against termination and shutdown. Remove termination protection first."
            )

    def _apply_filter(self, service: Service) -> None:
        """Only the loopback address is ever asked for: it is let in, or every client is shut out."""
        networks = [one["network"] if isinstance(one, dict) else one for one in service.user_config["ip_filter"]]
        inside = any(str(one).startswith(("0.0.0.0", "127.", "::/0", "::1")) for one in networks)  # noqa: S104 (a filter, nothing is bound)
        if service.powered:
            self._servers.shut(service.name, clients=not inside)

    def _record(self, kind: str, name: str) -> None:
        moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        entry = {"id": str(len(self.events)), "time": moment, "actor": "you@example.com", "event_type": kind}
        self.events.insert(0, {**entry, "event_desc": f"{kind} {name}", "service_name": name})
