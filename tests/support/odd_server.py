"""A server on a free port that speaks the protocol as a test says: with answers of the wrong kind, a byte at a time, or none."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import libvalkey

from ccr_avn.valkey.connect import Endpoint

INFO = {
    "role": "master",
    "run_id": "a" * 40,
    "redis_version": "9.1.0",
    "master_replid": "b" * 40,
    "master_replid2": "0" * 40,
    "master_repl_offset": "100",
    "second_repl_offset": "-1",
    "connected_slaves": "1",
    "used_memory": "1000",
    "rdb_changes_since_last_save": "5",
    "rdb_last_save_time": "1700000000",
    "db1": "keys=3",
}


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


USUAL = {
    "INFO": bulk("".join(f"{name}:{value}\r\n" for name, value in INFO.items())),
    "CLIENT ID": b":7\r\n",
    "CLIENT LIST": bulk("id=7 addr=1.2.3.4:5 name=app user=default flags=N cmd=get\n"),
    "CLIENT KILL": b":1\r\n",
    "TIME": b"*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n",
    "FUNCTION LIST": b"*1\r\n*4\r\n" + bulk("library_name") + bulk("l") + bulk("library_code") + bulk("c"),
    "DEL": b":1\r\n",
    "PING": b"+PONG\r\n",
}
"""What a primary answers; +OK where nothing stands here. GET gives what was SET last."""


@dataclass(slots=True)
class OddServer:
    """``odd``: what is sent for a command instead, b"" for nothing; ``pause``: seconds before each byte."""

    odd: dict[str, bytes] = field(default_factory=dict)
    pause: float = 0.0
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    value: bytes = b"$-1\r\n"

    @property
    def limit(self) -> float:
        """Seconds for an answer: few only where none comes in time, so that a busy machine is not taken for silence."""
        return 0.2 if self.pause or b"" in self.odd.values() else 60.0

    def endpoint(self, **other: Any) -> Endpoint:
        uri = f"redis://default:pw@127.0.0.1:{self.port}"
        return Endpoint(service="eu", uri=uri, **{"timeout": self.limit, **other})

    def answer(self, words: list[bytes]) -> bytes:
        """One for each command, also within a transaction."""
        first, *rest = (word.decode().upper() for word in words)
        name = f"{first} {rest[0]}" if first in ("CLIENT", "FUNCTION") else first
        self.asked.append(name)
        if first == "SET":
            self.value = bulk(words[2].decode())
        return self.odd.get(name, self.value if first == "GET" else USUAL.get(name, b"+OK\r\n"))

    def serve(self, client: socket.socket) -> None:
        reader = libvalkey.Reader(notEnoughData=StopIteration)
        queued: list[bytes] | None = None
        with client, suppress(OSError):
            while got := client.recv(65536):
                reader.feed(got)
                while (words := reader.gets()) is not StopIteration:
                    text = self.answer(words)
                    if words[0] == b"MULTI":
                        queued = []
                    elif words[0] == b"EXEC" and queued is not None and "EXEC" not in self.odd:
                        text, queued = b"*%d\r\n" % len(queued) + b"".join(queued), None
                    elif queued is not None:
                        queued.append(text)
                        text = b"+QUEUED\r\n"
                    self.send(client, text)

    def send(self, client: socket.socket, text: bytes) -> None:
        for byte in (bytes((one,)) for one in text) if self.pause else (text,):
            if self.pause and self.over.wait(self.pause):
                return
            client.sendall(byte)


@contextmanager
def odd_server(**other: Any) -> Iterator[OddServer]:
    made = OddServer(**other)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.settimeout(60)
                started(partial(made.serve, client))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.port = listener.getsockname()[1]
        accepting = started(lambda: accept(listener))
        try:
            yield made
        finally:
            made.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(60)


def started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
