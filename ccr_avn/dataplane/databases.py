"""Which databases a primary uses, and whether its replica has them: what it lacks lands in another one there."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.connect import Endpoint, connect, explained
from ccr_avn.dataplane.link import unparsed
from ccr_avn.errors import Unreachable

if TYPE_CHECKING:
    import valkey

MOST = 2**31
"""No server can be told to have more databases."""

AT_ONCE = 32
"""Numbers tried in one round trip."""


OUT_OF_RANGE = ("out of range", "cluster mode")
"""How a server refuses a database that it does not have."""


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
        used, here = _used(client, primary.service), count_databases(client)
    with connect(replica) as client, explained(replica, connected=True):
        others = [number for number in used if number]  # where a connection begins nothing need be selected
        refused = tuple((number, why) for number, why in zip(others, _selected(client, others), strict=True) if why)
        there = count_databases(client)
    return Databases(used=used, refused=refused, primary=here, replica=there)


def count_databases(client: "valkey.Valkey") -> int:
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


def _used(client: "valkey.Valkey", service: str) -> tuple[int, ...]:
    answer: Any = unparsed(client).execute_command("INFO", "keyspace")  # type: ignore[no-untyped-call]  # it has none
    if not isinstance(answer, bytes):
        raise Unreachable(f"{service}: INFO keyspace is not complete", detail=repr(answer), passing=False)
    return tuple(sorted(int(number) for number in re.findall(rb"^db(\d+):", answer, re.MULTILINE)))


def _selected(client: "valkey.Valkey", numbers: list[int]) -> list[str]:
    """For each number the server's refusal to select it; "" where it did."""
    batch = client.pipeline(transaction=False)
    for number in numbers:
        batch.execute_command("SELECT", number)  # type: ignore[no-untyped-call]  # valkey-py has no annotation there
    answers: list[Any] = batch.execute(raise_on_error=False)  # type: ignore[no-untyped-call]  # as above
    return [str(answer) if isinstance(answer, Exception) else "" for answer in answers]
