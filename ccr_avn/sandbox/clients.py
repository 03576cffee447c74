"""Acts on the servers as the platform might: writes of its own, closed connections, slow loading."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import valkey

from ccr_avn.sandbox.options import SandboxOptions

KEY = "platform:heartbeat"
OFTEN = 0.1
"""Seconds between two checks whether it is still connected."""

Primaries = Callable[[], tuple[Any, ...]]
Accounts = Callable[[], tuple[tuple[str, int, str], ...]]


class Chatter:
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


def chatters(options: SandboxOptions, primaries: Primaries, accounts: Accounts) -> list[Chatter]:
    """``primaries``: a context with a client, for each that is up; ``accounts``: host, port and password of each."""
    wanted = (
        (options.platform_writes, lambda number: _each(primaries, lambda client: client.set(KEY, number))),
        (options.platform_lifts_pauses, lambda _: _each(primaries, lambda client: client.client_unpause())),
        (OFTEN if options.platform_connects else 0.0, _Agents(accounts)),
    )
    return [Chatter(every, act) for every, act in wanted if every]


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


HEADER = 9  # b"REDIS0011", b"VALKEY080": magic and version
CHECKSUM = 8
KEYS = 6000
LONG_AGO = (1).to_bytes(8, "little")  # milliseconds since 1970
VALUE = b"\x44\x00" + b"x" * 1024  # a string of 1024 bytes, its length in 14 bits: clients are answered after each

CONFIGURATION = ("key-load-delay 100000", "loading-process-events-interval-bytes 1024")
"""A tenth of a second for each key, and clients are answered in between."""


def prepare(data: Path) -> Path:
    """Put keys that are long expired in front of the data. Gives where the data itself is kept meanwhile."""
    kept = data.with_suffix(".kept")
    if data.exists():
        data.rename(kept)
        blob = kept.read_bytes()
    else:
        blob = b"REDIS0011\xff" + bytes(CHECKSUM)
    padding = b"\xfe\x00" + b"".join(b"\xfc" + LONG_AGO + b"\x00" + _name(number) + VALUE for number in range(KEYS))
    # A checksum of 0 says that there is none.
    data.write_bytes(blob[:HEADER] + padding + blob[HEADER:-CHECKSUM] + bytes(CHECKSUM))
    return kept


def restore(data: Path) -> None:
    """As it was before."""
    data.unlink(missing_ok=True)
    kept = data.with_suffix(".kept")
    if kept.exists():
        kept.replace(data)


def _name(number: int) -> bytes:
    name = f"padding:{number}".encode()
    return bytes([len(name)]) + name
