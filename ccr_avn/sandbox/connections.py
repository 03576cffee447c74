"""Which TCP connection a request came over, so that a fault can break it."""

import asyncio

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connections:
    """Kept by the client's address, which ASGI gives with every request."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}

    def abort(self, scope: Scope) -> None:
        """Close the connection under a request, without an answer."""
        if (client := scope.get("client")) and (transport := self._transports.get(tuple(client))):
            transport.abort()

    def protocol(self) -> type[asyncio.Protocol]:
        """Uvicorn's own, noting the connections as they come and go."""
        transports = self._transports

        class Noting(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it as well
                self._peer: tuple[str, int] = transport.get_extra_info("peername")[:2]
                transports[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self._peer, None)
                super().connection_lost(exc)

        return Noting
