"""A data plane without servers."""

from collections.abc import Callable


class NoServers:
    """For rehearsals of the control plane alone, and for a great many services."""

    def start(
        self, name: str, password: str, memory_mb: int, source: str | None, settings: dict[str, str] | None = None
    ) -> int:
        return 1

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None

    def names(self) -> tuple[str, ...]:
        return ()
