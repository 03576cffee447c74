"""The records of a service, a user and an integration that the sandbox keeps."""

import ipaddress
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

OPEN_FILTER = ["0.0.0.0/0", "::/0"]
SETTINGS = {
    "maxmemory_policy": ("maxmemory-policy", "noeviction"),
    "notify_keyspace_events": ("notify-keyspace-events", ""),
    "number_of_databases": ("databases", "16"),
    "timeout": ("timeout", "300"),
}
"""Options of a service (less the type in front): what the server calls them, and their defaults."""

LOOPBACK = ipaddress.ip_address("127.0.0.1")


class ApiError(Exception):
    """What the API refuses, with its status and its words."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code

    def envelope(self) -> dict[str, Any]:
        """As the API answers it."""
        code = {"error_code": self.code} if self.code else {}
        entry = {"message": self.message, "status": self.status, "more_info": "https://api.aiven.io/doc/", **code}
        return {"errors": [entry], "message": self.message}


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
    rebalancing_until: float = 0.0  # moving to another cloud; it serves meanwhile
    rebuilding_until: float = 0.0  # changing its plan; it serves meanwhile
    backups_from: float = 0.0  # when its backups could begin: built, persistence turned on, or promoted
    updated: datetime | None = None
    users: dict[str, "User"] = field(default_factory=dict)  # besides the default one
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def persistence(self) -> str:
        return str(self.user_config.get(f"{self.type}_persistence") or "rdb")

    @property
    def settings(self) -> dict[str, str]:
        """What its user configuration says to the server."""
        given = {option: self.user_config.get(f"{self.type}_{option}") for option in SETTINGS}
        return {
            name: default if given[option] is None else str(given[option])
            for option, (name, default) in SETTINGS.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A service user that was created; ``access`` as the API has it: ``valkey_acl_keys`` and so on."""

    password: str = field(repr=False)
    access: dict[str, list[str]]

    @property
    def rules(self) -> str:
        """The same in the server's own words; what is not given is everything."""
        given = {key.rpartition("_")[2]: words for key, words in self.access.items()}
        keys = [f"~{word}" for word in given.get("keys") or ["*"]]
        channels = [f"&{word}" for word in given.get("channels") or ["*"]]
        named = [*(given.get("categories") or ()), *(given.get("commands") or ())]
        return " ".join((*keys, *channels, *(named or ["+@all"])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A read_replica integration."""

    id: str
    source: str
    dest: str
    active_at: float


def new_password() -> str:
    return f"AVNS_{secrets.token_urlsafe(15)}"


def stamp(moment: datetime) -> str:
    """As the API writes a time."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def networks(ip_filter: list[Any]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [
            ipaddress.ip_network(one["network"] if isinstance(one, dict) else one, strict=False) for one in ip_filter
        ]
    except (ValueError, KeyError) as error:
        raise ApiError(400, f"Invalid user_config: ip_filter: {error}") from None


def accepts_loopback(ip_filter: list[Any]) -> bool:
    """Whether it accepts the address from which everybody comes here."""
    return any(LOOPBACK in network for network in networks(ip_filter))


def backup(cloud: str, taken: datetime) -> dict[str, Any]:
    name, size = f"backup-{taken:%Y%m%dT%H%M%S}", 774144
    return {"backup_name": name, "backup_time": stamp(taken), "data_size": size, "storage_location": cloud}
