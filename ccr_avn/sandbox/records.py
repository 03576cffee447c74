"""The settings of a sandbox, the records that it keeps, and how a handler says which requests it answers."""

import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from ccr_avn import options

Handler = TypeVar("Handler", bound=Callable[..., Any])


def _pem(text: str, holds: str) -> options.Opt:
    """A file that TLS is served with. ``text``: its help; ``holds``: what is in it."""
    return options.word("F", text, options.a_file(holds, "ls -l"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """How a sandbox is to behave. Times are in seconds, and inf is never."""

    build_seconds: Annotated[float, options.seconds("From created to RUNNING.")] = 2.0
    backup_seconds: Annotated[float, options.seconds("From RUNNING to the first backup.")] = 1.0
    promote_seconds: Annotated[float, options.seconds("From promoted to accepting writes.")] = 0.5
    auto_promote_seconds: Annotated[float, options.seconds("Automatic promotion after an outage; 0: never.")] = 0.0
    sync_delay: Annotated[float, options.seconds("From RUNNING to a replica following its primary.")] = 0.0
    keep_orphans: Annotated[bool, options.flag("Replicas of a terminated primary keep their integration.")] = False
    data_plane: Annotated[bool, options.flag("Start a server for each service.")] = True
    service_types: Annotated[
        tuple[str, ...], options.word("T", "Offered type; repeatable.", None, "--service-type")
    ] = ("valkey", "redis")
    uri_scheme: Annotated[  # None: as TLS and type have it
        Literal["redis", "rediss", "valkey", "valkeys"] | None,
        options.word("redis|rediss|valkey|valkeys", "Scheme of service URIs."),
    ] = None
    refuse_client_pause: Annotated[bool, options.flag("Refuse CLIENT PAUSE and CLIENT KILL.")] = False
    redact: Annotated[bool, options.flag("Show passwords as <redacted>, as for a token without the permission.")] = (
        False
    )
    vpc_clouds: Annotated[
        tuple[str, ...], options.word("C", "A cloud in which the project has a VPC.", None, "--vpc-cloud")
    ] = ()
    tls: Annotated[bool, options.flag("Serve TLS; `avn project ca-get` returns its CA.")] = False
    tls_certificate: Annotated[
        Path | None, _pem("Serve TLS with this certificate; requires --tls-key.", "a certificate")
    ] = None
    tls_key: Annotated[Path | None, _pem("Its private key.", "its private key")] = None
    tls_ca: Annotated[Path | None, _pem("The CA that `avn project ca-get` returns.", "a CA certificate")] = None
    # The rest is for --set.
    promote_restart: bool = False  # the server is started anew when it is promoted: every connection drops
    promote_empty: bool = False  # it comes back without its data when it is promoted
    promote_password: bool = False  # it has another password when it is promoted
    stale_rows: float = 0.0  # a deleted integration is listed that much longer
    filter_cuts: Literal["all", "new-only", "never"] = "all"  # whom an IP filter keeps out: never: it is not obeyed
    serve_stale_data: bool = True  # False: a replica without its primary answers MASTERDOWN
    platform_writes: float = 0.0  # the platform itself writes to every primary, this often; 0: never
    platform_lifts_pauses: float = 0.0  # it ends every write pause, this often; 0: never
    platform_connects: bool = False  # it stays connected to every primary, as the service's own default user
    promoted_backups: bool = True  # False: a promoted service never gets a backup of its own
    prices: bool = True  # False: its plans are listed without what they cost
    filter_reopens: bool = True  # False: an IP filter that lets nobody in stays as it is
    tags_forbidden: bool = False  # nobody may set tags
    components: bool = True  # False: of a service's addresses only its service_uri is shown
    server: str = ""  # the program of the servers; empty: the one that is installed
    requests_per_second: float = 0.0  # more than so many of the API are answered 429; 0: as many as come
    refuse_commands: tuple[str, ...] = ()  # denied to the service's users, as an ACL has it: client|list
    project: str = "sandbox"

    @property
    def encrypted(self) -> bool:
        return self.tls_certificate is not None


OPEN_FILTER = ["0.0.0.0/0", "::/0"]
SETTINGS = {
    "maxmemory_policy": ("maxmemory-policy", "noeviction"),
    "notify_keyspace_events": ("notify-keyspace-events", ""),
    "number_of_databases": ("databases", "16"),
    "timeout": ("timeout", "300"),
}
"""Options of a service (less the type in front): what the server calls them, and their defaults."""


class ApiError(Exception):
    """What the API refuses, with its status and its words."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code

    def envelope(self) -> dict[str, Any]:
        """As the API answers it."""
        code = {"error_code": self.code} if self.code else {}
        entry = {"message": self.message, "status": self.status, "more_info": "https://api.aiven.io/doc/", **code}
        return {"errors": [entry], "message": self.message}


def route(method: str, *paths: str, body: type[BaseModel] | None = None) -> Callable[[Handler], Handler]:
    """Marks a handler with what it answers. It is called with the named words of the path, after the body if it has one."""

    def marked(handler: Handler) -> Handler:
        handler.__dict__.setdefault("routes", []).extend((method, path, body) for path in paths)
        return handler

    return marked


def checked(body: bytes, kind: type[BaseModel]) -> dict[str, Any]:
    """What was given of it; nothing at all is an empty object. Raises: ApiError: 400, with what is wrong and where."""
    try:
        return kind.model_validate_json(body.strip() or b"{}").model_dump(exclude_unset=True)
    except ValidationError as refusal:
        seen = refusal.errors()[0]
        where = ".".join(str(part) for part in seen["loc"]) or "body"
        raise ApiError(400, f"Invalid input for {where}: {seen['msg']}", "invalid_input") from None


@dataclass(slots=True, kw_only=True)
class Service:
    name: str
    type: str
    plan: str
    cloud: str
    password: str
    created: datetime
    user_config: dict[str, Any]
    protected: bool = False
    vpc: str | None = None
    port: int = 0
    powered: bool = True
    ready_at: float = 0.0  # when it is RUNNING
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
        given = {f"{self.type}_{option}": setting for option, setting in SETTINGS.items()}
        known = {key: value for key, value in self.user_config.items() if value is not None}
        return {name: str(known.get(option, usual)) for option, (name, usual) in given.items()}


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
    given = (one["network"] if isinstance(one, dict) else one for one in ip_filter)
    try:
        return [ipaddress.ip_network(one, strict=False) for one in given]
    except (ValueError, KeyError) as error:
        raise ApiError(400, f"Invalid user_config: ip_filter: {error}") from None


def accepts_loopback(ip_filter: list[Any]) -> bool:
    """Whether it accepts the address from which everybody comes here."""
    return any(ipaddress.ip_address("127.0.0.1") in network for network in networks(ip_filter))


def backup(cloud: str, taken: datetime) -> dict[str, Any]:
    name, size = f"backup-{taken:%Y%m%dT%H%M%S}", 774144
    return {"backup_name": name, "backup_time": stamp(taken), "data_size": size, "storage_location": cloud}
