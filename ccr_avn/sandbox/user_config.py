"""Refuses a service's configuration that its schema does not allow."""

import re
from typing import Any

from ccr_avn.sandbox import catalogue
from ccr_avn.sandbox.records import ApiError

_TYPES: dict[str, type] = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}


def refuse_wrong(service_type: str, changes: dict[str, Any]) -> None:
    """null is allowed everywhere: the option is at its default again.

    Raises:
        ApiError: 400.
    """
    known = catalogue.user_config_schema(service_type)["properties"]
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
