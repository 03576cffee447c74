"""Two real servers, one following the other, with every command allowed: what the sandbox's users may not do."""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import valkey

from ccr_avn.valkey.compare import CompareRequest, Comparison, compare
from ccr_avn.valkey.connect import Endpoint
from tests.support import servers
from tests.support.servers import PASSWORD
from tests.support.wait import until

__all__ = ["PASSWORD", "Pair", "Server", "fill", "found", "make_pair", "until"]


class Server(servers.Server):
    """Started, with a client that may do anything, DEBUG too."""

    def __init__(self, name: str, directory: Path, *words: str, binary: str | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(name, directory, ("--enable-debug-command", "yes", *words))
        self.binary = binary or self.binary
        self.start()

    @property
    def client(self) -> Any:
        return self.admin

    @property
    def endpoint(self) -> Endpoint:  # type: ignore[override]  # always the same here
        return super().endpoint(timeout=10)

    def database(self, number: int) -> Any:
        return valkey.Valkey(port=self.port, password=PASSWORD, db=number, socket_timeout=30)

    def stand_alone(self) -> None:
        self.promote()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)


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
