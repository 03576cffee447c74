"""Opens connections to a service's data plane, and explains when one can't be had."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ccr_avn.errors import Unreachable

if TYPE_CHECKING:
    import valkey

TLS_SCHEMES = ("rediss", "valkeys")
PLAIN_SCHEMES = ("redis", "valkey")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a service answers. ``timeout`` is in seconds, for connecting and for each reply."""

    service: str
    uri: str = field(repr=False)  # holds the password
    ca_file: Path | None = None
    timeout: float = 5.0

    @property
    def address(self) -> str:
        """``host:port``, without secrets."""
        parts = urlsplit(self.uri)
        return f"{parts.hostname}:{parts.port or 6379}"

    @property
    def tls(self) -> bool:
        return urlsplit(self.uri).scheme in TLS_SCHEMES


def settings(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as keyword arguments of a valkey-py connection.

    Raises:
        Unreachable: its address can't be used.
    """
    parts = urlsplit(endpoint.uri)
    if parts.scheme not in (*TLS_SCHEMES, *PLAIN_SCHEMES) or not parts.hostname:
        raise Unreachable(
            f"the address of {endpoint.service} can't be used",
            detail=f"its scheme is {parts.scheme or 'missing'}; known: {', '.join((*TLS_SCHEMES, *PLAIN_SCHEMES))}",
            hint=f"look at it: avn service get {endpoint.service} --format '{{service_uri_params}}'",
            passing=False,
        )
    return {
        "host": parts.hostname,
        "port": parts.port or 6379,
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }


def connect(
    endpoint: Endpoint,
    *,
    name: str = "ccr-avn",
    protocol: int = 2,
    database: int = 0,
    timeout: float | None = None,
) -> "valkey.Valkey":
    """One connection of its own, proven by PING; nothing is ever repeated behind the caller's back.

    Raises:
        Unreachable: with what it looks like, and what to do.
    """
    import valkey
    from valkey.backoff import NoBackoff
    from valkey.retry import Retry

    limit = timeout or endpoint.timeout
    tls: dict[str, Any] = {}
    if endpoint.tls:
        tls = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        if endpoint.ca_file:
            tls["ssl_ca_data"] = _with_system_roots(endpoint.ca_file)
    client = valkey.Valkey(
        **settings(endpoint),
        **tls,
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
    with explained(endpoint):
        client.ping()
    return client


@contextmanager
def explained(endpoint: Endpoint) -> Iterator[None]:
    """Turn the client's errors into one that says which of the usual causes it looks like."""
    from valkey.exceptions import ValkeyError

    try:
        yield
    except (ValkeyError, OSError) as error:
        raise _explain(endpoint, error) from None


def _with_system_roots(ca_file: Path) -> str:
    """The given CA *and* the system's: which of the two signed a service depends on when it was created."""
    context = ssl.create_default_context()
    roots = [ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True)]
    return "\n".join([ca_file.read_text(), *roots])


def _explain(endpoint: Endpoint, error: Exception) -> Unreachable:
    what, hint, passing = _looks_like(endpoint, error)
    return Unreachable(
        f"{endpoint.service} ({endpoint.address}): {what}", detail=_told(error), hint=hint, passing=passing
    )


def _looks_like(endpoint: Endpoint, error: Exception) -> tuple[str, str, bool]:
    """What it looks like, what to do, and whether waiting may mend it."""
    from valkey import exceptions

    name = endpoint.service
    causes = _causes(error)
    filters = f"see who may connect: avn service get {name} --format '{{user_config}}'; add this machine to ip_filter"
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return _tls_trouble(name, causes)
    if any(isinstance(one, socket.gaierror) for one in causes):
        hint = f"a service in a VPC is known only inside it: run this from there; else wait: avn service wait {name}"
        return "its name is not known here: a VPC, or not built yet", hint, True
    if isinstance(error, exceptions.AuthenticationError):
        hint = f"the password avn shows is not in force (changed, or another user's): avn service user-list {name}"
        return "the password was refused", hint, False
    if isinstance(error, exceptions.NoPermissionError):
        return "the user may not do that", f"see its ACL: avn service user-list {name} --json", False
    if isinstance(error, exceptions.ResponseError):
        return "it refused", f"see its state: avn service get {name}", not isinstance(error, exceptions.ReadOnlyError)
    if any(isinstance(one, ConnectionRefusedError) for one in causes):
        return (
            "the connection was refused: it is down or building, or an IP filter shuts this machine out",
            filters,
            True,
        )
    if isinstance(error, exceptions.TimeoutError) or any(isinstance(one, TimeoutError) for one in causes):
        return "no answer: an IP filter or a VPC keeps this machine out, or it hangs", filters, True
    return "the connection was cut at once: an IP filter, or it is restarting", filters, True


def _tls_trouble(name: str, causes: list[BaseException]) -> tuple[str, str, bool]:
    text = " ".join(str(one) for one in causes)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        hint = f"its TLS seems to be off: avn service get {name} --format '{{user_config}}' ({name}: valkey_ssl)"
        return "it does not speak TLS", hint, False
    if "Hostname mismatch" in text or "IP address mismatch" in text:
        return "its certificate is for another name", f"use the host as avn shows it: avn service get {name}", False
    hint = "older services use the project's own CA: avn project ca-get --target-filepath ca.pem, then --ca-file ca.pem"
    return "its TLS certificate is not trusted here", hint, False


def _causes(error: BaseException | None) -> list[BaseException]:
    """The error and what it came from; valkey-py wraps the socket's own."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _told(error: Exception) -> str:
    """The error's own words; valkey-py never puts a password in them."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
