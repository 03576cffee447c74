"""Reads CLIENT LIST: who is connected to a server."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import valkey

Connected = dict[str, str]
"""One row of CLIENT LIST."""


def connected(client: "valkey.Valkey") -> list[Connected]:
    """All that may write: with RESP3 a subscriber does as well."""
    asked: Any = client
    return [*asked.client_list(_type="normal"), *asked.client_list(_type="pubsub")]


def strangers(client: "valkey.Valkey", users: Collection[str] | None) -> list[Connected]:
    """Who is connected as one of ``users`` (None: as anybody) besides ccr-avn."""
    return [
        one
        for one in connected(client)
        if one.get("name", "").partition(":")[0] != "ccr-avn" and (users is None or one.get("user", "default") in users)
    ]


def shown(one: Connected) -> str:
    return f"{one.get('name') or 'unnamed'} at {one.get('addr')} (user {one.get('user', 'default')})"
