"""Where a service answers: its address, and the connection's settings that follow from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from ccr_avn.errors import Unreachable

TLS_SCHEMES = ("rediss", "valkeys")
PLAIN_SCHEMES = ("redis", "valkey")
REDACTED = "<redacted>"
"""What the platform shows instead of a password to a token without ``service:secrets:read``."""

SHORTEST_IDLE, LONGEST_ALIVE = 1.0, 2.0
"""Seconds: the shortest idle time-out that a service can have, and the longest pause on a connection that must stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a service answers. ``timeout``: seconds, for connecting and for each reply.

    ``idle_timeout``: seconds after which it ends a connection without commands, 0 for never; None: not known.
    ``closed``: its IP filter is known to admit nobody.
    """

    service: str
    uri: str = field(repr=False)  # holds the password
    ca_file: Path | None = None
    timeout: float = 5.0
    idle_timeout: float | None = None
    closed: bool = False

    @property
    def keep_alive(self) -> float:
        """Seconds between two commands on a connection that must stay: hundreds may have to, for minutes."""
        idle = SHORTEST_IDLE if self.idle_timeout is None else self.idle_timeout
        return min(LONGEST_ALIVE, 0.4 * idle) if idle else LONGEST_ALIVE

    @property
    def address(self) -> str:
        """``host:port``, without secrets."""
        host = _split(self.uri).hostname or "?"
        return f"[{host}]:{_port(self.uri) or 6379}" if ":" in host else f"{host}:{_port(self.uri) or 6379}"

    @property
    def tls(self) -> bool:
        return _split(self.uri).scheme in TLS_SCHEMES


def settings(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as keyword arguments of a valkey-py connection.

    Raises:
        Unreachable: its address can't be used.
    """
    parts = _split(endpoint.uri)
    password = unquote(parts.password or "")
    if (
        parts.scheme not in (*TLS_SCHEMES, *PLAIN_SCHEMES)
        or not _is_host(parts.hostname)
        or _port(endpoint.uri) is None
    ):
        raise Unreachable(
            f"the address of {endpoint.service} can't be used",
            detail=f"it is not SCHEME://USER:PASSWORD@HOST:PORT, or its scheme ({parts.scheme or 'missing'}) is none of "
            + ", ".join((*TLS_SCHEMES, *PLAIN_SCHEMES)),
            hint=f"look at it: avn service get {endpoint.service} --format '{{service_uri_params}}'",
            passing=False,
        )
    if password == REDACTED:
        raise Unreachable(
            f"the password of {endpoint.service} is not visible to this token",
            detail=f"{REDACTED} is in its place",
            hint="use a token with the permission service:secrets:read",
            passing=False,
        )
    return {
        "host": parts.hostname,
        "port": parts.port or 6379,
        "username": unquote(parts.username) if parts.username else None,
        "password": password or None,
    }


def _split(uri: str) -> SplitResult:
    """Its parts; none of what is no URI at all."""
    try:
        return urlsplit(uri)
    except ValueError:
        return urlsplit("")


def _is_host(name: str | None) -> bool:
    try:
        return bool((name or "").encode("idna"))
    except UnicodeError:
        return False


def _port(uri: str) -> int | None:
    """The port, 0 where none is given, None where it is no number."""
    try:
        return _split(uri).port or 0
    except ValueError:
        return None
