"""The sandbox's state machine: services, backups, integrations and their rules. No web, no processes, injected time."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from ccr_avn.sandbox import catalogue
from ccr_avn.sandbox.catalogue import refuse_wrong
from ccr_avn.sandbox.records import (
    OPEN_FILTER,
    ApiError,
    Row,
    SandboxOptions,
    Service,
    User,
    accepts_loopback,
    backup,
    networks,
    new_password,
    stamp,
)

MAX_REPLICAS = 5
BACKUP_INTERVAL = 12 * 3600.0


class Servers(Protocol):
    """What the platform needs of the data plane."""

    def start(self, name: str, password: str, memory_mb: int, source: str | None, settings: dict[str, str]) -> int: ...
    def change(self, name: str, **wanted: Any) -> None: ...
    def promote(self, name: str) -> None: ...
    def stop(self, name: str) -> None: ...
    def forget(self, name: str) -> None: ...


class Platform:
    """Everything the API answers from. ``clock``: seconds; ``later(seconds, act)`` runs something in the background.

    ``began``: the date that its clock begins with; None: today's.
    """

    def __init__(
        self,
        options: SandboxOptions,
        servers: Servers,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
        began: datetime | None = None,
    ) -> None:
        self.options = options
        self.services: dict[str, Service] = {}
        self.rows: dict[str, Row] = {}
        self.events: list[dict[str, Any]] = []
        self.struck: set[str] = set()  # services in an outage
        self.alterations: list[Callable[[dict[str, Any]], None]] = []  # done to every service and integration shown
        self._deleted_rows: list[tuple[float, Row]] = []  # each with the time until which it is still listed
        self._servers, self._clock, self._later = servers, clock, later
        self._zero = clock()
        self._began = began or datetime.now(UTC)

    def date(self) -> datetime:
        """Now, by its own clock."""
        return self._began + timedelta(seconds=self._clock() - self._zero)

    # -- reading

    def find(self, name: str) -> Service:
        service = self.services.get(name)
        if service is None:
            raise ApiError(404, "Service does not exist", "service_does_not_exist")
        return service

    def state(self, service: Service) -> str:
        now = self._clock()
        if not service.powered:
            return "POWEROFF"
        if now < service.ready_at:
            return "REBUILDING"
        if now < service.rebalancing_until:
            return "REBALANCING"
        return "REBUILDING" if now < service.rebuilding_until else "RUNNING"

    def is_built(self, service: Service) -> bool:
        """Whether it has an address: not while it is built, but during a change of plan."""
        return service.powered and self._clock() >= service.ready_at

    def backups(self, service: Service) -> list[dict[str, Any]]:
        """None for a replica, none without persistence; the first some seconds after RUNNING."""
        kept = catalogue.PLANS[service.plan][2]
        first = max(service.ready_at, service.backups_from) + self.options.backup_seconds
        since = self._clock() - first
        if self.source_of(service.name) or service.persistence == "off" or not kept or since < 0:
            return []
        taken = int(since // BACKUP_INTERVAL)
        return [
            backup(service.cloud, self._began + timedelta(seconds=first + number * BACKUP_INTERVAL - self._zero))
            for number in range(max(0, taken + 1 - kept), taken + 1)
        ]

    def source_of(self, name: str) -> str | None:
        return next((row.source for row in self.rows.values() if row.dest == name), None)

    def listed_rows(self, name: str) -> list[Row]:
        """The integrations of a service in both directions, also those deleted lately if lists are stale."""
        deleted = [row for until, row in self._deleted_rows if self._clock() < until]
        return [row for row in (*self.rows.values(), *deleted) if name in (row.source, row.dest)]

    def is_active(self, row: Row) -> bool:
        return self._clock() >= row.active_at

    # -- changing

    def create(self, body: dict[str, Any]) -> Service:
        name, kind, plan = body["service_name"], body["service_type"], body["plan"]
        cloud = body.get("cloud") or catalogue.CLOUDS[0]
        if not 1 <= len(name) <= 64 or not name.islower():
            raise ApiError(400, "Service name must consist of 1-64 alphanumerical characters")
        if name in self.services:
            raise ApiError(409, "Service name is already in use in this project")
        if kind not in self.options.service_types:
            raise ApiError(400, f"Invalid service type '{kind}'", "invalid_service_type")
        self._refuse_unknown(kind, plan, cloud)
        refuse_wrong(kind, body.get("user_config") or {})
        source = self._replica_source(body, plan)
        config = {"ip_filter": list(OPEN_FILTER), f"{kind}_ssl": True, **(body.get("user_config") or {})}
        networks(config["ip_filter"])
        service = Service(
            name=name,
            type=kind,
            plan=plan,
            cloud=cloud,
            password=new_password(),
            created=self.date(),
            user_config=config,
            protected=bool(body.get("termination_protection")),
            vpc=body.get("project_vpc_id"),
        )
        self._start(service, source)
        self._apply_filter(service)
        self.services[name] = service
        if source and 0 < self.options.sync_delay < float("inf"):
            delay = self.options.build_seconds + self.options.sync_delay
            self._later(delay, partial(self._servers.change, name, awaits_link=False))
        if source:
            row = Row(id=str(uuid.uuid4()), source=source, dest=name, active_at=service.ready_at)
            self.rows[row.id] = row
        self._record("service_create", name)
        return service

    def update(self, name: str, body: dict[str, Any]) -> Service:
        """All of it, or nothing of it when a part is refused."""
        service = self.find(name)
        plan, cloud = body.get("plan") or service.plan, body.get("cloud") or service.cloud
        self._refuse_unknown(service.type, plan, cloud)
        if body.get("powered") is False and service.powered and body.get("termination_protection") is not False:
            self._refuse_if_protected(service)
        changes = body.get("user_config") or {}
        refuse_wrong(service.type, changes)
        if "ip_filter" in changes:
            networks(changes["ip_filter"] or OPEN_FILTER)
            if not self.options.filter_reopens and not accepts_loopback(service.user_config["ip_filter"]):
                raise ApiError(403, "Not allowed to change the ip_filter of this service")
        if "termination_protection" in body:
            service.protected = bool(body["termination_protection"])
        self._reconfigure(service, changes)
        self._rework(service, plan, cloud)
        if body.get("powered") in (True, False) and body["powered"] != service.powered:
            self._power(service, on=body["powered"])
        self._apply_filter(service)
        service.updated = self.date()
        self._record("service_update", name)
        return service

    def set_tags(self, name: str, tags: dict[str, str]) -> None:
        service = self.find(name)
        if self.options.tags_forbidden:
            raise ApiError(403, "Not allowed to set tags")
        service.tags = tags

    def set_user(self, name: str, username: str, user: User | None) -> None:
        """Make, change or (None) take away a user of a service."""
        service = self.find(name)
        if not service.powered:
            raise ApiError(409, "Database not powered on", "not_powered")
        if user is None and service.users.pop(username, None) is None:
            raise ApiError(404, "Service user does not exist")
        if user is not None:
            service.users[username] = user
        self._servers.change(name, users={key: (one.password, one.rules) for key, one in service.users.items()})

    def delete(self, name: str) -> None:
        """Its replicas become standalone, or keep their integration if so set."""
        service = self.find(name)
        self._refuse_if_protected(service)
        self._servers.forget(name)
        del self.services[name]
        self.struck.discard(name)
        self._record("service_delete", name)
        for row in [row for row in self.rows.values() if row.dest == name]:
            del self.rows[row.id]
        if not self.options.keep_orphans:
            for row in [row for row in self.rows.values() if row.source == name]:
                self.delete_integration(row.id)

    def delete_integration(self, row_id: str) -> None:
        """Takes the row away at once; the server accepts writes some time later."""
        row = self.rows.pop(row_id, None)
        if row is None:
            raise ApiError(404, "Service integration not found", "service_integration_not_found")
        self._deleted_rows.append((self._clock() + self.options.stale_rows, row))
        if row.dest in self.services:
            soon = self._clock() + self.options.promote_seconds
            self.services[row.dest].backups_from = soon if self.options.promoted_backups else float("inf")
        self._record("service_master_promotion", row.dest)
        self._later(self.options.promote_seconds, partial(self._promote, row.dest))

    def _promote(self, name: str) -> None:
        self._servers.promote(name)
        if self.options.promote_password and (service := self.services.get(name)):
            password = new_password()
            self._servers.change(name, password=password)
            service.password = password  # shown once it is in force

    def outage_began(self, names: list[str]) -> None:
        """In the mode of automatic promotion the replicas of what is lost are promoted after a while."""
        self.struck |= set(names)
        if not self.options.auto_promote_seconds:
            return
        for row in self.rows.values():
            if row.source in names and row.dest not in names:
                self._later(self.options.auto_promote_seconds, partial(self._promote_by_itself, row))

    def outage_ended(self, names: list[str]) -> None:
        """What is well again by then is not replaced."""
        self.struck -= set(names)

    def _promote_by_itself(self, row: Row) -> None:
        if row.id in self.rows and row.source in self.struck:
            self.delete_integration(row.id)

    def _replica_source(self, body: dict[str, Any], plan: str) -> str | None:
        wanted = [one for one in body.get("service_integrations") or [] if one["integration_type"] == "read_replica"]
        if not wanted:
            return None
        source = self.find(wanted[0].get("source_service"))
        if not source.powered:
            raise ApiError(409, "Database not powered on", "not_powered")
        if source.type != body["service_type"]:
            raise ApiError(400, "Read replica must be of the same service type as its source")
        replicas = sum(row.source == source.name for row in self.rows.values())
        allowed = plan.startswith("startup-") and not catalogue.PLANS[source.plan][3]
        if not allowed or not self.backups(source) or replicas >= MAX_REPLICAS:
            raise ApiError(403, "Creation of a read replica not allowed under current plan")
        return source.name

    def _refuse_unknown(self, kind: str, plan: str, cloud: str) -> None:
        if plan not in catalogue.PLANS:
            raise ApiError(400, f"Invalid plan '{plan}' for service type '{kind}'")
        if cloud not in catalogue.CLOUDS:
            raise ApiError(400, f"Invalid cloud '{cloud}'")

    def _reconfigure(self, service: Service, changes: dict[str, Any]) -> None:
        """A value of null takes the option away: it is at its default again."""
        before = service.persistence
        service.user_config.update(changes)
        service.user_config = {key: value for key, value in service.user_config.items() if value is not None}
        service.user_config.setdefault("ip_filter", list(OPEN_FILTER))
        if service.persistence != before:
            service.backups_from = self._clock()
        self._servers.change(service.name, settings=service.settings)

    def _rework(self, service: Service, plan: str, cloud: str) -> None:
        """It serves meanwhile, as REBUILDING for another plan and REBALANCING for another cloud."""
        until = self._clock() + self.options.build_seconds
        if cloud != service.cloud:
            service.rebalancing_until = until
        if plan != service.plan:
            service.rebuilding_until = until
        if plan != service.plan and service.powered:
            self._servers.change(service.name, memory_mb=catalogue.PLANS[plan][1])
        service.plan, service.cloud = plan, cloud

    def _power(self, service: Service, *, on: bool) -> None:
        """Off, its data is kept as the backup that the platform takes then, unless persistence is off."""
        service.powered = on
        if on:
            self._start(service, self.source_of(service.name))
            return
        self.struck.discard(service.name)
        self._servers.stop(service.name)
        if service.persistence == "off":
            self._servers.forget(service.name)

    def _start(self, service: Service, source: str | None) -> None:
        service.ready_at = self._clock() + self.options.build_seconds
        memory = catalogue.PLANS[service.plan][1]
        service.port = self._servers.start(service.name, service.password, memory, source, service.settings)

    def _refuse_if_protected(self, service: Service) -> None:
        if service.protected:
            raise ApiError(
                403, "Service is protected against termination and shutdown. Remove termination protection first."
            )

    def _apply_filter(self, service: Service) -> None:
        """Everybody comes from the loopback address: all clients are accepted, or none."""
        if service.powered and self.options.filter_cuts != "never":
            self._servers.change(service.name, filtered=not accepts_loopback(service.user_config["ip_filter"]))

    def _record(self, kind: str, name: str) -> None:
        entry = {"id": str(len(self.events)), "time": stamp(self.date()), "actor": "you@example.com"}
        what = {"event_type": kind, "event_desc": f"{kind} {name}", "service_name": name}
        self.events.insert(0, {**entry, **what})
