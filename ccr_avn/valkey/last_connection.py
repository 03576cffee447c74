"""A connection from before a service is closed, kept to see who else is still connected, and whether it is cut itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from valkey.exceptions import ConnectionError as Cut
from valkey.exceptions import TimeoutError as NoAnswer

from ccr_avn.background import Repeated, new_lock
from ccr_avn.valkey.catch_up import LOOK
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.server_facts import describe_client, other_clients, read_replication

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingClients:
    """Who is still connected to a service that is being closed, as a connection from before sees it.

    ``cut``: that connection was ended, so it can no longer be used; ``side``: what INFO said last.
    """

    cut: bool
    clients: tuple[str, ...] = ()
    side: ReplicationInfo | None = None


class LastConnection:
    """It is kept in use, so that no idle time-out ends it. ``last``: what INFO said last."""

    def __init__(self, endpoint: Endpoint, *, timeout: float = 2.0) -> None:
        """Raises: Refused: no thread can be started. Unreachable: it can't be asked."""
        self.last: ReplicationInfo | None = None
        self._endpoint, self._lock, self._cut = endpoint, new_lock(), False
        self._pause = endpoint.keep_alive  # until it is about to be closed
        self._client = connect(endpoint, name="ccr-avn:kept", timeout=timeout)
        try:
            with explained(endpoint, connected=True):
                self._number: Any = self._client.client_id()
            self._repeated = Repeated(self._keep, lambda: self._pause, "last-connection")
        except BaseException:
            self._client.close()
            raise

    def read(self, users: frozenset[str] | None = None) -> RemainingClients:
        """Who of ``users`` (None: of all) is connected besides ourselves, and what INFO says.

        A frozen server that gives no answer has not cut anybody.

        Raises: Unreachable: it does not answer, or refuses CLIENT LIST.
        """
        with self._lock, explained(self._endpoint, connected=True):
            found = self._unless_cut(lambda: (other_clients(self._client, users), self._info()))
            if found is None:
                return RemainingClients(cut=True, side=self.last)
            others, self.last = found
            return RemainingClients(cut=False, clients=tuple(map(describe_client, others)), side=self.last)

    def cut_others(self, users: frozenset[str] | None = None) -> None:
        """Close every other client's connection, except ccr-avn's own.

        Raises: Unreachable: it does not answer, or refuses CLIENT KILL.
        """
        with self._lock, explained(self._endpoint, connected=True):
            asked: Any = self._client.pipeline(transaction=False)
            for one in other_clients(self._client, users):
                asked.execute_command("CLIENT", "KILL", "ID", one["id"])
            for answer in asked.execute(raise_on_error=False):
                if isinstance(answer, Exception) and "No such client" not in str(answer):
                    raise answer

    def look_closely(self) -> None:
        """It is about to be closed: what is seen last, before it is cut, shows whether anything was written until then."""
        self._pause = LOOK
        self._repeated.wake()

    def close(self) -> None:
        self._repeated.stop()
        self._client.close()

    def _keep(self) -> None:
        with self._lock:
            self.last = self._unless_cut(self._info) or self.last

    def _info(self) -> ReplicationInfo:
        return read_replication(self._client, self._endpoint.service)

    def _unless_cut(self, ask: Callable[[], T]) -> T | None:
        """What it answers; None: it was cut, now or before. valkey-py reconnects automatically, under a different number."""
        if self._cut:
            return None
        try:
            number = self._client.client_id()
            self._number = self._number or number
            self._cut = bool(number != self._number)
            return None if self._cut else ask()
        except (NoAnswer, TimeoutError):
            self._number = None  # the client has hung up by itself: a new number is then no sign of a cut
            raise
        except (Cut, OSError):
            if self._number is None:
                raise
            self._cut = True
            return None
