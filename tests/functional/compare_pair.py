"""Two real servers, one following the other, with every command allowed: what the sandbox's users may not do."""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trustme
import valkey

from ccr_avn.valkey.compare import CompareRequest, Comparison
from ccr_avn.valkey.compare.engine import compare
from ccr_avn.valkey.connect import Endpoint
from tests.support import servers
from tests.support.servers import PASSWORD
from tests.support.wait import until

__all__ = ["PASSWORD", "Pair", "Server", "fill", "found", "make_pair", "until"]


class Server(servers.Server):
    """Started, with a client that may do anything, DEBUG too."""

    def __init__(
        self, name: str, directory: Path, *words: str, binary: str | None = None, authority: trustme.CA | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(name, directory, ("--enable-debug-command", "yes", *words), authority=authority)
        self.binary = binary or self.binary
        self.start()

    @property
    def client(self) -> Any:
        return self.admin

    @property
    def endpoint(self) -> Endpoint:  # type: ignore[override]  # always the same here
        if self.authority:
            return super().endpoint(timeout=10, host="localhost", ca_file=self.ca_file)
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
        """``user``: compare as this one; ``timeout``: seconds of the endpoints; the rest is of the request."""
        settings = {"level": "values", "rounds": 2, "round_interval": 0.01, **options}
        progress, user, timeout = (settings.pop(name, None) for name in ("progress", "user", "timeout"))
        ends: Any = {"primary": self.primary.endpoint, "replica": self.replica.endpoint}
        for name, end in ends.items():
            uri = end.uri.replace("default:", f"{user or 'default'}:")
            ends[name] = replace(end, uri=uri, timeout=timeout or end.timeout)
        return compare(CompareRequest(**ends, **settings), progress)

    def allow(self, user: str, *rules: str) -> None:
        """A user of both with these rights, besides those it has."""
        for server in (self.primary, self.replica):
            server.client.execute_command("ACL", "SETUSER", user, "on", f">{PASSWORD}", *rules)

    def _level(self) -> bool:
        mine, theirs = self.primary.client.info("replication"), self.replica.client.info("replication")
        up: bool = theirs.get("master_link_status") == "up"
        return up and theirs["slave_repl_offset"] >= mine["master_repl_offset"]


def make_pair(root: Path, *, binary: str | None = None, authority: trustme.CA | None = None) -> Pair:
    pair = Pair(*(Server(name, root / name, binary=binary, authority=authority) for name in ("eu", "us")))
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
