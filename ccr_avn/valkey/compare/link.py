"""Monitors the replication link while the keys are compared."""

from typing import Any

from valkey import Valkey
from valkey.exceptions import ResponseError

from ccr_avn import clock
from ccr_avn.valkey.compare import CompareRequest
from ccr_avn.valkey.compare.sides import PATIENCE
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.info import read_replication
from ccr_avn.valkey.replication import ReplicationInfo, link_of

LOOK_EVERY = 0.5  # seconds between two checks


class LinkMonitor:
    """``trouble`` is the first reason why the link can't be vouched for; None as long as it can."""

    def __init__(self, request: CompareRequest) -> None:
        """Raises: Unreachable."""
        self._sides = [
            (end, connect(end, name="ccr-avn:verify", timeout=PATIENCE * end.timeout))
            for end in (request.primary, request.replica)
        ]
        self._first: tuple[ReplicationInfo, ReplicationInfo] | None = None
        self._followers: frozenset[str] = frozenset()
        self._looked = 0.0
        self.trouble: str | None = None

    def close(self) -> None:
        for _, client in self._sides:
            client.close()

    def read(self, *, now: bool = False) -> str | None:
        """Look if it is time to.

        Raises:
            Unreachable: a side can't be asked any more.
        """
        if self.trouble or (not now and clock.monotonic() - self._looked < LOOK_EVERY):
            return self.trouble
        primary, replica = (_replication(*side) for side in self._sides)
        followers = _followers(self._sides[0][1])
        if self._first is None:
            self._first, self._followers = (primary, replica), followers
        self.trouble = self._judge(primary, replica, followers)
        self._looked = clock.monotonic()
        return self.trouble

    def _judge(self, primary: ReplicationInfo, replica: ReplicationInfo, followers: frozenset[str]) -> str | None:
        mine, theirs = (end.service for end, _ in self._sides)
        before = self._first or (primary, replica)
        link = link_of(primary, replica)
        if link == "no primary":
            return f"{theirs} follows no primary (its role is {replica.role})"
        if link in ("down", "syncing") or replica.loading:
            return f"the link from {mine} to {theirs} was down or in its first sync"
        if link != "up":
            return f"{theirs} follows another primary than {mine}"
        if (primary.run_id, primary.replid, replica.run_id) != (before[0].run_id, before[0].replid, before[1].run_id):
            return "one of the servers was restarted in the meantime"
        if len(self._followers) == 1 and not self._followers <= followers:
            return f"the link from {mine} to {theirs} dropped in the meantime"  # and came back between two looks
        return None


def _replication(end: Endpoint, client: Valkey) -> ReplicationInfo:
    with explained(end):
        return read_replication(client, end.service)


def _followers(client: Valkey) -> frozenset[str]:
    """The connections of all replicas, by the numbers that the primary never gives twice; none if it won't tell."""
    try:
        found: Any = client.client_list(_type="replica")
    except ResponseError:
        return frozenset()
    return frozenset(str(one["id"]) for one in found)
