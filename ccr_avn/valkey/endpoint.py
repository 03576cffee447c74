"""Where a service answers: its address by each route, the one that is used, and the connection's settings."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from ccr_avn import clock
from ccr_avn.aiven.models import Service
from ccr_avn.background import in_background
from ccr_avn.errors import Unreachable
from ccr_avn.valkey.dial import dial

TLS_SCHEMES = ("rediss", "valkeys")
PLAIN_SCHEMES = ("redis", "valkey")
REDACTED = "<redacted>"
"""What the platform shows instead of a password to a token without ``service:secrets:read``."""

SHORTEST_IDLE, LONGEST_ALIVE = 1.0, 2.0
"""Seconds: the shortest idle time-out that a service can have, and the longest pause on a connection that must stay."""

ROUTES = ("dynamic", "public", "privatelink")
"""As avn's `connection-info` names them. The dynamic one is that of the service_uri: inside a VPC it is private."""

LIMIT = 1.0
"""Seconds in which an address has to take a connection."""

AGAIN = 60.0
"""Seconds after which it is tried again where no address took one: a watch may outlive what kept them from it."""

_chosen: dict[frozenset[tuple[str, str]], tuple[str, float]] = {}
"""What was found out, and until when that counts."""


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


def addresses(service: Service) -> dict[str, str]:
    """The URI of each route that the service has. They hold the password."""
    uri = service.uri.get_secret_value() if service.uri else ""
    if not uri:
        return {}
    try:
        urlsplit(uri).port  # noqa: B018 (what is no address is left to who connects: it says so)
    except ValueError:
        return {"dynamic": uri}
    found = {
        one.route: at(uri, one.host, one.port)
        for one in reversed(service.components)  # the first of a route counts, as in avn
        if one.component == service.type and one.usage == "primary" and one.route in ROUTES
    }
    return {**found, "dynamic": uri}


def at(uri: str, host: str, port: int) -> str:
    """The same URI at another address."""
    parts = urlsplit(uri)
    user, sign, _ = parts.netloc.rpartition("@")
    where = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{user}{sign}{where}:{port}"))


def best_address(known: Mapping[str, str], *, limit: float = LIMIT) -> str:
    """The URI to use: the public one if the dynamic one takes no connection and it does. ``limit``: seconds."""
    dynamic, public = known["dynamic"], known.get("public")
    if public is None or _place(dynamic) == _place(public):
        return dynamic
    key = frozenset(known.items())
    if key not in _chosen or _chosen[key][1] < clock.monotonic():
        first = _first_that_answers((dynamic, public), limit)
        _chosen[key] = (first, math.inf) if first else (dynamic, clock.monotonic() + AGAIN)
    return _chosen[key][0]


def _first_that_answers(uris: tuple[str, ...], limit: float) -> str | None:
    """All are tried side by side; the earlier one wins. A name lookup that hangs delays no one."""
    until = clock.monotonic() + limit
    taken: set[str] = set()

    def attempt(uri: str) -> None:
        with suppress(OSError, ValueError), dial(_place(uri), until):
            taken.add(uri)

    threads = [in_background(partial(attempt, uri), "route") for uri in uris]
    for uri, thread in zip(uris, threads, strict=True):
        thread.join(max(0.0, until - clock.monotonic()))
        if uri in taken:
            return uri
    return None


def _place(uri: str) -> tuple[str, int]:
    parts = urlsplit(uri)
    return parts.hostname or "", parts.port or 6379


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
