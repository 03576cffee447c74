"""Writes markers to a primary continuously, to bound later how much a replica had received."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.marker import PREFIX

EVERY = 0.05
"""Seconds between two markers: as fine as the bound is."""

LIVES = 900.0
"""Seconds after which one is gone by itself, on both sides."""


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
        self._ended = threading.Event()
        self._client = connect(primary, name="ccr-avn:drill-markers")
        self._write()
        self._thread = threading.Thread(target=self._go_on, name="markers", daemon=True)
        self._thread.start()

    def saw_promoted(self) -> None:
        """The replica was just seen to be a primary: from here on nothing arrives any more."""
        self._promoted_at = self._promoted_at or time.monotonic()

    def received(self, replica: Endpoint) -> Received:
        """What the promoted replica has of it.

        Raises:
            Unreachable: it can't be asked.
        """
        with connect(replica) as client, explained(replica, connected=True):
            value = client.get(self.key)
        sent = len(self._moments)
        if not isinstance(value, bytes) or not value.isdigit() or int(value) > sent:
            return Received(sent=sent, newest=0, bound=None)
        newest = int(value)
        promoted = self._promoted_at or time.monotonic()
        return Received(sent=sent, newest=newest, bound=max(0.0, promoted - self._moments[newest - 1]))

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(self._primary.timeout + 1)
        with suppress(Exception):  # it expires by itself
            self._client.delete(self.key)
        with suppress(Exception):
            self._client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def _go_on(self) -> None:
        while not self._ended.wait(EVERY):
            with suppress(Exception):  # a marker that is not acknowledged is none
                self._write()

    def _write(self) -> None:
        at = time.monotonic()
        with explained(self._primary, connected=True):
            self._client.set(self.key, str(len(self._moments) + 1), px=int(LIVES * 1000))
        self._moments.append(at)
