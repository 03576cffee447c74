"""Chooses the address of a service: the dynamic route, or the public one where only that answers."""

import math
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

from ccr_avn.aiven.models import Service
from ccr_avn.valkey.dial import dial

ROUTES = ("dynamic", "public", "privatelink")
"""As avn's `connection-info` names them. The dynamic one is that of the service_uri: inside a VPC it is private."""

LIMIT = 1.0
"""Seconds in which an address has to take a connection."""

AGAIN = 60.0
"""Seconds after which it is tried again where no address took one: a watch may outlive what kept them from it."""

_chosen: dict[frozenset[tuple[str, str]], tuple[str, float]] = {}
"""What was found out, and until when that counts."""


def addresses(service: Service) -> dict[str, str]:
    """The URI of each route that the service has. They hold the password."""
    uri = service.uri.get_secret_value() if service.uri else ""
    if not uri:
        return {}
    try:
        urlsplit(uri).port  # noqa: B018 (what is no address is left to who connects: it says so)
    except ValueError:
        return {"dynamic": uri}
    found = {
        one.route: at(uri, one.host, one.port)
        for one in reversed(service.components)  # the first of a route counts, as in avn
        if one.component == service.type and one.usage == "primary" and one.route in ROUTES
    }
    return {**found, "dynamic": uri}


def at(uri: str, host: str, port: int) -> str:
    """The same URI at another address."""
    parts = urlsplit(uri)
    user, sign, _ = parts.netloc.rpartition("@")
    where = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{user}{sign}{where}:{port}"))


def best(known: Mapping[str, str], *, limit: float = LIMIT) -> str:
    """The URI to use: the public one if the dynamic one takes no connection and it does. ``limit``: seconds."""
    dynamic, public = known["dynamic"], known.get("public")
    if public is None or _place(dynamic) == _place(public):
        return dynamic
    key = frozenset(known.items())
    if key not in _chosen or _chosen[key][1] < time.monotonic():
        first = _first_that_answers((dynamic, public), limit)
        _chosen[key] = (first, math.inf) if first else (dynamic, time.monotonic() + AGAIN)
    return _chosen[key][0]


def _first_that_answers(uris: tuple[str, ...], limit: float) -> str | None:
    """All are tried side by side; the earlier one wins. A name lookup that hangs delays no one."""
    until = time.monotonic() + limit
    taken: set[str] = set()

    def attempt(uri: str) -> None:
        with suppress(OSError, ValueError), dial(_place(uri), until):
            taken.add(uri)

    threads = [threading.Thread(target=attempt, args=(uri,), daemon=True) for uri in uris]
    for thread in threads:
        thread.start()
    for uri, thread in zip(uris, threads, strict=True):
        thread.join(max(0.0, until - time.monotonic()))
        if uri in taken:
            return uri
    return None


def _place(uri: str) -> tuple[str, int]:
    parts = urlsplit(uri)
    return parts.hostname or "", parts.port or 6379
