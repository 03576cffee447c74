"""Diagnoses connection failures: the likely cause, what to do, and whether waiting may help."""

import errno
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from valkey import exceptions

from ccr_avn.errors import Unreachable
from ccr_avn.redact import redacted
from ccr_avn.valkey.endpoint import Endpoint

CLOSED_EARLY = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)
"""A connection that is cut within the TLS handshake is no trouble with certificates."""

UNUSABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer of the wrong kind raises."""

OF_THIS_MACHINE = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL}
)
"""What connecting fails with where the service was not asked."""


class Answered(Unreachable):
    """It can't be used, but something is there that accepts clients: it answered with a refusal."""


class OutOfReach(Unreachable):
    """It was not asked at all: this machine does not find the way to it, so nothing is known of the service."""


class TurnedAway(Unreachable):
    """The connection was refused: nobody listens there, or a filter keeps this machine out."""


class Unresolved(OutOfReach):
    """Its name is not known here. Of a service that runs, that most likely stays so: it is in a VPC, and we are not."""


class Diagnosis(NamedTuple):
    """``{name}`` in a hint stands for the service; ``passing``: waiting may help."""

    what: str
    hint: str
    passing: bool = True
    kind: type[Unreachable] = Unreachable


def _table(text: str) -> tuple[tuple[re.Pattern[str], Diagnosis], ...]:
    rows = [line.split(" | ") for line in text.strip().splitlines()]
    return tuple((re.compile(sign), Diagnosis(what, hint, not lasts, Answered)) for sign, what, hint, *lasts in rows)


REFUSED = _table(r"""
^[^:]*AuthenticationError.*[Rr]equired | it requires a password, and none is known | use the address that avn shows: avn service user-list {name} | lasting
^[^:]*AuthenticationError | the password was refused | the password avn shows is not valid (changed, or another user's): avn service user-list {name} | lasting
^[^:]*NoPermissionError | the user lacks the permission for that | check its ACL: avn service user-list {name} --json | lasting
^[^:]*OutOfMemoryError | its memory is full and its policy is noeviction: it refuses writes | free memory or raise its plan: avn service update {name} --plan PLAN
^[^:]*ReadOnlyError | it is a replica: it accepts no writes | the primary is the source of its read_replica: avn service integration-list {name} | lasting
^[^:]*BusyLoadingError | it is still loading its data | wait for it: avn service wait {name}
^[^:]*: BUSY\b | it is busy running a script or function | wait until it ends, or end it: SCRIPT KILL or FUNCTION KILL in a client; it can't be killed once it has written
^[^:]*: MASTERDOWN\b | it is a replica that has lost its primary, and does not serve stale data | to promote it: ccr-avn failover {name} --allow-data-loss
^[^:]*: NOREPLICAS\b | it accepts no writes while it has too few replicas (min-replicas-to-write) | list its replicas: avn service get {name} --format '{service_integrations}'
^[^:]*: MISCONF\b | it accepts no writes because it can't save its data to disk | check its state, and contact Aiven's support: avn service get {name}
^[^:]*: NOPROTO\b | it does not support this protocol version | check its version: avn service get {name} | lasting
^ | it refused | check its state: avn service get {name}
""")
"""By the kinds of a server's error and its words: what it is, what can help, and whether it lasts."""

TLS = _table("""
WRONG_VERSION_NUMBER|record layer | it does not speak TLS | TLS seems to be disabled on it: avn service get {name} --format '{user_config}' ({name}: valkey_ssl) | lasting
(Hostname|IP address) mismatch | its certificate is for another name | use the host as avn shows it: avn service get {name} | lasting
expired|not yet valid | its certificate is not valid now | is the clock of this machine right? date -u | lasting
^ | its TLS certificate is not trusted here | older services use the project's own CA: avn project ca-get --target-filepath ca.pem, then --ca-file ca.pem | lasting
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a service accepts clients, and what shows it. No answer is not a state: *unknown* is neither of the others."""

    state: Literal["open", "closed", "unknown"]
    why: str


def admission_after(trouble: Unreachable, *, shut: bool) -> Admission:
    """What a failed look says; ``shut``: its ip_filter is known to admit nobody."""
    if isinstance(trouble, Answered):
        return Admission(state="open", why=trouble.what)
    if isinstance(trouble, TurnedAway) and shut:
        return Admission(state="closed", why="its ip_filter admits nobody, and new connections are refused")
    return Admission(state="unknown", why=trouble.what)


def explain(endpoint: Endpoint, error: Exception, *, connected: bool) -> Unreachable:
    """The error as one that can be acted on; ``connected``: it had answered before."""
    looks = _diagnosed(endpoint, error, connected=connected)
    return looks.kind(
        f"{endpoint.service} ({endpoint.address}): {looks.what}",
        detail=_said(error),
        hint=looks.hint.replace("{name}", endpoint.service),
        passing=looks.passing,
    )


def unreadable_ca(endpoint: Endpoint, error: Exception) -> Unreachable:
    return Unreachable(
        f"the CA file for {endpoint.service} can't be used",
        detail=_said(error),
        hint="get the project's CA: avn project ca-get --target-filepath ca.pem, then --ca-file ca.pem",
        passing=False,
    )


def _diagnosed(endpoint: Endpoint, error: Exception, *, connected: bool) -> Diagnosis:
    causes = _causes(error)
    if isinstance(error, (exceptions.ResponseError, exceptions.AuthenticationError, exceptions.BusyLoadingError)):
        return _first(REFUSED, f"{' '.join(kind.__name__ for kind in type(error).__mro__)}: {error}")
    if any(isinstance(one, ssl.SSLError) for one in causes) and not any(
        isinstance(one, CLOSED_EARLY) for one in causes
    ):
        return _first(TLS, " ".join(map(str, causes)))
    if isinstance(error, (*UNUSABLE, exceptions.InvalidResponse)):
        hint = "check its address: avn service get {name}; if a proxy is in between, connect without it"
        return Diagnosis("its answer can't be used: it is not one of Valkey", hint, kind=Answered)
    if connected and isinstance(error, exceptions.TimeoutError):
        hint = "if a write pause was left there: ccr-avn unfence {name}; else check its state: avn service get {name}"
        return Diagnosis("it stopped answering: it hangs, is cut off, or its writes are paused", hint)
    if connected and isinstance(error, exceptions.ValkeyError):
        what = "the connection was closed: it is restarting or failing over, or an IP filter was set"
        return Diagnosis(what, "check its state: avn service get {name}")
    if "max number of clients" in str(error):
        hint = "close idle clients, or lower its timeout: avn service update {name} -c valkey_timeout=60"
        return Diagnosis("it has reached its maximum number of clients", hint, kind=Answered)
    return _network(endpoint, error, causes)


def _first(table: Iterable[tuple[re.Pattern[str], Diagnosis]], text: str) -> Diagnosis:
    return next(diagnosis for sign, diagnosis in table if sign.search(text))


def _network(endpoint: Endpoint, error: Exception, causes: tuple[BaseException, ...]) -> Diagnosis:
    look_ups = [one.errno for one in causes if isinstance(one, socket.gaierror)]
    if any(number != socket.EAI_AGAIN for number in look_ups):
        hint = "the name of a service in a VPC resolves only inside it: run this from there; else wait: avn service wait {name}"
        return Diagnosis("its host name does not resolve here: in a VPC, or still building", hint, kind=Unresolved)
    if look_ups:
        return Diagnosis("name resolution failed temporarily", "check DNS on this machine", kind=OutOfReach)
    if any(isinstance(one, ConnectionRefusedError) for one in causes):
        what = "the connection was refused: it is down or building, or an ip_filter blocks this machine"
        return _kept_out(endpoint, what, TurnedAway)
    if any(isinstance(one, (exceptions.TimeoutError, TimeoutError)) for one in causes):
        return _kept_out(endpoint, "no answer: blocked by an IP filter or a VPC, or it hangs")
    if re.search("unreachable|no route", str(error), re.IGNORECASE):
        hint = "a service in a VPC is reached only from inside it: avn service get {name} --format '{project_vpc_id}'"
        return Diagnosis("there is no route to its network from here: a VPC", hint, kind=OutOfReach)
    if any(isinstance(one, OSError) and one.errno in OF_THIS_MACHINE for one in causes):
        hint = "see ulimit -n, the memory and the firewall of this machine"
        return Diagnosis("this machine could not open a connection", hint, kind=OutOfReach)
    return _kept_out(endpoint, "the connection was closed at once: an IP filter, or it is restarting")


def _kept_out(endpoint: Endpoint, what: str, kind: type[Unreachable] = Unreachable) -> Diagnosis:
    """An old primary that was closed is not to be opened because it does not answer."""
    if endpoint.closed:
        what = f"its ip_filter admits nobody, and {what.partition(':')[0]}"
        hint = "a switchover does that to an old primary; which service was promoted from it: ccr-avn status {name}"
        return Diagnosis(what, hint, kind=kind)
    hint = "check who may connect: avn service get {name} --format '{user_config}'; add this machine to ip_filter"
    return Diagnosis(what, hint, kind=kind)


def _causes(error: BaseException | None) -> tuple[BaseException, ...]:
    """The error and what it came from; valkey-py wraps the socket's own."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return tuple(found)


def _said(error: Exception) -> str:
    """The error's own words; what a server says may hold a password."""
    return f"{type(error).__name__}: {' '.join(redacted(str(error)).split())}"[:300]
