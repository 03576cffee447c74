"""What the product's connections are in the simulation: the bytes of the protocol, and the time that they take."""

from typing import Any, Self

from tests.simulation.kernel import Kernel
from tests.simulation.servers import Connection, Fleet, Hung, Refusal

ROUND_TRIP = 0.002  # seconds


class SimSocket:
    """A connected socket. Requests are answered, in their order, when their replies are read."""

    def __init__(self, kernel: Kernel, connection: Connection) -> None:
        self._kernel, self._connection = kernel, connection
        self._timeout: float | None = None
        self._asked: list[list[bytes]] = []
        self._rest = b""
        self._replies = b""
        self._closed = False

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds

    def sendall(self, data: bytes) -> None:
        if self._closed or self._connection.closed:
            raise BrokenPipeError(32, "Broken pipe")
        self._rest += data
        while self._rest:
            words, self._rest = parsed(self._rest)
            if words is None:
                return
            self._asked.append(words)

    def recv(self, size: int) -> bytes:
        if not self._replies:
            self._exchange()
        found, self._replies = self._replies[:size], self._replies[size:]
        return found

    def recv_into(self, buffer: Any) -> int:
        found = self.recv(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def _exchange(self) -> None:
        until = self._kernel.now + (self._timeout if self._timeout is not None else 3600.0)
        draw = self._kernel.random.random
        self._kernel.pause(ROUND_TRIP * (0.5 + draw()) / 2)
        if self._closed:
            return
        if not self._asked:  # nothing was asked: it waits for a word that does not come
            self._kernel.wait(lambda: self._connection.closed or self._closed, self._connection.server.waiting, until)
            if not self._connection.closed and not self._closed:
                raise TimeoutError("timed out")
            return
        replies = b""
        try:
            while self._asked:
                words = self._asked.pop(0)
                try:
                    replies += encoded(self._connection.server.ask(self._connection, words, until))
                except Refusal as refusal:
                    replies += encoded(refusal)
        except Hung:
            self._replies = replies
            return
        except TimeoutError:
            if not replies:
                raise
            self._asked.insert(0, words)
        self._kernel.pause(ROUND_TRIP * (0.5 + draw()) / 2)
        self._replies = replies

    def shutdown(self, _: int) -> None:
        self._closed = True
        self._connection.server.wake()

    def close(self) -> None:
        self._closed = True
        connection = self._connection
        connection.closed = True
        if connection in connection.server.connections:
            connection.server.connections.remove(connection)
        connection.server.wake()

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", self._connection.server.port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def dial(kernel: Kernel, fleet: Fleet, place: tuple[str, int], until: float) -> SimSocket:
    """As ``dial.dial``; ``until``: on the monotonic clock, which is 1000 s ahead of the kernel's."""
    until -= 1000.0
    kernel.pause(ROUND_TRIP * (0.5 + kernel.random.random()))
    server = next((one for one in fleet.servers.values() if one.port == place[1]), None)
    if server is None:
        raise ConnectionRefusedError(111, "Connection refused")
    try:
        connection = server.accept()
    except TimeoutError:
        kernel.pause(max(0.0, until - kernel.now))
        raise
    made = SimSocket(kernel, connection)
    kernel.owner.sockets.append(made)
    return made


def parsed(data: bytes) -> tuple[list[bytes] | None, bytes]:
    """The first request in it, and what follows; None: it is not whole yet."""
    if b"\r\n" not in data:
        return None, data
    head, _, rest = data.partition(b"\r\n")
    words = []
    for _ in range(int(head[1:])):
        size, sign, rest = rest.partition(b"\r\n")
        length = int(size[1:] or 0) if sign else 0
        if not sign or len(rest) < length + 2:
            return None, data
        words.append(rest[:length])
        rest = rest[length + 2 :]
    return words, rest


def encoded(reply: Any) -> bytes:
    match reply:
        case Refusal():
            return b"-%s\r\n" % str(reply).encode()
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case str():
            return b"+%s\r\n" % reply.encode()
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(reply), reply)
        case _:
            return b"*%d\r\n%s" % (len(reply), b"".join(map(encoded, reply)))
