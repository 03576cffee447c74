"""The fence: pauses clients' writes on the old primary. Placed, renewed, detected, lifted; lists who waits behind it."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from valkey.exceptions import ResponseError

from ccr_avn.errors import CcrError, Refused
from ccr_avn.poll import poll
from ccr_avn.valkey.connect import Endpoint, awake, connect, explained
from ccr_avn.valkey.replication import QUESTION, ReplicationInfo, parse_replication, read_replication

if TYPE_CHECKING:
    import valkey


HARMLESS = frozenset({"xread", "wait", "waitaof"})
"""Commands that block by themselves and never write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """A client that the fence holds back."""

    name: str
    address: str
    command: str

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} at {self.address} ({self.command})"


def blocked_writers(client: "valkey.Valkey") -> tuple[Writer, ...]:
    """The clients that wait with something that may write: also consumers that wait for work, as in BLPOP."""
    clients: Any = client.client_list()
    return tuple(
        Writer(name=str(one.get("name", "")), address=str(one["addr"]), command=str(one.get("cmd", "?")))
        for one in clients
        if "b" in str(one.get("flags", "")) and str(one.get("cmd", "")) not in HARMLESS
    )


NAME = "ccr-avn:fence:"
"""Every fence's connection is called this and its run, so that runs see each other in CLIENT LIST."""

ENDING = "ccr-avn:unfence:"
"""What a connection calls itself before it looks for other fences and un-pauses.

A fence that is placed meanwhile is not in that look, so it waits until nobody is called this and then pauses again:
its last pause is later than any un-pause that did not see it.
"""


class FenceRefused(Refused):
    """The service does not let its users pause clients, or see who else does."""


class Fence:
    """One connection that pauses writes, renews the pause, and ends it. ``ttl`` is in seconds."""

    def __init__(
        self,
        endpoint: Endpoint,
        run: str,
        ttl: float,
        *,
        clock: Callable[[], float] = awake,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.ttl = ttl
        self.placed_at = 0.0  # on the clock: when writes were first held back
        self.run_id = ""  # of the server process that holds the fence
        self._run = run
        self._clock, self._sleep = clock, sleep
        self._until = 0.0  # to when the last acknowledged renewal reaches at least
        self._broken = False  # there was a moment that no acknowledged renewal covers
        self._client: valkey.Valkey | None = None
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.place()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def place(self) -> None:
        """Hold writes back, and go on renewing that in the background.

        Raises:
            FenceRefused: the service refuses CLIENT PAUSE, CLIENT LIST or INFO; nothing is held back then.
            Refused: another run is lifting its fence, and does not finish.
            Unreachable: it can't be asked.
        """
        with self._lock:
            self._client = connect(self.endpoint, name=f"{NAME}{self._run}")
            self._names()  # where that is refused, it is before anything is held back
            self.placed_at = self._clock()
            try:
                self._outlast_endings()
            except Refused:
                raise
            except BaseException:  # also a signal: the first pause may be in force
                self.release()
                raise
        self._renewer = threading.Thread(target=self._renew, name="fence", daemon=True)
        self._renewer.start()

    def side(self) -> ReplicationInfo:
        """What INFO says on the fence's own connection.

        Raises:
            Unreachable: the connection is gone.
        """
        with self._lock, explained(self.endpoint, connected=True):
            return read_replication(self._connected(), self.endpoint.service)

    def lengthen(self, ttl: float) -> None:
        """From here on it holds this many seconds after each renewal; a pause can only be made longer.

        Raises:
            Unreachable: the connection is gone, and the fence is as long as it was.
        """
        with self._lock:
            longer = max(ttl, self.ttl)
            self._pause(longer)
            self.ttl = longer

    def place_anew(self) -> None:
        """After a gap: pause writes again. Whatever was written in the gap must be waited for like all before it.

        Raises:
            Unreachable: it can't be asked.
        """
        with self._lock:
            self._until, self._broken = 0.0, False
            self._outlast_endings()

    def paused_until(self) -> float:
        """When writes resume by themselves, in seconds since 1970, if the fence is not lifted and its server stays up."""
        return time.time() + max(0.0, self._until - self._clock())

    def holds(self) -> bool:
        """Whether acknowledged renewals covered all the time since it was placed, by one server process, up to now."""
        return not self._broken and self._clock() < self._until

    def others(self) -> tuple[str, ...]:
        """The fences of other runs on the same service."""
        mine = f"{NAME}{self._run}"
        return tuple(name for name in self._names() if name.startswith(NAME) and name != mine)

    def release(self) -> bool:
        """Before a promotion: let the writes that were held back go on.

        False when they don't: another run's fence stays up, or the service can't be asked and it runs out by itself.
        """
        try:
            return self._release(disconnect=False)
        except Exception:  # noqa: BLE001 (whatever it is: nothing more can be done about it here)
            return False

    def release_disconnecting(self) -> bool:
        """After a promotion: cut every client first, so that nothing held back is acknowledged late.

        False when another run's fence is there, which then goes on.

        Raises:
            Unreachable: it can't be asked, or refuses; the fence then runs out by itself.
        """
        return self._release(disconnect=True)

    def writers(self) -> tuple[Writer, ...]:
        """Who tries to write and is held back.

        Raises:
            Unreachable: the connection is gone.
        """
        with self._lock, explained(self.endpoint, connected=True):
            return blocked_writers(self._connected())

    def stop_renewing(self) -> None:
        self._ended.set()
        if self._renewer and self._renewer is not threading.current_thread():
            self._renewer.join(self.endpoint.timeout + 1)

    def leave(self) -> None:
        """Let it run out by itself, as late as can be: renewed a last time."""
        with suppress(CcrError), self._lock:
            if not self._ended.is_set():
                self._pause(self.ttl)
        self.close()

    def close(self) -> None:
        """Leave it standing until it runs out."""
        self.stop_renewing()
        if self._client:
            with suppress(Exception):
                self._client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def _release(self, *, disconnect: bool) -> bool:
        self.stop_renewing()
        try:
            with self._lock, explained(self.endpoint, connected=True):
                client = self._connected()
                client.client_setname(f"{ENDING}{self._run}")
                if self.others():
                    return False
                if disconnect:
                    cut_and_unpause(client)
                else:
                    client.client_unpause()
                return True
        finally:
            self.close()

    def _outlast_endings(self) -> None:
        """Pause, and pause again once no other run is lifting a fence that may not have seen this one."""
        names = poll(
            lambda: self._pause(self.ttl),
            lambda names: not any(name.startswith(ENDING) for name in names),
            within=self.endpoint.timeout,
            first=0.005,
            longest=0.005,
            clock=self._clock,
            sleep=self._sleep,
        )
        if any(name.startswith(ENDING) for name in names):
            self.release()
            raise Refused(
                f"another run is lifting its fence on {self.endpoint.service}, and does not finish",
                detail=f"a connection called {ENDING}… is still there after {self.endpoint.timeout:g} s",
                hint="end that run, then run the same command again",
            )

    def _pause(self, ttl: float) -> tuple[str, ...]:
        """Pause, look who is there, pause again: one round trip, in this order. Notes what is certain of it."""
        asked: Any = self._connected().pipeline(transaction=False)
        sent = self._clock()
        with explained(self.endpoint, connected=True):
            asked.client_pause(timeout=int(ttl * 1000), all=False)
            asked.client_list(_type="normal")
            asked.client_pause(timeout=int(ttl * 1000), all=False)
            asked.execute_command(*QUESTION)
            first, clients, second, told = asked.execute(raise_on_error=False)
            self._is_refused(first, clients, second, told)
        self._note(sent, ttl, parse_replication(told, self.endpoint.service).run_id)
        return tuple(str(one.get("name", "")) for one in clients)

    def _note(self, sent: float, ttl: float, run_id: str) -> None:
        """The server got it after ``sent`` and before now: later than the last one's end may be too late."""
        self.run_id = self.run_id or run_id
        too_late = self._until > 0 and self._clock() > self._until
        self._broken = self._broken or too_late or run_id != self.run_id
        self._until = max(self._until, sent + ttl)

    def _names(self) -> tuple[str, ...]:
        with self._lock, explained(self.endpoint, connected=True):
            try:
                clients: Any = self._connected().client_list(_type="normal")
            except ResponseError as refusal:
                self._is_refused(refusal)
                raise
        return tuple(sorted(str(one.get("name", "")) for one in clients))

    def _is_refused(self, *answers: object) -> None:
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise FenceRefused(
                    f"{self.endpoint.service} refuses to pause its clients",
                    detail=str(answer),
                    hint="stop the writers yourself and use --fence observe",
                )

    def _renew(self) -> None:
        due = self._clock() + min(self.ttl / 3, 10.0)
        while not self._ended.wait(min(self.endpoint.keep_alive, self.ttl / 10)):
            # A renewal that fails shows in holds(): the gates ask that, not this thread.
            with suppress(Exception), self._lock:
                if self._ended.is_set():
                    return
                if self._clock() < due:
                    self._connected().ping()
                    continue
                due = self._clock() + min(self.ttl / 10, 1.0)
                self._pause(self.ttl)
                due = self._clock() + min(self.ttl / 3, 10.0)

    def _connected(self) -> "valkey.Valkey":
        if self._client is None:
            raise RuntimeError("the fence was never placed")
        return self._client


def cut_and_unpause(client: "valkey.Valkey") -> None:
    """In one transaction: cut all clients, subscribers too (with RESP3 they write as well), then end the pause.

    Raises:
        valkey.exceptions.ValkeyError: it was refused as a whole, and the pause goes on; or its answer was lost.
    """
    both: Any = client.pipeline(transaction=True)
    with both:
        both.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        both.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        both.execute_command("CLIENT", "UNPAUSE")
        both.execute()


def lift(endpoint: Endpoint, *, disconnect: bool) -> None:
    """End a pause by hand; with ``disconnect`` every client is cut first.

    Raises:
        Refused: a run holds its own fence there.
        Unreachable: it can't be asked.
    """
    with connect(endpoint, name=f"{ENDING}by-hand") as client, explained(endpoint, connected=True):
        clients: Any = client.client_list(_type="normal")
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
