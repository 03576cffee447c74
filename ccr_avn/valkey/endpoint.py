"""Where a service answers: its address by each route, the one that is used; and the only door to it: what opens sockets."""

import math
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit, urlunsplit

from valkey.connection import SSLConnection, parse_url

from ccr_avn import clock
from ccr_avn.aiven.models import Service
from ccr_avn.background import Task
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.options import RouteName

Place = tuple[str, int]
"""Host and port."""

SHORTEST_IDLE, LONGEST_ALIVE = 1.0, 2.0
"""Seconds: the shortest idle time-out that a service can have, and the longest pause on a connection that must stay."""

LIMIT = 1.0  # seconds in which an address has to take a connection

AGAIN = 60.0
"""Seconds after which it is tried again where no address took one: a watch may outlive what kept them from it."""

_chosen: dict[frozenset[tuple[str, str]], tuple[str, float]] = {}
"""What was found out, and until when that counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a service answers. ``timeout``: seconds, for connecting and for each reply.

    ``idle_timeout``: seconds after which it ends a connection without commands, 0 for never; None: not known.
    ``closed``: its IP filter is known to allow no client.
    """

    service: str
    uri: str = field(repr=False)  # holds the password
    ca_file: Path | None = None
    timeout: float = 5.0
    idle_timeout: float | None = None
    closed: bool = False

    @property
    def keep_alive(self) -> float:
        """Seconds between two commands on a connection that must stay: hundreds may have to, for minutes."""
        idle = SHORTEST_IDLE if self.idle_timeout is None else self.idle_timeout
        return min(LONGEST_ALIVE, 0.4 * idle) if idle else LONGEST_ALIVE

    @property
    def place(self) -> Place:
        return _place(self.uri)

    @property
    def address(self) -> str:
        """``host:port``, without secrets."""
        host, port = self.place
        return f"[{host}]:{port}" if ":" in host else f"{host or '?'}:{port}"

    @property
    def tls(self) -> bool:
        return _parsed(self.uri).get("connection_class") is SSLConnection


def _parsed(uri: str) -> dict[str, Any]:
    """As valkey-py has it; empty: the URI can't be used."""
    try:
        found: dict[str, Any] = parse_url(uri)
        return found if found.get("host", "").encode("idna") else {}
    except ValueError:  # its port is no number, say
        return {}


def _place(uri: str) -> Place:
    found = _parsed(uri)
    return found.get("host", ""), found.get("port", 6379)


def settings(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as keyword arguments of a valkey-py connection. Raises: Unreachable: its address can't be used."""
    found = _parsed(endpoint.uri)
    if not found:
        raise Unreachable(
            f"the address of {endpoint.service} can't be used",
            detail="it is not SCHEME://USER:PASSWORD@HOST:PORT, or its scheme is none of rediss, valkeys, redis, valkey",
            hint=f"inspect it: avn service get {endpoint.service} --format '{{service_uri_params}}'",
            passing=False,
        )
    host, port = endpoint.place
    return {"host": host, "port": port, "username": found.get("username"), "password": found.get("password")}


def addresses(service: Service) -> dict[str, str]:
    """The URI of each route that the service has. They hold the password."""
    uri = service.uri.get_secret_value() if service.uri else ""
    if not uri:
        return {}
    if not _parsed(uri):
        return {"dynamic": uri}  # whoever connects says that it can't be used
    found = {
        one.route: at(uri, one.host, one.port)
        for one in reversed(service.components)  # the first of a route counts, as in avn
        if one.component == service.type and one.usage == "primary" and one.route in get_args(RouteName)
    }
    return {**found, "dynamic": uri}


def at(uri: str, host: str, port: int) -> str:
    """The same URI at another address."""
    parts = urlsplit(uri)
    user, sign, _ = parts.netloc.rpartition("@")
    where = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{user}{sign}{where}:{port}"))


def best_address(known: Mapping[str, str]) -> str:
    """The URI to use: the public one if the dynamic one takes no connection and it does."""
    dynamic, public = known["dynamic"], known.get("public")
    if public is None or _place(dynamic) == _place(public):
        return dynamic
    key = frozenset(known.items())
    if key not in _chosen or _chosen[key][1] < clock.monotonic():
        first = _first_that_answers((dynamic, public))
        _chosen[key] = (first, math.inf) if first else (dynamic, clock.monotonic() + AGAIN)
    return _chosen[key][0]


def _first_that_answers(uris: tuple[str, ...]) -> str | None:
    """All are tried side by side; the earlier one wins. A name lookup that hangs delays no one."""
    until = clock.monotonic() + LIMIT

    def answers(uri: str) -> bool:
        with suppress(OSError, ValueError), dial(_place(uri), until):
            return True
        return False

    tasks = [(uri, Task(partial(answers, uri), "route")) for uri in uris]
    return next((uri for uri, one in tasks if one.ended(max(0.0, until - clock.monotonic())) and one.result()), None)


# -- the door: each socket is opened within one deadline; a name is looked up once, and again when its addresses fail

FRESH = 30.0  # seconds for which addresses that fail are not looked up again


@dataclass(frozen=True, slots=True)
class _Known:
    addresses: tuple[Any, ...]  # as getaddrinfo gives them, the one that answered last in front
    at: float


_known: dict[Place, _Known] = {}
_looking: dict[Place, "Task[_Known]"] = {}
_lock = threading.Lock()


def dial(place: Place, until: float, context: ssl.SSLContext | None = None) -> socket.socket:
    """A connection to any one of the host's addresses, with TLS if there is a ``context``; all of it by ``until``.

    ``until``: on the monotonic clock. A look-up that takes long delays only the first who needs it.

    Raises: OSError: none of them answers, or the name does not resolve.
    """
    return _open(place, until, context)


def _dialled(place: Place, until: float, context: ssl.SSLContext | None) -> socket.socket:
    known = _known.get(place)
    if known is None:
        return _any_of(_answer(_look_up(place), place, until), place, until, context)
    try:
        return _any_of(known, place, until, context)
    except OSError:
        if clock.monotonic() - known.at < FRESH:
            raise
        look = _look_up(place)  # also where no time is left for its answer: the next one has it
        remaining(until)
        found = _answer(look, place, until)
        if set(found.addresses) == set(known.addresses):
            raise
        return _any_of(found, place, until, context)


_open = _dialled
"""The door to the network. A simulated world puts its own behind it."""


def remaining(until: float) -> float:
    """Seconds. Raises: TimeoutError: there are none."""
    left = until - clock.monotonic()
    if left <= 0:
        raise TimeoutError("no time left")
    return left


def _any_of(known: _Known, place: Place, until: float, context: ssl.SSLContext | None) -> socket.socket:
    """The first that answers; one that is silent leaves time for the others."""
    failure: OSError = OSError("no address")
    for number, address in enumerate(known.addresses):
        left = len(known.addresses) - number
        try:
            made = _connected(address, place[0], clock.monotonic() + remaining(until) / left, context)
        except OSError as error:
            failure = error
        else:
            if number:
                _known[place] = _Known((address, *(one for one in known.addresses if one != address)), known.at)
            return made
    raise failure


def _connected(address: Any, host: str, until: float, context: ssl.SSLContext | None) -> socket.socket:
    family, kind, protocol, _, where = address
    raw = socket.socket(family, kind, protocol)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(remaining(until))
        raw.connect(where)
        raw.settimeout(remaining(until))
        return context.wrap_socket(raw, server_hostname=host) if context else raw
    except BaseException:
        raw.close()
        raise


def _answer(look: "Task[_Known] | None", place: Place, until: float) -> _Known:
    if look is None:
        return _resolved(place)
    if not look.ended(max(0.0, until - clock.monotonic())):
        raise socket.gaierror(socket.EAI_AGAIN, "looking up its name takes too long")
    return look.result()


def _look_up(place: Place) -> "Task[_Known] | None":
    """One look-up of a name at a time, by a thread of its own: it has no time limit. None: no thread can be started."""
    with _lock, suppress(Refused):
        if place not in _looking:
            _looking[place] = Task(partial(_resolved, place), "look-up")
        return _looking[place]
    return None


def _resolved(place: Place) -> _Known:
    try:
        addresses = tuple(socket.getaddrinfo(*place, type=socket.SOCK_STREAM))
        known = _known[place] = _Known(addresses, clock.monotonic())
        return known
    finally:
        with _lock:  # not before it is noted
            _looking.pop(place, None)
