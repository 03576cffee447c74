"""A persistent connection to one side: reconnects at once after a late answer, with a pause after a failed connect."""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.connect import Endpoint, connect, explained

if TYPE_CHECKING:
    import valkey

T = TypeVar("T")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect."""


class WatchedSide:
    """``trouble``: why it can't be asked just now, else empty. The endpoint's timeout limits each answer."""

    def __init__(self, endpoint: Endpoint, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.endpoint = endpoint
        self.trouble = ""
        self._clock = clock
        self._client: valkey.Valkey | None = None
        self._pause = FIRST_PAUSE
        self._not_before = 0.0

    def ready(self) -> bool:
        """Connect if need be, so that what is timed afterwards is the answer alone."""
        return self.ask(lambda _: True) is not None

    def ask(self, what: "Callable[[valkey.Valkey], T]") -> T | None:
        """The answer, or None with the reason in ``trouble``. One attempt, or none while a pause lasts."""
        client = self._connected()
        if client is None:
            return None
        try:
            with explained(self.endpoint, connected=True):
                answer = what(client)
        except Unreachable as error:
            self.trouble = error.what
            self.close()  # and no pause: that one answer is late says nothing of the next
            return None
        self.trouble = ""
        return answer

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def _connected(self) -> "valkey.Valkey | None":
        if self._client is not None or self._clock() < self._not_before:
            return self._client
        try:
            self._client = connect(self.endpoint, name="ccr-avn:watch")
        except Unreachable as error:
            self.trouble = error.what
            self._not_before = self._clock() + self._pause * random.uniform(0.8, 1.2)  # noqa: S311 (spread, not secret)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        else:
            self._pause = FIRST_PAUSE
        return self._client
