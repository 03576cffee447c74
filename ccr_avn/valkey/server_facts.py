"""What a server has besides its keys: databases, modules, functions, its clock. Read to compare both of a pair."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from valkey.exceptions import ResponseError

from ccr_avn.valkey import clocks
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.info import read_replication
from ccr_avn.valkey.replication import ReplicationInfo, modules_in

if TYPE_CHECKING:
    import valkey

MOST = 2**31  # no server can be told to have more databases
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
        before, after = ((one.ahead, one.uncertain) for one in (self.primary, self.replica))
        return clocks.apart(before, after)


def read_pair_facts(primary: Endpoint, replica: Endpoint) -> PairFacts:
    """Raises: Unreachable: a side can't be asked."""
    return PairFacts(primary=read_server_facts(primary), replica=read_server_facts(replica))


def read_server_facts(endpoint: Endpoint) -> ServerFacts:
    """Raises: Unreachable: it can't be asked."""
    with connect(endpoint) as client, explained(endpoint, connected=True):
        ahead, uncertain = clocks.ahead(client)
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

    ``primary``, ``replica``: how many databases each has, 0 where it won't tell.
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
    """How many databases there are, by SELECT: CONFIG is not for the service's users. 0: it won't tell."""
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
