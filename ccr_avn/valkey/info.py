"""Reads INFO of one service as cheaply as possible: a connection, AUTH and INFO. Also of hundreds at once, many times."""

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Self

from valkey import exceptions

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.connect import Endpoint, authority, explained, settings
from ccr_avn.valkey.diagnose import unreadable_ca
from ccr_avn.valkey.replication import QUESTION, Link, ReplicationInfo, errors_in, parse_replication

MOST = 1024 * 1024
"""Bytes that an answer to INFO may have."""

STEPS = 4
"""Connecting, TLS, AUTH and INFO may each take the time limit of the endpoint, and no longer together."""


def fetch_replication(
    endpoint: Endpoint, *, until: float = math.inf, hold: Callable[[], None] = lambda: None
) -> ReplicationInfo:
    """What INFO says of one side, on a connection of its own.

    Over, one way or the other, at the monotonic time ``until``, however slowly it answers. ``hold`` is called when the
    connection stands, just before the question is asked.

    Raises:
        Unreachable: it can't be asked, or not in time; or the answer lacks what is needed.
    """
    connected = False
    try:
        with _Line(endpoint, min(until, time.monotonic() + STEPS * endpoint.timeout)) as line:
            line.log_in()
            connected = True
            hold()
            answer = line.ask(*(word.encode() for word in QUESTION))
            side = parse_replication(answer, endpoint.service)
            if side.rejected:
                with suppress(Exception):  # too long, or refused: it only explains
                    side = replace(side, errors=errors_in(line.ask(b"INFO", b"errorstats")))
            return side
    except Unreachable:
        raise
    except Exception as error:
        with explained(endpoint, connected=connected):
            raise error from None


def fetch_link(primary: Endpoint, replica: Endpoint) -> Link:
    """Both sides, the replica first: what the primary writes in between counts as lag.

    Raises:
        Unreachable: one side can't be asked.
    """
    replica_side = fetch_replication(replica)
    return Link(primary=fetch_replication(primary), replica=replica_side)


def tls_context(authority: str | None) -> ssl.SSLContext:
    """The system's roots, and the given CA.

    Raises:
        OSError: it is no certificate.
    """
    with _making:  # else every thread of the first moment would make its own, each for 25 ms
        return _tls_context(authority)


_making = threading.Lock()


@lru_cache(maxsize=8)
def _tls_context(authority: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(cadata=authority)
    return context


class _Line:
    """A connection that speaks just enough of the protocol, with one deadline for all of it."""

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        self._wanted = settings(endpoint)
        self._until = until
        self._timeout = endpoint.timeout
        self._left = b""
        self._socket = socket.create_connection((self._wanted["host"], self._wanted["port"]), timeout=self._remaining())
        if endpoint.tls:
            self._encrypt(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def log_in(self) -> None:
        name, password = self._wanted["username"], self._wanted["password"]
        if password:
            self.ask(b"AUTH", *([name.encode()] if name else []), password.encode())

    def ask(self, *words: bytes) -> bytes:
        """Raises: what valkey-py raises for the same refusal."""
        self._socket.settimeout(self._remaining())
        self._socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        head = self._line()
        if head.startswith(b"-"):
            raise _refusal(head[1:].decode(errors="replace"))
        if not head.startswith(b"$"):
            return head
        size = int(head[1:])
        if not 0 <= size <= MOST:
            raise ConnectionError(f"an answer of {size} bytes")
        return self._bytes(size + 2)[:-2]

    def _encrypt(self, endpoint: Endpoint) -> None:
        try:
            try:
                context = tls_context(authority(endpoint))
            except (OSError, ValueError) as error:
                raise unreadable_ca(endpoint, error) from None
            self._socket = context.wrap_socket(self._socket, server_hostname=self._wanted["host"])
        except BaseException:
            self._socket.close()
            raise

    def _line(self) -> bytes:
        while b"\r\n" not in self._left:
            self._more()
        line, self._left = self._left.split(b"\r\n", 1)
        return line

    def _bytes(self, size: int) -> bytes:
        while len(self._left) < size:
            self._more()
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def _more(self) -> None:
        self._socket.settimeout(self._remaining())
        got = self._socket.recv(65536)
        if not got or len(self._left) > 2 * MOST:
            raise ConnectionError("the connection was closed before the answer was complete")
        self._left += got

    def _remaining(self) -> float:
        remaining = self._until - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("no time left")
        return min(remaining, self._timeout)


def _refusal(text: str) -> Exception:
    if text.startswith("ERR max number of clients"):
        return exceptions.ConnectionError(text)
    code = text.split(" ", 1)[0]
    kinds: dict[str, type[Exception]] = {
        "WRONGPASS": exceptions.AuthenticationError,
        "NOAUTH": exceptions.AuthenticationError,
        "NOPERM": exceptions.NoPermissionError,
    }
    return kinds.get(code, exceptions.ResponseError)(text)
