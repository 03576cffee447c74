"""What the platform itself may do on the servers, again and again: write, end write pauses, stay connected."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import valkey

from ccr_avn.sandbox.configuration import INTERNAL, Server
from ccr_avn.sandbox.options import SandboxOptions

KEY = "platform:heartbeat"
Connect = Callable[[Server, float], "contextlib.closing[Any]"]


def begin(options: SandboxOptions, primaries: Callable[[], list[Server]], connect: Connect) -> list[Callable[[], None]]:
    """``connect``: as the platform, with a time limit in seconds. What is returned ends all of it."""
    agents: dict[int, Any] = {}

    def on_each(act: Callable[[Any], Any]) -> None:
        for server in primaries():
            with (
                contextlib.suppress(Exception),
                connect(server, 0.2) as client,
            ):  # held back or gone: the next time, then
                act(client)

    def stay_connected() -> None:
        """As the service's own default user."""
        for one in primaries():
            agent = valkey.Valkey(INTERNAL, one.port, password=one.password, client_name="agent", max_connections=1)
            with contextlib.suppress(valkey.ValkeyError):
                agents.setdefault(one.port, agent).ping()

    wanted = (
        (options.platform_writes, lambda: on_each(lambda client: client.incr(KEY))),
        (options.platform_lifts_pauses, lambda: on_each(lambda client: client.client_unpause())),
        (0.1 if options.platform_connects else 0.0, stay_connected),
    )
    return [_repeated(every, act) for every, act in wanted if every]


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
