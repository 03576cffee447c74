"""The program that terminates TLS in front of one plain server, as a load balancer does. Standard library only.

It is told what to do on stdin, a word a line, and answers each with a line: ``open`` (let new clients in), ``shut``
(turn new ones away), ``cut`` (drop those that are there). It ends with its stdin.
"""

import asyncio
import os
import ssl
import sys
from typing import Any, cast

BUFFER = 1 << 20
"""Bytes that may wait for a slow reader before its writer is held up."""


class Side(asyncio.Protocol):
    """One half of a connection: what comes in here goes out at the other half."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        if self.other and self.other.transport:
            self.other.transport.close()


class Client(Side):
    """The half with TLS. Nothing is read from it before the server is there."""

    def __init__(self, front: "Front") -> None:
        super().__init__()
        self._front = front
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._front.is_open or not self.transport:
            cast("asyncio.Transport", transport).abort()  # its handshake was under way when the doors closed
            return
        self.transport.pause_reading()
        self._front.clients.add(self)
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    def connection_lost(self, failure: Exception | None) -> None:
        self._front.clients.discard(self)
        super().connection_lost(failure)

    async def _dial(self) -> None:
        self.other = other = Side()
        other.other = self
        try:
            await asyncio.get_running_loop().create_connection(lambda: other, *self._front.server)
        except OSError:
            if self.transport:
                self.transport.abort()
            return
        if self.transport:
            self.transport.resume_reading()
        elif other.transport:
            other.transport.close()


class Front:
    def __init__(self, context: ssl.SSLContext, address: tuple[str, int], server: tuple[str, int]) -> None:
        self.server = server
        self.clients: set[Client] = set()
        self._context = context
        self._address = address
        self._listening: asyncio.Server | None = None

    @property
    def is_open(self) -> bool:
        return self._listening is not None

    async def open(self) -> None:
        if self._listening is None:
            loop = asyncio.get_running_loop()
            make: Any = lambda: Client(self)  # noqa: E731 (asyncio takes a factory)
            self._listening = await loop.create_server(make, *self._address, ssl=self._context, backlog=512)

    async def shut(self) -> None:
        if self._listening:
            self._listening.close()
            self._listening = None

    async def cut(self) -> None:
        for client in tuple(self.clients):
            if client.transport:
                client.transport.abort()
            if client.other and client.other.transport:
                client.other.transport.abort()


async def serve(front: Front) -> None:
    """Until stdin ends."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # clients that break off in their handshake
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    acts = {"open": front.open, "shut": front.shut, "cut": front.cut}
    while line := await words.readline():
        try:
            await acts[line.decode().strip()]()
            told = "done"
        except OSError as failure:
            told = f"failed: {failure.strerror}"
        os.write(1, f"{told}\n".encode())


def main() -> None:
    certificate, key, host, port, server, server_port = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    asyncio.run(serve(Front(context, (host, int(port)), (server, int(server_port)))))


if __name__ == "__main__":
    main()
