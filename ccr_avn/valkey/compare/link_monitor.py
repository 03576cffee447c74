"""Monitors the replication link while the keys are compared."""

import time
from typing import TYPE_CHECKING, Any, Self

from ccr_avn.valkey.compare.protocol import patience
from ccr_avn.valkey.replication import link_of

if TYPE_CHECKING:
    import valkey

    from ccr_avn.valkey.compare.model import CompareRequest
    from ccr_avn.valkey.connect import Endpoint
    from ccr_avn.valkey.replication import ReplicationInfo


LOOK_EVERY = 0.5
"""Seconds between two checks."""


class LinkMonitor:
    """``trouble`` is the first reason why the link can't be vouched for; None as long as it can."""

    def __init__(self, request: "CompareRequest") -> None:
        """Raises: Unreachable."""
        from ccr_avn.valkey.connect import connect

        self._endpoints = (request.primary, request.replica)
        self._names = (request.primary.service, request.replica.service)
        self._clients = tuple(
            connect(endpoint, name="ccr-avn:verify", timeout=patience(endpoint)) for endpoint in self._endpoints
        )
        self._first: tuple[ReplicationInfo, ReplicationInfo] | None = None
        self._followers: frozenset[str] = frozenset()
        self._looked = 0.0
        self.trouble: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def read(self, *, now: bool = False) -> str | None:
        """Look if it is time to.

        Raises:
            Unreachable: a side can't be asked any more.
        """
        if self.trouble or (not now and time.monotonic() - self._looked < LOOK_EVERY):
            return self.trouble
        primary, replica = (_side(*each) for each in zip(self._clients, self._endpoints, strict=True))
        followers = _followers(self._clients[0])
        if self._first is None:
            self._first, self._followers = (primary, replica), followers
        self.trouble = self._judge(primary, replica, followers)
        self._looked = time.monotonic()
        return self.trouble

    def _judge(self, primary: "ReplicationInfo", replica: "ReplicationInfo", followers: frozenset[str]) -> str | None:
        mine, theirs = self._names
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


def _side(client: "valkey.Valkey", endpoint: "Endpoint") -> "ReplicationInfo":
    from ccr_avn.valkey.connect import explained
    from ccr_avn.valkey.replication import read_replication

    with explained(endpoint):
        return read_replication(client, endpoint.service)


def _followers(client: "valkey.Valkey") -> frozenset[str]:
    """The connections of all replicas, by the numbers that the primary never gives twice; none if it won't tell."""
    from valkey.exceptions import ResponseError

    try:
        found: Any = client.client_list(_type="replica")
    except ResponseError:
        return frozenset()
    return frozenset(str(one["id"]) for one in found)
