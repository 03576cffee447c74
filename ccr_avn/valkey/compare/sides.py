"""Connections to both servers: pipelined commands, a rate limit, and whether the replica has caught up and the link held."""

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from threading import Lock
from typing import Any

import libvalkey

from ccr_avn import clock
from ccr_avn.clock import poll
from ccr_avn.errors import Unreachable
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.replication import QUESTION, ReplicationInfo, info_fields, link_of, parse_replication

Command = tuple[bytes | str, ...]

PATIENCE = 4  # so many times the usual limit a server may be silent: one slow moment must not end a run of hours
LONGEST = 120.0  # seconds for all replies to one message, however they trickle in
CATCH_UP_LIMIT = 5.0  # seconds the replica gets to apply what the primary had when asked


class Unreadable(Exception):
    """A side refuses to show a key; it is neither equal nor different."""


class Caught(Enum):
    """What a look at the replica now is worth."""

    UP = "it has applied all that the primary had"
    ALONE = "it does not follow this primary"
    DOWN = "its link is down"
    BEHIND = "it did not catch up in time"

    @property
    def proves(self) -> bool:
        """Whether a difference seen now is one, and not just late."""
        return self in (Caught.UP, Caught.ALONE)


class Pace:
    """At most this many commands a second, for all connections together; 0: no limit."""

    def __init__(self, per_second: float) -> None:
        self._per_second, self._free_at, self._lock = per_second, 0.0, Lock()

    def take(self, commands: int) -> None:
        """Wait until these may be sent."""
        if self._per_second:
            with self._lock:
                now = clock.monotonic()
                begin = max(now, self._free_at)
                self._free_at = begin + commands / self._per_second
            clock.sleep(begin - now)


class Side:
    """A connection to one server. Raises: Unreachable: whatever asks it."""

    def __init__(self, endpoint: Endpoint, pace: Pace) -> None:
        self.endpoint, self._pace, self._database = endpoint, pace, 0
        self._client = connect(endpoint, name="ccr-avn:verify", timeout=PATIENCE * endpoint.timeout)
        connection: Any = self._client.connection_pool.get_connection("_")
        self._socket: socket.socket = connection._sock  # noqa: SLF001 - valkey-py reads reply by reply, four times as slow
        self._reader, self._until = libvalkey.Reader(), 0.0
        self.ask(("CLIENT", "NO-TOUCH", "ON"))  # an older server refuses, and can't be helped

    def close(self) -> None:
        """Whoever waits for an answer, in whatever thread, waits no longer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def use(self, database: int) -> None:
        if database == self._database:
            return
        (answer,) = self.ask(("SELECT", str(database)))
        if isinstance(answer, Exception):
            hint = "exclude it: give --db N for each of the others; a database that only one side has can't be equal"
            raise refused(f"{self.endpoint.service}: database {database} can't be used", answer, hint)
        self._database = database

    def ask(self, *commands: Command) -> list[Any]:
        self.send(commands)
        return self.receive(len(commands))[0]

    def send(self, commands: Sequence[Command], packed: bytes | None = None) -> None:
        """:meth:`receive` must follow. ``packed``: the same commands, as they are sent."""
        if commands[0][0] not in ("INFO", "CLIENT"):  # whether the link holds must not wait for its turn
            self._pace.take(len(commands))
        self._until = clock.monotonic() + LONGEST
        with explained(self.endpoint, connected=True):
            self._socket.settimeout(PATIENCE * self.endpoint.timeout)
            self._socket.sendall(packed or pack(commands))

    def receive(self, count: int) -> tuple[list[Any], bytes]:
        """So many replies, a refusal being an exception *in* the list; and what arrived, to the byte."""
        replies, data = list[Any](), list[bytes]()
        while len(replies) < count:
            if (reply := self._reader.gets()) is not False:
                replies.append(reply)
            else:
                data.append(self._read())
                self._reader.feed(data[-1])
        return replies, b"".join(data)

    def repeats(self, expected: bytes) -> bool:
        """Whether the replies are the expected ones, to the byte. If not, :meth:`receive` has them."""
        seen = 0
        while seen < len(expected):
            data = self._read()
            mine = expected[seen : seen + len(data)]
            if not data.startswith(mine):
                self._reader.feed(expected[:seen] + data)
                return False
            self._reader.feed(data[len(mine) :])  # the beginning of what was asked after it
            seen += len(mine)
        return True

    def _read(self) -> bytes:
        with explained(self.endpoint, connected=True):
            self._socket.settimeout(max(0.001, min(PATIENCE * self.endpoint.timeout, self._until - clock.monotonic())))
            if data := self._socket.recv(1 << 18):
                return data
            raise ConnectionResetError("the connection was closed")


class Sides:
    """Both sides, asked at the same time."""

    def __init__(self, primary: Endpoint, replica: Endpoint, pace: Pace) -> None:
        self.primary = Side(primary, pace)
        try:
            self.replica = Side(replica, Pace(0))
        except BaseException:
            self.primary.close()
            raise

    def close(self) -> None:
        self.primary.close()
        self.replica.close()

    def use(self, database: int) -> None:
        self.primary.use(database)
        self.replica.use(database)

    def both(self, *commands: Command, also: Sequence[Command] = ()) -> tuple[list[Any], list[Any], list[Any]]:
        """The primary's replies, the replica's, and the replica's to what it alone is asked ``also``.

        The very same list twice where the replies are equal to the byte: they are parsed once.
        """
        packed = pack(commands)
        self.primary.send(commands, packed)
        self.replica.send(commands, packed + pack(also))
        mine, data = self.primary.receive(len(commands))
        theirs = mine if self.replica.repeats(data) else self.replica.receive(len(commands))[0]
        return mine, theirs, self.replica.receive(len(also))[0]

    def shown(self, *commands: Command) -> tuple[list[Any], list[Any]]:
        """The same; None in the place of what is not what it was a moment ago. Raises: Unreadable: refused otherwise."""
        one, other, _ = self.both(*commands)
        return [shown(reply) for reply in one], [shown(reply) for reply in other]

    def catch_up(self, limit: float = CATCH_UP_LIMIT) -> Caught:
        """Wait until the replica has applied all that the primary has now. ``limit``: seconds."""
        mine = info(self.primary, "replication")

        def look() -> Caught:
            return _caught(mine, info(self.replica, "replication"))

        return poll(look, lambda found: found is not Caught.BEHIND, within=limit, first=0.001, longest=0.001)


def pack(commands: Sequence[Command]) -> bytes:
    return b"".join(map(libvalkey.pack_command, commands))


def shown(reply: Any) -> Any:
    """The reply; None if the key no longer exists, or is no longer what it was. Raises: Unreadable."""
    if not isinstance(reply, Exception):
        return reply
    if str(reply).startswith(("WRONGTYPE", "NOGROUP", "ERR no such key")):
        return None
    raise Unreadable(str(reply))


def refused(what: str, answer: object, hint: str) -> Unreachable:
    """Waiting may end LOADING and its kin; a missing right or database stays as it is."""
    passing = str(answer).startswith(("LOADING", "BUSY", "MASTERDOWN"))
    return Unreachable(what, detail=str(answer), hint=hint, passing=passing)


def info(side: Side, section: str) -> dict[str, str]:
    """Empty where it is refused."""
    (answer,) = side.ask(("INFO", section))
    return info_fields(answer)


def _caught(mine: dict[str, str], theirs: dict[str, str]) -> Caught:
    if theirs.get("role") == "master" or theirs.get("master_replid") != mine.get("master_replid"):
        return Caught.ALONE
    if theirs.get("master_link_status") != "up":  # so also where INFO is refused
        return Caught.DOWN
    reached = int(theirs.get("slave_repl_offset", 0)) >= int(mine.get("master_repl_offset", 0))
    return Caught.UP if reached else Caught.BEHIND


LOOK_EVERY = 0.5  # seconds between two checks


class LinkMonitor:
    """``trouble`` is the first reason why the link can't be vouched for; None as long as it can."""

    def __init__(self, sides: Sides) -> None:
        self._sides, self._looked = (sides.primary, sides.replica), 0.0
        self._first: tuple[ReplicationInfo, ...] = ()
        self._followers: frozenset[bytes] = frozenset()
        self.trouble: str | None = None

    def read(self, *, now: bool = False) -> str | None:
        """Check if it is time to. Raises: Unreachable: a side can no longer be asked."""
        if self.trouble or (not now and clock.monotonic() - self._looked < LOOK_EVERY):
            return self.trouble
        primary, replica = (parse_replication(side.ask(QUESTION)[0], side.endpoint.service) for side in self._sides)
        # The connections of all replicas, by the numbers that the primary never gives twice; none if it doesn't say.
        (listed,) = self._sides[0].ask(("CLIENT", "LIST", "TYPE", "replica"))
        followers = frozenset(re.findall(rb"^id=(\d+)", listed if isinstance(listed, bytes) else b"", re.MULTILINE))
        if not self._first:
            self._first, self._followers = (primary, replica), followers
        self.trouble = self._judge(primary, replica, followers)
        self._looked = clock.monotonic()
        return self.trouble

    def _judge(self, primary: ReplicationInfo, replica: ReplicationInfo, followers: frozenset[bytes]) -> str | None:
        mine, theirs = (side.endpoint.service for side in self._sides)
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
