"""The fence: pauses clients' writes on the old primary. Placed, renewed, detected, lifted; lists who waits behind it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from valkey.exceptions import InvalidResponse, ResponseError

from ccr_avn.background import Repeated, new_lock
from ccr_avn.clock import now, poll, since_boot
from ccr_avn.errors import CcrError, Locked, Refused, Unreachable
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.replication import QUESTION, ReplicationInfo, parse_replication
from ccr_avn.valkey.server_facts import read_replication

if TYPE_CHECKING:
    import valkey

HARMLESS = frozenset({"xread", "wait", "waitaof"})  # commands that block by themselves and never write

NAME = "ccr-avn:fence:"
"""Every fence's connection is called this and its run, so that runs see each other in CLIENT LIST."""

ENDING = "ccr-avn:unfence:"
"""What a connection calls itself before it looks for other fences and un-pauses.

A fence that is placed meanwhile is not in that look, so it waits until nobody is called this and then pauses again:
its last pause is later than any un-pause that did not see it.
"""

GOING = 0.5  # seconds for another run to go away that found this fence and gives up


class FenceRefused(Refused):
    """The service does not let its users pause clients, or see who else does."""


class Fence:
    """One connection that pauses writes, renews the pause, and ends it. ``ttl`` is in seconds."""

    def __init__(self, endpoint: Endpoint, run: str, ttl: float) -> None:
        self.endpoint = endpoint
        self.ttl = ttl
        self.placed_at = 0.0  # seconds since boot: when writes were first held back
        self.lifted = False  # it ended before its time: somebody ended it, or the server's clock was set forward
        self._name = f"{NAME}{run}"
        self._ending = f"{ENDING}{run}"
        self._process = ""  # the server's, that holds the fence
        self._until = 0.0  # to when the last acknowledged renewal reaches at least
        self._at_most = 0.0  # to when any pause that was sent may reach
        self._broken = False  # there was a moment that no acknowledged renewal covers
        self._client: valkey.Valkey | None = None
        self._lock = new_lock()
        self._ended = False
        self._renewer: Repeated | None = None

    def place(self) -> None:
        """Hold writes back, and go on renewing that in the background. When it raises, nothing is held back by it.

        After a gap it is placed again: whatever was written meanwhile must be waited for like all before it.
        It is the lock of a promotion as well: each is called a fence before it looks for others, and pauses nothing if
        it finds one. So of two that are placed at once both give up, or the later one does.

        Raises:
            FenceRefused: the service refuses CLIENT PAUSE, CLIENT LIST or INFO.
            Locked: another run holds a fence.
            Refused: another run is lifting its own and does not finish; or no thread can be started here.
            Unreachable: it can't be asked.
        """
        try:
            with self._lock:
                self._client = self._client or connect(self.endpoint, name=self._name)
                if others := self.others():  # where that is refused, it is before anything is held back
                    raise _locked(self.endpoint, others)
                self.placed_at = self.placed_at or since_boot()
                self._outlast_endings()
                # Each second, as it keeps the connection alive and shows what is left: a clock that is set may end a pause.
                pause = lambda: min(self.endpoint.keep_alive, self.ttl / 10, 1.0)  # noqa: E731
                self._renewer = self._renewer or Repeated(self._renew, pause, "fence")
        except BaseException:  # also a signal: the first pause may be in force
            with suppress(Unreachable):
                self.release()
            raise

    def side(self) -> ReplicationInfo:
        """What INFO says on the fence's own connection. Raises: Unreachable: the connection is gone."""
        with self._asking() as client:
            side = read_replication(client, self.endpoint.service)
            self._look_back(side)
            return side

    def lengthen(self, ttl: float) -> None:
        """From here on it holds this many seconds after each renewal; a pause can only be made longer.

        Raises: Unreachable: the connection is gone, and the fence is as long as it was.
        """
        with self._lock:
            longer = max(ttl, self.ttl)
            self._pause(longer)
            self.ttl = longer

    def paused_until(self) -> float:
        """When writes resume automatically at the latest, in seconds since 1970, if the fence is not lifted."""
        return now() + max(0.0, self._at_most - since_boot())

    def holds(self) -> bool:
        """Whether acknowledged renewals covered all the time since it was placed, by one server process, up to now."""
        return not self.lifted and not self._broken and since_boot() < self._until

    def others(self) -> tuple[str, ...]:
        """The fences of other runs on the same service, also those about to be placed."""
        with self._asking() as client:
            try:
                return tuple(name for name in _fences(client) if name != self._name)
            except ResponseError as refusal:
                raise self._refused(refusal) from None

    def release(self, *, cut: bool = False) -> tuple[str, ...]:
        """End the pause; with ``cut`` every client is disconnected first, so that nothing held back is acknowledged late.

        Returns the fences of other runs that are there, which then go on.

        Raises: Unreachable: it can't be asked, or refuses; the fence then expires.
        """
        self._stop_renewing()
        try:
            if not self._at_most:
                return ()
            with self._asking() as client:
                client.client_setname(self._ending)
                others = poll(  # one that only looked whether it may be placed is gone at once
                    self.others, lambda found: not found, within=GOING, first=0.01, longest=0.05, clock=since_boot
                )
                if not others:
                    _unpause(client, cut=cut)
                    self._at_most = self._until = 0.0
                return others
        finally:
            self.close()

    def writers(self) -> tuple[str, ...]:
        """Who waits with something that may write, and where: also consumers that wait for work, as in BLPOP.

        Raises: Unreachable: the connection is gone.
        """
        with self._asking() as client:
            clients: Any = client.client_list()
            return tuple(
                f"{one.get('name') or 'unnamed'} at {one['addr']} ({one.get('cmd', '?')})"
                for one in clients
                if "b" in one.get("flags", "") and one.get("cmd") not in HARMLESS
            )

    def leave(self) -> None:
        """Let it expire, as late as possible: renewed one last time."""
        with suppress(CcrError):
            self._renew()
        self.close()

    def close(self) -> None:
        """Leave it standing until it runs out."""
        self._stop_renewing()
        with self._lock:  # not in the middle of a renewal, and none begins after this
            if self._client:
                self._client.close()

    def _stop_renewing(self) -> None:
        self._ended = True
        if self._renewer:
            self._renewer.stop()

    def _renew(self) -> None:
        """A renewal that fails shows in holds(): the gates ask that, not this thread."""
        with self._lock:
            if self._client and not self._ended:
                self._pause(self.ttl)

    @contextmanager
    def _asking(self) -> Iterator["valkey.Valkey"]:
        with self._lock, explained(self.endpoint, connected=True):
            if self._client is None:
                raise RuntimeError("the fence was never placed")
            yield self._client

    def _outlast_endings(self) -> None:
        """Pause, and pause again once no other run is lifting a fence that may not have seen this one."""

        def nobody_ends() -> bool:
            self._until, self._broken = 0.0, False  # one that is lifted meanwhile is no gap: it begins with the last
            return not any(name.startswith(ENDING) for name in self._pause(self.ttl, looking=True))

        if not poll(nobody_ends, bool, within=self.endpoint.timeout, first=0.005, longest=0.005, clock=since_boot):
            raise Refused(
                f"another run is lifting its fence on {self.endpoint.service} and does not finish",
                detail=f"a connection named {ENDING}… is still open after {self.endpoint.timeout:g} s",
                hint="end that run, then run the same command again",
            )

    def _pause(self, ttl: float, *, looking: bool = False) -> tuple[str, ...]:
        """What is left of the last pause, and a new one; ``looking``: then who is there, and pause again. One round trip."""
        with self._asking() as client:
            asked: Any = client.pipeline(transaction=False)
            sent = since_boot()
            self._at_most = max(self._at_most, sent + ttl)
            asked.execute_command(*QUESTION)
            asked.client_pause(timeout=int(ttl * 1000), all=False)
            if looking:
                asked.client_list(_type="normal")
                asked.client_pause(timeout=int(ttl * 1000), all=False)
            answers = asked.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, ResponseError):
                    raise self._refused(answer)
            if any(paused is not True for paused in answers[1::2]):
                raise InvalidResponse("CLIENT PAUSE was answered by something other than OK")
            names = tuple(str(one.get("name", "")) for one in (answers[2] if looking else ()))
        self._look_back(parse_replication(answers[0], self.endpoint.service))
        self._until = max(self._until, sent + ttl)
        self._at_most = max(self._at_most, since_boot() + ttl)
        return names

    def _look_back(self, side: ReplicationInfo) -> None:
        """Whether there was a gap: the server got the question later than the pause is sure to reach, or the pause had
        ended before that, or it is another process."""
        self._process = self._process or side.run_id
        too_late = 0 < self._until < since_boot()
        self.lifted = self.lifted or (self._until > 0 and not too_late and side.paused_seconds == 0)
        self._broken = self._broken or too_late or side.run_id != self._process

    def _refused(self, refusal: ResponseError) -> FenceRefused:
        return FenceRefused(
            f"{self.endpoint.service} refuses to pause its clients",
            detail=str(refusal),
            hint="stop the writers yourself; then add --fence observe",
        )


def must_be_unlocked(endpoint: Endpoint) -> None:
    """Whether a run is promoting a replica of it, for one that places no fence.

    Raises:
        Locked: a run holds a fence there.
        Unreachable: it can't be asked.
    """
    with connect(endpoint, name="ccr-avn:lock") as client, explained(endpoint, connected=True):
        names = _fences(client)
    if names:
        raise _locked(endpoint, names)


def pause_for(endpoint: Endpoint, ttl: float) -> ReplicationInfo:
    """By hand: first the pause, or a longer one, then the look: what is written in between shows. ``ttl``: seconds."""
    held = Fence(endpoint, "by-hand", ttl)
    held.place()
    side = held.side()
    held.close()
    return side


def lift(endpoint: Endpoint, *, disconnect: bool) -> None:
    """End a pause by hand; with ``disconnect`` every client is cut first.

    Raises:
        Refused: a run holds its own fence there.
        Unreachable: it can't be asked.
    """
    with connect(endpoint, name=f"{ENDING}by-hand") as client, explained(endpoint, connected=True):
        if names := _fences(client):
            raise Refused(
                f"a run holds a fence on {endpoint.service}",
                detail=", ".join(names),
                hint="let it finish, or end it with Ctrl-C: it lifts its own fence",
            )
        _unpause(client, cut=disconnect)


def _fences(client: "valkey.Valkey") -> tuple[str, ...]:
    clients: Any = client.client_list(_type="normal")
    return tuple(sorted(name for one in clients if (name := str(one.get("name", ""))).startswith(NAME)))


def _unpause(client: "valkey.Valkey", *, cut: bool) -> None:
    """``cut``: all clients in the same transaction, before it; subscribers too, as with RESP3 they write as well.

    Raises: valkey.exceptions.ValkeyError: it was refused as a whole, and the pause goes on; or its answer was lost.
    """
    if not cut:
        client.client_unpause()
        return
    with client.pipeline(transaction=True) as asked:
        asked.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        asked.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        asked.execute_command("CLIENT", "UNPAUSE")
        asked.execute()


def _locked(endpoint: Endpoint, names: tuple[str, ...]) -> Locked:
    runs = ", ".join(name.removeprefix(NAME) for name in names)
    return Locked(
        f"another run holds the write pause on {endpoint.service}: {runs}",
        detail="only one run at a time may promote a replica of a primary; this one changed nothing",
        hint="let that run finish, or end it with Ctrl-C, then run the same command again; "
        "if its machine is gone, its connection ends within minutes",
    )
