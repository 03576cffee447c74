"""A pair of the sandbox with clients of both sides, for tests of the sandbox's own servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import valkey

from tests.support.operator import EU, US, Operator
from tests.support.wait import until

CLOSED = ["-c", 'ip_filter=["0.0.0.0/32"]']
Rig = tuple[Operator, Any, Any]


def client(operator: Operator, name: str, **more: Any) -> Any:
    """Any: valkey-py's annotations leave out half of what it can do."""
    service = operator.sandbox.platform.find(name)
    return valkey.Valkey(
        port=service.port, **{"password": service.password, "socket_timeout": 2, "decode_responses": True, **more}
    )


def answers(of: Any) -> bool:
    try:
        return bool(of.ping())
    except valkey.ValkeyError:
        return False


def link(of: Any) -> str:
    told: Any = of.info("replication")
    return str(told.get("master_link_status", told["role"]))


def is_master(of: Any) -> bool:
    """False too while its server is restarted, whenever that is."""
    try:
        return link(of) == "master"
    except valkey.ValkeyError:
        return False


def create(operator: Operator, name: str, plan: str, cloud: str, source: str | None = None) -> None:
    joined = [{"integration_type": "read_replica", "source_service": source}] if source else []
    body = {"service_name": name, "service_type": "valkey", "plan": plan, "cloud": cloud}
    operator.sandbox.platform.create({**body, "service_integrations": joined})


@contextmanager
def pair_of(operator: Operator) -> Iterator[Rig]:
    create(operator, "eu", "business-4", EU)
    create(operator, "us", "startup-4", US, "eu")
    with client(operator, "eu") as eu, client(operator, "us") as us:
        until(lambda: link(us) in ("up", "down"))
        yield operator, eu, us
