"""The clouds, plans, service types and options of the sandbox in the API's format; refuses options that are not so."""

import re
from typing import Any

from ccr_avn.sandbox.records import ApiError

CLOUDS = ("google-europe-west1", "google-us-east1", "aws-eu-west-1", "aws-us-east-1", "azure-westeurope")

# name: (nodes, memory in MB, backups kept, cluster plan)
PLANS: dict[str, tuple[int, int, int, bool]] = {
    "free-1": (1, 1024, 0, False),
    "developer-1": (1, 1024, 1, False),
    "hobbyist": (1, 1024, 1, False),
    "startup-4": (1, 4096, 2, False),
    "startup-8": (1, 8192, 2, False),
    "business-4": (2, 4096, 14, False),
    "business-8": (2, 8192, 14, False),
    "premium-8": (3, 8192, 30, False),
    "cluster-8": (6, 8192, 14, True),
}

EVICTION = [
    "noeviction",
    "volatile-ttl",
    *(f"{of}-{how}" for of in ("allkeys", "volatile") for how in ("lru", "lfu", "random")),
]


def plans(service_type: str, *, priced: bool = True) -> list[dict[str, Any]]:
    price = {"price_usd": "0.1"} if priced else {}
    return [
        {
            "service_plan": name,
            "service_type": service_type,
            "node_count": nodes,
            "backup_config": {"interval": 12, "max_count": kept, "recovery_mode": "basic"},
            "max_memory_percent": 70,
            "is_cluster_plan": cluster,
            "regions": {
                cloud: {**price, "node_cpu_count": 2, "node_memory_mb": memory, "disk_space_mb": 0} for cloud in CLOUDS
            },
        }
        for name, (nodes, memory, kept, cluster) in PLANS.items()
    ]


def user_config_schema(service_type: str) -> dict[str, Any]:
    """The options that `-c` may set; avn checks the names and converts the values with it."""
    own: dict[str, Any] = {
        "persistence": {"type": "string", "enum": ["off", "rdb"]},
        "ssl": {"type": "boolean"},
        "timeout": {"type": "integer", "minimum": 0, "maximum": 2073600},
        "maxmemory_policy": {"type": "string", "enum": EVICTION},
        "number_of_databases": {"type": "integer", "minimum": 1, "maximum": 128},
        "notify_keyspace_events": {"type": "string", "pattern": "^[KEg\\$lshzxentdmA]*$"},
        "version": {"type": ["string", "null"]},
    }
    common: dict[str, Any] = {
        "ip_filter": {"type": "array", "items": {"type": ["string", "object"]}},
        "backup_hour": {"type": ["integer", "null"]},
        "backup_minute": {"type": ["integer", "null"]},
    }
    properties = {**common, **{f"{service_type}_{key}": value for key, value in own.items()}}
    return {
        "type": "object",
        "title": f"{service_type} user configuration",
        "properties": {key: {"title": key, **value} for key, value in properties.items()},
    }


def service_type(name: str) -> dict[str, Any]:
    return {
        "description": f"{name.title()} - in-memory store",
        "default_version": "9.0",
        "latest_available_version": "9.1",
        "user_config_schema": user_config_schema(name),
    }


def clouds() -> list[dict[str, Any]]:
    return [
        {"cloud_name": cloud, "cloud_description": cloud, "geo_region": "europe" if "eu" in cloud else "north america"}
        for cloud in CLOUDS
    ]


def integration_types(types: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = (
        ("read_replica", "Source service", [*types], "Read replica", [*types]),
        ("metrics", "Metrics source", [*types, "pg"], "Metrics store", ["pg"]),
    )
    return [
        {
            "integration_type": kind,
            "source_description": source,
            "source_service_types": sources,
            "dest_description": dest,
            "dest_service_type": dests[0],
            "dest_service_types": dests,
            "user_config_schema": {"type": "object", "properties": {}},
        }
        for kind, source, sources, dest, dests in rows
    ]


_TYPES: dict[str, type] = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}


def refuse_wrong(service_type: str, changes: dict[str, Any]) -> None:
    """null is allowed everywhere: the option is at its default again. Raises: ApiError: 400."""
    known = user_config_schema(service_type)["properties"]
    for name, value in changes.items():
        if name not in known:
            raise ApiError(400, f"Invalid user_config: {name} is not known")
        if value is not None and not _fits(value, known[name]):
            raise ApiError(400, f"Invalid user_config: {name} can't be {value!r:.60}")


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(type(value) is _TYPES.get(name) for name in names):
        return False
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, list) and not all(isinstance(one, str | dict) for one in value):
        return False
    return value in schema.get("enum", [value]) and bool(re.search(schema.get("pattern", ""), str(value)))
