"""Connects to a service and waits until its server answers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import valkey
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError
from valkey.retry import Retry

from ccr_avn.errors import Refused, Unreachable
from ccr_avn.valkey.diagnose import explain, unreadable_ca

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
    if parts.scheme not in (*TLS_SCHEMES, *PLAIN_SCHEMES) or not parts.hostname or _port(endpoint.uri) is None:
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


def connect(
    endpoint: Endpoint,
    *,
    name: str = "ccr-avn",
    protocol: int = 2,
    database: int = 0,
    timeout: float | None = None,
) -> "valkey.Valkey":
    """One connection of its own, proven by INFO; no command is ever repeated behind the caller's back.

    A server that still loads, or that lost its primary and must not serve stale data, refuses PING and answers INFO.

    A connection that was cut is made again, with the same name, for the *next* command only.

    Raises:
        Unreachable: with what it looks like, and what to do.
    """
    limit = timeout or endpoint.timeout
    client = valkey.Valkey(
        **settings(endpoint),
        **_tls(endpoint),
        db=database,
        socket_timeout=limit,
        socket_connect_timeout=limit,
        client_name=name,
        protocol=protocol,
        lib_name=None,
        lib_version=None,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=False,
        max_connections=1,
    )
    client.set_response_callback(
        "INFO", lambda answer, **_: answer
    )  # see valkey/replication.py: it has rules of its own
    try:
        with explained(endpoint), suppress(valkey.exceptions.NoPermissionError):  # a user who may not ask is in
            client.execute_command("INFO", "server")  # type: ignore[no-untyped-call]  # valkey-py has no annotation there
    except BaseException:
        client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there
        raise
    return client


@contextmanager
def explained(endpoint: Endpoint, *, connected: bool = False) -> Iterator[None]:
    """Turn the client's errors into one that says which of the usual causes it looks like.

    ``connected``: it had answered before, so that who may connect is not the question.
    """
    try:
        yield
    except (ValkeyError, OSError) as error:
        raise explain(endpoint, error, connected=connected) from None


def _tls(endpoint: Endpoint) -> dict[str, Any]:
    """Certificate and host name are always checked.

    Raises:
        Unreachable: the CA file can't be read.
    """
    if not endpoint.tls:
        return {}
    verified: dict[str, Any] = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    return {**verified, "ssl_ca_data": given} if (given := authority(endpoint)) else verified


def authority(endpoint: Endpoint) -> str | None:
    """The CA that is trusted *besides* the system's: which of the two signed a service depends on when it was created.

    Raises:
        Unreachable: its file can't be read, or holds no certificate.
    """
    if endpoint.ca_file is None:
        return None
    try:
        given = endpoint.ca_file.read_text()
        if "BEGIN CERTIFICATE" not in given:
            raise ValueError("it holds no certificate in PEM form")
    except (OSError, ValueError) as error:
        raise unreadable_ca(endpoint, error) from None
    return given


def _split(uri: str) -> SplitResult:
    """Its parts; none of what is no URI at all."""
    try:
        return urlsplit(uri)
    except ValueError:
        return urlsplit("")


def _port(uri: str) -> int | None:
    """The port, 0 where none is given, None where it is no number."""
    try:
        return _split(uri).port or 0
    except ValueError:
        return None


def in_background(work: Callable[[], None], name: str) -> threading.Thread:
    """Raises: Refused: no thread can be started."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as full:
        hint = "raise this machine's limit of processes and threads (ulimit -u), then run the same command again"
        raise Refused("no thread can be started on this machine", detail=str(full), hint=hint) from None
    return thread


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS counts a suspend in its monotonic clock


def awake() -> float:
    """Seconds since some moment in the past. ``time.monotonic`` stands still during a suspend on Linux."""
    return time.clock_gettime(_CLOCK)
