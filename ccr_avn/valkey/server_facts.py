"""What a server says of itself: INFO, who is connected, its clock, databases, modules, functions."""

import hashlib
import math
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from valkey.exceptions import ResponseError, ValkeyError

from ccr_avn import clock
from ccr_avn.errors import TimedOut, Unreachable
from ccr_avn.valkey.connect import Endpoint, TimedConnection, connect, explained
from ccr_avn.valkey.replication import QUESTION, Link, ReplicationInfo, errors_in, modules_in, parse_replication

if TYPE_CHECKING:
    import valkey


Connected = dict[str, str]
"""A row of CLIENT LIST."""


def connected_clients(client: "valkey.Valkey") -> list[Connected]:
    """All that may write: with RESP3 a subscriber does as well."""
    asked: Any = client
    return [*asked.client_list(_type="normal"), *asked.client_list(_type="pubsub")]


def other_clients(client: "valkey.Valkey", users: Collection[str] | None) -> list[Connected]:
    """Who is connected as one of ``users`` (None: as anybody) besides ccr-avn."""
    return [
        one
        for one in connected_clients(client)
        if one.get("name", "").partition(":")[0] != "ccr-avn" and (users is None or one.get("user", "default") in users)
    ]


def describe_client(one: Connected) -> str:
    return f"{one.get('name') or 'unnamed'} at {one.get('addr')} (user {one.get('user', 'default')})"


def fetch_replication(endpoint: Endpoint, *, until: float = math.inf) -> ReplicationInfo:
    """What INFO says of one side, on a connection of its own.

    Over, one way or the other, within the endpoint's time limit, and at the monotonic time ``until``, however slowly it
    answers.

    Raises: Unreachable: it can't be asked, or not in time; or the answer lacks what is needed.
    """
    with explained(endpoint):
        connection: Any = TimedConnection(endpoint=endpoint, until=min(until, clock.monotonic() + endpoint.timeout))
        try:
            connection.connect()
            with explained(endpoint, connected=True):
                connection.send_command(*QUESTION)
                side = parse_replication(connection.read_response(), endpoint.service)
                if side.rejected:
                    with suppress(ValkeyError, OSError):  # too late, or refused: it only explains
                        connection.send_command("INFO", "errorstats")
                        side = replace(side, errors=errors_in(connection.read_response()))
                return side
        finally:
            connection.disconnect()


def fetch_link(primary: Endpoint, replica: Endpoint) -> Link:
    """Both sides, the replica first: what the primary writes in between counts as lag.

    Raises: Unreachable: one side can't be asked.
    """
    replica_side = fetch_replication(replica)
    return Link(primary=fetch_replication(primary), replica=replica_side)


def caught_up(primary: ReplicationInfo, replica: Endpoint, *, timeout: float) -> None:
    """Wait until the replica has applied all that ``primary`` had, or is a master.

    ``primary``: read after its fence took hold. Offsets are comparable only under the same replication ID.

    Raises:
        TimedOut: it has not, after ``timeout`` seconds; says by how much.
        Unreachable: it can't be asked, and waiting does not help, or the time is over.
    """

    def trouble() -> TimedOut | Unreachable | None:
        try:
            side = fetch_replication(replica)
        except Unreachable as unreachable:
            if not unreachable.passing:
                raise
            return unreachable
        same = side.replid == primary.replid
        if side.role == "master" or (same and side.offset >= primary.offset):
            return None
        lacks = f"it is {primary.offset - side.offset} bytes behind" if same else "it has a different replication ID"
        return TimedOut(
            f"{replica.service} has not caught up: {lacks}",
            detail=f"link {side.link_status}, applied offset {side.offset} of {primary.offset}",
            hint="try again at a quieter time, or wait longer",
        )

    if left := clock.poll(trouble, lambda found: found is None, within=timeout, first=0.005, longest=0.05):
        raise left


def read_replication(client: "valkey.Valkey", service: str) -> ReplicationInfo:
    """What INFO says. Raises: Unreachable: an answer that lacks what is needed: half a fact is none."""
    return parse_replication(client.execute_command(*QUESTION), service)


NOTICEABLE = 1.0  # seconds: clocks that differ by less make no difference that anybody would see
SAMPLES = 3  # the quickest answer bounds the error best


def server_time(client: "valkey.Valkey") -> int:
    """Milliseconds since 1970 by the server's own clock; 0 where the user may not ask."""
    try:
        seconds, micros = client.time()  # type: ignore[misc]
    except ResponseError:
        return 0
    return int(seconds) * 1000 + int(micros) // 1000


def clock_ahead(client: "valkey.Valkey") -> tuple[float, float]:
    """Seconds by which the server's clock is ahead of this machine's, and by how much that may be wrong either way."""
    found = []
    for _ in range(SAMPLES):
        wall, began = clock.now(), clock.monotonic()
        seconds, micros = client.time()  # type: ignore[misc]
        half = (clock.monotonic() - began) / 2
        found.append((float(seconds) + float(micros) / 1e6 - (wall + half), half))
    return min(found, key=itemgetter(1))


def clocks_apart(source: tuple[float, float], target: tuple[float, float]) -> float:
    """Seconds by which the target's clock is certainly ahead (negative: behind) of the source's, of answers of `clock_ahead`."""
    difference, error = target[0] - source[0], target[1] + source[1]
    return difference if abs(difference) > error else 0.0


def clock_skew(source: "valkey.Valkey", target: "valkey.Valkey", primary: Endpoint, replica: Endpoint) -> float:
    """Seconds by which the replica's clock is certainly ahead of the primary's; 0 where a user may not ask for TIME."""
    found = []
    for client, endpoint in ((source, primary), (target, replica)):
        with explained(endpoint, connected=True):
            try:
                found.append(clock_ahead(client))
            except ResponseError:
                return 0.0
    return clocks_apart(*found)


MOST = 2**31  # no server can be configured to have more databases
AT_ONCE = 32  # numbers tried in one round trip

OUT_OF_RANGE = ("out of range", "cluster mode")
"""How a server refuses a database that it does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """One side. ``libraries``: the code of each library of functions, as a digest; None: not permitted, or not known.

    ``modules``: the version of each.
    """

    side: ReplicationInfo
    modules: dict[str, int]
    libraries: dict[str, str] | None
    ahead: float  # seconds by which its clock is ahead of this machine's
    uncertain: float  # seconds by which that may be wrong, either way


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    primary: ServerFacts
    replica: ServerFacts

    @property
    def skew(self) -> float:
        """Seconds by which the replica's clock is certainly ahead (negative: behind) of the primary's."""
        return clocks_apart(*((one.ahead, one.uncertain) for one in (self.primary, self.replica)))


def read_pair_facts(primary: Endpoint, replica: Endpoint) -> PairFacts:
    """Raises: Unreachable: a side can't be asked."""
    return PairFacts(primary=read_server_facts(primary), replica=read_server_facts(replica))


def read_server_facts(endpoint: Endpoint) -> ServerFacts:
    """Raises: Unreachable: it can't be asked."""
    with connect(endpoint) as client, explained(endpoint, connected=True):
        ahead, uncertain = clock_ahead(client)
        libraries = _libraries(client)
        side = read_replication(client, endpoint.service)
        modules = modules_in(client.execute_command("INFO", "modules"))
    return ServerFacts(side=side, modules=modules, libraries=libraries, ahead=ahead, uncertain=uncertain)


def _libraries(client: "valkey.Valkey") -> dict[str, str] | None:
    """Servers before 7.0 have no functions; a user may lack the right to list them."""
    try:
        rows: Any = client.execute_command("FUNCTION", "LIST", "WITHCODE")
    except ResponseError:
        return None
    found = [dict(zip(row[::2], row[1::2], strict=False)) for row in rows]
    return {
        one[b"library_name"].decode(errors="replace"): hashlib.sha256(one[b"library_code"]).hexdigest() for one in found
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """``refused``: those in use that the replica does not select, with its own words.

    ``primary``, ``replica``: how many databases each has, 0 if it doesn't say.
    """

    used: tuple[int, ...]
    refused: tuple[tuple[int, str], ...]
    primary: int
    replica: int


def read_databases(primary: Endpoint, replica: Endpoint) -> Databases:
    """Raises: Unreachable."""
    with connect(primary) as client, explained(primary, connected=True):
        used = tuple(number for number, _ in read_replication(client, primary.service).keyspace)
        here = _count_databases(client)
    with connect(replica) as client, explained(replica, connected=True):
        others = [number for number in used if number]  # where a connection begins nothing need be selected
        refused = tuple((number, why) for number, why in zip(others, _selected(client, others), strict=True) if why)
        there = _count_databases(client)
    return Databases(used=used, refused=refused, primary=here, replica=there)


def _count_databases(client: "valkey.Valkey") -> int:
    """How many databases there are, by SELECT: CONFIG is not for the service's users. 0: it doesn't say."""
    least, most = 0, MOST  # the highest number known to be there, and the lowest known not to be
    numbers = [2**power - 1 for power in range(32)]
    while numbers:
        for number, why in zip(numbers, _selected(client, numbers), strict=True):
            if not why:
                least = max(least, number)
            elif any(words in why for words in OUT_OF_RANGE):
                most = min(most, number)
            else:
                return 0
        numbers = list(range(least + 1, most, max(1, (most - least) // AT_ONCE)))
    return most


def _selected(client: "valkey.Valkey", numbers: list[int]) -> list[str]:
    """For each number the server's refusal to select it; "" where it did."""
    batch = client.pipeline(transaction=False)
    for number in numbers:
        batch.execute_command("SELECT", number)
    answers: list[Any] = batch.execute(raise_on_error=False)
    return [str(answer) if isinstance(answer, Exception) else "" for answer in answers]
