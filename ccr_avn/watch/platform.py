"""What Aiven says of both services, asked now and then in the background."""

import threading
from collections.abc import Callable

from ccr_avn.errors import CcrError
from ccr_avn.models import Service

Ask = Callable[[], tuple[Service, ...]]


class Platform:
    """``states``: the last known words for both services. ``interval`` in seconds; 0: never ask again.

    ``found`` is called with every answer, in the background.
    """

    def __init__(
        self,
        services: tuple[Service, Service],
        ask: Ask,
        interval: float,
        found: Callable[[Service, Service], None] = lambda *_: None,
    ) -> None:
        self.states = (services[0].state, services[1].state)
        self.trouble = ""
        self._ask = ask
        self._found = found
        self._interval = interval
        self._over = threading.Event()

    def start(self) -> None:
        if self._interval:
            threading.Thread(target=self._go_on, daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _go_on(self) -> None:
        while not self._over.wait(self._interval):
            try:
                first, second = self._ask()
                self._found(first, second)
            except CcrError as error:
                self.trouble = error.what
            except Exception as bug:  # noqa: BLE001 (in a thread: it would end the asking without a word)
                self.trouble = f"internal error: {type(bug).__name__}"
            else:
                self.trouble, self.states = "", (first.state, second.state)
