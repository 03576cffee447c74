"""What the platform itself may do on the servers, again and again: write, end write pauses, stay connected."""

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

import valkey

from ccr_avn.sandbox.options import SandboxOptions

KEY = "platform:heartbeat"

Primaries = Callable[[], Iterable[contextlib.closing[Any]]]
Accounts = Callable[[], Iterable[tuple[str, int, str]]]


def begin(options: SandboxOptions, primaries: Primaries, accounts: Accounts) -> list[Callable[[], None]]:
    """``primaries``: a client for each; ``accounts``: host, port and password of each. What is returned ends it all."""
    agents: dict[int, Any] = {}

    def write() -> None:
        _on_each(primaries(), lambda client: client.incr(KEY))

    def end_pauses() -> None:
        _on_each(primaries(), lambda client: client.client_unpause())

    def connect() -> None:
        """As the service's own default user."""
        for host, port, password in accounts():
            if port not in agents:
                agents[port] = valkey.Valkey(host, port, password=password, client_name="agent", max_connections=1)
            with contextlib.suppress(valkey.ValkeyError):
                agents[port].ping()

    wanted = (
        (options.platform_writes, write),
        (options.platform_lifts_pauses, end_pauses),
        (0.1 if options.platform_connects else 0.0, connect),
    )
    return [_repeated(every, act) for every, act in wanted if every]


def _on_each(primaries: Iterable[contextlib.closing[Any]], act: Callable[[Any], Any]) -> None:
    for primary in primaries:
        with contextlib.suppress(Exception), primary as client:  # held back or gone: the next time, then
            act(client)


def _repeated(every: float, act: Callable[[], None]) -> Callable[[], None]:
    """Every so many seconds, in a thread of its own. What is returned ends it."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            act()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end
