"""A pair that answers from a script, in the protocol's own bytes."""

from collections.abc import Iterable
from typing import Any

from ccr_avn.valkey.compare.model import Pair, Traits
from ccr_avn.valkey.compare.protocol import EXPIRES_AT, parsed

EXACT = Traits(expiry=EXPIRES_AT, expiry_slack=0, volatile_fields=frozenset())
END = b"$3\r\nend\r\n"


def encoded(value: Any) -> bytes:
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(encoded, value))
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if isinstance(value, int):
        return b":%d\r\n" % value
    return b"$-1\r\n" if value is None else str(value).encode() + b"\r\n"


class FakeWire:
    """Answers message by message; a body's replies are given as a list."""

    def __init__(self, *messages: list[list[Any]] | Exception) -> None:
        self._messages = list(messages)
        self._data = b""
        self.sent: list[bytes] = []
        self.end = END

    def use(self, database: int) -> None:
        self.sent.append(b"SELECT %d" % database)

    def send(self, *bodies: bytes, commands: int = 1) -> None:
        self.sent.append(b"".join(bodies))

    def receive(self) -> list[bytes]:
        message = self._messages.pop(0)
        if isinstance(message, Exception):
            raise message
        return [b"".join(map(encoded, body)) for body in message]

    def ask(self, *commands: bytes) -> list[Any]:
        self.send(*commands)
        return parsed(self.receive()[0])

    def some(self, most: int) -> bytes:
        if not self._data:
            self._data = b"".join(self.receive()) + END
        given, self._data = self._data[: min(most, 7)], self._data[min(most, 7) :]
        return given


def pair(primary: Iterable[Any], replica: Iterable[Any], traits: Traits = EXACT) -> Pair:
    one: Any = FakeWire(*primary)
    other: Any = FakeWire(*replica)
    return Pair(one, other, traits)
