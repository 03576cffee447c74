"""Raw protocol connections: pipelined commands, replies whole or as a stream, a rate limit."""

import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ccr_avn.errors import Unreachable

if TYPE_CHECKING:
    import socket

    from ccr_avn.valkey.connect import Endpoint


class RateLimit:
    """``per_second`` commands at the most, averaged over one message; 0 means no limit."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._due = 0.0  # on the clock: when the next message may go

    def take(self, commands: int) -> None:
        """Wait until what was sent before is paid for, then let these go."""
        if not self._per_second or not commands:
            return
        now = self._clock()
        if self._due > now:
            self._sleep(self._due - now)
            now = self._due
        self._due = now + commands / self._per_second

    def batch(self, largest: int) -> int:
        """How many keys (some four commands each) to send at once: about a fifth of a second's worth."""
        return max(5, min(largest, int(self._per_second / 20))) if self._per_second else largest


def bulk(word: bytes) -> bytes:
    """One argument in the protocol's own form."""
    return b"$%d\r\n%b\r\n" % (len(word), word)


def bulks(words: Iterable[bytes]) -> list[bytes]:
    return [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]


def pack(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(bulks(words))


class Template:
    """A command with one hole: the key, or one member of it."""

    __slots__ = ("head", "tail")

    def __init__(self, *words: bytes) -> None:
        """The hole is the empty word."""
        at = words.index(b"")
        self.head = b"*%d\r\n" % len(words) + b"".join(bulks(words[:at]))
        self.tail = b"".join(bulks(words[at + 1 :]))

    def one(self, argument: bytes) -> bytes:
        """``argument`` as :func:`bulk` gives it."""
        return self.head + argument + self.tail

    def each(self, arguments: list[bytes]) -> bytes:
        """The command once for each argument."""
        return self.head + (self.tail + self.head).join(arguments) + self.tail if arguments else b""


SHORT = 4096
"""Bytes of a string that are read at once with many others; a longer one is read by itself."""

TYPE = Template(b"TYPE", b"")
MEMORY = Template(b"MEMORY", b"USAGE", b"")
DUMP = Template(b"DUMP", b"")
EXPIRES_AT = Template(b"PEXPIRETIME", b"")
EXPIRES_IN = Template(b"PTTL", b"")
SHORT_STRING = Template(b"GETRANGE", b"", b"0", b"%d" % (SHORT - 1))

WHOLE = {
    b"string": Template(b"GETRANGE", b"", b"0", b"-1"),
    b"hash": Template(b"HGETALL", b""),
    b"set": Template(b"SMEMBERS", b""),
    b"zset": Template(b"ZRANGE", b"", b"0", b"-1", b"WITHSCORES"),
    b"list": Template(b"LRANGE", b"", b"0", b"-1"),
}
"""How a key of moderate size is read in one go. Streams have their own room; other types are dumped."""

STREAM = b"stream"
NONE = b"none"


def exists(keys: list[bytes]) -> bytes:
    """How many of the keys (as :func:`bulks` gives them) are there, as one number."""
    return b"*%d\r\n$6\r\nEXISTS\r\n" % (len(keys) + 1) + b"".join(keys)


def field_expiries(key: bytes, fields: list[bytes]) -> bytes:
    return pack(b"HPEXPIRETIME", key, b"FIELDS", b"%d" % len(fields), *fields)


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

    def __init__(self, endpoint: "Endpoint", rate_limit: "RateLimit | None" = None) -> None:
        """Raises: Unreachable."""
        from ccr_avn.valkey.connect import connect

        self._endpoint = endpoint
        self._rate_limit = rate_limit
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
                hint="exclude it: give --db N for each of the others; a database that only one side has can't be equal",
                passing=passes(answer),
            )
        self._database = database

    def send(self, *bodies: bytes, commands: int = 1) -> None:
        """One message; ``commands`` is what it costs. ``receive`` or a ``ReplyStream`` must follow."""
        if self._rate_limit:
            self._rate_limit.take(commands)
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


PIECE = 256 * 1024


class Refusal(Exception):
    """An error reply."""


class Unreadable(Exception):
    """A side refuses to show a key; it is neither equal nor different."""


def passes(refusal: object) -> bool:
    """Whether waiting may end a refusal; a missing right or database stays as it is."""
    return str(refusal).startswith(("LOADING", "BUSY", "MASTERDOWN"))


def shown(reply: Any) -> Any:
    """The reply, or None when it was refused because the key, or a stream's group, is not what it was.

    Raises:
        Unreadable: refused for any other reason.
    """
    if not isinstance(reply, Exception):
        return reply
    if str(reply).startswith(("WRONGTYPE", "NOGROUP", "ERR no such key")):
        return None
    raise Unreadable(str(reply))


class ReplyStream:
    """The replies to the message just sent on a wire. Ends with :meth:`finish`, also when it was not read to its end."""

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire
        self._data = b""
        self._at = 0

    def line(self) -> bytes:
        while (end := self._data.find(b"\r\n", self._at)) < 0:
            self._more()
        found = self._data[self._at : end]
        self._at = end + 2
        return found

    def exactly(self, size: int) -> bytes:
        have = len(self._data) - self._at
        if size <= have:
            found = self._data[self._at : self._at + size]
            self._at += size
            return found
        pieces = [self._data[self._at :]]
        self._data, self._at = b"", 0
        while have < size:
            pieces.append(self._wire.some(min(PIECE, size - have)))
            have += len(pieces[-1])
        return b"".join(pieces)

    def text(self, line: bytes) -> bytes | None:
        """The bulk that this line announces."""
        size = int(line[1:])
        if size < 0:
            return None
        found = self.exactly(size)
        self.exactly(2)
        return found

    def reply(self) -> Any:
        """The next reply: bytes, a number, a list, None, or a :class:`Refusal`."""
        line = self.line()
        kind = line[:1]
        if kind == b"$":
            return self.text(line)
        if kind == b"*":
            size = int(line[1:])
            return [self.reply() for _ in range(size)] if size >= 0 else None
        if kind == b":":
            return int(line[1:])
        return Refusal(line[1:].decode(errors="replace")) if kind == b"-" else line[1:]

    def items(self) -> int | Refusal:
        """How many elements the next reply has, which are then to be read; or the refusal it is."""
        line = self.line()
        return max(0, int(line[1:])) if line.startswith(b"*") else Refusal(line[1:].decode(errors="replace"))

    def finish(self) -> None:
        """Throw the rest away; the wire is free again."""
        end = self._wire.end
        rest = self._data[self._at :]
        while not rest.endswith(end):
            rest = rest[-len(end) :] + self._wire.some(PIECE)

    def _more(self) -> None:
        self._data = self._data[self._at :] + self._wire.some(PIECE)
        self._at = 0


def streamed(wire: "Wire", ask: bytes) -> Any:
    """The reply to one command, however large."""
    wire.send(ask)
    flow = ReplyStream(wire)
    reply = flow.reply()
    flow.finish()
    return reply


def same_reply(one: ReplyStream, other: ReplyStream) -> bool:
    """Whether the next replies are equal, byte by byte. When not, both flows are somewhere inside: finish them.

    Raises:
        Unreadable: they are refused.
    """
    line, its = one.line(), other.line()
    for each in (line, its):
        if each.startswith(b"-"):
            shown(Refusal(each[1:].decode(errors="replace")))
    if line != its or line.startswith(b"-"):
        return False
    if line.startswith(b"*"):
        return all(same_reply(one, other) for _ in range(int(line[1:])))
    if line.startswith(b"$") and line != b"$-1":
        return _same_run(one, other, int(line[1:]) + 2)
    return True


def _same_run(one: ReplyStream, other: ReplyStream, size: int) -> bool:
    while size > 0:
        piece = min(size, PIECE)
        if one.exactly(piece) != other.exactly(piece):
            return False
        size -= piece
    return True
