"""Which pairs there are: a pure fold over one `avn service list`."""

from dataclasses import dataclass

from ccr_avn.errors import Refused
from ccr_avn.models import READ_REPLICA, Integration, Service

TYPES = ("valkey", "redis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A primary and one of its replicas; ``replica`` is None for a service that has none."""

    primary_name: str
    primary: Service | None  # None: it is no longer there, the replica still names it
    replica: Service | None
    row: Integration | None

    @property
    def replica_name(self) -> str:
        return self.replica.name if self.replica else ""

    @property
    def name(self) -> str:
        return f"{self.primary_name}/{self.replica_name}" if self.replica else self.primary_name

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(one for one in (self.primary, self.replica) if one)


def pairs_of(services: tuple[Service, ...]) -> tuple[Pair, ...]:
    """Every replica with its primary, and every service without either; by name."""
    known = {one.name: one for one in services if one.type in TYPES}
    rows = {
        row.dest: row
        for one in known.values()
        for row in one.integrations
        if row.type == READ_REPLICA and row.enabled and row.source and row.dest in known
    }
    pairs = [
        Pair(primary_name=row.source or "", primary=known.get(row.source or ""), replica=known[dest], row=row)
        for dest, row in rows.items()
        if dest
    ]
    paired = {name for pair in pairs for name in (pair.primary_name, pair.replica_name)}
    alone = [
        Pair(primary_name=name, primary=one, replica=None, row=None)
        for name, one in known.items()
        if name not in paired
    ]
    return tuple(sorted([*pairs, *alone], key=lambda pair: (pair.primary_name, pair.replica_name)))


def chosen(pairs: tuple[Pair, ...], names: tuple[str, ...]) -> tuple[Pair, ...]:
    """The pairs that one of ``names`` is a side of; all of them without names.

    Raises:
        Refused: a name is in none.
    """
    if not names:
        return pairs
    missing = [name for name in names if not any(name in (pair.primary_name, pair.replica_name) for pair in pairs)]
    if missing:
        raise Refused(
            f"{' and '.join(missing)}: no such Valkey or Redis service in this project",
            detail="service names as given on the command line",
            hint="check the name and the project: avn service list",
        )
    return tuple(pair for pair in pairs if {pair.primary_name, pair.replica_name} & set(names))
