"""Serves TLS in front of the plain servers: the sandbox's own CA, and a program for each server."""

import contextlib
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ccr_avn.errors import UsageError
from ccr_avn.sandbox import front
from ccr_avn.sandbox.keeper import kill_group
from ccr_avn.sandbox.options import SandboxOptions

PATIENCE = 5.0
"""Seconds a front may take to end by itself."""

NAMES = ("127.0.0.1", "localhost")


def with_certificates(options: SandboxOptions, directory: Path) -> SandboxOptions:
    """Those of the options, or new ones in the directory when TLS is wanted without."""
    if options.encrypted or not options.tls:
        return options
    import trustme

    authority = trustme.CA(organization_name="ccr-avn sandbox")
    issued = authority.issue_cert(*NAMES)
    certificate, key, ca = (directory / f"{name}.pem" for name in ("certificate", "key", "ca"))
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    return replace(options, tls_certificate=certificate, tls_key=key, tls_ca=ca)


def must_load(options: SandboxOptions) -> None:
    """What only a server's start would show otherwise.

    Raises:
        UsageError: a certificate, a key or a CA is none, or they don't match.
    """
    own = "--tls alone makes a certificate of the sandbox's own"
    if bool(options.tls_certificate) != bool(options.tls_key):
        raise UsageError(
            "--tls-certificate and --tls-key go together", detail="one of them was given", hint=f"give both; {own}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        if options.tls_certificate:
            context.load_cert_chain(options.tls_certificate, options.tls_key)
        if options.tls_ca:
            context.load_verify_locations(options.tls_ca)
    except (OSError, ValueError) as error:  # of ssl's own errors each is an OSError
        files = ", ".join(str(one) for one in (options.tls_certificate, options.tls_key, options.tls_ca) if one)
        raise UsageError(
            "the sandbox can't serve TLS with these files",
            detail=f"{files}: {error}",
            hint=own,
        ) from None


class Front:
    """TLS at one address, a plain server behind it. It ends with its maker, however that ends."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        address: tuple[str, int],
        server: tuple[str, int],
        watch: Callable[[int], None] | None = None,
    ) -> None:
        self._frozen = False
        words = (certificate, key, *address, *server)
        self._process = subprocess.Popen(
            [sys.executable, "-P", front.__file__, *(str(word) for word in words)],
            cwd="/",
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if watch:
            watch(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self) -> bool:
        """Let clients in; whether it could, which it can't when the address is taken."""
        return self._tell("open")

    def shut(self, *, cut: bool) -> None:
        """Turn new clients away, and drop those that are there."""
        self._tell("shut")
        if cut:
            self._tell("cut")

    def signal(self, number: signal.Signals) -> None:
        self._frozen = number == signal.SIGSTOP
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def end(self) -> None:
        """By itself when its stdin ends, unless it can't."""
        assert self._process.stdin is not None  # noqa: S101 (asked for in the constructor)
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self._frozen else PATIENCE)
        kill_group(self._process)
        self._process.wait()
        self._process.stdout.close()

    def _tell(self, word: str) -> bool:
        """Done when this returns. A front that has ended accepts no client."""
        process = self._process
        assert process.stdin is not None  # noqa: S101 (asked for in the constructor)
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(f"{word}\n".encode())
        except BrokenPipeError:
            return False
        return process.stdout.readline() == b"done\n"
