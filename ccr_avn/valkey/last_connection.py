"""Checks whether a service accepts writes, and whether it is closed to clients."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from valkey.exceptions import ConnectionError as Cut
from valkey.exceptions import TimeoutError as NoAnswer

from ccr_avn.background import in_background
from ccr_avn.valkey.catch_up import LOOK
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.info import read_replication
from ccr_avn.valkey.replication import ReplicationInfo

NOT_YET = ("READONLY", "MASTERDOWN", "LOADING")
"""How a server that is being promoted refuses a write; any other refusal does not end with the promotion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingClients:
    """Who is still connected to a service that is being closed, as a connection from before sees it.

    ``cut``: that connection was ended, so nobody can look any more; ``side``: what INFO said last.
    """

    cut: bool
    clients: tuple[str, ...] = ()
    side: ReplicationInfo | None = None


INFO_EVERY = 2.0
"""Seconds between two readings of INFO: where hundreds of services wait to be closed, that is most of the work."""


class LastConnection:
    """A connection from before, kept in use so that no idle time-out ends it, to see who else is left."""

    def __init__(self, endpoint: Endpoint, *, timeout: float = 2.0) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._client = connect(endpoint, name="ccr-avn:kept", timeout=timeout)
        try:
            with explained(endpoint, connected=True):
                self._number: Any = self._client.client_id()
        except BaseException:
            self._client.close()
            raise
        self._ended, self._woken = threading.Event(), threading.Event()
        self._pause = endpoint.keep_alive  # until it is about to be closed
        self._cut = False
        self._side: ReplicationInfo | None = None
        in_background(self._keep, "kept")

    @property
    def last(self) -> ReplicationInfo | None:
        """What INFO said last."""
        return self._side

    def read(self, users: frozenset[str] | None = None) -> RemainingClients:
        """Who of ``users`` (None: of all) is connected besides ourselves, and what INFO says.

        A frozen server that gives no answer has not cut anybody.

        Raises:
            Unreachable: it does not answer, or refuses CLIENT LIST.
        """
        with self._lock, explained(self._endpoint, connected=True):
            try:
                if self._is_cut():
                    return RemainingClients(cut=True, side=self._side)
                others = self._others(users)
                self._side = read_replication(self._client, self._endpoint.service)
                return RemainingClients(cut=False, clients=tuple(_called(one) for one in others), side=self._side)
            except NoAnswer:
                self._number = None  # the client has hung up by itself: a new number is then no sign of a cut
                raise
            except (Cut, OSError):
                if self._number is None:
                    raise
                self._cut = True
                return RemainingClients(cut=True, side=self._side)

    def cut_others(self, users: frozenset[str] | None = None) -> None:
        """Close every other client's connection, except ccr-avn's own.

        Raises:
            Unreachable: it does not answer, or refuses CLIENT KILL.
        """
        with self._lock, explained(self._endpoint, connected=True):
            asked: Any = self._client.pipeline(transaction=False)
            for one in self._others(users):
                asked.execute_command("CLIENT", "KILL", "ID", one["id"])
            for answer in asked.execute(raise_on_error=False):
                if isinstance(answer, Exception) and "No such client" not in str(answer):
                    raise answer

    def look_closely(self) -> None:
        """It is about to be closed: what is seen last, before it is cut, tells whether anything was written until then."""
        self._pause = LOOK
        self._woken.set()

    def close(self) -> None:
        self._ended.set()
        self._woken.set()
        self._client.close()

    def _is_cut(self) -> bool:
        """Once cut, always cut: valkey-py makes a new connection for the next command, with a new number."""
        if self._cut:
            return True
        number = self._client.client_id()
        self._number = self._number or number
        self._cut = bool(number != self._number)
        return self._cut

    def _others(self, users: frozenset[str] | None) -> list[dict[str, Any]]:
        normal: Any = self._client.client_list(_type="normal")
        subscribers: Any = self._client.client_list(_type="pubsub")
        clients: list[dict[str, Any]] = [*normal, *subscribers]
        return [
            one
            for one in clients
            if not str(one.get("name", "")).startswith("ccr-avn:")
            and (users is None or str(one.get("user", "default")) in users)
        ]

    def _keep(self) -> None:
        looks, few = -1, max(1, round(INFO_EVERY / self._endpoint.keep_alive))
        while True:
            self._woken.wait(self._pause)
            if self._ended.is_set():
                return
            self._woken.clear()
            looks += 1
            with suppress(Exception), self._lock:
                try:
                    if not self._is_cut() and (self._pause == LOOK or looks % few == 0):
                        self._side = read_replication(self._client, self._endpoint.service)
                except NoAnswer:
                    self._number = None


def _called(client: dict[str, Any]) -> str:
    return f"{client.get('name') or 'unnamed'} at {client.get('addr')} (user {client.get('user', 'default')})"
