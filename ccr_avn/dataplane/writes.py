"""Does a service accept writes; is it shut to its clients."""

import secrets
from contextlib import suppress

from ccr_avn.dataplane.connect import Endpoint, connect, explained
from ccr_avn.dataplane.marker import PREFIX, TTL
from ccr_avn.errors import Unreachable


def accepts_write(endpoint: Endpoint, *, timeout: float = 2.0) -> bool:
    """Whether a key can be written and read back just now; it expires by itself. ``timeout``: seconds.

    Raises:
        Unreachable: it can't be asked at all.
    """
    from valkey.exceptions import ReadOnlyError, ResponseError

    key, value = f"{PREFIX}{secrets.token_hex(8)}", secrets.token_hex(8)
    with connect(endpoint, name="ccr-avn:accepts-writes", timeout=timeout) as client, explained(endpoint):
        try:
            client.set(key, value, px=int(TTL * 1000))
        except ReadOnlyError:
            return False
        except ResponseError as refusal:
            if str(refusal).startswith(("MASTERDOWN", "LOADING", "NOREPLICAS")):
                return False
            raise
        arrived = client.get(key) == value.encode()
        with suppress(Exception):  # it expires by itself
            client.delete(key)
        return bool(arrived)


def lets_clients_in(endpoint: Endpoint, *, timeout: float = 2.0) -> bool:
    """Whether a new connection gets an answer just now. ``timeout``: seconds."""
    try:
        connect(endpoint, name="ccr-avn:look", timeout=timeout).close()  # type: ignore[no-untyped-call]  # valkey-py
    except Unreachable:
        return False
    return True
