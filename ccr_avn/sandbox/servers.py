"""Runs a real Valkey server for each service: starts, promotes, closes, kills, freezes and isolates it."""

import contextlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import valkey

from ccr_avn.sandbox import configuration, slow_load
from ccr_avn.sandbox.configuration import CLIENTS, DATA, INTERNAL, START_LIMIT, ReservedPort, Server, find_binary
from ccr_avn.sandbox.keeper import Keeper
from ccr_avn.sandbox.options import SandboxOptions
from ccr_avn.sandbox.platform_activity import activities
from ccr_avn.sandbox.tls import Front


class ValkeyServers:
    """All servers of a sandbox. A keeper sees to it that they end with this process, even if it is killed."""

    def __init__(self, options: SandboxOptions, keeper: Keeper | None = None) -> None:
        self._options = options
        self._binary = Path(options.server) if options.server else find_binary()
        self._admin = secrets.token_urlsafe(16)
        self._own_keeper = None if keeper else Keeper()
        self._keeper = keeper or self._own_keeper or Keeper()
        self._root = Path(tempfile.mkdtemp(prefix="ccr-avn-sandbox-"))
        self._keeper.sweep(self._root)
        self._servers: dict[str, Server] = {}
        self._lock = threading.RLock()
        self._restarts = options.promote_restart or options.promote_empty
        self._activities = activities(options, self._primaries, self._accounts)

    # -- what the platform does

    def start(
        self, name: str, password: str, memory_mb: int, source: str | None, settings: dict[str, str] | None = None
    ) -> int:
        """Start it, empty or with what it had at power-off, and give its port. It answers when this returns."""
        with self._lock:
            server = self._servers.get(name)
            if server:
                server.source = source
                server.settings |= settings or {}
                self._launch(server)
                return server.port
            directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._root))
            server = Server(name=name, password=password, memory_mb=memory_mb, directory=directory, source=source)
            server.settings |= settings or {}
            server.encrypted = self._options.encrypted
            server.waits = bool(source and self._options.sync_delay)
            self._launch_first(server)
            self._servers[name] = server
        return server.port

    def promote(self, name: str) -> None:
        """As the options have it: without a trace, or with a start in between, or even without its data."""
        self._change(name, lambda server: setattr(server, "source", None), settle=not self._restarts)
        if self._restarts:
            with self._lock:
                self._come_back(name)

    def set_password(self, name: str, password: str) -> None:
        """Of the default user. Who is connected stays so."""
        self._change(name, lambda server: setattr(server, "password", password))

    def set_settings(self, name: str, settings: dict[str, str]) -> None:
        """By the server's own names. The number of databases is another only after a restart, which it gets.

        Raises:
            ValueError: the server refuses one of them; those before it hold until its next start.
        """
        with self._lock:
            if (server := self._servers.get(name)) is None:
                return
            self._try(server, settings)
            before, server.settings = server.settings, server.settings | settings
            if before.get("databases") != server.settings.get("databases") and server.alive and not server.frozen:
                self.restart(name)
            else:
                self._settle(server)

    def link_now(self, name: str) -> None:
        """The delay of a replica's first link is over."""
        self._change(name, lambda server: setattr(server, "waits", False))

    def set_users(self, name: str, users: dict[str, tuple[str, str]]) -> None:
        """Password and rules of every user but the default one."""
        self._change(name, lambda server: setattr(server, "users", users))

    def set_memory(self, name: str, memory_mb: int) -> None:
        self._change(name, lambda server: setattr(server, "memory_mb", memory_mb))

    def shut(self, name: str, *, clients: bool) -> None:
        """Refuse new clients and cut those that are there; replication goes on."""
        clients = clients and self._options.filter_cuts != "never"
        if (server := self._servers.get(name)) and server.filtered != clients:
            self._change(name, lambda server: setattr(server, "filtered", clients))

    def stop(self, name: str) -> None:
        """Power it off; its data, as a backup would have it, and its port are kept."""
        with self._lock:
            if server := self._servers.get(name):
                self._save_and_end(server)
                server.process = None

    def forget(self, name: str) -> None:
        """End it, and its data with it."""
        with self._lock:
            server = self._servers.pop(name, None)
            if server:
                self._end(server)
                server.reserved.release()
                shutil.rmtree(server.directory, ignore_errors=True)

    # -- what befalls it

    def kill(self, name: str) -> None:
        with self._lock:
            self._end(self._servers[name])

    def freeze(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP, frozen=True)

    def thaw(self, name: str) -> None:
        self._signal(name, signal.SIGCONT, frozen=False)

    def cut_replication(self, name: str) -> None:
        """Links from it and to it break, and can't come back until :meth:`heal`."""
        self._change(name, lambda server: setattr(server, "unlinked", True), neighbours=True)

    def load(self, name: str) -> None:
        """It is restarted, and loads its data for minutes: it answers after that, or when healed."""
        with self._lock:
            server = self._servers[name]
            self._save_and_end(server)
            slow_load.prepare(server.directory / DATA)
            server.loading = True
            self._launch(server)

    def isolate(self, name: str) -> None:
        """Only the platform still reaches it: clients and replication are cut."""
        self._change(name, lambda server: setattr(server, "isolated", True))
        self.cut_replication(name)

    def heal(self, name: str) -> None:
        """Thaw, reconnect, and restart what was killed, with the data it last saved. An IP filter stays."""
        with self._lock:
            server = self._servers[name]
            server.unlinked = server.isolated = False
            self.thaw(name)
            if server.loading:
                self._end(server)
                slow_load.restore(server.directory / DATA)
                server.loading = False
            if server.process and not server.alive:
                self._launch(server)
        self._change(name, lambda _: None, neighbours=True)

    def restart(self, name: str) -> None:
        """A new process on the same port with the same data: what a fail-over inside the service looks like."""
        with self._lock:
            server = self._servers[name]
            self._save_and_end(server)
            self._launch(server)

    @contextlib.contextmanager
    def admin(self, name: str) -> Iterator[Any]:
        """The platform's own connection, on the internal address."""
        with self._admin_of(self._servers[name]) as client:
            yield client

    def pid(self, name: str) -> int:
        process = self._servers[name].process
        return process.pid if process else 0

    def names(self) -> tuple[str, ...]:
        return tuple(self._servers)

    def close(self) -> None:
        for activity in self._activities:
            activity.close()
        for name in self.names():
            self.forget(name)
        shutil.rmtree(self._root, ignore_errors=True)
        if self._own_keeper:
            self._own_keeper.close()

    # -- bringing a server to what is wanted of it

    def _change(
        self, name: str, change: Callable[[Server], None], *, neighbours: bool = False, settle: bool = True
    ) -> None:
        """What is down or frozen is left alone: it learns of the change when it is back."""
        with self._lock:
            if not (server := self._servers.get(name)):
                return
            change(server)
            replicas = [one for one in self._servers.values() if one.source == name] if neighbours else []
            for one in (server, *replicas) if settle else ():
                self._settle(one)

    def _settle(self, server: Server) -> None:
        """Bring it to what is wanted of it.

        Raises:
            valkey.ValkeyError: it runs, and could not be brought there within START_LIMIT.
        """
        until = time.monotonic() + START_LIMIT
        while server.alive and not server.frozen and not server.loading:
            try:
                with self._admin_of(server) as client:
                    configuration.settle_clients(client, server, cut=self._options.filter_cuts == "all")
                    configuration.settle_link(client, server, self._admin if self._may_link(server) else None)
                return
            except valkey.ValkeyError:  # a CLIENT KILL of somebody's may hit our connection as well
                if time.monotonic() >= until:
                    raise
                time.sleep(0.01)

    def _try(self, server: Server, settings: dict[str, str]) -> None:
        if not server.alive or server.frozen or server.loading:
            return
        with self._admin_of(server) as client:
            for name, value in settings.items():
                try:
                    if name != "databases":
                        client.config_set(name, value)
                except valkey.ResponseError as refusal:
                    raise ValueError(f"{name}: {refusal}") from None

    def _may_link(self, server: Server) -> bool:
        source = self._servers.get(server.source or "")
        return not (server.unlinked or server.waits or (source and source.unlinked))

    # -- starting and ending one

    def _launch_first(self, server: Server) -> None:
        for _ in range(10):  # where a port can't be kept, another program may take it first
            if self._spawned(server):
                return
            server.reserved.release()
            server.reserved = ReservedPort()
        server.reserved.release()
        raise RuntimeError(f"no server for {server.name} would start; see {server.directory}/log")

    def _launch(self, server: Server) -> None:
        server.frozen = False
        if not self._spawned(server):
            raise RuntimeError(f"the server of {server.name} would not start again; see {server.directory}/log")

    def _spawned(self, server: Server) -> bool:
        """Start its process; whether it answers."""
        with (server.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(self._binary), "-"],
                cwd=server.directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._keeper.watch(process.pid)
        server.process = process
        source = self._servers.get(server.source or "")
        told = configuration.lines(
            self._options,
            server,
            admin=self._admin,
            source_port=source.port if source else None,
            linked=self._may_link(server),
        )
        assert process.stdin is not None  # noqa: S101 (asked for just above)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write("\n".join(told).encode())
            process.stdin.close()
        if not self._answers(server, process) or not self._has_its_front(server):
            self._end(server)
            return False
        return True

    def _has_its_front(self, server: Server) -> bool:
        """Whether TLS is served where it should be."""
        certificate, key = self._options.tls_certificate, self._options.tls_key
        if certificate and key:
            at = (CLIENTS, server.port), (INTERNAL, server.port)
            server.front = Front(certificate, key, *at, self._keeper.watch)
            return server.keeps_out or server.front.open()
        return True

    def _come_back(self, name: str) -> None:
        """Promoted with a start in between; what is down or frozen is promoted when it is back."""
        if (server := self._servers.get(name)) is None or not server.alive or server.frozen or server.loading:
            return
        if self._options.promote_empty:
            self._end(server)
            (server.directory / DATA).unlink(missing_ok=True)
        else:
            self._save_and_end(server)
        self._launch(server)

    def _save_and_end(self, server: Server) -> None:
        """Nothing is acknowledged between the saving and the end."""
        if server.alive and not server.frozen and server.process:
            with contextlib.suppress(Exception), self._admin_of(server) as client:
                client.execute_command("SHUTDOWN", "SAVE", "NOW", "FORCE")
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(START_LIMIT)
        self._end(server)

    def _end(self, server: Server) -> None:
        if server.front:
            self._keeper.forget(server.front.pid)
            server.front.end()
            server.front = None
        if server.process:
            self._keeper.end(server.process)

    def _signal(self, name: str, number: signal.Signals, *, frozen: bool) -> None:
        with self._lock:
            server = self._servers[name]
            if server.alive and server.process:
                server.process.send_signal(number)
                if server.front:
                    server.front.signal(number)
                server.frozen = frozen
                self._settle(server)

    def _primaries(self) -> "tuple[contextlib.closing[Any], ...]":
        with self._lock:
            return tuple(
                self._admin_of(one, patience=0.2)
                for one in self._servers.values()
                if one.source is None and one.alive and not one.frozen
            )

    def _accounts(self) -> tuple[tuple[str, int, str], ...]:
        with self._lock:
            return tuple((INTERNAL, one.port, one.password) for one in self._servers.values() if not one.source)

    def _admin_of(self, server: Server, patience: float = 5) -> "contextlib.closing[Any]":
        return contextlib.closing(self._client(server, patience))

    def _client(self, server: Server, patience: float) -> "valkey.Valkey":
        return valkey.Valkey(
            host=INTERNAL, port=server.port, username="platform", password=self._admin, socket_timeout=patience
        )

    def _answers(self, server: Server, process: "subprocess.Popen[bytes]") -> bool:
        """Wait until it answers as itself; False when it ended."""
        until = time.monotonic() + START_LIMIT
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(valkey.ValkeyError), self._admin_of(server) as client:
                info: Any = client.info()
                if server.loading or not int(info.get("loading", 0)):
                    return int(info["process_id"]) == process.pid
            time.sleep(0.005)
        return False
