"""Ends TLS in front of a plain server, as a load balancer does. All proxies run in one thread."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

BUFFER = 1 << 20
"""Bytes that may wait for a slow reader before its writer is held up."""


class TlsProxy:
    """TLS at one address, a plain server behind it. It accepts nobody before it is opened."""

    def __init__(self, certificate: Path, key: Path, address: tuple[str, int], server: tuple[str, int]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._address = address
        self._server = server
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    def open(self) -> bool:
        """Accept clients, also those that came while it was frozen. False: the address is taken."""
        if self._listener is None:
            try:
                self._listener = socket.create_server(self._address, backlog=512)
            except OSError:
                return False
        _done(self._accept(self._listener))
        return True

    def freeze(self) -> None:
        """Clients can connect and get no answer, as from a server that hangs."""
        _done(self._accept(None))

    def close(self, *, cut: bool) -> None:
        """Refuse new clients, and with ``cut`` drop those that are connected."""
        _done(self._close(cut=cut))

    async def _accept(self, listener: socket.socket | None) -> None:
        if self._accepting:
            self._accepting.close()  # its own descriptor of the listening socket
            self._accepting = None
        if listener:
            self._accepting = await asyncio.start_server(
                self._pass_on, sock=listener.dup(), ssl=self._context, backlog=512, limit=BUFFER
            )

    async def _close(self, *, cut: bool) -> None:
        await self._accept(None)
        if self._listener:
            self._listener.close()
            self._listener = None
        for client in tuple(self._clients) if cut else ():
            client.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from the end of its handshake to its own end."""
        if self._listener is None:  # closed during the handshake
            writer.transport.abort()
            return
        self._clients.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._server, limit=BUFFER)
        except OSError:
            writer.transport.abort()
        else:
            ways = (_copied(reader, server_writer), _copied(server_reader, writer))
            await asyncio.wait([asyncio.ensure_future(way) for way in ways], return_when=asyncio.FIRST_COMPLETED)
            writer.close()
            server_writer.close()
        finally:
            self._clients.discard(writer)


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(BUFFER):
            writer.write(data)
            await writer.drain()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Runs until the process ends."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # of clients that break off in their handshake
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _done(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(work, _loop()).result()
