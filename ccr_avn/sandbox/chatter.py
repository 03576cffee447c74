"""The platform writes by itself to every primary, as monitoring of its own would."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

KEY = "platform:heartbeat"


class Chatter:
    """A thread of its own; it ends with the process at the latest."""

    def __init__(self, every: float, primaries: Callable[[], tuple[Any, ...]]) -> None:
        """``primaries``: a context with a client, for each primary that is up."""
        self._every = every
        self._primaries = primaries
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._ended.wait(self._every):
            number += 1
            for primary in self._primaries():
                with contextlib.suppress(Exception), primary as client:  # held back or gone: the next time, then
                    client.set(KEY, number)
