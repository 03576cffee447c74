"""Each usual cause is told from the others, with what to do and whether waiting may mend it."""

import socket
import ssl
from dataclasses import replace

import pytest
from valkey import exceptions

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.connect import Endpoint, explained
from ccr_avn.valkey.diagnose import Answered, OutOfReach, admission_after, explain

ENDPOINT = Endpoint(service="eu", uri="rediss://default:pw-secret@h.example:1")


def from_(cause: Exception) -> Exception:
    """As valkey-py hands a socket's error on."""
    error = exceptions.ConnectionError(f"Error connecting to h.example:1. {cause}.")
    error.__cause__ = cause
    return error


CASES = [
    (
        from_(socket.gaierror(-2, "Name or service not known")),
        "does not resolve here: in a VPC, or still building",
        True,
        False,
    ),
    (from_(socket.gaierror(-3, "Temporary failure in name resolution")), "name resolution failed", True, False),
    (from_(ConnectionRefusedError(111, "Connection refused")), "refused: it is down", True, False),
    (from_(OSError(113, "No route to host")), "no route to its network", True, False),
    (from_(OSError(101, "Network is unreachable")), "no route to its network", True, False),
    (from_(ConnectionResetError(104, "reset by peer")), "closed at once", True, False),
    (from_(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")), "closed at once", True, False),
    (from_(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")), "does not speak TLS", False, True),
    (from_(ssl.SSLCertVerificationError(1, "Hostname mismatch, not valid for")), "another name", False, True),
    (from_(ssl.SSLCertVerificationError(1, "certificate has expired")), "not valid now", False, True),
    (from_(ssl.SSLCertVerificationError(1, "self-signed certificate")), "not trusted here", False, True),
    (exceptions.TimeoutError("Timeout reading from h.example:1"), "no answer", True, False),
    (exceptions.AuthenticationError("Authentication required."), "requires a password", False, True),
    (exceptions.AuthenticationError("WRONGPASS"), "password was refused", False, True),
    (exceptions.NoPermissionError("no permissions"), "lacks the permission", False, True),
    (exceptions.OutOfMemoryError("used memory > maxmemory"), "memory is full", True, True),
    (exceptions.ReadOnlyError("read only replica"), "it is a replica", False, True),
    (exceptions.BusyLoadingError("loading the dataset"), "still loading", True, True),
    (exceptions.ResponseError("MASTERDOWN Link with MASTER is down"), "lost its primary", True, True),
    (exceptions.ResponseError("BUSY Valkey is busy running a script."), "busy running a script", True, True),
    (exceptions.ResponseError("NOREPLICAS Not enough good replicas"), "too few replicas", True, True),
    (exceptions.ResponseError("MISCONF Errors writing to the RDB"), "can't save", True, True),
    (exceptions.ResponseError("ODD nobody knows it"), "it refused", True, True),
    (exceptions.ConnectionError("max number of clients reached"), "maximum number of clients", True, True),
    (from_(OSError(24, "Too many open files")), "could not open a connection", True, False),
    (from_(PermissionError(1, "Operation not permitted")), "could not open a connection", True, False),
]


def said_of(error: Exception, *, closed: bool = False) -> Unreachable:
    return explain(replace(ENDPOINT, closed=closed), error, connected=False)


@pytest.mark.parametrize(("error", "told", "passing", "answered"), CASES, ids=[case[1] for case in CASES])
def test_causes(error: Exception, told: str, passing: bool, answered: bool) -> None:
    with pytest.raises(Unreachable) as caught, explained(ENDPOINT):
        raise error
    shown = caught.value
    assert told in shown.what
    assert shown.what.startswith("eu (h.example:1): ")
    assert shown.hint
    assert shown.passing is passing
    assert isinstance(shown, Answered) is answered
    assert "pw-secret" not in f"{shown} {shown.detail} {shown.hint}"


def test_trouble_of_this_machine_is_none_of_the_service() -> None:
    """No name, no route, no descriptor: it was not asked."""
    words = ("does not resolve", "name resolution", "no route", "could not open")
    for error, told, *_ in CASES:
        assert isinstance(said_of(error), OutOfReach) is any(word in told for word in words), told


@pytest.mark.parametrize("error", [case[0] for case in CASES if "add this machine" in said_of(case[0]).hint])
def test_what_is_closed_is_not_to_be_opened(error: Exception) -> None:
    """The filter of an old primary explains that it does not answer: nobody is told to add an address to it."""
    found = said_of(error, closed=True)
    assert "its ip_filter allows no client" in found.what
    assert "ccr-avn status eu" in found.hint


@pytest.mark.parametrize("error", [case[0] for case in CASES])
@pytest.mark.parametrize("closed", [True, False])
def test_only_a_refused_connection_and_a_filter_that_admits_nobody_are_closed(error: Exception, closed: bool) -> None:
    """No answer is not a state; an answer, whatever it says, comes from something that lets clients in."""
    found = said_of(error, closed=closed)
    refused = isinstance(error.__cause__, ConnectionRefusedError)
    state = "open" if isinstance(found, Answered) else "closed" if refused and closed else "unknown"
    assert admission_after(found, shut=closed).state == state
