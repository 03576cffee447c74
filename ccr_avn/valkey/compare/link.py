"""Monitors the replication link while the keys are compared."""

from typing import Any

from valkey import Valkey
from valkey.exceptions import ResponseError

from ccr_avn import clock
from ccr_avn.valkey.compare import CompareRequest
from ccr_avn.valkey.compare.sides import PATIENCE
from ccr_avn.valkey.connect import connect, explained
from ccr_avn.valkey.replication import ReplicationInfo, link_of
from ccr_avn.valkey.server_facts import read_replication

LOOK_EVERY = 0.5  # seconds between two checks


class LinkMonitor:
    """``trouble`` is the first reason why the link can't be vouched for; None as long as it can."""

    def __init__(self, request: CompareRequest) -> None:
        """Raises: Unreachable."""
        self._ends = (request.primary, request.replica)
        self._clients = [connect(end, name="ccr-avn:verify", timeout=PATIENCE * end.timeout) for end in self._ends]
        self._first: tuple[ReplicationInfo, ...] = ()
        self._followers: frozenset[str] = frozenset()
        self._looked = 0.0
        self.trouble: str | None = None

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def read(self, *, now: bool = False) -> str | None:
        """Look if it is time to. Raises: Unreachable: a side can't be asked any more."""
        if self.trouble or (not now and clock.monotonic() - self._looked < LOOK_EVERY):
            return self.trouble
        sides = []
        for end, client in zip(self._ends, self._clients, strict=True):
            with explained(end):
                sides.append(read_replication(client, end.service))
        (primary, replica), followers = sides, _followers(self._clients[0])
        if not self._first:
            self._first, self._followers = (primary, replica), followers
        self.trouble = self._judge(primary, replica, followers)
        self._looked = clock.monotonic()
        return self.trouble

    def _judge(self, primary: ReplicationInfo, replica: ReplicationInfo, followers: frozenset[str]) -> str | None:
        mine, theirs = (end.service for end in self._ends)
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


def _followers(client: Valkey) -> frozenset[str]:
    """The connections of all replicas, by the numbers that the primary never gives twice; none if it won't tell."""
    try:
        found: Any = client.client_list(_type="replica")
    except ResponseError:
        return frozenset()
    return frozenset(str(one["id"]) for one in found)
