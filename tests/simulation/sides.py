"""Servers and their clients, real or of the model, in the same words: what is held with both can be compared."""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import libvalkey
import valkey

from ccr_avn.sandbox.configuration import INTERNAL
from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.servers import ValkeyServers
from ccr_avn.valkey.replication import QUESTION, ReplicationInfo, parse_replication
from tests.simulation import wire
from tests.simulation.kernel import Kernel, Owner, Task
from tests.simulation.servers import Fleet
from tests.support.held import is_blocked
from tests.support.wait import until

PASSWORD = "pw-of-the-tests"
QUIET = {"repl-ping-replica-period": "3600"}
"""Offsets are moved by writes alone."""


def packed(*words: str | int) -> bytes:
    parts = [str(word).encode() for word in words]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)])


class Side(Protocol):
    """Servers that are real, or those of the model: both can do what the sandbox's platform asks of them."""

    fleet: Any

    def dial(self, server: str) -> Any: ...

    def receive(self, client: "Client", held: bool) -> bytes | None:
        """What comes next; nothing: it hung up; None: the server holds back what was asked, and ``held`` is awaited too."""

    def wait(self, condition: Callable[..., Any], what: str, *of: Any) -> None: ...

    def start(self, name: str, source: str | None = None) -> None: ...

    def has(self, name: str) -> bool: ...

    def follow(self, replica: str, primary: str) -> None:
        """From now on, whomever it followed."""

    def drop_one(self, replica: str) -> None:
        """Make it refuse the next command from its primary, which is ``HSET dropped f 1``."""


class Real:
    def __init__(self) -> None:
        self.fleet = ValkeyServers(SandboxOptions())
        self._ports: dict[str, int] = {}

    def start(self, name: str, source: str | None = None) -> None:
        self._ports[name] = self.fleet.start(name, PASSWORD, 64, source, QUIET)

    def dial(self, server: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._ports[server]), timeout=30)

    def receive(self, client: "Client", held: bool) -> bytes | None:
        came = until(
            lambda: select.select([client.socket], [], [], 0.02)[0] or (held and self._holds(client) and "held"),
            f"{client.server} to answer {client.asked}",
        )
        try:
            return None if came == "held" else client.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def _holds(self, client: "Client") -> bool:
        with suppress(valkey.ValkeyError), self.fleet.admin(client.server) as admin:
            return is_blocked(admin, client.number)
        return False  # it was cut just now, as all others

    def wait(self, condition: Callable[..., Any], what: str, *of: Any) -> None:
        until(lambda: condition(*of), what)

    def has(self, name: str) -> bool:
        return name in self._ports

    def follow(self, replica: str, primary: str) -> None:
        with self.fleet.admin(replica) as admin:
            admin.execute_command("REPLICAOF", INTERNAL, self._ports[primary])

    def drop_one(self, replica: str) -> None:
        with self.fleet.admin(replica) as admin:
            admin.config_set("replica-read-only", "no")
            admin.set("dropped", "a string")
            admin.config_set("replica-read-only", "yes")

    def close(self) -> None:
        self.fleet.close()


class Model:
    def __init__(self) -> None:
        self.kernel = Kernel(seed=1)
        self.fleet = Fleet(self.kernel)
        self._asked: dict[Client, tuple[Task, list[bytes]]] = {}

    def start(self, name: str, source: str | None = None) -> None:
        self.fleet.start(name, PASSWORD, 64, source, QUIET)

    def _begin(self, work: Callable[[], Any]) -> tuple[Task, list[Any]]:
        found: list[Any] = []
        return self.kernel.spawn(Owner("the test"), lambda: found.append(work()), "test"), found

    def dial(self, server: str) -> wire.SimSocket:
        place = ("127.0.0.1", self.fleet.servers[server].port)
        task, found = self._begin(lambda: wire.dial(self.kernel, self.fleet, place, self.kernel.now + 1030))
        self.kernel.run(self.kernel.now + 30, over=lambda: task.over)
        made: wire.SimSocket = found[0]
        return made

    def receive(self, client: "Client", held: bool) -> bytes | None:
        task, found = self._asked.pop(client, None) or self._begin(lambda: client.socket.recv(65536))
        connection = client.socket._connection
        self.kernel.run(self.kernel.now + 30, over=lambda: task.over or (held and connection.waits))
        if not task.over:
            self._asked[client] = task, found
        return found[0] if found else None

    def wait(self, condition: Callable[..., Any], what: str, *of: Any) -> None:
        for _ in range(10_000):
            if condition(*of):
                return
            self.kernel.run(self.kernel.now + 0.05)
        raise AssertionError(f"never: {what}")

    def has(self, name: str) -> bool:
        return name in self.fleet.servers

    def follow(self, replica: str, primary: str) -> None:
        self.fleet.change(replica, source=primary)

    def drop_one(self, replica: str) -> None:
        self.fleet.servers[replica].drops = 1

    def close(self) -> None:
        self.kernel.close()


class Refused(Exception):
    """An error, as the product's reader finds it."""


class Client:
    def __init__(self, side: Side, server: str, *, signs_in: bool = True) -> None:
        self.side, self.server, self.socket = side, server, side.dial(server)
        self._reader, self.number = libvalkey.Reader(replyError=Refused), 0
        if signs_in:
            self.ask("AUTH", PASSWORD)
            self.number = self.ask("CLIENT", "ID")

    def ask(self, *words: str, held: bool = True) -> Any:
        """The answer. ``held``: or that there is none just now."""
        self.asked = words
        try:
            self.socket.sendall(packed(*words))
        except OSError:
            return "hung up"
        return self.answer(held=held)

    def answer(self, *, held: bool = False) -> Any:
        while (found := self._reader.gets()) is False:
            if not (received := self.side.receive(self, held)):
                return "held back" if received is None else "hung up"
            self._reader.feed(received)
        return found


@contextmanager
def pair(side: Any) -> Iterator[Any]:
    try:
        side.start("eu")
        side.start("us", "eu")
        side.wait(lambda: read(side, "us").link_status == "up", "a link")
        yield side
    finally:
        side.close()


def read(side: Side, server: str) -> ReplicationInfo:
    client = Client(side, server)
    try:
        return parse_replication(client.ask(*QUESTION), server)
    finally:
        client.socket.close()
