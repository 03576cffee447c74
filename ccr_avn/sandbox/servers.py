"""Runs a real Valkey server for each service: starts, promotes, closes, kills, freezes and isolates it."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import valkey

from ccr_avn.background import Repeated
from ccr_avn.sandbox import configuration
from ccr_avn.sandbox.configuration import CLIENTS, DATA, INTERNAL, START_LIMIT, ReservedPort, Server, find_binary
from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.tls import TlsProxy

_SCRIPT = """
pids=; set --
while read -r what value; do
  case $what in
    watch) pids="$pids $value" ;;
    forget) kept=; for pid in $pids; do [ "$pid" = "$value" ] || kept="$kept $pid"; done; pids=$kept ;;
    sweep) set -- "$@" "$value" ;;
  esac
done
[ -z "$pids" ] || kill -9 $pids 2>/dev/null
for directory; do rm -rf -- "$directory"; done
"""
"""The end of its input is the end of the sandbox: a pipe closes even when its writer is killed."""


class Keeper:
    """A small shell in a session of its own. Nothing is forked in Python for it, so threads don't matter."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "ccr-avn-keeper"],
            cwd="/",
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._shell.stdin is not None  # noqa: S101 (asked for just above)
        self._input = self._shell.stdin

    def tell(self, what: Literal["sweep", "watch", "forget"], value: Path | int) -> None:
        """A directory to sweep away at the end; a PID to be killed then, or that has ended and may be reused soon."""
        with contextlib.suppress(BrokenPipeError):
            self._input.write(f"{what} {value}\n".encode())

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """Now, with what it started. The number of one that was waited for may be another's by now."""
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self.tell("forget", process.pid)
        process.wait()

    def close(self) -> None:
        """What is left is ended and removed now."""
        self._input.close()
        self._shell.wait()


class ValkeyServers:
    """All servers of a sandbox. A keeper sees to it that they end with this process, even if it is killed."""

    def __init__(self, options: SandboxOptions, keeper: Keeper | None = None) -> None:
        self._options = options
        self._binary = Path(options.server) if options.server else find_binary()
        self._admin = secrets.token_urlsafe(16)
        self._keeper = keeper or Keeper()
        self._root = Path(tempfile.mkdtemp(prefix="ccr-avn-sandbox-"))
        self._keeper.tell("sweep", self._root)
        self._servers: dict[str, Server] = {}
        self._lock = threading.RLock()
        self._agents: dict[int, Any] = {}
        wanted: dict[Callable[[Server], None], float] = {
            partial(self._ask, command="INCR platform:heartbeat"): options.platform_writes,
            partial(self._ask, command="CLIENT UNPAUSE"): options.platform_lifts_pauses,
            self._stay_connected: 0.1 if options.platform_connects else 0.0,
        }
        self._activity = [
            Repeated(partial(self._act, act), partial(float, every), "activity")
            for act, every in wanted.items()
            if every
        ]

    # -- what the platform does

    def start(self, name: str, password: str, memory_mb: int, source: str | None, settings: dict[str, str]) -> int:
        """Start it, empty or with what it had at power-off, and give its port. It answers when this returns."""
        with self._lock:
            server = self._servers.get(name) or Server(
                name=name,
                password=password,
                memory_mb=memory_mb,
                directory=Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._root)),
                encrypted=self._options.encrypted,
                awaits_link=bool(source and self._options.sync_delay),
            )
            server.source, server.settings = source, settings
            # Where a port can't be kept, another program may take that of a new one first.
            self._launch(server, ports=1 if name in self._servers else 10)
            self._servers[name] = server
            return server.port

    def change(self, name: str, **wanted: Any) -> None:
        """Give fields of the :class:`Server` other values. One that is down or frozen learns of it when it is back.

        The number of databases is another only after a restart, which it gets.
        """
        with self._lock:
            server = self._servers.get(name)
            if not server or all(getattr(server, field) == value for field, value in wanted.items()):
                return
            databases = server.settings.get("databases")
            for field, value in wanted.items():
                setattr(server, field, value)
            if server.answers and server.settings.get("databases") != databases:
                self.restart(name)
            else:
                self._settle(server)

    def promote(self, name: str) -> None:
        """As the options have it: without a trace, or with a start in between, or even without its data."""
        if not (self._options.promote_restart or self._options.promote_empty):
            self.change(name, source=None)
            return
        with self._lock:
            if server := self._servers.get(name):
                server.source = None  # not while it runs: what it then saves would begin a history of its own
            if not server or not server.answers:  # what is down or frozen is promoted when it is back
                return
            if self._options.promote_empty:
                self._end(server)
                (server.directory / DATA).unlink(missing_ok=True)
                self._launch(server)
            else:
                self.restart(name)

    def stop(self, name: str) -> None:
        """Power it off; its data, as a backup would have it, and its port are kept."""
        with self._lock:
            if server := self._servers.get(name):
                self._save_and_end(server)
                server.process = None

    def forget(self, name: str) -> None:
        """End it, and its data with it."""
        with self._lock:
            if server := self._servers.pop(name, None):
                self._end(server)
                server.reserved.release()
                shutil.rmtree(server.directory, ignore_errors=True)

    # -- outages

    def kill(self, name: str) -> None:
        with self._lock:
            self._end(self._servers[name])

    def freeze(self, name: str) -> None:
        with self._lock:
            server = self._servers[name]
            if server.alive and server.process:
                server.process.send_signal(signal.SIGSTOP)
                server.frozen = True
                if server.proxy:
                    server.proxy.freeze()

    def cut_replication(self, name: str) -> None:
        """Links from it and to it break, and can't come back until :meth:`heal`."""
        with self._lock:
            self._servers[name].unlinked = True
            self._settle_with_replicas(name)

    def isolate(self, name: str) -> None:
        """Only the platform still reaches it: clients and replication are cut."""
        with self._lock:
            self._servers[name].isolated = True
            self.cut_replication(name)

    def load(self, name: str) -> None:
        """It is restarted, and loads its data for minutes: it answers after that, or when healed."""
        with self._lock:
            server = self._servers[name]
            self._save_and_end(server)
            configuration.slow_down_load(server.directory / DATA)
            server.loading = True
            self._launch(server)

    def restart(self, name: str) -> None:
        """A new process on the same port with the same data: what a fail-over inside the service looks like."""
        with self._lock:
            server = self._servers[name]
            self._save_and_end(server)
            self._launch(server)

    def heal(self, name: str) -> None:
        """Thaw, reconnect, and restart what was killed, with the data it last saved. An IP filter stays."""
        with self._lock:
            server = self._servers[name]
            server.unlinked = server.isolated = server.frozen = False
            if server.alive and server.process:
                server.process.send_signal(signal.SIGCONT)
            if server.loading:
                self._end(server)
                (server.directory / DATA).with_suffix(".kept").replace(server.directory / DATA)
                server.loading = False
            if server.process and not server.alive:
                self._launch(server)
            self._settle_with_replicas(name)

    # -- for who looks at them

    @contextlib.contextmanager
    def admin(self, name: str) -> Iterator[Any]:
        """The platform's own connection, on the internal address."""
        with self._client(self._servers[name]) as client:
            yield client

    def pid(self, name: str) -> int:
        process = self._servers[name].process
        return process.pid if process else 0

    def close(self) -> None:
        for one in self._activity:
            one.stop()
            one.join(START_LIMIT)
        for name in tuple(self._servers):
            self.forget(name)
        shutil.rmtree(self._root, ignore_errors=True)
        self._keeper.close()

    # -- what the platform itself does, again and again

    def _act(self, act: Callable[[Server], None]) -> None:
        with self._lock:
            primaries = [one for one in self._servers.values() if one.source is None and one.alive and not one.frozen]
        for server in primaries:
            with contextlib.suppress(Exception):  # held back or gone: the next time, then
                act(server)

    def _ask(self, server: Server, command: str) -> None:
        with self._client(server, 0.2) as client:
            client.execute_command(*command.split())

    def _stay_connected(self, server: Server) -> None:
        """As the service's own default user."""
        agent = valkey.Valkey(INTERNAL, server.port, password=server.password, client_name="agent", max_connections=1)
        self._agents.setdefault(server.port, agent).ping()

    # -- bringing a server to what is wanted of it

    def _settle_with_replicas(self, name: str) -> None:
        for server in self._servers.values():
            if name in (server.name, server.source):
                self._settle(server)

    def _settle(self, server: Server) -> None:
        """What is down or frozen is left alone. Raises: valkey.ValkeyError: it could not within START_LIMIT."""

        def settle() -> None:
            if server.answers:
                with self._client(server) as client:
                    admin = self._admin if self._may_link(server) else None
                    configuration.settle(client, server, cut=self._options.filter_cuts == "all", admin=admin)

        configuration.insist(settle, valkey.ValkeyError)  # a CLIENT KILL of somebody's may hit our connection as well

    def _may_link(self, server: Server) -> bool:
        source = self._servers.get(server.source or "")
        return not (server.unlinked or server.awaits_link or (source and source.unlinked))

    # -- starting and ending one

    def _launch(self, server: Server, *, ports: int = 1) -> None:
        """Start its process. ``ports``: how many to try."""
        server.frozen = False
        for attempt in range(ports):
            if attempt:
                server.reserved.release()
                server.reserved = ReservedPort()
            if self._is_started(server):
                return
            self._end(server)
        raise RuntimeError(f"the server of {server.name} would not start; see {server.directory}/log")

    def _is_started(self, server: Server) -> bool:
        with (server.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(self._binary), "-"],
                cwd=server.directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._keeper.tell("watch", process.pid)
        server.process, source = process, self._servers.get(server.source or "")
        text = configuration.written(
            self._options,
            server,
            admin=self._admin,
            source_port=source.port if source else None,
            linked=self._may_link(server),
        )
        assert process.stdin is not None  # noqa: S101 (asked for just above)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(text.encode())
            process.stdin.close()
        if not self._answers(server, process):
            return False
        certificate, key = self._options.tls_certificate, self._options.tls_key
        if not certificate or not key:
            return True
        server.proxy = TlsProxy(certificate, key, (CLIENTS, server.port), (INTERNAL, server.port))
        return server.keeps_out or server.proxy.open()

    def _answers(self, server: Server, process: "subprocess.Popen[bytes]") -> bool:
        """Wait until it answers as itself; False when it ended."""
        until = time.monotonic() + START_LIMIT
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(valkey.ValkeyError), self._client(server) as client:
                info: Any = client.info()
                if server.loading or not int(info.get("loading", 0)):
                    return int(info["process_id"]) == process.pid
            time.sleep(0.005)
        return False

    def _save_and_end(self, server: Server) -> None:
        """Nothing is acknowledged between the saving and the end."""
        if server.alive and not server.frozen and server.process:
            with contextlib.suppress(Exception), self._client(server) as client:
                client.execute_command("SHUTDOWN", "SAVE", "NOW", "FORCE")
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(START_LIMIT)
        self._end(server)

    def _end(self, server: Server) -> None:
        if server.proxy:
            server.proxy.close(cut=True)
            server.proxy = None
        if server.process:
            self._keeper.end(server.process)

    # -- connections

    def _client(self, server: Server, timeout: float = 5) -> "contextlib.closing[Any]":
        return contextlib.closing(
            valkey.Valkey(INTERNAL, server.port, username="platform", password=self._admin, socket_timeout=timeout)
        )


class NoServers:
    """For rehearsals of the control plane alone, and for a great many services."""

    def start(self, *_: object) -> int:
        return 1

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None
