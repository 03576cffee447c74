"""The heartbeat of a drill: markers written to the primary all the time, to see which of them a promoted replica has."""

from contextlib import suppress
from dataclasses import dataclass

from valkey.exceptions import ValkeyError

from ccr_avn import clock
from ccr_avn.background import Repeated
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.marker import PREFIX

EVERY = 0.05  # seconds between two markers: as fine as the bound is
LIVES = 900.0  # seconds after which one is gone by itself, on both sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a promoted replica had of the markers. ``bound``: seconds before it was seen promoted up to which it had all.

    None: no marker is there, so nothing bounds it.
    """

    sent: int
    newest: int
    bound: float | None


class Heartbeat:
    """One connection to the primary, one small key. A marker counts once the primary has acknowledged it."""

    def __init__(self, primary: Endpoint, run: str) -> None:
        self.key = f"{PREFIX}drill:{run[-6:]}"
        self._primary = primary
        self._moments: list[float] = []  # when each was sent, on the monotonic clock
        self._promoted_at: float | None = None
        self._client = connect(primary, name="ccr-avn:drill-markers")
        self._write()
        self._repeated = Repeated(self._write, lambda: EVERY, "markers")

    def saw_promoted(self) -> None:
        """The replica was just seen to be a primary: from here on nothing arrives any more."""
        self._promoted_at = self._promoted_at or clock.monotonic()

    def received(self, replica: Endpoint) -> Received:
        """What the promoted replica has of it. Raises: Unreachable: it can't be asked."""
        with connect(replica) as client, explained(replica, connected=True):
            value = client.get(self.key)
        sent = len(self._moments)
        if not isinstance(value, bytes) or not value.isdigit() or int(value) > sent:
            return Received(sent=sent, newest=0, bound=None)
        newest = int(value)
        promoted = self._promoted_at or clock.monotonic()
        return Received(sent=sent, newest=newest, bound=max(0.0, promoted - self._moments[newest - 1]))

    def stop(self) -> None:
        self._repeated.stop()
        self._repeated.join(self._primary.timeout + 1)
        with suppress(ValkeyError, OSError):  # it expires by itself
            self._client.delete(self.key)
        self._client.close()

    def _write(self) -> None:
        at = clock.monotonic()
        with explained(self._primary, connected=True):
            if self._client.set(self.key, str(len(self._moments) + 1), px=int(LIVES * 1000)):
                self._moments.append(at)
