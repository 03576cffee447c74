"""Two real servers, one following the other, with every command allowed: what the sandbox's users may not do."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccr_avn.valkey.compare import CompareRequest, Comparison
from ccr_avn.valkey.compare.engine import compare
from ccr_avn.valkey.connect import Endpoint
from tests.support.servers import Server, started
from tests.support.wait import until


@dataclass
class Pair:
    """A primary and its replica."""

    primary: Server
    replica: Server

    def link(self) -> None:
        """Make the replica follow, if it does not, and wait until it has everything."""
        if self.replica.admin.info("replication")["role"] != "slave":
            self.replica.follow(self.primary)
        self.settled()

    def detach(self) -> None:
        """Nothing arrives at the replica any more."""
        if self.replica.admin.info("replication")["role"] == "slave":
            self.settled()
            self.replica.promote()

    def settled(self) -> None:
        """The replica has everything."""
        until(self._level, "the replica to catch up", 60)

    def stop(self) -> None:
        self.primary.stop()
        self.replica.stop()

    def ends(self, user: str = "default", timeout: float = 10) -> dict[str, Any]:
        """The endpoints of both, as `compare` is asked for them."""
        return {"primary": _endpoint(self.primary, user, timeout), "replica": _endpoint(self.replica, user, timeout)}

    def compare(self, *, progress: Any = None, user: str = "default", timeout: float = 10, **of: Any) -> Comparison:
        """``user``: compare as this one; ``timeout``: seconds of the endpoints; the rest is of the request."""
        settings = {"level": "values", "rounds": 2, "round_interval": 0.01, **of}
        return compare(CompareRequest(**self.ends(user, timeout), **settings), progress)

    def allow(self, user: str, *rules: str) -> None:
        """A user of both with these rights."""
        for server in (self.primary, self.replica):
            server.user(user, *rules)

    def _level(self) -> bool:
        mine, theirs = self.primary.admin.info("replication"), self.replica.admin.info("replication")
        up: bool = theirs.get("master_link_status") == "up"
        return up and theirs["slave_repl_offset"] >= mine["master_repl_offset"]


def _endpoint(server: Server, user: str, timeout: float) -> Endpoint:
    return server.endpoint(user=user, timeout=timeout, ca_file=server.ca_file if server.tls else None)


def make_pair(root: Path, *, binary: str | None = None, tls: bool = False) -> Pair:
    debug = ("--enable-debug-command", "yes")
    pair = Pair(*(started(name, root / name, *debug, binary=binary, tls=tls) for name in ("eu", "us")))
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
