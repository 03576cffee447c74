"""How one pair stands: its facts in plain data, and a verdict with reasons. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ccr_avn.dataplane.link import Side
from ccr_avn.models import Service
from ccr_avn.status.looks import Look, Looks
from ccr_avn.status.pairs import Pair

Health = Literal["ok", "warning", "unknown", "critical"]
WORSE: tuple[Health, ...] = ("ok", "warning", "unknown", "critical")
"""From good to bad: what is unknown may be critical, so it outweighs a warning."""

RECENT = 30 * 3600.0
"""Seconds that a backup counts as recent: they are daily at the rarest, with some hours to take one."""

NO_LOOK = Look()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Lag in bytes from which a pair is a warning, and critical."""

    warn: int = 10 * 1024 * 1024
    crit: int = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """``lag_bytes``, ``last_io_seconds`` and ``backup_age`` (seconds) are None where they aren't known."""

    pair: Pair
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
        return {
            "primary": _service(self.pair.primary, self.pair.primary_name, self.primary),
            "replica": _service(self.pair.replica, self.pair.replica_name, self.replica) if self.pair.replica else None,
            "integration": integration(self.pair),
            "link": self.link,
            "lag_bytes": self.lag_bytes,
            "last_io_seconds": self.last_io_seconds,
            "backup_age_seconds": None if self.backup_age is None else round(self.backup_age),
            "exposure": list(self.exposure),
            "health": self.health,
            "reasons": list(self.reasons),
        }


def standings(
    pairs: tuple[Pair, ...], looks: Looks | None, *, limits: Limits, now: datetime, named: Iterable[str] = ()
) -> tuple[Standing, ...]:
    """Every pair; ``looks`` None: data planes were not asked. A service that was ``named`` is expected to have a replica."""
    expected = frozenset(named)
    return tuple(_standing(pair, looks, limits, now, expected) for pair in pairs)


def worst(found: Iterable[Standing]) -> Health:
    return max((one.health for one in found), key=WORSE.index, default="unknown")


def integration(pair: Pair) -> str:
    if pair.row is None:
        return "none"
    return "active" if pair.row.active else "inactive"


def _standing(pair: Pair, looks: Looks | None, limits: Limits, now: datetime, expected: frozenset[str]) -> Standing:
    primary = (looks or {}).get(pair.primary_name, NO_LOOK)
    replica = (looks or {}).get(pair.replica_name, NO_LOOK)
    link = link_of(primary.side, replica.side) if pair.replica and looks is not None else "-"
    up = link == "up"
    both = primary.side and replica.side
    lag = max(0, primary.side.offset - replica.side.offset) if up and primary.side and replica.side else None
    age = backup_age(pair.primary, now)
    found = list(_judged(pair, link, lag, (primary, replica), limits, expected))
    return Standing(
        pair=pair,
        link=link if both or link != "up" else "up, primary unknown",
        lag_bytes=lag,
        last_io_seconds=replica.side.last_io_seconds if replica.side else None,
        backup_age=age,
        exposure=tuple(exposure(pair, age)),
        health=max((health for health, _ in found), key=WORSE.index, default="ok"),
        reasons=tuple(reason for _, reason in found),
        primary=primary,
        replica=replica,
    )


def link_of(primary: Side | None, replica: Side | None) -> str:
    """What the replica says of its link, checked against its primary where that answered."""
    if replica is None:
        return "unknown"
    if replica.role != "slave":
        return "follows nobody"
    if replica.sync_in_progress:
        return "syncing"
    if replica.link_status != "up":
        return "down"
    if primary and primary.replid != replica.replid:
        return "another history"
    return "up"


def backup_age(service: Service | None, now: datetime) -> float | None:
    """Seconds since the newest backup."""
    if service is None or not service.backups:
        return None
    newest = max(_aware(one.taken) for one in service.backups)
    return max(0.0, (now - newest).total_seconds())


def exposure(pair: Pair, age: float | None) -> Iterable[str]:
    """What an outage would hit harder than it need."""
    if pair.replica is None:
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


def _judged(
    pair: Pair, link: str, lag: int | None, looks: tuple[Look, Look], limits: Limits, expected: frozenset[str]
) -> Iterable[tuple[Health, str]]:
    if pair.primary is None:
        yield "critical", f"{pair.primary_name} no longer exists"
    for one in pair.services:
        if one.state == "POWEROFF":
            yield "critical", f"{one.name} is powered off"
        elif one.state != "RUNNING":
            yield "warning", f"{one.name} is {one.state}"
    if pair.replica is None:
        if pair.primary_name in expected:
            yield "critical", f"{pair.primary_name} has no replica"
        return
    if pair.row and not pair.row.active:
        yield "warning", "the integration is not active"
    yield from _troubles(pair, looks)
    yield from _link_judged(link, looks[1].side)
    if lag is not None and lag >= limits.warn:
        yield ("critical" if lag >= limits.crit else "warning"), f"{lag} bytes behind"


def _troubles(pair: Pair, looks: tuple[Look, Look]) -> Iterable[tuple[Health, str]]:
    for service, look in zip((pair.primary, pair.replica), looks, strict=True):
        if look.trouble and service and service.state != "POWEROFF":
            said = look.trouble if look.trouble.startswith(service.name) else f"{service.name}: {look.trouble}"
            yield ("unknown" if look.ours else "critical"), said


def _link_judged(link: str, replica: Side | None) -> Iterable[tuple[Health, str]]:
    if link == "down":
        since = replica.link_down_seconds if replica else None
        yield "critical", "link down" + (f" for {since} s" if since is not None else "")
    elif link == "syncing":
        yield "warning", "syncing: a full copy is under way"
    elif link == "follows nobody":
        yield "critical", "the replica follows nobody"
    elif link == "another history":
        yield "critical", "the replica follows another history than this primary's"


def _service(service: Service | None, name: str, look: Look) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name}
    if service:
        told |= {"type": service.type, "cloud": service.cloud, "plan": service.plan, "state": service.state}
    else:
        told |= {"type": None, "cloud": None, "plan": None, "state": "gone"}
    if look.side:
        told["data_plane"] = {"role": look.side.role, "offset": look.side.offset, "history": look.side.replid}
    else:
        told["data_plane"] = None
    told["trouble"] = look.trouble or None
    return told


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
