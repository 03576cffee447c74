"""Pairs in a sandbox: made at the platform itself, looked at past all ip filters, written to as an application does."""

from dataclasses import replace
from typing import Any

import valkey

from tests.support.held import takes_a_write
from tests.support.operator import EU, US, Operator
from tests.support.wait import until

CLOSED = ("-c", 'ip_filter=["0.0.0.0/32"]')
PairClients = tuple[Operator, Any, Any]
"""Somebody at a shell, and a client of the primary and of the replica."""
SWITCH = ("switchover", "eu", "us", "--yes", "--poll-interval", "0.5")
FAIL_OVER = ("failover", "us", "--allow-data-loss", "--yes", "--poll-interval", "0.5")


def paired(operator: Operator, primary: str = "eu", replica: str = "us") -> Operator:
    """A pair that is built, backed up and linked: what `enable` leaves, without taking the time to run it."""
    add_pair(operator, primary, replica, plan="business-4")
    follows(operator, replica)
    until(lambda: backed_up(operator, primary), f"a backup of {primary}")
    return operator


def add_pairs(operator: Operator, count: int) -> Operator:
    """Pairs p0/r0, p1/r1, … whose replicas follow."""
    for number in range(count):
        add_pair(operator, f"p{number}", f"r{number}")
    for number in range(count):
        follows(operator, f"r{number}")
    return operator


def add_pair(operator: Operator, primary: str, replica: str, plan: str = "startup-4") -> None:
    add_service(operator, primary, plan, EU)
    add_service(operator, replica, "startup-4", US, source=primary)


def add_service(
    operator: Operator, name: str, plan: str = "business-4", cloud: str = EU, source: str | None = None
) -> None:
    """RUNNING, and replicated, at once, whatever builds and backups take in this sandbox."""
    platform = operator.sandbox.platform
    options, platform.options = platform.options, replace(platform.options, build_seconds=0.0, backup_seconds=0.0)
    integrations = [{"integration_type": "read_replica", "source_service": source}] if source else []
    body: dict[str, Any] = {"service_name": name, "service_type": "valkey", "plan": plan, "cloud": cloud}
    try:
        platform.create({**body, "service_integrations": integrations})
    finally:
        platform.options = options


def overlay_service(operator: Operator, name: str, fields: dict[str, Any]) -> None:
    """In the API's answers these fields of a service have these values, whatever the platform knows of."""

    def alter(shown: dict[str, Any]) -> None:
        if shown.get("service_name") == name:
            shown |= fields

    operator.sandbox.platform.alterations.append(alter)


def promote(operator: Operator) -> None:
    operator.sandbox.platform.delete_integration(next(iter(operator.sandbox.platform.rows)))


def follows(operator: Operator, replica: str) -> None:
    until(lambda: link_status(operator, replica) == "up", f"{replica} to follow")


def link_status(operator: Operator, replica: str) -> str:
    with operator.sandbox.servers.admin(replica) as admin:
        return link(admin)


def backed_up(operator: Operator, name: str) -> bool:
    platform = operator.sandbox.platform
    return bool(platform.backups(platform.find(name)))


def deletions(operator: Operator) -> list[tuple[str, str]]:
    """Of integrations, and what else was deleted."""
    return [change for change in operator.sandbox.changes() if change[0] == "DELETE"]


def is_promoted(operator: Operator) -> bool:
    return not operator.sandbox.platform.rows


def uri(operator: Operator, name: str) -> str:
    service = operator.sandbox.platform.services[name]
    return f"valkey://default:{service.password}@127.0.0.1:{service.port}"


def client(operator: Operator, name: str, timeout: float = 5.0, **more: Any) -> Any:
    """Any: valkey-py's annotations leave out half of what it can do."""
    service = operator.sandbox.platform.services[name]
    return valkey.Valkey(port=service.port, **{"password": service.password, "socket_timeout": timeout, **more})


def answers(of: Any) -> bool:
    try:
        return bool(of.ping())
    except valkey.ValkeyError:
        return False


def link(of: Any) -> str:
    """Whether a replica follows, or that it is none."""
    found = of.info("replication")
    return str(found.get("master_link_status", found["role"]))


def is_master(of: Any) -> bool:
    """False too while its server is restarted, whenever that is."""
    try:
        return link(of) == "master"
    except valkey.ValkeyError:
        return False


def accepts(operator: Operator, name: str) -> bool:
    """Whether a write is accepted just now: not refused, not cut, not held back."""
    with client(operator, name, timeout=30) as one, operator.sandbox.servers.admin(name) as admin:
        return takes_a_write(one, admin)


def missing(operator: Operator, keys: list[str], name: str = "us") -> list[str]:
    """Those of the keys that a service does not have."""
    with client(operator, name) as new:
        found: Any = [new.mget(keys[start : start + 1000]) for start in range(0, len(keys), 1000)]
    return [key for key, value in zip(keys, [one for part in found for one in part], strict=True) if value is None]


def origin(operator: Operator, name: str = "us") -> str | None:
    """Which primary the tags of a service say that it was promoted from; they name these very services."""
    services = operator.sandbox.platform.services
    tags = services[name].tags
    if not tags:
        return None
    source = services[tags["ccr_promoted_from"]]
    old, new, replication_id = tags["ccr_promoted_lineage"].split("-")
    assert (int(old), int(new)) == (int(source.created.timestamp()), int(services[name].created.timestamp()))
    assert len(replication_id) == 40
    return str(source.name)


def paused_for(operator: Operator, name: str) -> float:
    """Seconds for which writes are still paused."""
    with operator.sandbox.servers.admin(name) as admin:
        return float(admin.info("clients").get("paused_timeout_milliseconds", 0)) / 1000
