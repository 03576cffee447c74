"""The health of one pair: its facts as plain data, and a verdict with reasons. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ccr_avn.aiven.models import Service
from ccr_avn.monitoring.collect import Look, Looks
from ccr_avn.monitoring.pairs import Pair
from ccr_avn.monitoring.verdicts import WORSE, Health, Limits, closed, verdicts
from ccr_avn.valkey.replication import lag_of, link_of

Rank = Literal["pair", "single", "current primary", "old primary, closed", "old primary, still open", "missing"]

RECENT = 30 * 3600.0
"""Seconds that a backup counts as recent: they are daily at the rarest, with some hours to take one."""

NO_LOOK = Look()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStatus:
    """``lag_bytes``, ``last_io_seconds`` and ``backup_age`` (seconds) are None where they aren't known.

    ``rank``: what the pair, or the service alone, is. ``closed``: what shows that an old primary lets nobody in.
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
            "integration": integration(pair),
            "link": self.link,
            "lag_bytes": self.lag_bytes,
            "last_io_seconds": self.last_io_seconds,
            "backup_age_seconds": None if self.backup_age is None else round(self.backup_age),
            "exposure": list(self.exposure),
            "health": self.health,
            "reasons": list(self.reasons),
        }


def pair_statuses(
    pairs: tuple[Pair, ...], looks: Looks | None, *, limits: Limits, now: datetime
) -> tuple[PairStatus, ...]:
    """Every pair, and every service without a replica; ``looks`` None: data planes were not asked."""
    return tuple(_status_of(pair, looks, limits, now) for pair in pairs)


def overall(found: Iterable[PairStatus]) -> Health:
    """The one verdict that every format and exit code gives; unknown where there is nothing to judge."""
    return max(
        (one.health for one in found if one.pair.counts or one.health != "ok"), key=WORSE.index, default="unknown"
    )


def integration(pair: Pair) -> str:
    if pair.row is None:
        return "none"
    return "active" if pair.row.active else "inactive"


def _status_of(pair: Pair, looks: Looks | None, limits: Limits, now: datetime) -> PairStatus:
    primary = (looks or {}).get(pair.primary.name, NO_LOOK) if pair.primary else NO_LOOK
    replica = (looks or {}).get(pair.replica.name, NO_LOOK) if pair.replica else NO_LOOK
    asked = looks is not None and bool(pair.replica)
    link = link_of(primary.side, replica.side) if asked else "-"
    lag = lag_of(primary.side, replica.side) if asked else None
    age = backup_age(pair.primary, now)
    shut = closed(pair.primary, primary) if pair.primary and pair.past.is_old else ""
    found = list(verdicts(pair, link, lag, (primary, replica), limits, shut))
    return PairStatus(
        pair=pair,
        rank=_rank(pair, shut),
        closed=shut,
        link="up, primary unknown" if link == "up" and lag is None else link,
        lag_bytes=lag,
        last_io_seconds=replica.side.last_io_seconds if replica.side else None,
        backup_age=age,
        exposure=tuple(exposure(pair, age)),
        health=max((health for health, _ in found), key=WORSE.index, default="ok"),
        reasons=tuple(reason for _, reason in found),
        primary=primary,
        replica=replica,
    )


def _rank(pair: Pair, shut: str) -> Rank:
    if pair.missing:
        return "missing"
    if pair.past.is_old:
        return "old primary, closed" if shut else "old primary, still open"
    if pair.is_current:
        return "current primary"
    return "pair" if pair.replica_name else "single"


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


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
