"""What INFO says of a server, and what that of two says of the link between them. Asks nobody: see server_facts.py."""

from dataclasses import dataclass
from typing import Literal

from ccr_avn.errors import Unreachable

NO_HISTORY = "0" * 40  # what ``master_replid2`` says when a server never changed its history

QUESTION = ("INFO", "server", "clients", "memory", "persistence", "stats", "replication", "keyspace")
"""Without ``errorstats`` and the like, which repeat what clients wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationInfo:
    """One side. Offsets and memory are in bytes; on a replica ``offset`` is what it has applied."""

    role: str
    run_id: str
    version: str
    replid: str
    replid2: str
    offset: int
    second_offset: int
    connected_replicas: int
    used_memory: int
    maxmemory: int  # 0: no limit
    not_counted: int = 0  # of ``used_memory``: replication and AOF buffers, which evict nothing
    client_buffers: int = 0  # of ``used_memory``: they stay behind with the clients
    eviction: str = "noeviction"
    libraries: int | None = None  # of functions; None: older than functions
    cached_scripts: int = 0
    loading: bool
    backlog: bool = False
    link_status: str | None = None
    sync_in_progress: bool = False
    last_io_seconds: int | None = None  # None: the link is down, or this is no replica
    link_down_seconds: int | None = None
    changes: int = 0  # writes executed since ``last_save``; expiries, pings and PUBLISH do not count (measured)
    last_save: int = 0  # epoch seconds: a save sets ``changes`` back
    keyspace: tuple[tuple[int, int], ...] = ()  # of each database that holds keys its number, and how many
    rejected: int | None = 0  # commands from its primary that a replica answered with an error; None: not reported
    errors: tuple[str, ...] = ()  # which errors it gave, to anybody: the most frequent ones
    full_syncs: int = 0  # that it has begun as a primary
    paused_seconds: float | None = None  # for how long writes are still paused; None: too old a server to tell

    @property
    def keys(self) -> int:
        """In all databases."""
        return sum(count for _, count in self.keyspace)

    @property
    def data_memory(self) -> int:
        """What ``maxmemory`` is compared with before a key is evicted, without the buffers of clients."""
        return max(0, self.used_memory - self.not_counted - self.client_buffers)

    @property
    def has_a_copy(self) -> bool:
        """Whether it has ever completed a sync from its primary, even long ago (measured on Valkey and Redis).

        Before its first copy has ended a replica has no backlog, a replication ID of its own and an offset of 1.
        """
        return self.role != "slave" or self.link_status == "up" or self.backlog or self.offset > 1

    @property
    def has_foreign_history(self) -> bool:
        """Whether it took over another server's history: it was promoted, or followed one that was."""
        return self.replid2 not in ("", NO_HISTORY)

    @property
    def was_promoted(self) -> bool:
        return self.role == "master" and self.has_foreign_history


LinkState = Literal[
    "unknown", "same server", "no primary", "not a primary", "syncing", "down", "different replication ID", "up"
]

NOT_LINKED: dict[str, str] = {
    "same server": "the addresses of both services lead to the same server",
    "no primary": "the replica follows no primary: its role is master",
    "not a primary": "the server at the primary's address is itself a replica",
    "different replication ID": "the replica has a different replication ID than this primary",
}
"""States in which the one is no replica of the other, in words."""


def link_of(primary: ReplicationInfo | None, replica: ReplicationInfo | None) -> LinkState:
    """What the replica says of its link, checked against its primary where that answered."""
    if replica is None:
        return "unknown"
    if primary and primary.run_id == replica.run_id:
        return "same server"
    if primary and primary.role != "master":
        return "not a primary"
    if replica.role != "slave":
        return "no primary"
    if replica.sync_in_progress:
        return "syncing"
    if replica.link_status != "up":
        return "down"
    if primary and primary.replid != replica.replid:
        return "different replication ID"
    return "up"


def behind(primary: ReplicationInfo | None, replica: ReplicationInfo | None) -> int | None:
    """Bytes, where both sides answered; read in an order that may overstate it, never understate."""
    return max(0, primary.offset - replica.offset) if primary and replica else None


def lag_of(primary: ReplicationInfo | None, replica: ReplicationInfo | None) -> int | None:
    """The same, but only of a link that is up: else the offsets may be of two histories."""
    return behind(primary, replica) if link_of(primary, replica) == "up" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    primary: ReplicationInfo
    replica: ReplicationInfo

    @property
    def state(self) -> LinkState:
        return link_of(self.primary, self.replica)

    @property
    def lag_bytes(self) -> int:
        return behind(self.primary, self.replica) or 0


def info_fields(answer: object) -> dict[str, str]:
    """What INFO answered, empty where that is no text. Only CRLF ends a line, and the first of a name counts.

    An error that a script made up may hold any other character that ends a line, and what looks like a field behind it.
    """
    return dict(reversed(_lines(answer)))


def modules_in(answer: object) -> dict[str, int]:
    """The version of each module in what INFO modules answered: a number that the module counts as it likes."""
    found = [_parts(value) for name, value in _lines(answer) if name == "module"]
    return {one["name"]: int(one["ver"]) for one in found if "name" in one and one.get("ver", "").isdecimal()}


def _lines(answer: object) -> list[tuple[str, str]]:
    lines = answer.decode(errors="replace").split("\r\n") if isinstance(answer, bytes) else []
    return [(name, value) for name, _, value in (line.partition(":") for line in lines)]


def _parts(value: str) -> dict[str, str]:
    """Of ``a=1,b=2``."""
    return dict(part.split("=", 1) for part in value.split(",") if "=" in part)


def parse_replication(answer: object, service: str) -> ReplicationInfo:
    """The facts in what INFO answered. Raises: Unreachable: an answer that lacks what is needed."""
    try:
        return _side(info_fields(answer))
    except (KeyError, ValueError) as error:
        raise Unreachable(
            f"{service}: INFO is incomplete",
            detail=f"missing or invalid: {error}",
            hint="the user may lack the right to INFO, or a proxy answers in its place",
            passing=False,
        ) from None


def _side(info: dict[str, str]) -> ReplicationInfo:
    role = info["role"]
    follows = role == "slave"
    return ReplicationInfo(
        role=role,
        run_id=info["run_id"],
        version=info.get("valkey_version") or info["redis_version"],
        replid=info["master_replid"],
        replid2=info["master_replid2"],
        offset=int(info["slave_repl_offset" if follows else "master_repl_offset"]),
        second_offset=int(info["second_repl_offset"]),
        connected_replicas=int(info["connected_slaves"]),
        used_memory=int(info["used_memory"]),
        maxmemory=int(info.get("maxmemory", 0)),
        not_counted=int(info.get("mem_not_counted_for_evict", 0)),
        client_buffers=int(info.get("mem_clients_normal", 0)),
        eviction=info.get("maxmemory_policy", "noeviction"),
        libraries=int(info["number_of_libraries"]) if "number_of_libraries" in info else None,
        cached_scripts=int(info.get("number_of_cached_scripts", 0)),
        loading=info.get("loading", "0") != "0",
        backlog=info.get("repl_backlog_active", "0") != "0",
        link_status=info["master_link_status"] if follows else None,
        sync_in_progress=info["master_sync_in_progress"] != "0" if follows else False,
        last_io_seconds=_known(info["master_last_io_seconds_ago"]) if follows else None,
        link_down_seconds=_known(info.get("master_link_down_since_seconds", "-1")),
        changes=int(info["rdb_changes_since_last_save"]),
        last_save=int(info["rdb_last_save_time"]),
        rejected=int(info["unexpected_error_replies"]) if "unexpected_error_replies" in info else None,
        full_syncs=int(info.get("sync_full", 0)),
        keyspace=tuple(sorted((number, int(facts.get("keys", 0))) for number, facts in databases(info).items())),
        paused_seconds=_paused(info),
    )


def errors_in(answer: object) -> tuple[str, ...]:
    """The most frequent ones in what INFO errorstats answered, cut: an application may make up any text."""
    counts = {
        name.removeprefix("errorstat_"): int(value.removeprefix("count="))
        for name, value in info_fields(answer).items()
        if name.startswith("errorstat_") and value.removeprefix("count=").isdecimal()
    }
    return tuple(f"{name[:40]} ({counts[name]})" for name in sorted(counts, key=counts.__getitem__, reverse=True)[:5])


def databases(info: dict[str, str]) -> dict[int, dict[str, str]]:
    """What INFO says of each database that holds keys."""
    return {int(name[2:]): _parts(value) for name, value in info.items() if name[:2] == "db" and name[2:].isdecimal()}


def _paused(info: dict[str, str]) -> float | None:
    if "paused_actions" not in info:
        return None
    return int(info.get("paused_timeout_milliseconds", 0)) / 1000 if info["paused_actions"] in ("write", "all") else 0.0


def _known(seconds: str) -> int | None:
    """INFO says -1 if there is no value."""
    return int(seconds) if int(seconds) >= 0 else None
