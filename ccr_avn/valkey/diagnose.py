"""Diagnoses connection failures: the likely cause, what to do, and whether waiting may help."""

import errno
import socket
import ssl
from dataclasses import dataclass, replace
from typing import Literal

from valkey import exceptions

from ccr_avn.errors import Unreachable
from ccr_avn.redact import redacted
from ccr_avn.valkey.endpoint import Endpoint

CLOSED_EARLY = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)
"""A connection that is cut within the TLS handshake is no trouble with certificates."""


UNUSABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer of the wrong kind raises."""

REFUSALS = {
    "BUSY": (
        "it is busy running a script or function",
        "wait until it ends, or end it: SCRIPT KILL or FUNCTION KILL in a client; it can't be killed once it has written",
        True,
    ),
    "MASTERDOWN": (
        "it is a replica that has lost its primary, and does not serve stale data",
        "to promote it: ccr-avn failover {name} --allow-data-loss",
        True,
    ),
    "NOREPLICAS": (
        "it accepts no writes while it has too few replicas (min-replicas-to-write)",
        "list its replicas: avn service get {name} --format '{{service_integrations}}'",
        True,
    ),
    "MISCONF": (
        "it accepts no writes because it can't save its data to disk",
        "check its state, and contact Aiven's support: avn service get {name}",
        True,
    ),
    "NOPROTO": ("it does not support this protocol version", "check its version: avn service get {name}", False),
}
"""By the first word of a server's error: what it is, what can help, whether waiting may mend it."""


OF_THIS_MACHINE = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL}
)
"""What connecting fails with where the service was not asked."""


class Answered(Unreachable):
    """It can't be used, but something is there that lets clients in: it answered with a refusal."""


class OutOfReach(Unreachable):
    """It was not asked at all: this machine does not find the way to it, so nothing is known of the service."""


class TurnedAway(Unreachable):
    """The connection was refused: nobody listens there, or a filter keeps this machine out."""


class Unresolved(OutOfReach):
    """Its name is not known here. Of a service that runs, that most likely stays so: it is in a VPC, and we are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a service lets clients in, and what shows it. No answer is not a state: *unknown* is neither of the others."""

    state: Literal["open", "closed", "unknown"]
    why: str


def admission_after(trouble: Unreachable, *, shut: bool) -> Admission:
    """What a failed look says; ``shut``: its ip_filter is known to admit nobody."""
    if isinstance(trouble, Answered):
        return Admission(state="open", why=trouble.what)
    if isinstance(trouble, TurnedAway) and shut:
        return Admission(state="closed", why="its ip_filter admits nobody, and new connections are refused")
    return Admission(state="unknown", why=trouble.what)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    what: str
    hint: str
    passing: bool
    kind: type[Unreachable] = Unreachable


def explain(endpoint: Endpoint, error: Exception, *, connected: bool) -> Unreachable:
    """The error as one that can be acted on; ``connected``: it had answered before."""
    looks = _looks(endpoint, error, connected=connected)
    return looks.kind(
        f"{endpoint.service} ({endpoint.address}): {looks.what}",
        detail=_told(error),
        hint=looks.hint,
        passing=looks.passing,
    )


def unreadable_ca(endpoint: Endpoint, error: Exception) -> Unreachable:
    return Unreachable(
        f"the CA file for {endpoint.service} can't be used",
        detail=_told(error),
        hint="get the project's CA: avn project ca-get --target-filepath ca.pem, then --ca-file ca.pem",
        passing=False,
    )


def _looks(endpoint: Endpoint, error: Exception, *, connected: bool) -> Diagnosis:
    name = endpoint.service
    if isinstance(error, (exceptions.ResponseError, exceptions.AuthenticationError, exceptions.BusyLoadingError)):
        return replace(_refused(name, error), kind=Answered)
    causes = _causes(error)
    if any(isinstance(one, ssl.SSLError) for one in causes) and not _any(causes, CLOSED_EARLY):
        return replace(_tls(name, " ".join(str(one) for one in causes)), kind=Answered)
    if isinstance(error, (*UNUSABLE, exceptions.InvalidResponse)):
        hint = f"check its address: avn service get {name}; if a proxy is in between, connect without it"
        return Diagnosis("its answer can't be used: it is not one of Valkey", hint, passing=True, kind=Answered)
    if connected and isinstance(error, exceptions.ValkeyError):
        return _lost(name, error)
    return _network(endpoint, error, causes)


def _refused(name: str, error: Exception) -> Diagnosis:
    """It answered, with an error."""
    service, users = f"check its state: avn service get {name}", f"avn service user-list {name}"
    if isinstance(error, exceptions.AuthenticationError) and "required" in str(error).lower():
        return Diagnosis(
            "it requires a password, and none is known", f"use the address that avn shows: {users}", passing=False
        )
    if isinstance(error, exceptions.AuthenticationError):
        hint = f"the password avn shows is not valid (changed, or another user's): {users}"
        return Diagnosis("the password was refused", hint, passing=False)
    if isinstance(error, exceptions.NoPermissionError):
        return Diagnosis("the user lacks the permission for that", f"check its ACL: {users} --json", passing=False)
    if isinstance(error, exceptions.OutOfMemoryError):
        hint = f"free memory or raise its plan: avn service update {name} --plan PLAN"
        return Diagnosis("its memory is full and its policy is noeviction: it refuses writes", hint, passing=True)
    if isinstance(error, exceptions.ReadOnlyError):
        hint = f"the primary is the source of its read_replica: avn service integration-list {name}"
        return Diagnosis("it is a replica: it accepts no writes", hint, passing=False)
    if isinstance(error, exceptions.BusyLoadingError):
        return Diagnosis("it is still loading its data", f"wait for it: avn service wait {name}", passing=True)
    code = str(error).split(" ", 1)[0]
    if code in REFUSALS:
        what, hint, passing = REFUSALS[code]
        return Diagnosis(what, hint.format(name=name), passing=passing)
    return Diagnosis("it refused", service, passing=True)


def _lost(name: str, error: Exception) -> Diagnosis:
    """It had answered on this connection."""
    if isinstance(error, exceptions.TimeoutError):
        hint = f"if a write pause was left there: ccr-avn unfence {name}; else check its state: avn service get {name}"
        return Diagnosis("it stopped answering: it hangs, is cut off, or its writes are paused", hint, passing=True)
    hint = f"check its state: avn service get {name}"
    return Diagnosis(
        "the connection was closed: it is restarting or failing over, or an IP filter was set", hint, passing=True
    )


def _tls(name: str, text: str) -> Diagnosis:
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        hint = f"TLS seems to be disabled on it: avn service get {name} --format '{{user_config}}' ({name}: valkey_ssl)"
        return Diagnosis("it does not speak TLS", hint, passing=False)
    if "Hostname mismatch" in text or "IP address mismatch" in text:
        return Diagnosis(
            "its certificate is for another name",
            f"use the host as avn shows it: avn service get {name}",
            passing=False,
        )
    if "expired" in text or "not yet valid" in text:
        return Diagnosis(
            "its certificate is not valid now", "is the clock of this machine right? date -u", passing=False
        )
    hint = "older services use the project's own CA: avn project ca-get --target-filepath ca.pem, then --ca-file ca.pem"
    return Diagnosis("its TLS certificate is not trusted here", hint, passing=False)


def _network(endpoint: Endpoint, error: Exception, causes: tuple[BaseException, ...]) -> Diagnosis:
    name = endpoint.service
    if "max number of clients" in str(error):
        hint = f"close idle clients, or lower its timeout: avn service update {name} -c valkey_timeout=60"
        return Diagnosis("it has reached its maximum number of clients", hint, passing=True, kind=Answered)
    if any(isinstance(one, socket.gaierror) and one.errno != socket.EAI_AGAIN for one in causes):
        hint = f"the name of a service in a VPC resolves only inside it: run this from there; else wait: avn service wait {name}"
        return Diagnosis(
            "its host name does not resolve here: in a VPC, or still building", hint, passing=True, kind=Unresolved
        )
    if _any(causes, socket.gaierror):
        hint = "check DNS on this machine"
        return Diagnosis("name resolution failed temporarily", hint, passing=True, kind=OutOfReach)
    if _any(causes, ConnectionRefusedError):
        refused = "the connection was refused: it is down or building, or an ip_filter blocks this machine"
        return replace(_kept_out(endpoint, refused), kind=TurnedAway)
    if isinstance(error, exceptions.TimeoutError) or _any(causes, TimeoutError):
        return _kept_out(endpoint, "no answer: blocked by an IP filter or a VPC, or it hangs")
    if "unreachable" in str(error).lower() or "no route" in str(error).lower():
        hint = (
            f"a service in a VPC is reached only from inside it: avn service get {name} --format '{{project_vpc_id}}'"
        )
        return Diagnosis("there is no route to its network from here: a VPC", hint, passing=True, kind=OutOfReach)
    if any(isinstance(one, OSError) and one.errno in OF_THIS_MACHINE for one in causes):
        hint = "see ulimit -n, the memory and the firewall of this machine"
        return Diagnosis("this machine could not open a connection", hint, passing=True, kind=OutOfReach)
    return _kept_out(endpoint, "the connection was closed at once: an IP filter, or it is restarting")


def _kept_out(endpoint: Endpoint, what: str) -> Diagnosis:
    """An old primary that was closed is not to be opened because it does not answer."""
    name = endpoint.service
    if endpoint.closed:
        hint = f"a switchover does that to an old primary; which service was promoted from it: ccr-avn status {name}"
        return Diagnosis(f"its ip_filter admits nobody, and {what.partition(':')[0]}", hint, passing=True)
    filters = f"check who may connect: avn service get {name} --format '{{user_config}}'; add this machine to ip_filter"
    return Diagnosis(what, filters, passing=True)


def _any(causes: tuple[BaseException, ...], kinds: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(one, kinds) for one in causes)


def _causes(error: BaseException | None) -> tuple[BaseException, ...]:
    """The error and what it came from; valkey-py wraps the socket's own."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return tuple(found)


def _told(error: Exception) -> str:
    """The error's own words; what a server says may hold a password."""
    return f"{type(error).__name__}: {' '.join(redacted(str(error)).split())}"[:300]
