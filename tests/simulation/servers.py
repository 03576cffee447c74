"""A model of Valkey: replication with its IDs and offsets, write pauses, clients, and what goes wrong with all of that."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.simulation.kernel import BEGAN, Kernel, Task

NO_HISTORY = "0" * 40
PING_EVERY, PING = 10.0, 14  # seconds, and bytes by which it moves the offset
RELINK = 1.0  # seconds until a replica tries its primary again
SILENCE = 60.0  # seconds without a word after which a link counts as down
WRITES = frozenset({"SET", "DEL", "HSET", "HDEL", "PEXPIRE"})
DENIED = frozenset({"CONFIG", "ACL", "SHUTDOWN", "REPLICAOF", "SAVE"})
AT_ONCE = frozenset({"EXEC", "DISCARD", "MULTI", "WATCH"})
"""What is not queued behind a MULTI."""


class Refusal(Exception):
    """What a server answers with an error."""


class Hung(Exception):
    """The connection is gone without an answer."""


class Entry(NamedTuple):
    """One command as it goes to replicas: what a key is after it; None: it is gone."""

    at: float
    end: int  # the offset behind it
    database: int
    key: bytes | None  # None: a ping
    value: Any
    expires: float | None


@dataclass(eq=False)
class Connection:
    server: "Server"
    number: int
    address: str
    process: str  # the server's, that accepted it
    name: str = ""
    user: str = "default"
    signed_in: bool = False
    database: int = 0
    last: str = "NULL"
    waits: bool = False  # held back by a write pause
    closed: bool = False
    queue: list[list[bytes]] | None = None  # of a MULTI
    refused: bool = False  # one of the queue was
    watched: dict[tuple[int, bytes], bool] = field(default_factory=dict)  # whether the key was there
    touched: bool = False  # one of them was


@dataclass(eq=False)
class Server:
    fleet: "Fleet"
    name: str
    password: str
    memory_mb: int
    source: str | None
    settings: dict[str, str]
    port: int
    version: str = "9.1.0"
    run_id: str = ""
    replid: str = ""
    replid2: str = NO_HISTORY
    offset: int = 0
    second_offset: int = -1
    data: dict[int, dict[bytes, tuple[Any, float | None]]] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    heard: float = 0.0  # when it last got something of it
    applied: int = 0  # entries of its primary's log, as a replica
    changes: int = 0
    last_save: int = int(BEGAN)
    rejected: int = 0
    full_syncs: int = 0
    modules: tuple[str, ...] = ()
    link: str = "down"  # up, down or sync, as a replica
    lost_at: float | None = None  # when its link was up last, if this process ever had one
    copied: bool = False  # as a replica: whether it ever had a first copy
    backlog: bool = False  # whether it keeps its log: since it had a replica, or a link
    begins: int = 0  # the offset from which its log goes on
    lag: float = 0.001  # seconds from a write to its being applied here
    drops: int = 0  # commands from its primary that it will refuse, and say so
    paused_until: float = 0.0
    connections: list[Connection] = field(default_factory=list)
    waiting: list[Task] = field(default_factory=list)
    users: dict[str, tuple[str, str]] = field(default_factory=dict)
    pinged: float = 0.0
    powered: bool = True
    alive: bool = True
    frozen: bool = False
    frozen_at: float = 0.0
    filtered: bool = False
    isolated: bool = False
    unlinked: bool = False
    awaits_link: bool = False
    loading: bool = False
    silent: bool = False  # whom the filter keeps out gets no answer, not a refusal
    no_pause: bool = False  # CLIENT PAUSE is denied
    held: list[tuple[Connection, list[bytes]]] = field(default_factory=list)  # came while it was frozen
    promoted_at: float | None = None
    soonest: float = math.inf  # when the next key expires, at the earliest

    @property
    def now(self) -> float:
        return self.fleet.kernel.now

    @property
    def answers(self) -> bool:
        return self.powered and self.alive and not self.frozen

    @property
    def paused(self) -> bool:
        return self.now < self.paused_until

    def keys(self, database: int) -> dict[bytes, tuple[Any, float | None]]:
        """Those that have not expired."""
        all_of_them = self.data.setdefault(database, {})
        if self.soonest <= self.now:
            for keys in self.data.values():
                for key in [key for key, (_, expires) in keys.items() if expires is not None and expires <= self.now]:
                    del keys[key]
            left = [expires for keys in self.data.values() for _, expires in keys.values() if expires is not None]
            self.soonest = min(left, default=math.inf)
        return all_of_them

    # -- replication

    def settle(self) -> None:
        """Up to now: pings of a primary, and what has reached a replica."""
        if self.source is None:
            followers = self.fleet.followers(self)
            every = float(self.settings.get("repl-ping-replica-period", PING_EVERY))
            while self.pinged + every <= self.now:
                self.pinged += every
                if followers and not self.pinged < self.paused_until and self.answers:
                    self._append(self.pinged, 0, None, None, None, PING)
            return
        source = self.fleet.servers.get(self.source)
        if source is None or self.link != "up" or not self.answers:
            return
        source.settle()
        while self.applied < len(source.log) and source.log[self.applied].at + self.lag <= self.now:
            entry = source.log[self.applied]
            self.applied += 1
            self.offset, self.heard = entry.end, entry.at + self.lag
            self.log.append(entry)
            if entry.key is None:
                continue
            if self.drops:
                self.drops -= 1
                self.rejected += 1
                continue
            self._put(entry.database, entry.key, entry.value, entry.expires)
            self.changes += 1

    def write(self, database: int, key: bytes, value: Any, expires: float | None = None, size: int = 40) -> None:
        self.settle()
        self._put(database, key, value, expires)
        self.changes += 1
        self._append(self.now, database, key, value, expires, size + len(key))

    def _append(
        self, at: float, database: int, key: bytes | None, value: Any, expires: float | None, size: int
    ) -> None:
        if not self.backlog:
            return
        self.offset += size
        self.log.append(Entry(at, self.offset, database, key, value, expires))

    def _put(self, database: int, key: bytes, value: Any, expires: float | None) -> None:
        for one in self.connections:
            one.touched = one.touched or (database, key) in one.watched
        if value is None:
            self.data.setdefault(database, {}).pop(key, None)
        else:
            self.data.setdefault(database, {})[key] = (value, expires)
            self.soonest = min(self.soonest, math.inf if expires is None else expires)

    def new_history(self, *, goes_on: bool) -> None:
        """A replication ID of its own; ``goes_on``: it remembers the one before, as after a promotion."""
        self.replid2, self.second_offset = (self.replid, self.offset + 1) if goes_on else (NO_HISTORY, -1)
        self.replid = self.fleet.word(40)
        self.pinged = self.now
        if not goes_on:
            self.log, self.begins = [], self.offset

    def start(self, *, with_data: bool) -> None:
        """A new process. What it saved holds its replication ID and offset as well, if it had a replica or a copy."""
        self.run_id = self.fleet.word(40)
        self.frozen, self.alive, self.powered, self.paused_until = False, True, True, 0.0
        self.hang_up()
        known = with_data and (self.copied if self.source else self.backlog)
        if not with_data:
            self.data = {}
        if not known:
            self.offset, self.copied = 0, False
        self.changes, self.rejected, self.full_syncs, self.last_save = 0, 0, 0, int(BEGAN + self.now)
        self.link, self.lost_at, self.backlog = "down", None, known and self.source is None
        self.log, self.begins = [], self.offset
        if self.source is None or not known:
            self.new_history(goes_on=known)
        else:
            self.replid2, self.second_offset = NO_HISTORY, -1

    def hang_up(self, chosen: Callable[[Connection], bool] = lambda _: True) -> None:
        for one in [one for one in self.connections if chosen(one)]:
            one.closed = True
            self.connections.remove(one)
        self.wake()

    def wake(self) -> None:
        for one in self.waiting:
            self.fleet.kernel.wake(one)

    # -- clients

    def accept(self) -> Connection:
        """Raises: ConnectionRefusedError; TimeoutError: no answer."""
        if (self.filtered and self.silent) or self.isolated:
            raise TimeoutError("timed out")
        if not self.powered or not self.alive or self.filtered:
            raise ConnectionRefusedError(111, "Connection refused")
        number = self.fleet.number()
        made = Connection(self, number, f"10.0.0.{number % 250}:{40000 + number}", self.run_id)
        self.connections.append(made)
        return made

    def ask(self, connection: Connection, words: list[bytes], until: float) -> Any:
        """The answer, in the task of who asks. Raises: Refusal; Hung; TimeoutError: none until then."""
        kernel = self.fleet.kernel
        if connection.closed or connection.process != self.run_id:
            raise Hung
        if self.isolated or self.frozen or not self.alive:
            if self.frozen:
                self.held.append((connection, words))
            kernel.wait(lambda: connection.closed, self.waiting, until)
            raise Hung if connection.closed else TimeoutError("timed out")
        name = words[0].upper().decode()
        connection.last = (
            name.lower()
            if len(words) == 1
            else f"{name.lower()}|{words[1].decode(errors='replace').lower()}"
            if name == "CLIENT"
            else name.lower()
        )
        self._admit(connection, name, words)
        held_back = name in WRITES or (
            name == "EXEC" and any(one[0].upper().decode() in WRITES for one in connection.queue or ())
        )
        while held_back and self.paused:
            connection.waits = True
            try:
                ready = kernel.wait(
                    lambda: not self.paused or connection.closed or self.frozen,
                    self.waiting,
                    min(until, self.paused_until),
                )
            finally:
                connection.waits = False
            if connection.closed:
                raise Hung
            if self.frozen or (not ready and kernel.now >= until):
                raise TimeoutError("timed out")
        return self.answer(connection, name, words)

    def answer(self, connection: Connection, name: str, words: list[bytes]) -> Any:
        self.settle()
        self._admit(connection, name, words)
        if connection.queue is not None and name not in AT_ONCE:
            connection.queue.append(words)
            return "QUEUED"
        return getattr(self, f"_do_{name.lower()}")(connection, *words[1:])

    def _admit(self, connection: Connection, name: str, words: list[bytes]) -> None:
        """Raises: Refusal: whether it is queued or not; a queue with a refused command is not executed."""
        refused = self._why_not(connection, name, [word.decode(errors="replace") for word in words[1:]])
        if refused:
            connection.refused = connection.queue is not None
            raise Refusal(refused)

    def _why_not(self, connection: Connection, name: str, more: list[str]) -> str:
        if not connection.signed_in and name != "AUTH":
            return "NOAUTH Authentication required."
        if name not in DENIED and not hasattr(self, f"_do_{name.lower()}"):
            self.fleet.unknown.add(name)
            shown = "".join(f"'{one}' " for one in more)
            return f"ERR unknown command '{name}', with args beginning with: {shown}"
        if connection.queue is not None and name in ("MULTI", "WATCH"):
            return f"ERR Command '{name.lower()}' not allowed inside a transaction"
        if name in DENIED:
            named = f"{name}|{more[0]}".lower() if name in ("CONFIG", "ACL") else name.lower()
            return f"NOPERM User {connection.user} has no permissions to run the '{named}' command"
        if self.loading and name not in ("AUTH", "INFO", "CLIENT", "SELECT"):
            return "LOADING Valkey is loading the dataset in memory"
        if name in WRITES and self.source is not None:
            return "READONLY You can't write against a read only replica."
        return ""

    def _do_auth(self, connection: Connection, *words: bytes) -> Any:
        user, password = (words[0].decode(), words[1]) if len(words) == 2 else ("default", words[0])
        known = self.password if user == "default" else self.users.get(user, ("", ""))[0]
        if password.decode() != known:
            raise Refusal("WRONGPASS invalid username-password pair or user is disabled.")
        connection.user, connection.signed_in = user, True
        return "OK"

    def _do_ping(self, _: Connection) -> Any:
        return "PONG"

    def _do_time(self, _: Connection) -> Any:
        now = BEGAN + self.now
        return [str(int(now)).encode(), str(int(now % 1 * 1e6)).encode()]

    def _do_select(self, connection: Connection, number: bytes) -> Any:
        if int(number) >= int(self.settings.get("databases", "16")):
            raise Refusal("ERR DB index is out of range")
        connection.database = int(number)
        return "OK"

    def _do_set(self, connection: Connection, key: bytes, value: bytes, *more: bytes) -> Any:
        expires = self.now + int(more[1]) / 1000 if more and more[0].upper() == b"PX" else None
        self.write(connection.database, key, value, expires, 40 + len(value))
        return "OK"

    def _held(self, connection: Connection, key: bytes, kind: type = object) -> Any:
        value = self.keys(connection.database).get(key, (None, None))[0]
        if value is not None and not isinstance(value, kind):
            raise Refusal("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _do_get(self, connection: Connection, key: bytes) -> Any:
        return self._held(connection, key, bytes)

    def _do_mget(self, connection: Connection, *keys: bytes) -> Any:
        return [value if isinstance(value := self._held(connection, key), bytes) else None for key in keys]

    def _do_del(self, connection: Connection, *keys: bytes) -> Any:
        there = [key for key in keys if key in self.keys(connection.database)]
        for key in there:
            self.write(connection.database, key, None)
        return len(there)

    def _do_hset(self, connection: Connection, key: bytes, *pairs: bytes) -> Any:
        held = dict(self._held(connection, key, dict) or {})
        more = dict(zip(pairs[::2], pairs[1::2], strict=True))
        expires = self.keys(connection.database).get(key, (None, None))[1]
        self.write(connection.database, key, {**held, **more}, expires)
        return len(more.keys() - held.keys())

    def _do_hdel(self, connection: Connection, key: bytes, *fields: bytes) -> Any:
        held, expires = self._held(connection, key, dict) or {}, self.keys(connection.database).get(key, (0, None))[1]
        left = {name: value for name, value in held.items() if name not in fields}
        if held != left:
            self.write(connection.database, key, left or None, expires)
        return len(held) - len(left)

    def _do_hget(self, connection: Connection, key: bytes, name: bytes) -> Any:
        return (self._held(connection, key, dict) or {}).get(name)

    def _do_hgetall(self, connection: Connection, key: bytes) -> Any:
        return [word for pair in (self._held(connection, key, dict) or {}).items() for word in pair]

    def _do_pexpire(self, connection: Connection, key: bytes, ms: bytes) -> Any:
        if (value := self._held(connection, key)) is None:
            return 0
        self.write(connection.database, key, value, self.now + int(ms) / 1000)
        return 1

    def _do_exists(self, connection: Connection, *keys: bytes) -> Any:
        return sum(key in self.keys(connection.database) for key in keys)

    def _do_type(self, connection: Connection, key: bytes) -> Any:
        value = self._held(connection, key)
        return "none" if value is None else "hash" if isinstance(value, dict) else "string"

    def _do_pexpiretime(self, connection: Connection, key: bytes) -> Any:
        if key not in self.keys(connection.database):
            return -2
        expires = self.keys(connection.database)[key][1]
        return -1 if expires is None else int((BEGAN + expires) * 1000)

    def _do_memory(self, connection: Connection, _: bytes, key: bytes, *__: bytes) -> Any:
        return 64 if key in self.keys(connection.database) else None

    def _do_scan(self, connection: Connection, _: bytes, *__: bytes) -> Any:
        return [b"0", list(self.keys(connection.database))]

    def _do_watch(self, connection: Connection, *keys: bytes) -> Any:
        for key in keys:
            connection.watched[connection.database, key] = key in self.keys(connection.database)
        return "OK"

    def _do_unwatch(self, connection: Connection) -> Any:
        connection.watched, connection.touched = {}, False
        return "OK"

    def _do_multi(self, connection: Connection) -> Any:
        connection.queue = []
        return "OK"

    def _do_discard(self, connection: Connection) -> Any:
        if connection.queue is None:
            raise Refusal("ERR DISCARD without MULTI")
        connection.queue, connection.refused = None, False
        return self._do_unwatch(connection)

    def _do_exec(self, connection: Connection) -> Any:
        if (queue := connection.queue) is None:
            raise Refusal("ERR EXEC without MULTI")
        expired = any(there and key not in self.keys(number) for (number, key), there in connection.watched.items())
        refused, touched = connection.refused, connection.touched or expired
        self._do_discard(connection)
        if refused:
            raise Refusal("EXECABORT Transaction discarded because of previous errors.")
        if touched:
            return None
        answers: list[Any] = []
        for words in queue:
            try:
                answers.append(self.answer(connection, words[0].upper().decode(), words))
            except Refusal as refusal:
                answers.append(refusal)
        return answers

    def _do_function(self, _: Connection, *__: bytes) -> Any:
        return []

    def _do_client(self, connection: Connection, act: bytes, *words: bytes) -> Any:
        name = act.upper().decode()
        if name == "SETNAME":
            connection.name = words[0].decode()
        elif name == "ID":
            return connection.number
        elif name == "LIST":
            return self._clients(connection, [word.upper() for word in words]).encode()
        elif name == "KILL":
            return self._kill(connection, [word.upper() for word in words])
        elif name in ("PAUSE", "UNPAUSE") and self.no_pause:
            raise Refusal(
                f"NOPERM User {connection.user} has no permissions to run the 'client|{name.lower()}' command"
            )
        elif name == "PAUSE":
            self.paused_until = max(self.paused_until, self.now + int(words[0]) / 1000)
            self.fleet.pauses.append((self.name, connection.name, self.fleet.kernel.now))
        elif name == "UNPAUSE":
            self.paused_until = 0.0
            self.wake()
        elif name not in ("SETINFO", "NO-TOUCH", "NO-EVICT"):
            self.fleet.unknown.add(f"CLIENT {name}")
            raise Refusal(f"ERR unknown subcommand '{name}'. Try CLIENT HELP.")
        return "OK"

    def _clients(self, asking: Connection, words: list[bytes]) -> str:
        if words == [b"TYPE", b"REPLICA"]:
            return "".join(
                f"id={900000 + other.port} addr=10.1.0.1:6379 name= db=0 flags=S user=replica cmd=replconf\n"
                for other in self.fleet.followers(self)
            )
        if words == [b"TYPE", b"PUBSUB"]:
            return ""
        return "".join(
            f"id={one.number} addr={one.address} name={one.name} db={one.database} flags={'b' if one.waits else 'N'} "
            f"user={one.user} cmd={'client|list' if one is asking else one.last}\n"
            for one in self.connections
        )

    def _kill(self, asking: Connection, words: list[bytes]) -> int:
        if words[0] == b"ID":
            chosen = [one for one in self.connections if str(one.number).encode() == words[1]]
        elif words[:2] == [b"TYPE", b"NORMAL"]:
            chosen = [one for one in self.connections if one is not asking]
        else:
            chosen = []
        self.hang_up(lambda one: one in chosen)
        return len(chosen)

    def _do_info(self, _: Connection, *sections: bytes) -> Any:
        if sections == (b"modules",):
            return "".join(f"module:name={name},ver=1\r\n" for name in self.modules).encode()
        if sections == (b"errorstats",):
            return b""
        return "".join(f"{name}:{value}\r\n" for name, value in self.info().items()).encode()

    def info(self) -> dict[str, object]:
        self.settle()
        follows = self.source is not None
        left = max(0.0, self.paused_until - self.now)
        found: dict[str, object] = {
            "valkey_version": self.version,
            "run_id": self.run_id,
            "loading": int(self.loading),
            "used_memory": 1_000_000,
            "maxmemory": self.memory_mb * 700_000,
            "rdb_changes_since_last_save": self.changes,
            "rdb_last_save_time": self.last_save,
            "number_of_libraries": 0,
            "unexpected_error_replies": self.rejected,
            "sync_full": self.full_syncs,
            "paused_actions": "write" if left else "none",
            "paused_timeout_milliseconds": int(left * 1000),
            "role": "slave" if follows else "master",
            "connected_slaves": 0 if follows else len(self.fleet.followers(self)),
            "master_replid": self.replid,
            "master_replid2": self.replid2,
            "master_repl_offset": self.offset,
            "second_repl_offset": self.second_offset,
            "repl_backlog_active": int(self.backlog),
        }
        if follows:
            found |= {
                "master_link_status": "up" if self.link == "up" else "down",
                "master_sync_in_progress": int(self.link == "sync"),
                "master_last_io_seconds_ago": int(self.now - self.heard) if self.link == "up" else -1,
                "slave_repl_offset": self.offset if self.copied or self.backlog else 1,
            }
            if self.link != "up":
                found["master_link_down_since_seconds"] = -1 if self.lost_at is None else int(self.now - self.lost_at)
        return found | {
            f"db{number}": f"keys={len(self.keys(number))},expires=0"
            for number in sorted(self.data)
            if self.keys(number)
        }


class Fleet:
    """All servers: what the sandbox's platform asks of the data plane, and outages."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.servers: dict[str, Server] = {}
        self.unknown: set[str] = set()  # commands that the model does not have
        self.pauses: list[tuple[str, str, float]] = []
        self.sync_seconds = 2.0
        self.promote_empty = False
        self._numbers = 0

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def word(self, digits: int) -> str:
        return f"{self.kernel.random.getrandbits(4 * digits):0{digits}x}"

    def followers(self, server: Server) -> list[Server]:
        return [one for one in self.servers.values() if one.source == server.name and one.link in ("up", "sync")]

    # -- what the platform does

    def start(self, name: str, password: str, memory_mb: int, source: str | None, settings: dict[str, str]) -> int:
        server = self.servers.get(name)
        if server:
            server.source, server.settings = source, settings
            server.start(with_data=True)
        else:
            server = Server(self, name, password, memory_mb, source, settings, 10_000 + self.number())
            self.servers[name] = server
            server.start(with_data=False)
        self.relink()
        return server.port

    def change(self, name: str, **wanted: Any) -> None:
        server = self.servers.get(name)
        if server is None:
            return
        server.settle()
        databases = server.settings.get("databases")
        for field_name, value in wanted.items():
            setattr(server, field_name, value)
        if server.settings.get("databases") != databases:
            self.restart(name)
        if wanted.get("filtered"):
            server.hang_up()
        self.relink()

    def promote(self, name: str) -> None:
        server = self.servers.get(name)
        if server is None or server.source is None:
            return
        server.settle()
        server.source, server.link, server.promoted_at = None, "down", self.kernel.now
        server.new_history(goes_on=True)
        if self.promote_empty:
            server.start(with_data=False)
        self.relink()

    def stop(self, name: str) -> None:
        if server := self.servers.get(name):
            server.settle()
            server.powered = False
            server.hang_up()
            self.relink()

    def forget(self, name: str) -> None:
        if server := self.servers.pop(name, None):
            server.alive = False
            server.hang_up()
            self.relink()

    # -- outages

    def kill(self, name: str) -> None:
        server = self.servers[name]
        server.settle()
        server.alive = False
        server.hang_up()
        self.relink()

    def freeze(self, name: str) -> None:
        server = self.servers[name]
        server.settle()
        server.frozen, server.frozen_at = True, server.now
        server.wake()
        self.kernel.later(SILENCE, self.relink)

    def isolate(self, name: str) -> None:
        """Clients and replication are cut; the platform still sees it."""
        server = self.servers[name]
        self._settle_all()
        server.isolated = server.unlinked = True
        server.wake()
        self.relink()

    def cut_replication(self, name: str) -> None:
        self._settle_all()
        self.servers[name].unlinked = True
        self.relink()

    def restart(self, name: str, *, with_data: bool = True) -> None:
        server = self.servers[name]
        self._settle_all()
        server.start(with_data=with_data)
        self.relink()

    def fail_over_node(self, name: str, lost: int) -> None:
        """Its standby takes over, without the last so many writes: a replica goes on by the ID before, if it is not ahead."""
        server = self.servers[name]
        self._settle_all()
        end = max(0, len(server.log) - lost)
        if server.source is None and lost:
            entries, gone = server.log[:end], server.log[end:]
            server.log, server.offset = entries, entries[-1].end if entries else server.begins
            for entry in gone:
                if entry.key is not None:
                    before = next(
                        (one for one in reversed(entries) if one.key == entry.key and one.database == entry.database),
                        None,
                    )
                    server._put(
                        entry.database, entry.key, before.value if before else None, before.expires if before else None
                    )
        server.run_id, server.paused_until, server.frozen, server.alive = self.word(40), 0.0, False, True
        server.rejected = server.full_syncs = 0
        server.hang_up()
        if server.source is None:
            server.new_history(goes_on=server.backlog)
        server.link, server.lost_at = "down", None
        self.relink()

    def heal(self, name: str) -> None:
        server = self.servers[name]
        was_down = not server.alive
        self._settle_all()
        server.unlinked = server.isolated = server.frozen = server.loading = False
        server.drops = 0
        if was_down and server.powered:
            server.start(with_data=True)
        held, server.held = server.held, []
        for connection, words in held:
            if connection in server.connections or connection.closed:
                self._late(server, connection, words)
        self.relink()

    def _late(self, server: Server, connection: Connection, words: list[bytes]) -> None:
        """What came while it was frozen is executed then, whoever still waits."""
        name = words[0].upper().decode()
        if name in WRITES and server.paused:
            return
        try:
            server.answer(connection, name, words)
        except Refusal:
            return

    def _settle_all(self) -> None:
        for one in self.servers.values():
            one.settle()

    # -- links

    def _should_follow(self, replica: Server) -> bool:
        """A link that is up survives a while in which one of the two is frozen."""
        source = self.servers.get(replica.source or "")
        if source is None or not all(one.powered and one.alive and not one.unlinked for one in (source, replica)):
            return False
        patience = SILENCE if replica.link == "up" else 0.0
        silent = any(one.frozen and one.frozen_at + patience <= self.now for one in (source, replica))
        return not silent and not replica.awaits_link and not replica.loading

    def relink(self) -> None:
        """Bring every link to what it can be."""
        for replica in self.servers.values():
            if replica.source is None:
                continue
            source = self.servers.get(replica.source)
            can = self._should_follow(replica)
            if replica.link != "down" and (not can or source is None or source.replid != replica.replid):
                if replica.link == "up":
                    replica.settle()
                    replica.lost_at = self.now
                replica.link = "down"
            if self._should_follow(replica) and replica.link == "down":
                self.kernel.later(RELINK, lambda replica=replica: self._link(replica))  # type: ignore[misc]

    @property
    def now(self) -> float:
        return self.kernel.now

    def _link(self, replica: Server) -> None:
        source = self.servers.get(replica.source or "")
        if (
            source is None
            or replica.link != "down"
            or not self._should_follow(replica)
            or self.servers.get(replica.name) is not replica
        ):
            return
        source.settle()
        if not source.backlog:
            source.new_history(goes_on=False)
            source.backlog = True
        same = replica.replid == source.replid
        heir = replica.replid == source.replid2 and replica.offset < source.second_offset
        if (replica.copied or replica.backlog) and (same or heir) and source.begins <= replica.offset <= source.offset:
            if not same:
                replica.replid2, replica.second_offset = replica.replid, replica.offset + 1
            replica.replid = source.replid
            replica.applied = next((n for n, one in enumerate(source.log) if one.end > replica.offset), len(source.log))
            replica.link, replica.heard, replica.copied, replica.backlog = "up", self.now, True, True
            return
        source.full_syncs += 1
        replica.link = "sync"
        process, history = source.run_id, source.replid
        self.kernel.later(self.sync_seconds, lambda: self._copied(replica, process, history))

    def _copied(self, replica: Server, process: str, history: str) -> None:
        source = self.servers.get(replica.source or "")
        if replica.link != "sync" or source is None or (source.run_id, source.replid) != (process, history):
            return
        source.settle()
        replica.data = {number: dict(keys) for number, keys in source.data.items()}
        replica.soonest = source.soonest
        replica.replid, replica.replid2, replica.second_offset = source.replid, NO_HISTORY, -1
        replica.offset, replica.applied = source.offset, len(source.log)
        replica.log, replica.begins = [], source.offset
        replica.link, replica.heard, replica.copied, replica.backlog = "up", self.now, True, True
