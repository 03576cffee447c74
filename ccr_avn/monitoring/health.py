"""The health of one pair: its facts as plain data, and a verdict with reasons. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ccr_avn.aiven.models import Service
from ccr_avn.monitoring.collect import Look, Looks
from ccr_avn.monitoring.pairs import Pair
from ccr_avn.monitoring.verdicts import WORSE, Health, Known, Limits, Words, admission, verdicts
from ccr_avn.valkey.diagnose import Admission
from ccr_avn.valkey.replication import lag_of, link_of

Rank = Literal[
    "pair",
    "single",
    "fork or unrecorded promotion",
    "drill's service",
    "current primary",
    "old primary, closed",
    "old primary, unknown whether closed",
    "old primary, still open",
    "missing",
]

RECENT = 30 * 3600.0
"""Seconds that a backup counts as recent: they are daily at the rarest, with some hours to take one."""

NO_LOOK = Look()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStatus:
    """``lag_bytes``, ``last_io_seconds`` and ``backup_age`` (seconds) are None where they aren't known.

    ``rank``: what the pair, or the service alone, is. ``closed``: what shows that an old primary lets nobody in. ``age``:
    of a drill's service, in seconds. ``related``: open services that share its primary's history, and nothing records
    why. ``next``: the commands that can help, the first one first.
    """

    pair: Pair
    rank: Rank
    closed: str
    link: str
    lag_bytes: int | None
    last_io_seconds: int | None
    backup_age: float | None
    exposure: tuple[str, ...]
    health: Health
    reasons: tuple[str, ...]
    next: tuple[Words, ...]
    related: tuple[str, ...]
    age: float | None
    primary: Look
    replica: Look

    def told(self) -> dict[str, Any]:
        """As plain data, without secrets."""
        pair = self.pair
        return {
            "primary": _service(pair, pair.primary, pair.primary_name, self.primary),
            "replica": _service(pair, pair.replica, pair.replica_name, self.replica) if pair.replica_name else None,
            "standing": self.rank,
            "promoted_from": pair.past.origin or None,
            "promoted": list(pair.past.successors),
            "closed": self.closed or None,
            "shares_history_with": list(self.related),
            "drill": None if pair.drill is None else {"run": pair.drill or None, "age_seconds": _whole(self.age)},
            "integration": integration(pair),
            "link": self.link,
            "lag_bytes": self.lag_bytes,
            "last_io_seconds": self.last_io_seconds,
            "backup_age_seconds": _whole(self.backup_age),
            "exposure": list(self.exposure),
            "health": self.health,
            "reasons": list(self.reasons),
            "next": [list(words) for words in self.next],
        }


def pair_statuses(
    pairs: tuple[Pair, ...],
    looks: Looks | None,
    *,
    limits: Limits,
    now: datetime,
    known: Known | None = None,
    among: tuple[Pair, ...] = (),
) -> tuple[PairStatus, ...]:
    """Every pair, and every service without a replica; ``looks`` None: data planes were not asked.

    ``among``: the others, with which one may share its history.
    """
    related = _related((*among, *pairs), looks or {})
    return tuple(_status_of(pair, looks, limits, now, known or Known(), related) for pair in pairs)


def _related(pairs: tuple[Pair, ...], looks: Looks) -> dict[str, tuple[str, ...]]:
    """Which open services have one's history as their earlier one, or the other way round, without a record of why.

    It proves a common origin and nothing else: forks are ordinary.
    """
    singles = {pair.primary_name: pair for pair in pairs if pair.drill is None}
    sides = {name: read.side for name, read in looks.items() if name in singles and read.side}
    masters = {side.replid: name for name, side in sides.items() if side.role == "master"}
    found: dict[str, tuple[str, ...]] = {}
    for new, side in sides.items():
        old = masters.get(side.replid2) if side.was_promoted else None
        if old and new not in singles[old].past.successors:
            found[old], found[new] = (*found.get(old, ()), new), (*found.get(new, ()), old)
    return found


def overall(found: Iterable[PairStatus]) -> Health:
    """The one verdict that every format and exit code gives; unknown where there is nothing to judge."""
    return max(
        (one.health for one in found if one.pair.counts or one.health != "ok"), key=WORSE.index, default="unknown"
    )


def integration(pair: Pair) -> str:
    if pair.row is None:
        return "none"
    return "active" if pair.row.active else "inactive"


def _status_of(
    pair: Pair, looks: Looks | None, limits: Limits, now: datetime, known: Known, related: Mapping[str, tuple[str, ...]]
) -> PairStatus:
    primary = (looks or {}).get(pair.primary.name, NO_LOOK) if pair.primary else NO_LOOK
    replica = (looks or {}).get(pair.replica.name, NO_LOOK) if pair.replica else NO_LOOK
    asked = looks is not None and bool(pair.replica)
    link = link_of(primary.side, replica.side) if asked else "-"
    lag = lag_of(primary.side, replica.side) if asked else None
    age = backup_age(pair.primary, now)
    admits = admission(pair.primary, primary) if pair.primary and pair.past.is_old else None
    others = related.get(pair.primary_name, ())
    later = tuple(
        one
        for one in others
        if primary.side and (side := (looks or {})[one].side) and side.replid2 == primary.side.replid
    )
    found = list(verdicts(pair, link, lag, (primary, replica), limits, known, later))
    if others:
        shared = f"{pair.primary_name} shares its history with {' and '.join(others)}"
        found.append(("ok", f"{shared}: a fork, or a promotion that was not recorded", ()))
    made = pair.services[-1].created if pair.drill is not None and pair.services else None
    return PairStatus(
        pair=pair,
        rank=_rank(pair, admits, bool(others)),
        closed=admits.why if admits and admits.state == "closed" else "",
        link="up, primary unknown" if link == "up" and lag is None else link,
        lag_bytes=lag,
        last_io_seconds=replica.side.last_io_seconds if replica.side else None,
        backup_age=age,
        exposure=tuple(exposure(pair, age)),
        health=max((health for health, *_ in found), key=WORSE.index, default="ok"),
        reasons=tuple(reason for _, reason, _ in found),
        next=tuple(dict.fromkeys(words for *_, words in found if words)),
        related=others,
        age=max(0.0, (now - _aware(made)).total_seconds()) if made else None,
        primary=primary,
        replica=replica,
    )


OLD: dict[str, Rank] = {
    "closed": "old primary, closed",
    "open": "old primary, still open",
    "unknown": "old primary, unknown whether closed",
}


def _rank(pair: Pair, admits: Admission | None, is_related: bool) -> Rank:
    if pair.missing:
        return "missing"
    if pair.drill is not None:
        return "drill's service"
    if admits:
        return OLD[admits.state]
    if pair.is_current:
        return "current primary"
    if pair.replica_name:
        return "pair"
    return "fork or unrecorded promotion" if is_related else "single"


def backup_age(service: Service | None, now: datetime) -> float | None:
    """Seconds since the newest backup."""
    if service is None or not service.backups:
        return None
    newest = max(_aware(one.taken) for one in service.backups)
    return max(0.0, (now - newest).total_seconds())


def exposure(pair: Pair, age: float | None) -> Iterable[str]:
    """What an outage would hit harder than it need."""
    if pair.past.is_old:
        return  # nothing depends on it any more
    if not pair.replica_name:
        yield "no replica"
    if pair.primary:
        if (pair.primary.node_count or len(pair.primary.nodes)) == 1:
            yield "single node"
        if age is None:
            yield "no backup"
        elif age > RECENT:
            yield "no recent backup"
    open_to_termination = [one.name for one in pair.services if not one.protected]
    if open_to_termination:
        yield f"termination protection off ({', '.join(open_to_termination)})"


def _service(pair: Pair, service: Service | None, name: str, read: Look) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name}
    if service:
        told |= {"type": service.type, "cloud": service.cloud, "plan": service.plan, "state": service.state}
    else:
        told |= {"type": None, "cloud": None, "plan": None, "state": "elsewhere" if pair.elsewhere else "gone"}
    if read.side:
        side = read.side
        told["data_plane"] = {"role": side.role, "offset": side.offset, "history": side.replid}
        told["data_plane"]["writes_paused_seconds"] = side.paused_seconds
    else:
        told["data_plane"] = None
    told["trouble"] = read.trouble or None
    return told


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
