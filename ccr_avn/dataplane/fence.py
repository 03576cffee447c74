"""The fence: writes on the old primary are held back, with a time limit so that a crash un-fences by itself."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.connect import Endpoint, connect, explained
from ccr_avn.dataplane.link import Side, read_side
from ccr_avn.errors import Refused

if TYPE_CHECKING:
    import valkey

NAME = "ccr-avn:fence:"
"""Every fence's connection is called this and its run, so that runs see each other in CLIENT LIST."""

PING_BYTES = 14
"""``*1 $4 PING`` in the replication stream, sent every second at the most; it is not a write."""

ACK_BYTES = 37
"""``*3 $8 REPLCONF $6 GETACK $1 *``: what WAIT makes a primary ask its replicas."""


class FenceRefused(Refused):
    """The service does not let its users pause clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """A client that the fence holds back."""

    name: str
    address: str
    command: str

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} at {self.address} ({self.command})"


class Fence:
    """One connection that pauses writes, renews the pause, and ends it. ``ttl`` is in seconds."""

    def __init__(
        self, endpoint: Endpoint, run: str, ttl: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.endpoint = endpoint
        self.ttl = ttl
        self.placed_at = 0.0  # on the clock: when writes were first held back
        self.run_id = ""  # of the server process that holds the fence
        self._name = f"{NAME}{run}"
        self._clock = clock
        self._acknowledged = 0.0  # when the last renewal was sent that was acknowledged
        self._client: valkey.Valkey | None = None
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None

    def place(self) -> None:
        """Hold writes back, and go on renewing that in the background.

        Raises:
            FenceRefused: the service refuses CLIENT PAUSE.
            Unreachable: it can't be asked.
        """
        with self._lock:
            self._client = connect(self.endpoint, name=self._name)
            self.placed_at = self._clock()
            self._pause()
            self.run_id = self.side().run_id
        self._renewer = threading.Thread(target=self._renew, name="fence", daemon=True)
        self._renewer.start()

    def side(self) -> Side:
        """What INFO says on the fence's own connection.

        Raises:
            Unreachable: the connection is gone.
        """
        with self._lock, explained(self.endpoint):
            return read_side(self._connected(), self.endpoint.service)

    def lengthen(self, ttl: float) -> None:
        """From here on it holds this many seconds after each renewal; a pause can only be made longer.

        Raises:
            Unreachable: the connection is gone.
        """
        with self._lock:
            self.ttl = max(ttl, self.ttl)
            self._pause()

    def holds(self) -> bool:
        """Whether the last acknowledged renewal has not run out yet."""
        return self._clock() - self._acknowledged < self.ttl

    def others(self) -> tuple[str, ...]:
        """The fences of other runs on the same service."""
        with self._lock, explained(self.endpoint):
            clients: Any = self._connected().client_list()
        names = (str(client.get("name", "")) for client in clients)
        return tuple(sorted(name for name in names if name.startswith(NAME) and name != self._name))

    def release(self) -> None:
        """Before a promotion: let the writes that were held back go on. Another run's fence stays up."""
        self.stop_renewing()
        with self._lock, suppress(Exception):  # it runs out by itself; nothing more can be done about it here
            if not self.others():
                self._connected().client_unpause()
        self.close()

    def release_disconnecting(self) -> bool:
        """After a promotion: cut every client first, so that nothing held back is acknowledged late.

        False when another run's fence is there, which then goes on.

        Raises:
            Unreachable: the connection is gone.
        """
        self.stop_renewing()
        try:
            with self._lock, explained(self.endpoint):
                if self.others():
                    return False
                cut_and_unpause(self._connected())
        finally:
            self.close()
        return True

    def writers(self) -> tuple[Writer, ...]:
        """Who tries to write and is held back.

        Raises:
            Unreachable: the connection is gone.
        """
        with self._lock, explained(self.endpoint):
            clients: Any = self._connected().client_list()
        return tuple(
            Writer(name=str(one.get("name", "")), address=str(one["addr"]), command=str(one.get("cmd", "?")))
            for one in clients
            if "b" in str(one.get("flags", ""))
        )

    def stop_renewing(self) -> None:
        self._ended.set()
        if self._renewer and self._renewer is not threading.current_thread():
            self._renewer.join(self.endpoint.timeout + 1)

    def close(self) -> None:
        self.stop_renewing()
        if self._client:
            with suppress(Exception):
                self._client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def _pause(self) -> None:
        from valkey.exceptions import ResponseError

        sent = self._clock()
        with explained(self.endpoint):
            try:
                self._connected().client_pause(timeout=int(self.ttl * 1000), all=False)
            except ResponseError as refusal:
                raise FenceRefused(
                    f"{self.endpoint.service} refuses CLIENT PAUSE",
                    detail=str(refusal),
                    hint="stop the writers yourself and use --fence observe",
                ) from None
        self._acknowledged = sent

    def _renew(self) -> None:
        while not self._ended.wait(min(self.ttl / 3, 10.0)):
            # A renewal that fails shows in holds(): the gates ask that, not this thread.
            with suppress(Exception), self._lock:
                if not self._ended.is_set():
                    self._pause()

    def _connected(self) -> "valkey.Valkey":
        if self._client is None:
            raise RuntimeError("the fence was never placed")
        return self._client


def cut_and_unpause(client: "valkey.Valkey") -> None:
    """In one transaction: cut all clients, subscribers too (with RESP3 they write as well), then end the pause."""
    both: Any = client.pipeline(transaction=True)
    with both:
        both.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        both.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        both.execute_command("CLIENT", "UNPAUSE")
        both.execute()


def moved_only_by_pings(before: int, after: int, seconds: float) -> bool:
    """Whether an offset moved by nothing but what a primary without writes sends in that time.

    A ping is sent once a second at the most, and asking for acknowledgements (WAIT) a few times.
    """
    moved = after - before
    pings = int(seconds) + 2
    return any(
        rest >= 0 and rest % PING_BYTES == 0 and rest // PING_BYTES <= pings
        for rest in (moved - asked * ACK_BYTES for asked in range(4))
    )


def stands_still(
    endpoint: Endpoint,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Side | None:
    """Watch the offset for that long; the side as last seen, or None when something was written meanwhile.

    Raises:
        Unreachable: it can't be asked.
    """
    with connect(endpoint, name="ccr-avn:observe") as client, explained(endpoint):
        first = last = read_side(client, endpoint.service)
        began = clock()
        while (elapsed := clock() - began) < seconds:
            sleep(min(0.2, seconds - elapsed))
            last = read_side(client, endpoint.service)
            if last.run_id != first.run_id or not moved_only_by_pings(first.offset, last.offset, clock() - began):
                return None
    return last


def lift(endpoint: Endpoint, *, disconnect: bool) -> None:
    """End a pause by hand; with ``disconnect`` every client is cut first.

    Raises:
        Refused: a run holds its own fence there.
        Unreachable: it can't be asked.
    """
    with connect(endpoint, name="ccr-avn:unfence") as client, explained(endpoint):
        clients: Any = client.client_list()
        if names := sorted(str(one["name"]) for one in clients if str(one.get("name", "")).startswith(NAME)):
            raise Refused(
                f"a run holds a fence on {endpoint.service}",
                detail=", ".join(names),
                hint="let it finish or end it with Ctrl-C: it lifts its own fence",
            )
        if disconnect:
            cut_and_unpause(client)
        else:
            client.client_unpause()
