"""Shows whether a primary is still written to: its count between two checks, and who stays connected as it is closed.

Measured on Valkey 9.1 and Redis 7.0: a primary without writers still moves its offset, by 14 bytes for each ping to its
replicas, by 37 for each REPLCONF GETACK that a WAIT causes (none while CLIENT PAUSE holds), and by a DEL for each key
that expires (none while it holds). Of these, none counts in ``rdb_changes_since_last_save``; every write does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from valkey.exceptions import ConnectionError as Cut
from valkey.exceptions import TimeoutError as NoAnswer

from ccr_avn.background import Repeated, T, new_lock
from ccr_avn.clock import poll, since_boot
from ccr_avn.errors import Refused
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.server_facts import describe_client, other_clients, read_replication

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


def quiet_for(endpoint: Endpoint, seconds: float) -> ReplicationInfo | None:
    """Watch the primary for that long; the side as last seen, or None as soon as something may have been written.

    Raises: Unreachable: it can't be asked.
    """
    with connect(endpoint, name="ccr-avn:observe") as client, explained(endpoint, connected=True):
        last = read_replication(client, endpoint.service)

        def look() -> ReplicationInfo | None:
            nonlocal last
            before, last = last, read_replication(client, endpoint.service)
            return last if Snapshot.of(before).no_writes_until(last) else None

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingClients:
    """Who is still connected to a service that is being closed, as a connection from before sees it.

    ``cut``: that connection was ended, so it can no longer be used.
    """

    cut: bool
    clients: tuple[str, ...] = ()


class LastConnection:
    """A connection from before a service is closed, kept in use, so that no idle time-out ends it: it is cut, or it is not.

    ``last``: what INFO said last.
    """

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
        """Who of ``users`` (None: of all) is connected besides ourselves.

        A frozen server that gives no answer has not cut anybody.

        Raises: Unreachable: it does not answer, or refuses CLIENT LIST.
        """
        with self._lock, explained(self._endpoint, connected=True):
            found = self._unless_cut(lambda: (other_clients(self._client, users), self._info()))
            if found is None:
                return RemainingClients(cut=True)
            others, self.last = found
            return RemainingClients(cut=False, clients=tuple(map(describe_client, others)))

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
