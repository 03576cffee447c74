"""Applications: clients that write at full speed and remember what was acknowledged, whenever that was."""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self
from urllib.parse import urlsplit

import valkey

from tests.support.wait import until


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
            with contextlib.suppress(OSError, valkey.ValkeyError):
                self._write_on_one_connection()
            self.stopping.wait(0.01)

    def _write_on_one_connection(self) -> None:
        connection = self._connection()
        connection.connect()
        self.connections += 1
        try:
            if self.subscribes:
                connection.send_command("SUBSCRIBE", "news")
                connection.read_response(push_request=True)
            while not self.stopping.is_set() and self._writes(connection):
                self.stopping.wait(self.pause)
        finally:
            connection.disconnect()

    def _connection(self) -> Any:
        parts = urlsplit(self.uri)
        more: dict[str, Any] = {"socket_connect_timeout": 1, "socket_timeout": 30, "protocol": 3}
        more |= {"username": "default", "password": parts.password, "lib_name": None, "lib_version": None}
        if self.ca_file is None:
            return valkey.Connection(parts.hostname, parts.port, **more)
        return valkey.SSLConnection(host=parts.hostname, port=parts.port, ssl_ca_certs=self.ca_file, **more)

    def _writes(self, connection: Any) -> bool:
        """Whether it was acknowledged. While a fence holds it back an answer may still come, and counts."""
        key = f"w{self.number}:{len(self.acknowledged)}:{time.monotonic_ns()}"
        script = ("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", 1, key, "x")
        connection.send_command(*(script if self.number % 4 == 1 else ("SET", key, "x")))
        while not connection.can_read(timeout=0.2):
            if self.stopping.is_set():
                return False
        acknowledged = bool(connection.read_response() == b"OK")
        if acknowledged:
            self.acknowledged.append((key, time.monotonic()))
        return acknowledged


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
        until(lambda: all(len(writer.acknowledged) > 20 for writer in self.writers), "the writers to begin")
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
