"""Applications: clients that write at full speed and remember what was acknowledged, whenever that was."""

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self
from urllib.parse import urlsplit

import libvalkey


def packed(*words: str | int) -> bytes:
    parts = [str(word).encode() for word in words]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)])


@dataclass(slots=True)
class Writer:
    """One connection, one command under way at a time; reconnects for as long as it is told to go on."""

    number: int
    uri: str
    subscribes: bool = False
    ca_file: str | None = None
    pause: float = 0.0
    connections: int = 0  # how many it had: more than one says that it was cut
    acknowledged: list[tuple[str, float]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stopping.is_set():
            with contextlib.suppress(OSError, libvalkey.LibvalkeyError):
                self._write_on_one_connection()
            self.stopping.wait(0.01)

    def _write_on_one_connection(self) -> None:
        parts = urlsplit(self.uri)
        with self._connected(parts.hostname or "", parts.port or 0) as connection:
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(0.2)
            reader = libvalkey.Reader()
            self._ask(connection, reader, packed("HELLO", 3, "AUTH", "default", parts.password or ""))
            if self.subscribes:
                connection.sendall(packed("SUBSCRIBE", "news"))
            while not self.stopping.is_set():
                key = f"w{self.number}:{len(self.acknowledged)}:{time.monotonic_ns()}"
                if self._ask(connection, reader, self._command(key)) in (b"OK", "OK"):
                    self.acknowledged.append((key, time.monotonic()))
                    if self.pause:
                        self.stopping.wait(self.pause)
                else:
                    return

    def _connected(self, host: str, port: int) -> socket.socket:
        connection = socket.create_connection((host, port), timeout=1)
        if self.ca_file is None:
            return connection
        return ssl.create_default_context(cafile=self.ca_file).wrap_socket(connection, server_hostname=host)

    def _command(self, key: str) -> bytes:
        if self.number % 4 == 1:
            return packed("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", 1, key, "x")
        return packed("SET", key, "x")

    def _ask(self, connection: socket.socket, reader: libvalkey.Reader, command: bytes) -> object:
        connection.sendall(command)
        while True:
            answer = reader.gets()
            if answer is False:
                try:
                    received = connection.recv(65536)
                except TimeoutError:
                    if self.stopping.is_set():
                        return None
                    continue  # the fence holds it back: an answer may still come, and counts
                if not received:
                    raise ConnectionError
                reader.feed(received)
            elif isinstance(answer, libvalkey.ReplyError):
                raise answer
            elif isinstance(answer, list):  # a push: what it subscribed to
                continue
            else:
                return answer


class Load:
    """Four writers: plain ones, one of scripts, one that also subscribes on its connection.

    ``pause``: seconds between two writes of one of them; 0 takes a whole core.
    """

    def __init__(self, uri: str, ca_file: str | None = None, *, pause: float = 0.001) -> None:
        self.writers = [
            Writer(number, uri, subscribes=number == 3, ca_file=ca_file, pause=pause) for number in range(4)
        ]
        self._moments: dict[str, float] = {}
        self._threads = [threading.Thread(target=writer.run, daemon=True) for writer in self.writers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        until = time.monotonic() + 10
        while not all(len(writer.acknowledged) > 20 for writer in self.writers):
            assert time.monotonic() < until, "the writers did not begin"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.stopping.set()
        for thread in self._threads:
            thread.join(10)

    @property
    def acknowledged(self) -> list[str]:
        return [key for writer in self.writers for key, _ in writer.acknowledged]

    def moment(self, key: str) -> float:
        """When it was acknowledged."""
        if len(self._moments) != sum(len(writer.acknowledged) for writer in self.writers):
            self._moments = {key: moment for writer in self.writers for key, moment in writer.acknowledged}
        return self._moments[key]

    def silence(self) -> tuple[float, float]:
        """From when to when nobody was acknowledged anything, the longest time of all: the fence."""
        moments = sorted(moment for writer in self.writers for _, moment in writer.acknowledged)
        return max(pairwise(moments), key=lambda pair: pair[1] - pair[0])
