"""Opens sockets, each within one deadline. A name is looked up once, and again when its addresses fail later on."""

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ccr_avn import clock
from ccr_avn.background import Task
from ccr_avn.errors import Refused

Place = tuple[str, int]
"""Host and port."""

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
