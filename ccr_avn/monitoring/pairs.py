"""Finds the pairs in a list of services, and which service was promoted from which."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MappingProxyType

from ccr_avn.aiven.lineage import (
    PROMOTING,
    Origin,
    Recorded,
    Successor,
    created,
    is_origin,
    marked,
    origin_of,
    successors,
)
from ccr_avn.aiven.models import REPLICABLE, Integration, Service
from ccr_avn.errors import Refused, near


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """A service's past. ``origin``: the name of the service that it was promoted from, whether or not that exists.

    ``recorded``: the services that were promoted from it. ``claimants``: those whose tags give only its name, which
    proves nothing. ``sent``: the promotions that marks say were about to be sent.
    """

    origin: str = ""
    recorded: tuple[Successor, ...] = ()
    claimants: tuple[str, ...] = ()
    sent: tuple[Recorded, ...] = ()

    @property
    def successors(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.recorded)

    @property
    def is_old(self) -> bool:
        return bool(self.recorded)


NO_PAST = Succession()


def successions(services: tuple[Service, ...], recorded: Iterable[Recorded] = ()) -> dict[str, Succession]:
    """The past of every service that has one, by name. ``recorded``: the promotions in this machine's journals."""
    recorded, known = tuple(recorded), {one.name: one for one in services}
    claimants: dict[str, list[str]] = defaultdict(list)
    origins: dict[str, str] = {}
    for new in services:
        origin = origin_of(new)
        if origin is None or origin.name == new.name or origin.new_created not in (None, created(new)):
            continue  # tags that were written for another service: copied, or recreated with them under the same name
        origins[new.name] = origin.name
        old = known.get(origin.name)
        if old and not is_origin(origin, old, new) and _may_be(origin, old, new):
            claimants[old.name].append(new.name)
    candidates = [known[name] for name in dict.fromkeys((*origins, *(one.new for one in recorded))) if name in known]
    found = {old.name: later for old in services if (later := successors(old, candidates, recorded))}
    for name, later in found.items():
        origins = {new.name: name for new in later} | origins
    marks = [one for one in services if PROMOTING in one.tags]
    sent = {old.name: those for old in (services if marks else ()) if (those := tuple(marked(old, marks)))}
    return {
        name: Succession(
            origin=origins.get(name, ""),
            recorded=found.get(name, ()),
            claimants=tuple(sorted(claimants.get(name, ()))),
            sent=sent.get(name, ()),
        )
        for name in dict.fromkeys((*origins, *found, *claimants, *sent))
    }


def _may_be(origin: Origin, old: Service, new: Service) -> bool:
    """Whether a tag that has a name only may mean this service: it is not younger than what came from it."""
    made, then = created(old), created(new)
    return origin.old_created is None and (made is None or then is None or made <= then)


UNNAMED = "?"
"""The primary of a replica whose integration does not say which one that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A primary and one of its replicas; without a ``replica_name``: a service that has none.

    A side is None where its name is known and it is not listed. ``past`` is the primary's. ``missing``: why a pair that
    is expected is none; empty for what is there. ``drill``: the run that made the service for a drill; None: none did.
    """

    primary_name: str
    replica_name: str = ""
    primary: Service | None
    replica: Service | None
    row: Integration | None
    past: Succession = NO_PAST
    missing: str = ""
    drill: str | None = None

    @property
    def name(self) -> str:
        return f"{self.primary_name}/{self.replica_name}" if self.replica_name else self.primary_name

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(one for one in (self.primary, self.replica) if one)

    @property
    def integration(self) -> str:
        return "none" if self.row is None else "active" if self.row.active else "inactive"

    @property
    def is_current(self) -> bool:
        """Whether it is a promoted service that has no replica yet, and is no old primary by now."""
        return self.counts and not self.replica_name and not self.past.is_old

    @property
    def counts(self) -> bool:
        """Whether there is something to judge: a service that never was in a pair, or is a drill's, is none of it."""
        return self.drill is None and bool(self.replica_name or self.past.origin or self.past.is_old)

    @property
    def elsewhere(self) -> bool:
        """Whether one side is in another project: a service of its name in this project is unrelated."""
        return bool(self.row and self.row.crosses_projects)


NAMES = attrgetter("primary_name", "replica_name")


def pairs_of(
    services: tuple[Service, ...], recorded: Iterable[Recorded] = (), drills: Mapping[str, str] = MappingProxyType({})
) -> tuple[Pair, ...]:
    """Every replica with its primary, and every service without either; by name.

    ``recorded``: the promotions in this machine's journals. ``drills``: the services that a drill made, with its run.
    """
    known = {one.name: one for one in services if one.type in REPLICABLE}
    past = successions(tuple(known.values()), recorded)
    # By both names, and whether the primary is in another project: a namesake of it may be one here.
    pairs: dict[tuple[str, str, bool], Pair] = {}
    for one in known.values():
        if row := one.row:
            other = None if row.crosses_projects else known.get(row.source or "")
            pairs[row.source or "", one.name, row.crosses_projects] = _pair(row, other, one, past)
    for one in known.values():  # and what only the primary lists
        for row in one.integrations:
            unseen = row is not one.row and (one.name, row.dest, False) not in pairs
            if row.is_fed_by(one.name) and row.dest and unseen:
                other = None if row.crosses_projects else known.get(row.dest)
                pairs[one.name, row.dest, False] = _pair(row, one, other, past)
    paired = {one.name for pair in pairs.values() for one in pair.services}
    singles = [
        Pair(primary_name=name, primary=one, replica=None, row=None, past=past.get(name, NO_PAST))
        for name, one in known.items()
        if name not in paired
    ]
    found = sorted([*pairs.values(), *singles], key=NAMES)
    return tuple(replace(one, drill=drills.get(one.replica_name or one.primary_name)) for one in found)


def chosen(pairs: tuple[Pair, ...], names: tuple[str, ...]) -> tuple[Pair, ...]:
    """The pairs that one of ``names`` is a side of; all of them without names. Raises: Refused: a name is in none."""
    if not names:
        return pairs
    known = {name for pair in pairs for name in (pair.primary_name, pair.replica_name)}
    missing = [name for name in names if name not in known]
    if missing:
        raise Refused(
            f"{' and '.join(missing)}: no such Valkey or Redis service in this project",
            detail="service names as given on the command line",
            hint=f"check the name{''.join(near(one, known) for one in missing)} and the project: avn service list",
        )
    return tuple(pair for pair in pairs if {pair.primary_name, pair.replica_name} & set(names))


def with_expected(
    shown: tuple[Pair, ...], every: tuple[Pair, ...], expected: Iterable[tuple[str, str]]
) -> tuple[Pair, ...]:
    """``shown`` and the pairs that are expected, of ``every`` one that there is or as missing."""
    found = {(pair.primary_name, pair.replica_name): pair for pair in every}
    services = {one.name: one for pair in every for one in pair.services}
    wanted = {names: found.get(names) or _missing(names, every, services) for names in expected}
    return tuple(sorted({id(pair): pair for pair in (*shown, *wanted.values())}.values(), key=NAMES))


def _pair(row: Integration, primary: Service | None, replica: Service | None, past: dict[str, Succession]) -> Pair:
    return Pair(
        primary_name=row.source or UNNAMED,
        replica_name=row.dest or UNNAMED,
        primary=primary,
        replica=replica,
        row=row,
        past=past.get(primary.name, NO_PAST) if primary else NO_PAST,
    )


def _missing(names: tuple[str, str], every: tuple[Pair, ...], services: dict[str, Service]) -> Pair:
    primary, replica = names
    past = {pair.primary_name: pair.past for pair in every}
    follows = next((pair.primary_name for pair in every if pair.replica_name == replica), "")
    gone = [name for name in names if name not in services]
    if gone:
        why = f"{' and '.join(gone)} {'does' if len(gone) == 1 else 'do'} not exist"
    elif past.get(replica, NO_PAST).origin == primary:
        why = f"{replica} was promoted from {primary}"
    elif follows:
        why = f"{replica} follows {follows}"
    else:
        why = f"{replica} has no read_replica integration"
    return Pair(
        primary_name=primary,
        replica_name=replica,
        primary=services.get(primary),
        replica=services.get(replica),
        row=None,
        missing=why,
    )
