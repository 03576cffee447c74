"""Tells whether a primary wrote anything between two checks; waits until it is quiet, or a replica has caught up.

Measured on Valkey 9.1 and Redis 7.0: a primary without writers still moves its offset, by 14 bytes for each ping to its
replicas, by 37 for each REPLCONF GETACK that a WAIT causes (none while CLIENT PAUSE holds), and by a DEL for each key
that expires (none while it holds). Of these, none counts in ``rdb_changes_since_last_save``; every write does.
"""

from typing import NamedTuple, Self

from ccr_avn.clock import poll, since_boot
from ccr_avn.errors import Refused, TimedOut, Unreachable
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.server_facts import fetch_replication, read_replication

STILL = 3.0  # seconds for which the primary's offset must stand still where writers are stopped by the operator
LOOK = 0.1  # seconds between two reads of an offset that must not change


class Snapshot(NamedTuple):
    """What shows later whether a primary wrote anything since. ``token``: in one word, for a shell variable."""

    run_id: str
    replid: str
    offset: int
    changes: int
    last_save: int

    @classmethod
    def of(cls, side: ReplicationInfo) -> Self:
        return cls(side.run_id, side.replid, side.offset, side.changes, side.last_save)

    @classmethod
    def parse(cls, token: str) -> Self:
        """Raises: ValueError: it is no token of ``ccr-avn fence``."""
        run_id, replid, offset, changes, last_save = token.split(".")
        return cls(run_id, replid, int(offset), int(changes), int(last_save))

    @property
    def token(self) -> str:
        return ".".join(map(str, self))

    def no_writes_until(self, now: ReplicationInfo) -> bool:
        """Whether it is shown that the primary, on the same process, executed no write since: by its own count.

        Where a save set the count back, only an offset that stood still shows it: how far it moved shows nothing.
        """
        if (now.run_id, now.replid, now.role) != (self.run_id, self.replid, "master"):
            return False
        if now.last_save == self.last_save:
            return now.changes == self.changes and now.offset >= self.offset
        return now.offset == self.offset


def no_writes_between(before: ReplicationInfo, after: ReplicationInfo) -> bool:
    """Whether it is shown that the primary executed no write in between."""
    return Snapshot.of(before).no_writes_until(after)


def quiet_for(endpoint: Endpoint, seconds: float) -> ReplicationInfo | None:
    """Watch the primary for that long; the side as last seen, or None as soon as something may have been written.

    Raises: Unreachable: it can't be asked.
    """
    with connect(endpoint, name="ccr-avn:observe") as client, explained(endpoint, connected=True):
        last = read_replication(client, endpoint.service)

        def look() -> ReplicationInfo | None:
            nonlocal last
            before, last = last, read_replication(client, endpoint.service)
            return last if no_writes_between(before, last) else None

        return poll(look, lambda side: side is None, within=seconds, first=LOOK, longest=LOOK, clock=since_boot)


def wait_until_quiet(endpoint: Endpoint, *, within: float) -> ReplicationInfo:
    """The operator stops the writers; we only believe it when the offset stands still. ``within``: seconds.

    Raises:
        Refused: something still writes.
        Unreachable: it can't be asked.
    """
    side = poll(  # each look takes its time, so there is no pause between them
        lambda: quiet_for(endpoint, STILL), bool, within=within, first=0.0, longest=0.0, clock=since_boot
    )
    if side is None:
        raise Refused(
            f"{endpoint.service} is still being written to",
            detail=f"its replication offset kept changing: it was never stable for {STILL:g} s within {within:g} s",
            hint="stop the writers, then run the same command again",
        )
    return side


def caught_up(primary: ReplicationInfo, replica: Endpoint, *, timeout: float) -> ReplicationInfo:
    """Wait until the replica has applied all that ``primary`` had; a master is given back at once.

    ``primary``: read after its fence took hold. Offsets are comparable only under the same replication ID.

    Raises:
        TimedOut: it has not, after ``timeout`` seconds; says by how much.
        Unreachable: it can't be asked, and waiting does not help, or the time is over.
    """

    def look() -> ReplicationInfo | Unreachable:
        try:
            return fetch_replication(replica)
        except Unreachable as trouble:
            if not trouble.passing:
                raise
            return trouble

    def is_enough(side: ReplicationInfo | Unreachable) -> bool:
        if isinstance(side, Unreachable):
            return False
        return side.role == "master" or (side.replid == primary.replid and side.offset >= primary.offset)

    found = poll(look, is_enough, within=timeout, first=0.005, longest=0.05)
    if isinstance(found, Unreachable):
        raise found
    if is_enough(found):
        return found
    behind = f"it is {primary.offset - found.offset} bytes behind"
    raise TimedOut(
        f"{replica.service} has not caught up: "
        + (behind if found.replid == primary.replid else "it has a different replication ID"),
        detail=f"link {found.link_status}, applied offset {found.offset} of {primary.offset}",
        hint="try again at a quieter time, or wait longer",
    )
