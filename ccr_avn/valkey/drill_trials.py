"""Tests what a service permits its users, on a temporary replica: pauses writes and closes connections."""

import ssl
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from valkey.exceptions import ResponseError
from valkey.exceptions import TimeoutError as NoAnswer

from ccr_avn import clock
from ccr_avn.clock import poll
from ccr_avn.errors import CcrError, Interrupted
from ccr_avn.valkey import server_facts
from ccr_avn.valkey.connect import Endpoint, admission, connect, explained
from ccr_avn.valkey.endpoint import dial
from ccr_avn.valkey.replication import NO_HISTORY
from ccr_avn.valkey.writers import LastConnection, quiet_for

if TYPE_CHECKING:
    import valkey

Outcome = Literal["holds", "does not hold", "not tested"]

PAUSE = 3.0  # seconds for which writes are paused at the most while it is tried whether that holds them back
WAITS = 0.4  # seconds for which a write that is held back is waited for
LOOK = 0.05  # seconds between two checks of a filter that is taking effect

NAME = "ccr-avn:drill"
KEY = "ccr-avn:marker:drill"


@dataclass(frozen=True, slots=True)
class TrialResult:
    outcome: Outcome
    saw: str


holds, fails, not_tested = (partial(TrialResult, one) for one in get_args(Outcome))


def result_of(attempt: Callable[[], TrialResult]) -> TrialResult:
    """What came of it; what can't be asked is no finding about the service."""
    try:
        return attempt()
    except Interrupted:
        raise
    except CcrError as trouble:
        return not_tested(f"{trouble.what}: {trouble.detail}" if trouble.detail else trouble.what)


@contextmanager
def _connected(endpoint: Endpoint, timeout: float | None = None) -> Iterator["valkey.Valkey"]:
    with connect(endpoint, name=NAME, timeout=timeout) as client, explained(endpoint, connected=True):
        yield client


@contextmanager
def _paused(client: "valkey.Valkey") -> Iterator[None]:
    client.client_pause(int(PAUSE * 1000), all=False)
    try:
        yield
    finally:
        client.client_unpause()


def client_commands(endpoint: Endpoint) -> TrialResult:
    refused = []
    with _connected(endpoint) as client, _connected(endpoint) as other:
        number: Any = other.client_id()
        asked: tuple[tuple[str, ...], ...] = (
            ("CLIENT", "PAUSE", "50", "WRITE"),
            ("CLIENT", "UNPAUSE"),
            ("CLIENT", "LIST", "TYPE", "normal"),
            ("CLIENT", "KILL", "ID", str(number)),
        )
        for words in asked:
            try:
                client.execute_command(*words)
            except ResponseError as refusal:
                refused.append(f"{' '.join(words[:2])}: {refusal}")
    return fails("; ".join(refused)) if refused else holds("CLIENT PAUSE, UNPAUSE, LIST and KILL are permitted")


def pause_holds_writes(endpoint: Endpoint) -> TrialResult:
    with (
        _connected(endpoint) as pausing,
        _connected(endpoint) as reading,
        connect(endpoint, name=NAME, timeout=WAITS) as writing,
    ):
        with _paused(pausing):
            began = clock.monotonic()
            reading.get(KEY)
            read_ms = (clock.monotonic() - began) * 1000
            with suppress(NoAnswer):
                writing.set(KEY, "1", px=1000)
                return fails("a write was answered while writes were paused")
        reading.set(KEY, "2", px=1000)
    return holds(f"a write waited, a read took {read_ms:.1f} ms; after CLIENT UNPAUSE writes were answered")


def info_shows_the_pause(endpoint: Endpoint) -> TrialResult:
    with _connected(endpoint) as client, _paused(client):
        side = server_facts.read_replication(client, endpoint.service)
    shown, does = (holds, "shows") if side.paused_seconds else (fails, "does not show")
    return shown(f"INFO {does} that writes are paused (version {side.version})")


def info_shows_history(endpoint: Endpoint) -> TrialResult:
    side = server_facts.fetch_replication(endpoint)
    return holds(f"run_id, replication IDs and offset {side.offset} are shown (version {side.version})")


def clients_are_shown(endpoint: Endpoint) -> TrialResult:
    with _connected(endpoint) as client, _connected(endpoint) as other:
        mine: Any = {str(client.client_id()), str(other.client_id())}
        try:
            every = server_facts.connected_clients(client)
        except ResponseError as refusal:
            return fails(f"CLIENT LIST is refused: {refusal}")
    shown = [one for one in every if str(one.get("id")) in mine]
    if len(shown) < len(mine):
        return fails("one of ccr-avn's own connections is not in CLIENT LIST")
    if not all(one.get("addr") and one.get("user") for one in shown):
        return fails("CLIENT LIST does not show both address and user")
    return holds(f"{len(every)} clients are shown with address and user")


def strangers(endpoint: Endpoint, users: Collection[str]) -> tuple[str, list[str]]:
    """Its role, and who is connected as one of its users besides ccr-avn. Raises: Unreachable: it can't be asked."""
    with _connected(endpoint) as client:
        role = server_facts.read_replication(client, endpoint.service).role
        found = server_facts.other_clients(client, users)
    # Who has said nothing yet does not show who it is: all begin as default.
    return role, [server_facts.describe_client(one) for one in found if one.get("cmd") != "NULL"]


def nobody_of_the_platform(endpoint: Endpoint, users: Collection[str]) -> TrialResult:
    """The service is new and unknown to clients: any client connected as one of its users belongs to the platform."""
    _, found = strangers(endpoint, users)
    return fails(f"connected: {'; '.join(found[:3])}") if found else holds("no client is connected as one of its users")


def is_promoted(endpoint: Endpoint) -> TrialResult:
    role = server_facts.fetch_replication(endpoint).role
    saw = f"its role is {role} after the integration was deleted"
    return holds(saw) if role == "master" else fails(saw)


def quiet(endpoint: Endpoint, seconds: float) -> TrialResult:
    """Nothing but we may write to it, and we don't."""
    if quiet_for(endpoint, seconds) is None:
        return fails(f"something wrote to it within {seconds:g} s, although only Aiven knows of it")
    return holds(f"nothing was written in {seconds:g} s")


def carries(endpoint: Endpoint, history: str) -> TrialResult:
    """``history``: the replication ID that it followed before it was promoted."""
    side = server_facts.fetch_replication(endpoint)
    if history in (side.replid2, side.replid):
        return holds(f"it has the history of {history[:12]}…; its own begins at offset {side.second_offset}")
    shown = "no secondary replication ID" if side.replid2 == NO_HISTORY else f"{side.replid2[:12]}…"
    return fails(f"it followed {history[:12]}… and now shows {shown}")


def filter_refuses(endpoint: Endpoint, limit: float) -> TrialResult:
    """After a closed filter: are new connections refused, within this many seconds."""
    shut, still = replace(endpoint, closed=True), f"new connections were still accepted after {limit:g} s"
    return _in_time(lambda: admission(shut).state == "closed", limit, "new connections are refused", still)


def filter_cuts(kept: LastConnection, limit: float) -> TrialResult:
    """The same for a connection from before."""
    still = f"an existing connection was still open after {limit:g} s"
    return _in_time(lambda: kept.read().cut, limit, "an existing connection was closed, seen", still)


def opens_again(endpoint: Endpoint, limit: float) -> TrialResult:
    still = f"no connection was accepted within {limit:g} s"
    return _in_time(lambda: admission(endpoint).state == "open", limit, "connections were accepted again", still)


def _in_time(look: Callable[[], bool], limit: float, seen: str, otherwise: str) -> TrialResult:
    began = clock.monotonic()

    def elapsed() -> float | None:
        asked = clock.monotonic() - began
        return asked if look() else None

    after = poll(elapsed, lambda after: after is not None, within=limit, first=LOOK, longest=LOOK)
    return fails(otherwise) if after is None else holds(f"{seen} after {after:.1f} s")


def certificate(endpoint: Endpoint) -> TrialResult:
    """Who signed what it shows: one that the system trusts, or the project's CA."""
    if not endpoint.tls:
        return not_tested("the service is reached without TLS")
    if signer := _issuer(endpoint, None):
        return holds(f"signed by {signer}, which this machine trusts")
    if endpoint.ca_file and (signer := _issuer(endpoint, str(endpoint.ca_file))):
        return holds(f"signed by {signer}, the CA of --ca-file")
    return fails("neither this machine nor --ca-file trusts its issuer")


def _issuer(endpoint: Endpoint, trusted: str | None) -> str:
    """``trusted``: the file of those who are, None: the machine's. Empty: it is not trusted, or can't be asked."""
    try:
        wrapped: Any = dial(endpoint.place, clock.monotonic() + 5, ssl.create_default_context(cafile=trusted))
        with wrapped:
            issuer: Any = (wrapped.getpeercert() or {}).get("issuer", ())
    except OSError:
        return ""
    names = {key: value for part in issuer for key, value in part}
    return str(names.get("organizationName") or names.get("commonName") or "an unnamed issuer")
