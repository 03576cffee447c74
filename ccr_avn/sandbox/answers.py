"""Renders the sandbox's state as the API's JSON."""

from typing import Any

from ccr_avn.sandbox import catalogue
from ccr_avn.sandbox.configuration import CLIENTS as HOST
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import Row, Service, stamp

MEMBER = "you@example.com"


def person(project: str) -> dict[str, Any]:
    return {
        "user": MEMBER,
        "user_id": "u0000000001",
        "real_name": "You",
        "state": "active",
        "auth": ["password"],
        "features": {},
        "invitations": [],
        "projects": [project],
        "project_membership": {project: "admin"},
        "project_memberships": {project: ["admin"]},
        "tenant": "aiven",
    }


def project(name: str) -> dict[str, Any]:
    return {
        "project_name": name,
        "account_id": "a1",
        "account_name": "sandbox",
        "organization_id": "org1",
        "default_cloud": catalogue.CLOUDS[0],
        "billing_address": "",
        "billing_currency": "USD",
        "billing_emails": [],
        "billing_extra_text": None,
        "billing_group_id": "00000000-0000-0000-0000-000000000001",
        "billing_group_name": "Default billing group",
        "country": "",
        "country_code": "",
        "estimated_balance": "0.00",
        "payment_method": "no_payment_expected",
        "available_credits": "0.00",
        "tags": {},
        "vat_id": "",
    }


def service(platform: Platform, one: Service) -> dict[str, Any]:
    nodes, memory, _, cluster = catalogue.PLANS[one.plan]
    password = "<redacted>" if platform.options.redact else one.password
    shape = {
        "service_name": one.name,
        "service_type": one.type,
        "service_type_description": one.type.title(),
        "state": platform.state(one),
        "plan": one.plan,
        "cloud_name": one.cloud,
        "node_count": nodes,
        "node_cpu_count": 2,
        "node_memory_mb": memory,
        "disk_space_mb": 0,
        "node_states": [_node(platform, one, number) for number in range(1, nodes + 1)] if one.powered else [],
        "create_time": stamp(one.created.replace(microsecond=0)),
        "update_time": stamp((one.updated or one.created).replace(microsecond=0)),
        "backups": platform.backups(one),
        **_address(platform, one, password),
        "users": users(platform, one),
        "user_config": one.user_config,
        "service_integrations": integrations(platform, one.name),
        "service_notifications": [],
        "tags": one.tags,
        "tech_emails": [],
        "termination_protection": one.protected,
        "maintenance": {"dow": "sunday", "time": "02:00:00", "enabled": True, "updates": []},
        "metadata": {},
        "features": {},
        "project_vpc_id": one.vpc,
        "group_list": ["default"],
        "is_cluster_plan": cluster,
    }
    return _altered(platform, shape)


def users(platform: Platform, one: Service) -> list[dict[str, Any]]:
    """The default user and those that were created; empty access lists are left out."""
    hide = platform.options.redact
    everyone = [
        ("default", "primary", one.password, {}),
        *((k, "normal", u.password, u.access) for k, u in one.users.items()),
    ]
    return [
        {"username": name, "type": kind, "password": "<redacted>" if hide else password, "access_control": access}
        for name, kind, password, access in everyone
    ]


def integrations(platform: Platform, name: str) -> list[dict[str, Any]]:
    """The rows of a service in both directions, and one that is available but not enabled."""
    return [*(integration(platform, row) for row in platform.listed_rows(name)), _available(platform, name)]


def integration(platform: Platform, row: Row) -> dict[str, Any]:
    source, dest = platform.services.get(row.source), platform.services.get(row.dest)
    shape = {
        "service_integration_id": row.id,
        "integration_type": "read_replica",
        "enabled": True,
        "active": platform.is_active(row),
        "description": "Read replica",
        "source_project": platform.options.project,
        "source_service": row.source,
        "source_service_type": source.type if source else "valkey",
        "source_endpoint": None,
        "source_endpoint_id": None,
        "dest_project": platform.options.project,
        "dest_service": row.dest,
        "dest_service_type": dest.type if dest else "valkey",
        "dest_endpoint": None,
        "dest_endpoint_id": None,
        "user_config": {},
        "integration_status": None,
    }
    return _altered(platform, shape)


def _altered(platform: Platform, shape: dict[str, Any]) -> dict[str, Any]:
    for alter in platform.alterations:
        alter(shape)
    return shape


def _available(platform: Platform, name: str) -> dict[str, Any]:
    kind = platform.services[name].type if name in platform.services else "valkey"
    row = Row(id="", source=name, dest="", active_at=float("inf"))
    return {
        **integration(platform, row),
        "service_integration_id": None,
        "integration_type": "metrics",
        "enabled": False,
        "active": False,
        "source_service_type": kind,
        "dest_service": None,
        "dest_service_type": "pg",
    }


def _node(platform: Platform, one: Service, number: int) -> dict[str, Any]:
    building = not platform.is_built(one)
    progress = [{"phase": "stream", "completed": False, "min": 0, "current": 1, "max": 3, "unit": "bytes_compressed"}]
    lost = one.name in platform.struck
    return {
        "name": f"{one.name}-{number}",
        "state": "syncing_data" if building else "timing_out" if lost else "running",
        "role": "master" if number == 1 else "standby",
        "availability_zone": f"{one.cloud}-a",
        "progress_updates": progress if building else [],
    }


def _address(platform: Platform, one: Service, password: str) -> dict[str, Any]:
    """Nothing as long as it is built."""
    if not one.port or not platform.is_built(one):
        return {"service_uri": None, "service_uri_params": {}, "connection_info": {}, "components": []}
    options, port = platform.options, one.port
    scheme = options.uri_scheme or (f"{one.type}s" if options.encrypted else one.type)
    uri = f"{scheme}://default:{password}@{HOST}:{port}"
    ssl = "required" if options.encrypted else "disable"
    component = {"component": one.type, "host": HOST, "port": port, "route": "dynamic", "usage": "primary"}
    return {
        "service_uri": uri,
        "service_uri_params": {"host": HOST, "port": str(port), "user": "default", "password": password, "ssl": ssl},
        "connection_info": {one.type: [uri], f"{one.type}_password": password},
        "components": [{**component, "ssl": options.encrypted}] if options.components else [],
    }
