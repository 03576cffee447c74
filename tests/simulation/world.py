"""One simulated world: platform, servers, applications, and operators who type commands of the real program."""

import random
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from ccr_avn import cli, process
from ccr_avn.cli import boundary
from ccr_avn.cli.session import Session
from ccr_avn.plan import events
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import SandboxOptions, Service
from ccr_avn.valkey import endpoint as door
from tests.simulation import wire
from tests.simulation.avn import PROJECT, Avn, Request, Web
from tests.simulation.kernel import BEGAN, Kernel, Owner, put_in_place
from tests.simulation.servers import Connection, Fleet, Hung, Refusal

OPTIONS = SandboxOptions(build_seconds=20.0, backup_seconds=5.0, promote_seconds=2.0, project=PROJECT)


class Run(Owner):
    """One command of one operator: a process."""

    def __init__(
        self, world: "World", number: int, operator: str, words: tuple[str, ...], environ: dict[str, str]
    ) -> None:
        super().__init__(operator, environ=environ)
        self.world, self.run, self.words = world, number, words
        self.began, self.ended = world.kernel.now, float("inf")
        self.code: int | None = None  # None: it runs, or was killed
        self.steps: list[str] = []  # those it began
        self.doors = 0
        self.at_door: dict[int, list[Callable[[], None]]] = {}
        self.before = world.picture()
        self.after = self.before
        self.paused: list[str] = []  # services whose writes are paused when it ends
        self.held: dict[str, set[bytes]] = {}  # the keys of each service when it ends
        self.takes_writes: dict[str, bool] = {}
        self.promoted_without: dict[str, list[bytes]] = {}  # acknowledged writes that a replica lacked at its promotion

    @property
    def verb(self) -> str:
        return self.words[0]

    @property
    def out(self) -> str:
        return self.stdout.getvalue() + self.stderr.getvalue()

    def at_a_door(self) -> None:
        self.doors += 1
        for act in self.at_door.pop(self.doors, ()):
            self.world.kernel.later(0.0, act)

    def changes(self) -> list[Request]:
        """What it changed, by the platform's own log."""
        return [one for one in self.world.web.log if one.run == self.run and one.method != "GET" and one.status == 200]


@dataclass(frozen=True)
class Seen:
    """A service as it was at some moment. ``itself``: the very one, not another of that name."""

    itself: Service
    filter: tuple[str, ...]
    powered: bool
    tags: tuple[tuple[str, str], ...]
    source: str | None
    cloud: str


@dataclass
class Application(Owner):
    """Writes numbered keys to one service, and remembers which were acknowledged, and by whom."""

    world: "World"
    service: str
    every: float = 1.0
    acknowledged: list[tuple[float, str, bytes]] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        Owner.__init__(self, f"application of {self.service}")
        self.world.kernel.spawn(self, self.work, self.name)

    def __hash__(self) -> int:
        return id(self)

    def work(self) -> None:
        kernel, connection = self.world.kernel, None
        while True:
            kernel.pause(self.every * (0.5 + kernel.random.random()))
            server = self.world.fleet.servers.get(self.service)
            if server is None:
                connection = None
                continue
            self.count += 1
            key = f"{self.service}:{self.count}".encode()
            try:
                connection = self._write(connection, key)
            except (OSError, Hung, Refusal):
                if connection and connection in connection.server.connections:
                    connection.server.connections.remove(connection)
                    connection.closed = True
                connection = None

    def _write(self, connection: Connection | None, key: bytes) -> Connection:
        kernel = self.world.kernel
        server = self.world.fleet.servers[self.service]
        if connection is None or connection.server is not server:
            connection = server.accept()
            connection.name = "app"
            server.ask(connection, [b"AUTH", server.password.encode()], kernel.now + 5)
        kernel.pause(0.001)
        server.ask(connection, [b"SET", key, b"1"], kernel.now + 10)
        self.acknowledged.append((kernel.now, self.service, key))
        return connection


class World:
    def __init__(self, seed: int, home: Path) -> None:
        self.kernel = Kernel(seed)
        self.home = home
        self.fleet = Fleet(self.kernel)

        def later(seconds: float, act: Callable[[], None]) -> None:
            def changed() -> None:
                self.web.remember()
                act()

            self.kernel.later(seconds, changed)

        self.platform = Platform(
            OPTIONS, self.fleet, lambda: self.kernel.now, later, began=datetime.fromtimestamp(BEGAN, UTC)
        )
        self.web = Web(self.kernel, self.platform)
        self.avn = Avn(self.kernel, self.web)
        self.runs: list[Run] = []
        self.applications: list[Application] = []
        self.story: list[tuple[float, str, str]] = []  # when, who, what
        self.pairs: dict[str, tuple[str, str]] = {}  # of each integration that ever was, its primary and replica
        self.created_by: dict[int, Run] = {}  # by the id of a Service: whose command created it
        self.touched: dict[float, Service | None] = {}  # by the time of a request, what it changed
        self.terminated: dict[float, tuple[Service, list[str]]] = {}  # and what was terminated, with who was connected
        self.every: list[Service] = []  # kept, so that no id is used twice
        self.interfered = False  # whether a colleague took away what a promotion leaves: tags, or a service
        self.struck: set[str] = set()  # services with which anything was ever wrong
        self.promoted_by_others: dict[str, float] = {}  # when
        self.web.watch = self._watch
        self.opened: set[str] = set()  # whose filter a colleague opened

    def _watch(self, method: str, path: str) -> Callable[[], None]:
        """Before a request changes something; what is given back is called when it has."""
        kernel, owner = self.kernel, self.kernel.boss
        name = path.partition("/service/")[2].partition("/")[0]
        number = path.partition("/integration/")[2]
        row = self.platform.rows.get(number)
        if row:
            self.pairs[number] = (row.source, row.dest)
            if isinstance(owner, Run) and row.dest in self.fleet.servers:
                self._note_what_is_missing(owner, row.source, row.dest)
        before = set(map(id, self.platform.services.values()))
        touched = self.platform.services.get(name or (row.dest if row else ""))
        clients = (
            [one.name for one in self.fleet.servers[name].connections if not one.name.startswith("ccr-avn")]
            if name in self.fleet.servers
            else []
        )

        def after() -> None:
            self.touched[kernel.now] = touched
            if method == "DELETE" and name and touched:
                self.terminated[kernel.now] = (touched, clients)
            self.every += [one for one in self.platform.services.values() if id(one) not in before]
            if isinstance(owner, Run):
                self.created_by |= {id(one): owner for one in self.platform.services.values() if id(one) not in before}

        return after

    def _note_what_is_missing(self, run: Run, primary: str, replica: str) -> None:
        """At the moment of a promotion: what the primary acknowledged and the replica does not have."""
        server = self.fleet.servers[replica]
        server.settle()
        missing = [key for _, by, key in self.acknowledged if by == primary and key not in server.keys(0)]
        if missing:
            run.promoted_without[replica] = missing

    # -- what there is

    def picture(self) -> dict[str, Seen]:
        self.pairs |= {number: (row.source, row.dest) for number, row in self.platform.rows.items()}
        return {
            name: Seen(
                one,
                tuple(map(str, one.user_config.get("ip_filter") or ())),
                one.powered,
                tuple(sorted(one.tags.items())),
                self.platform.source_of(name),
                one.cloud,
            )
            for name, one in self.platform.services.items()
        }

    def create(self, name: str, cloud: str, *, source: str | None = None) -> Service:
        """Whoever does it, at once and ready."""
        wanted = [{"integration_type": "read_replica", "source_service": source}] if source else []
        body = {
            "service_name": name,
            "service_type": "valkey",
            "plan": "startup-4" if source else "business-4",
            "cloud": cloud,
        }
        return self.platform.create({**body, "service_integrations": wanted})

    def tell(self, who: str, what: str) -> None:
        self.story.append((self.kernel.now, who, what))

    def advance(self, seconds: float) -> None:
        self.kernel.run(self.kernel.now + seconds)

    # -- who types

    def type(self, operator: str, *words: str) -> Run:
        """A command, begun now."""
        environ = {
            "HOME": str(self.home),
            "PATH": str(Path(sys.executable).parent),
            "CCR_AVN_STATE_DIR": str(self.home / operator),
            "CCR_AVN_NO_PRELOAD": "1",
            "AIVEN_PROJECT": PROJECT,
            "COLUMNS": "120",
        }
        run = Run(self, len(self.runs) + 1, operator, words, environ)
        self.runs.append(run)
        self.tell(operator, "$ ccr-avn " + " ".join(words))

        def work() -> None:
            try:
                run.code = boundary.run(list(words))
            except SystemExit as ended:
                run.code = int(ended.code or 0)
            run.ended, run.after = self.kernel.now, self.picture()
            run.paused = [one.name for one in self.fleet.servers.values() if one.paused]
            for name, server in self.fleet.servers.items():
                server.settle()
                run.held[name] = set(server.keys(0))
                run.takes_writes[name] = (
                    server.answers and server.source is None and not server.filtered and not server.isolated
                )
            self.tell(operator, f"exit {run.code} of `{run.verb}`")
            self.kernel.later(0.0, lambda: self.kernel.kill(run))  # and its threads with it

        self.kernel.spawn(run, work, run.verb)
        return run

    def finish(self, run: Run, within: float = 6 * 3600.0) -> bool:
        """Go on until it has ended; whether it has."""
        until = self.kernel.now + within
        while run.alive and run.code is None and self.kernel.now < until:
            before = self.kernel.now
            self.kernel.run(until, over=lambda: run.code is not None or not run.alive)
            if self.kernel.now == before and run.code is None and run.alive:
                return False
        return run.code is not None or not run.alive

    @property
    def happened(self) -> set[str]:
        """What was told: accidents among it."""
        return {what for _, _, what in self.story}

    @property
    def acknowledged(self) -> Iterator[tuple[float, str, bytes]]:
        """Writes: when, by which service, the key."""
        return (one for application in self.applications for one in application.acknowledged)

    def excuse(self, service: str) -> None:
        """The platform lost data by itself: what its server does not have now is nobody's loss."""
        server = self.fleet.servers.get(service)
        held = server.keys(0) if server else {}
        for one in self.applications:
            one.acknowledged = [found for found in one.acknowledged if found[1] != service or found[2] in held]


_loaded = cache(cli.load)


def _step_of(kernel: Kernel) -> Callable[[Session, events.Event], None]:
    emit = Session.emit

    def noted(session: Session, event: events.Event) -> None:
        if isinstance(event, events.StepStarted) and isinstance(kernel.owner, Run):
            kernel.owner.steps.append(event.slug)
        emit(session, event)

    return noted


@contextmanager
def world(seed: int) -> Iterator[World]:
    """A world of its own, behind every door of the program."""
    home = Path(tempfile.mkdtemp(prefix="ccr-avn-simulated-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    random.seed(seed)
    made = World(seed, home)
    kernel = made.kernel

    def refuse(*words: Any, **_: Any) -> Any:
        raise AssertionError(f"a real process was to be started: {words}")

    try:
        with put_in_place(
            kernel,
            (process, "run", made.avn.run),
            (subprocess, "Popen", refuse),
            (door, "_open", lambda place, until, _: wire.dial(kernel, made.fleet, place, until)),
            (Session, "emit", _step_of(kernel)),
            (cli, "load", _loaded),
            (uuid, "uuid4", lambda: uuid.UUID(int=kernel.random.getrandbits(128), version=4)),
        ):
            try:
                yield made
            finally:
                kernel.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
