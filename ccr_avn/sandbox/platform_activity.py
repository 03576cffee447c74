"""Acts on every primary as the platform might: writes of its own, pauses that it ends, a connection of an agent."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import valkey

from ccr_avn.sandbox.options import SandboxOptions

KEY = "platform:heartbeat"
OFTEN = 0.1
"""Seconds between two checks whether it is still connected."""

Primaries = Callable[[], tuple[Any, ...]]
Accounts = Callable[[], tuple[tuple[str, int, str], ...]]


class Repeated:
    """A thread of its own for one act on all; it ends with the process at the latest."""

    def __init__(self, every: float, act: Callable[[int], None]) -> None:
        self._every = every
        self._act = act
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
            self._act(number)


def activities(options: SandboxOptions, primaries: Primaries, accounts: Accounts) -> list[Repeated]:
    """``primaries``: a context with a client, for each that is up; ``accounts``: host, port and password of each."""
    wanted = (
        (options.platform_writes, lambda number: _each(primaries, lambda client: client.set(KEY, number))),
        (options.platform_lifts_pauses, lambda _: _each(primaries, lambda client: client.client_unpause())),
        (OFTEN if options.platform_connects else 0.0, _Agents(accounts)),
    )
    return [Repeated(every, act) for every, act in wanted if every]


def _each(primaries: Primaries, act: Callable[[Any], Any]) -> None:
    for primary in primaries():
        with contextlib.suppress(Exception), primary as client:  # held back or gone: the next time, then
            act(client)


class _Agents:
    """A connection to each primary, as its default user."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._clients: dict[int, Any] = {}

    def __call__(self, _: int) -> None:
        for host, port, password in self._accounts():
            with contextlib.suppress(Exception):
                known = self._clients.get(port)
                if known is None:
                    known = self._clients[port] = valkey.Valkey(
                        host=host, port=port, password=password, client_name="agent", max_connections=1
                    )
                known.ping()
