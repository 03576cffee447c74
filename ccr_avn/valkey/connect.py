"""Connects to a service and waits until its server answers: one deadline for each exchange, from its first byte to its last."""

import math
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import valkey
from valkey._parsers import _LibvalkeyParser
from valkey.backoff import NoBackoff
from valkey.client import Pipeline
from valkey.exceptions import InvalidResponse, NoPermissionError, ValkeyError
from valkey.retry import Retry

from ccr_avn import clock
from ccr_avn.errors import Unreachable
from ccr_avn.valkey.diagnose import UNUSABLE, Admission, admission_after, explain, unreadable_ca
from ccr_avn.valkey.endpoint import Endpoint, dial, remaining, settings

__all__ = ["Client", "Endpoint", "TimedConnection", "admission", "connect", "explained"]


class _ClosedByHand:
    """Whoever makes one closes it: a signal that arrived in valkey-py's own ``__del__`` would be lost."""

    __del__ = int


class _Parser(_ClosedByHand, _LibvalkeyParser):
    """Gives up at ``until``, on the monotonic clock, however slowly it is fed."""

    until = math.inf

    def read_from_socket(self, *asked: Any, **other: Any) -> Any:
        if not asked and not other:
            self._sock.settimeout(remaining(self.until))
        return super().read_from_socket(*asked, **other)  # type: ignore[no-untyped-call]  # valkey-py has no annotation there


class TimedConnection(_ClosedByHand, valkey.Connection):
    """One connection. ``limit``: seconds for a command with its replies, and with connecting where it is made for that;
    ``until``: on the monotonic clock, for all of them."""

    def __init__(self, *, endpoint: Endpoint, limit: float = math.inf, until: float = math.inf, **more: Any) -> None:
        self._endpoint, self._limit, self._until = endpoint, limit, until
        self._greeting = self._new = False  # it is being made; nothing but the greeting has been sent
        more |= {"socket_timeout": endpoint.timeout, "lib_name": None, "lib_version": None, "parser_class": _Parser}
        super().__init__(**settings(endpoint), **more)  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def connect(self) -> None:
        if self._sock is None:
            self._greeting = self._new = True
            self._begin()
            super().connect()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there
            self._greeting = False

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self.connect()
        if not self._greeting:
            if not self._new:
                self._begin()
            self._new = False
            if self._sock:
                self._sock.settimeout(remaining(self._parser.until))
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def _begin(self) -> None:
        self._parser.until = min(self._until, clock.monotonic() + self._limit)

    def _connect(self) -> Any:
        context = _tls_context(self._endpoint) if self._endpoint.tls else None
        return dial((self.host, self.port), self._parser.until, context)


class _Strict(_ClosedByHand):
    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[misc]  # of whom it is mixed into
        except UNUSABLE as odd:
            connection.disconnect()  # one reply too few, and all that follow would answer something else
            raise InvalidResponse(f"{command_name} got an unexpected answer: {odd!r}") from None


class _Pipeline(_Strict, Pipeline):
    """As valkey-py's."""


class Client(_Strict, valkey.Valkey):
    """valkey-py's, with a :class:`TimedConnection` of its own."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        made: Any = _Pipeline
        return made(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def connect(endpoint: Endpoint, *, name: str = "ccr-avn", timeout: float | None = None) -> Client:
    """One connection of its own, proven by INFO; no command is ever repeated behind the caller's back.

    A server that still loads, or that lost its primary and must not serve stale data, refuses PING and answers INFO.

    A connection that was cut is made again, with the same name, for the *next* command only.

    Raises: Unreachable: with what it looks like, and what to do.
    """
    pool = valkey.ConnectionPool(
        connection_class=TimedConnection,
        max_connections=1,
        endpoint=endpoint,
        limit=timeout or endpoint.timeout,
        client_name=name,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    )
    client = Client(connection_pool=pool)
    client.auto_close_connection_pool = True
    client.set_response_callback("INFO", lambda answer, **_: answer)  # replication.py has rules of its own for it
    try:
        with explained(endpoint), suppress(NoPermissionError):  # a user who may not ask is in
            client.execute_command("INFO", "server")
    except BaseException:
        client.close()
        raise
    return client


def admission(endpoint: Endpoint) -> Admission:
    """Whether a new connection is accepted just now, even if its password is then refused."""
    try:
        connect(endpoint, name="ccr-avn:look", timeout=2.0).close()
    except Unreachable as trouble:
        return admission_after(trouble, shut=endpoint.closed)
    return Admission(state="open", why="new connections are accepted")


@contextmanager
def explained(endpoint: Endpoint, *, connected: bool = False) -> Iterator[None]:
    """Turn the client's errors into one that says which of the usual causes it looks like.

    ``connected``: it had answered before, so that who may connect is not the question.
    """
    try:
        yield
    except (ValkeyError, OSError, *UNUSABLE) as error:
        raise explain(endpoint, error, connected=connected) from None


def _tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Certificate and host name are always checked. The given CA is trusted *besides* the system's: which of the two
    signed a service depends on when it was created.

    Raises: Unreachable: the CA's file can't be read, or holds no certificate.
    """
    try:
        given = endpoint.ca_file.read_bytes() if endpoint.ca_file else b""
        found = re.findall(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----", given)
        if endpoint.ca_file and not found:
            raise ValueError("it holds no certificate in PEM form")
        with _making:  # else every thread of the first moment would make its own, each for 25 ms
            return _context_with(b"\n".join(found).decode("ascii"))
    except (OSError, ValueError) as error:
        raise unreadable_ca(endpoint, error) from None


_making = threading.Lock()


@lru_cache(maxsize=8)
def _context_with(authority: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(cadata=authority)
    return context
