"""Did a primary write anything between two looks; and waiting until it does not, or until a replica has it all.

Measured on Valkey 9.1 and Redis 7.0: a primary without writers still moves its offset, by 14 bytes for each ping to its
replicas, by 37 for each REPLCONF GETACK that a WAIT causes (none while CLIENT PAUSE holds), and by a DEL for each key
that expires (none while it holds). Of these, none counts in ``rdb_changes_since_last_save``; every write does.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ccr_avn.dataplane.connect import Endpoint, connect, explained
from ccr_avn.dataplane.link import Side, read_side
from ccr_avn.errors import TimedOut, Unreachable

if TYPE_CHECKING:
    import valkey

PING_BYTES = 14
"""``*1 $4 PING`` in the replication stream, sent every second at the most (default: every ten). No write is as short."""

LOOK = 0.1
"""Seconds between two looks at an offset that must stand still."""


def moved_only_by_pings(before: int, after: int, seconds: float) -> bool:
    """Whether an offset moved by no more than the pings of that time. Exact for one ping; see ``wrote_nothing``."""
    pings, rest = divmod(after - before, PING_BYTES)
    return rest == 0 and 0 <= pings <= int(seconds) + 1


def wrote_nothing(before: Side, after: Side, seconds: float) -> bool:
    """Whether the primary executed no write in between: exact, by its own count of changes.

    Where a save set the count back, only the offset is left to judge by.
    """
    if after.run_id != before.run_id or after.replid != before.replid or after.role != before.role:
        return False
    if after.last_save == before.last_save:
        return after.changes == before.changes and after.offset >= before.offset
    return moved_only_by_pings(before.offset, after.offset, seconds)


def stands_still(
    endpoint: Endpoint,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Side | None:
    """Watch the primary for that long; the side as last seen, or None as soon as something was written.

    Raises:
        Unreachable: it can't be asked.
    """
    with connect(endpoint, name="ccr-avn:observe") as client, explained(endpoint, connected=True):
        began = clock()
        first = last = read_side(client, endpoint.service)
        while (elapsed := clock() - began) < seconds:
            sleep(min(LOOK, seconds - elapsed))
            last = read_side(client, endpoint.service)
            if not wrote_nothing(first, last, clock() - began):
                return None
    return last


def caught_up(
    offset: int,
    replica: Endpoint,
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Side:
    """Wait on one connection until the replica has applied ``offset``: the primary's, read after its fence took hold.

    Raises:
        TimedOut: it has not, after ``timeout`` seconds; says by how much.
        Unreachable: it can't be asked, and that will not mend itself in time.
    """
    until = clock() + timeout
    while True:
        try:
            with connect(replica, name="ccr-avn:caught-up") as client, explained(replica, connected=True):
                return _reaches(client, offset, replica.service, until, clock, sleep)
        except Unreachable as trouble:
            if not trouble.passing or clock() >= until:
                raise
            sleep(LOOK)


def _reaches(
    client: "valkey.Valkey",
    offset: int,
    service: str,
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Side:
    pause = 0.0005
    while (side := read_side(client, service)).offset < offset:
        if clock() >= until:
            raise TimedOut(
                f"{service} has not caught up: it is {offset - side.offset} bytes behind",
                detail=f"link {side.link_status}, applied offset {side.offset} of {offset}",
                hint="try again at a quieter time, or wait longer",
            )
        sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return side
