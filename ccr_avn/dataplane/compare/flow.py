"""Replies that may be giant, read piece by piece: memory holds one element of them at a time."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccr_avn.dataplane.compare.wire import Wire

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


class Flow:
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
    flow = Flow(wire)
    reply = flow.reply()
    flow.finish()
    return reply


def same_reply(one: Flow, other: Flow) -> bool:
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


def _same_run(one: Flow, other: Flow, size: int) -> bool:
    while size > 0:
        piece = min(size, PIECE)
        if one.exactly(piece) != other.exactly(piece):
            return False
        size -= piece
    return True
