"""Diagnoses connection failures: the likely cause, what to do, and whether waiting may help."""

import errno
import re
import socket
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ccr_avn.errors import Unreachable
from ccr_avn.redact import redacted
from ccr_avn.valkey.endpoint import Endpoint

UNUSABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer of the wrong kind raises."""


class Answered(Unreachable):
    """It can't be used, but something is there that accepts clients: it answered with a refusal."""


class OutOfReach(Unreachable):
    """It was not asked at all: this machine does not find the way to it, so nothing is known of the service."""


class TurnedAway(Unreachable):
    """The connection was refused: nobody listens there, or a filter keeps this machine out."""


class Unresolved(OutOfReach):
    """Its name is not known here. Of a service that runs, that most likely stays so: it is in a VPC, and we are not."""


class Diagnosis(NamedTuple):
    """``{name}`` in a hint stands for the service; ``passing``: waiting may help; ``filtered``: an ip_filter may be why."""

    what: str
    hint: str
    kind: type[Unreachable]
    passing: bool
    filtered: bool


FILTER = "check who may connect: avn service get {name} --format '{user_config}'; add this machine to ip_filter"
KINDS = {kind.__name__: kind for kind in (Unreachable, Answered, OutOfReach, TurnedAway, Unresolved)}
TLS = r"\A(?![\s\S]*(SSLEOFError|SSLZeroReturnError|ConnectionResetError|BrokenPipeError))[\s\S]*\bSSLError\b[\s\S]*"
"""A connection that is cut within the handshake is no trouble with certificates."""


def _row(line: str) -> tuple[re.Pattern[str], Diagnosis]:
    sign, kind, what, hint, *lasts = line.split(" | ")
    filtered, hint = hint == "FILTER", hint.replace("FILTER", FILTER)
    return re.compile(sign.replace("TLS: ", TLS), re.MULTILINE), Diagnosis(what, hint, KINDS[kind], not lasts, filtered)


_CAUSES = r"""
\A.*AuthenticationError[^:]*: .*[Rr]equired | Answered | it requires a password, and none is known | use the address that avn shows: avn service user-list {name} | lasting
\A[^:]*AuthenticationError | Answered | the password was refused | the password avn shows is not valid (changed, or another user's): avn service user-list {name} | lasting
\A[^:]*NoPermissionError | Answered | the user lacks the permission for that | check its ACL: avn service user-list {name} --json | lasting
\A[^:]*OutOfMemoryError | Answered | its memory is full and its policy is noeviction: it refuses writes | free memory or raise its plan: avn service update {name} --plan PLAN
\A[^:]*ReadOnlyError | Answered | it is a replica: it accepts no writes | the primary is the source of its read_replica: avn service integration-list {name} | lasting
\A[^:]*BusyLoadingError | Answered | it is still loading its data | wait for it: avn service wait {name}
\A[^:]*ResponseError[^:]*: BUSY\b | Answered | it is busy running a script or function | wait until it ends, or end it: SCRIPT KILL or FUNCTION KILL in a client; it can't be killed once it has written
\A[^:]*ResponseError[^:]*: MASTERDOWN\b | Answered | it is a replica that has lost its primary, and does not serve stale data | to promote it: ccr-avn failover {name} --allow-data-loss
\A[^:]*ResponseError[^:]*: NOREPLICAS\b | Answered | it accepts no writes while it has too few replicas (min-replicas-to-write) | list its replicas: avn service get {name} --format '{service_integrations}'
\A[^:]*ResponseError[^:]*: MISCONF\b | Answered | it accepts no writes because it can't save its data to disk | check its state, and contact Aiven's support: avn service get {name}
\A[^:]*ResponseError[^:]*: NOPROTO\b | Answered | it does not support this protocol version | check its version: avn service get {name} | lasting
\A[^:]*ResponseError | Answered | it refused | check its state: avn service get {name}
TLS: (WRONG_VERSION_NUMBER|record layer) | Answered | it does not speak TLS | TLS seems to be disabled on it: avn service get {name} --format '{user_config}' ({name}: valkey_ssl) | lasting
TLS: (Hostname|IP address) mismatch | Answered | its certificate is for another name | use the host as avn shows it: avn service get {name} | lasting
TLS: (expired|not yet valid) | Answered | its certificate is not valid now | check the clock of this machine: date -u | lasting
TLS: . | Answered | its TLS certificate is not trusted here | older services use the project's own CA: avn project ca-get --target-filepath ca.pem, then --ca-file ca.pem | lasting
\A[^:]*\b(AttributeError|LookupError|TypeError|ValueError|InvalidResponse)\b | Answered | its answer can't be used: it is not one that Valkey gives | check its address: avn service get {name}; if a proxy is in between, connect without it
\Aconnected [^:]*\bTimeoutError ValkeyError\b | Unreachable | it stopped answering: it hangs, is cut off, or its writes are paused | if a write pause was left there: ccr-avn unfence {name}; else check its state: avn service get {name}
\Aconnected [^:]*\bValkeyError\b | Unreachable | the connection was closed: it is restarting or failing over, or an IP filter was set | check its state: avn service get {name}
\A.*max number of clients | Answered | it has reached its maximum number of clients | close idle clients, or lower its timeout: avn service update {name} -c valkey_timeout=60
^[^:]*\bgaierror\b(?!.* EAI_AGAIN:) | Unresolved | its host name does not resolve here: in a VPC, or still building | the name of a service in a VPC resolves only inside it: run this from there; else wait: avn service wait {name}
^[^:]*\bgaierror\b | OutOfReach | name resolution failed temporarily | check DNS on this machine
^[^:]*\bConnectionRefusedError\b | TurnedAway | the connection was refused: it is down or building, or an ip_filter blocks this machine | FILTER
^[^:]*\bTimeoutError\b | Unreachable | no answer: blocked by an IP filter or a VPC, or it hangs | FILTER
\A.*(?i:unreachable|no route) | OutOfReach | no route to its network from here: it is in a VPC | a service in a VPC is reached only from inside it: avn service get {name} --format '{project_vpc_id}'
^[^:]*\b(EMFILE|ENFILE|ENOMEM|ENOBUFS|EACCES|EPERM|EADDRNOTAVAIL): | OutOfReach | this machine could not open a connection | see ulimit -n, the memory and the firewall of this machine
^ | Unreachable | the connection was closed at once: an IP filter, or it is restarting | FILTER
"""
"""How `_signs` describes the error; our error for it; what it looks like; what can help; whether it lasts."""

CAUSES = tuple(map(_row, _CAUSES.strip().splitlines()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a service accepts clients, and what shows it. No answer is not a state: *unknown* is neither of the others."""

    state: Literal["open", "closed", "unknown"]
    why: str


def admission_after(trouble: Unreachable, *, shut: bool) -> Admission:
    """What a failed check shows; ``shut``: its ip_filter is known to allow no client."""
    if isinstance(trouble, Answered):
        return Admission(state="open", why=trouble.what)
    if isinstance(trouble, TurnedAway) and shut:
        return Admission(state="closed", why="its ip_filter allows no client, and new connections are refused")
    return Admission(state="unknown", why=trouble.what)


def explain(endpoint: Endpoint, error: Exception, *, connected: bool) -> Unreachable:
    """The error as one that can be acted on; ``connected``: it had answered before."""
    signs = _signs(error, connected=connected)
    looks = next(diagnosis for sign, diagnosis in CAUSES if sign.search(signs))
    what, hint = looks.what, looks.hint
    if looks.filtered and endpoint.closed:  # an old primary that was closed is not to be opened for us
        what = f"its ip_filter allows no client, and {what.partition(':')[0]}"
        hint = "a switchover does that to an old primary; which service was promoted from it: ccr-avn status {name}"
    return looks.kind(
        f"{endpoint.service} ({endpoint.address}): {what}",
        detail=_said(error),
        hint=hint.replace("{name}", endpoint.service),
        passing=looks.passing,
    )


def unreadable_ca(endpoint: Endpoint, error: Exception) -> Unreachable:
    return Unreachable(
        f"the CA file for {endpoint.service} can't be used",
        detail=_said(error),
        hint="get the project's CA: avn project ca-get --target-filepath ca.pem, then --ca-file ca.pem",
        passing=False,
    )


def _signs(error: BaseException | None, *, connected: bool) -> str:
    """A line for the error and for each that it came from, as valkey-py wraps the socket's own: its classes, number, words."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return ("connected " if connected else "") + "\n".join(map(_sign, found))


def _sign(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    again = isinstance(error, socket.gaierror) and number == socket.EAI_AGAIN
    name = "EAI_AGAIN" if again else errno.errorcode.get(number or 0, "")
    return f"{' '.join(kind.__name__ for kind in type(error).__mro__)} {name}: {' '.join(str(error).split())[:500]}"


def _said(error: Exception) -> str:
    """The error's own words; what a server says may hold a password."""
    return f"{type(error).__name__}: {' '.join(redacted(str(error)).split())}"[:300]
