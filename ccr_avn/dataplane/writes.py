"""Does a service accept writes; is it shut to its clients."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.connect import Endpoint, connect, explained
from ccr_avn.dataplane.marker import PREFIX, TTL
from ccr_avn.dataplane.trouble import Answered
from ccr_avn.errors import TimedOut, Unreachable

if TYPE_CHECKING:
    import valkey

NOT_YET = ("READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS")
"""How a server that is being promoted refuses a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """``at``: on the clock, when the first write was acknowledged; ``waited_ms``: milliseconds since asking began."""

    at: float
    waited_ms: float
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """Whether a service is closed to clients: a new one is refused, and one kept from before was cut."""

    new_refused: bool
    kept_cut: bool

    @property
    def closed(self) -> bool:
        return self.new_refused and self.kept_cut

    def __str__(self) -> str:
        if self.closed:
            return "new connections are refused, and the one from before was cut"
        return "a connection from before is still there" if self.new_refused else "new connections are let in"


class Kept:
    """A connection that is kept to see when the service cuts it. It only ever asks for its own number."""

    def __init__(self, endpoint: Endpoint, *, timeout: float = 2.0) -> None:
        self._client = connect(endpoint, name="ccr-avn:kept", timeout=timeout)
        with explained(endpoint, connected=True):
            self._number: Any = self._client.client_id()

    def was_cut(self) -> bool:
        """A new number means that it was cut and made again. Silence is no cut: a frozen server may yet answer."""
        from valkey.exceptions import TimeoutError as NoAnswer
        from valkey.exceptions import ValkeyError

        try:
            return bool(self._client.client_id() != self._number)
        except NoAnswer:
            return False
        except (ValkeyError, OSError):
            return True

    def close(self) -> None:
        with suppress(Exception):
            self._client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there


def accepts_writes(
    endpoint: Endpoint,
    *,
    timeout: float,
    each: float = 2.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Accepted:
    """Ask, as tightly as is decent, until a write is acknowledged and read back; in seconds: all of it, and each try.

    The connection is kept between tries and made again when the server drops it, as it may while it is promoted.

    Raises:
        TimedOut: it answers, and is no primary that accepts writes.
        Unreachable: it can't be asked, and that did not or will not mend itself.
    """
    began = clock()
    tries, pause = 0, 0.001
    client: valkey.Valkey | None = None
    try:
        while True:
            tries += 1
            trouble: Unreachable | None = None
            try:
                client = client or connect(endpoint, name="ccr-avn:accepts-writes", timeout=each)
                if _writes(client, endpoint):
                    at = clock()
                    return Accepted(at=at, waited_ms=(at - began) * 1000, tries=tries)
            except Unreachable as error:
                trouble = error
                if not error.passing:
                    raise
            if clock() - began >= timeout:
                raise trouble or _never(endpoint.service, timeout)
            sleep(pause)
            pause = min(pause * 1.3, 0.05)
    finally:
        if client:
            with suppress(Exception):
                client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there


def accepts_write(endpoint: Endpoint, *, timeout: float = 2.0) -> bool:
    """Whether a primary is there that takes a key and gives it back just now; it expires by itself. Seconds.

    Raises:
        Unreachable: it can't be asked at all.
    """
    with connect(endpoint, name="ccr-avn:accepts-writes", timeout=timeout) as client:
        return _writes(client, endpoint)


def closed_to_clients(endpoint: Endpoint, kept: Kept, *, timeout: float = 2.0) -> Shut:
    """Look once: is a new connection refused, and was the kept one cut? ``timeout``: seconds for the new one."""
    return Shut(new_refused=not lets_clients_in(endpoint, timeout=timeout), kept_cut=kept.was_cut())


def lets_clients_in(endpoint: Endpoint, *, timeout: float = 2.0) -> bool:
    """Whether a new connection gets an answer just now, be it that the password is wrong. ``timeout``: seconds."""
    try:
        connect(endpoint, name="ccr-avn:look", timeout=timeout).close()  # type: ignore[no-untyped-call]  # valkey-py
    except Answered:
        return True
    except Unreachable:
        return False
    return True


def _writes(client: "valkey.Valkey", endpoint: Endpoint) -> bool:
    """One round trip: a replica that is writable takes keys as well, so the role is asked too."""
    from valkey.exceptions import ValkeyError

    key, value = f"{PREFIX}{secrets.token_hex(8)}", secrets.token_hex(8)
    asked: Any = client.pipeline(transaction=False)
    with explained(endpoint, connected=True):
        asked.set(key, value, px=int(TTL * 1000))
        asked.get(key)
        asked.info("replication")
        asked.delete(key)  # where that fails it expires by itself
        written, read, told, _ = asked.execute(raise_on_error=False)
        for answer in (written, read, told):
            if isinstance(answer, ValkeyError):
                if _not_yet(answer):
                    return False
                raise answer
    return bool(read == value.encode() and told["role"] == "master")


def _not_yet(refusal: Exception) -> bool:
    from valkey.exceptions import BusyLoadingError, ReadOnlyError

    return isinstance(refusal, (ReadOnlyError, BusyLoadingError)) or str(refusal).startswith(NOT_YET)


def _never(service: str, timeout: float) -> TimedOut:
    return TimedOut(
        f"{service} does not accept writes",
        detail=f"it is read-only, or no primary, still after {timeout:g} s",
        hint=f"see whether it still follows another: avn service integration-list {service}",
    )
