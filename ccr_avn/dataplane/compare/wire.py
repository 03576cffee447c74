"""A connection in raw protocol: whole messages out, whole replies in, giant replies as a stream.

Replies that are equal on both sides need not be understood, so they are not parsed: an ECHO of a random word marks
where a message's replies end. That is several times cheaper than a parser and as safe as the word is unguessable.
"""

import re
import secrets
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.compare.commands import bulk, pack
from ccr_avn.dataplane.compare.flow import passes
from ccr_avn.errors import Unreachable

if TYPE_CHECKING:
    import socket

    from ccr_avn.dataplane.compare.pace import Pace
    from ccr_avn.dataplane.connect import Endpoint

FIRST_ROOM = 256 * 1024
MOST_ROOM = 8 * 1024 * 1024
"""Bytes of replies that one message may bring; more is thrown away and asked for again in pieces."""

ERROR = re.compile(rb"(?:^|\r\n)-[A-Z]+ ")


class TooLarge(Exception):
    """The replies to one message were larger than the room for them, and are gone."""


def patience(endpoint: "Endpoint") -> float:
    """Seconds a reply may take once the connection stands: one slow moment must not end a run of hours."""
    return 4 * endpoint.timeout


class Wire:
    """One connection to one side."""

    def __init__(self, endpoint: "Endpoint", pace: "Pace | None" = None) -> None:
        """Raises: Unreachable."""
        from ccr_avn.dataplane.connect import connect

        self._endpoint = endpoint
        self._pace = pace
        self._client = connect(endpoint, name="ccr-avn:verify")
        connection: Any = self._client.connection_pool.get_connection("_")
        self._socket: socket.socket = connection._sock  # noqa: SLF001 - valkey-py has no public way to its socket
        self._socket.settimeout(patience(endpoint))
        word = secrets.token_hex(16).encode()
        self._end, self._mark = bulk(b"." + word), bulk(b"," + word)
        self._echo_end, self._echo_mark = (b"*2\r\n$4\r\nECHO\r\n" + each for each in (self._end, self._mark))
        self._room = bytearray(FIRST_ROOM)
        self._database = 0
        self.ask(pack(b"CLIENT", b"NO-TOUCH", b"ON"))  # an older server refuses, and can't be helped

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def use(self, database: int) -> None:
        if database == self._database:
            return
        (answer,) = self.ask(pack(b"SELECT", b"%d" % database))
        if isinstance(answer, Exception):
            raise Unreachable(
                f"{self._endpoint.service}: database {database} can't be used",
                detail=str(answer),
                hint="leave it out with --db N for each of the others; a database that only one side has can't be equal",
                passing=passes(answer),
            )
        self._database = database

    def send(self, *bodies: bytes, commands: int = 1) -> None:
        """One message; ``commands`` is what it costs. ``receive`` or a ``Flow`` must follow."""
        if self._pace:
            self._pace.take(commands)
        try:
            if sum(map(len, bodies)) < FIRST_ROOM:
                self._socket.sendall(self._echo_mark.join(bodies) + self._echo_end)
            else:  # no copy of what may hold giants
                for number, body in enumerate(bodies, 1):
                    self._socket.sendall(body)
                    self._socket.sendall(self._echo_mark if number < len(bodies) else self._echo_end)
        except OSError as error:
            raise self._lost(error) from None

    def receive(self) -> list[bytes]:
        """The replies to each body of the message, unparsed.

        Raises:
            TooLarge: they were dropped; the connection goes on.
            Unreachable: the connection is gone, or silent for longer than the endpoint's limit.
        """
        size, dropped, end = 0, False, self._end
        view = memoryview(self._room)
        while self._room[size - len(end) : size] != end or size < len(end):
            if size == len(self._room):
                if size < MOST_ROOM:
                    view = memoryview(grown := self._room + bytes(size))
                    self._room = grown
                else:
                    dropped = True
                    self._room[: len(end)] = self._room[-len(end) :]
                    size = len(end)
            size += self._fill(view[size:])
        if dropped:
            raise TooLarge
        return bytes(view[: size - len(end)]).split(self._mark)

    def ask(self, *commands: bytes) -> list[Any]:
        """One reply to each command; a refusal is an exception *in* the list."""
        self.send(b"".join(commands), commands=len(commands))
        return parsed(self.receive()[0])

    def some(self, most: int) -> bytes:
        """What is there, at least one byte."""
        try:
            got = self._socket.recv(most)
        except OSError as error:
            raise self._lost(error) from None
        if not got:
            raise self._lost(EOFError("the connection was closed"))
        return got

    @property
    def end(self) -> bytes:
        return self._end

    def _fill(self, room: memoryview) -> int:
        try:
            got = self._socket.recv_into(room)
        except OSError as error:
            raise self._lost(error) from None
        if not got:
            raise self._lost(EOFError("the connection was closed"))
        return got

    def _lost(self, error: Exception) -> Unreachable:
        service = self._endpoint.service
        return Unreachable(
            f"{service} ({self._endpoint.address}): the connection broke while comparing",
            detail=f"{type(error).__name__}: {error}",
            hint="run the same command again; --sample N or --level keys puts less load on it",
        )


def parsed(raw: bytes) -> list[Any]:
    """All replies in it; refusals as exceptions in the list."""
    import libvalkey

    reader = libvalkey.Reader()
    reader.feed(raw)
    found = []
    while (reply := reader.gets()) is not False:
        found.append(reply)
    return found


def refused(raw: bytes) -> bool:
    """Whether one of the replies may be a refusal: two refusals are equal, but prove nothing."""
    return (b"\r\n-" in raw or raw.startswith(b"-")) and ERROR.search(raw) is not None
