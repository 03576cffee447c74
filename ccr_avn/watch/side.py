"""A connection to one side that is kept, lost and made anew, each time after a longer pause."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from ccr_avn.dataplane.connect import Endpoint, connect, explained
from ccr_avn.errors import Unreachable

if TYPE_CHECKING:
    import valkey

T = TypeVar("T")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect."""


class WatchedSide:
    """``trouble``: why it can't be asked just now, else empty."""

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
        if self._client is None and self._clock() < self._not_before:
            return None
        try:
            if self._client is None:
                self._client = connect(self.endpoint, name="ccr-avn:watch")
            with explained(self.endpoint):
                answer = what(self._client)
        except Unreachable as error:
            self.trouble = error.what
            self.close()
            self._not_before = self._clock() + self._pause * random.uniform(0.8, 1.2)  # noqa: S311 (spread, not secret)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            return None
        self.trouble, self._pause = "", FIRST_PAUSE
        return answer

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # it is given up either way
                client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there
