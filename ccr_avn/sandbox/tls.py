"""TLS of the servers: its certificates, and the proxies that end it in front of plain servers as a load balancer does."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ccr_avn.errors import UsageError
from ccr_avn.sandbox.records import SandboxOptions


def with_certificates(options: SandboxOptions, directory: Path) -> SandboxOptions:
    """Those of the options, or new ones in the directory when TLS is wanted without.

    Raises:
        UsageError: a certificate, a key or a CA is none, or they don't match: else only a server's start would show it.
    """
    own = "--tls alone makes a certificate of the sandbox's own"
    given = (options.tls_certificate, options.tls_key, options.tls_ca)
    if bool(options.tls_certificate) != bool(options.tls_key):
        raise UsageError(
            "--tls-certificate and --tls-key require each other",
            detail="one of them was given",
            hint=f"give both; {own}",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        if options.tls_certificate:
            context.load_cert_chain(options.tls_certificate, options.tls_key)
        if options.tls_ca:
            context.load_verify_locations(options.tls_ca)
    except (OSError, ValueError) as error:  # of ssl's own errors each is an OSError
        files = ", ".join(str(one) for one in given if one)
        raise UsageError("the sandbox can't serve TLS with these files", detail=f"{files}: {error}", hint=own) from None
    if options.encrypted or not options.tls:
        return options
    import trustme

    authority = trustme.CA(organization_name="ccr-avn sandbox")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key, ca = (directory / f"{name}.pem" for name in ("certificate", "key", "ca"))
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    return replace(options, tls_certificate=certificate, tls_key=key, tls_ca=ca)


BUFFER = 1 << 20
"""Bytes that may wait for a slow reader before its writer is held up."""


class TlsProxy:
    """TLS at one address, a plain server behind it. It accepts nobody before it is opened."""

    def __init__(self, certificate: Path, key: Path, address: tuple[str, int], server: tuple[str, int]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._address, self._server = address, server
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
        if accepting := self._accepting:
            self._accepting = None
            for (
                own
            ) in accepting.sockets:  # what it accepted just now begins first: without it that would be left unclosed
                asyncio.get_running_loop().remove_reader(own.fileno())
            await asyncio.sleep(0)
            accepting.close()  # its own descriptor of the listening socket
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
            ways = map(asyncio.ensure_future, (_copied(reader, server_writer), _copied(server_reader, writer)))
            await asyncio.wait(tuple(ways), return_when=asyncio.FIRST_COMPLETED)
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
