"""Judges what is wrong with a service or a pair, and how severe it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ccr_avn.aiven.models import Service
from ccr_avn.monitoring.collect import Look
from ccr_avn.monitoring.pairs import UNNAMED, Pair
from ccr_avn.procedures.gates.settings import NOBODY, lets_nobody_in, networks
from ccr_avn.units import format_duration
from ccr_avn.valkey.replication import NOT_LINKED, ReplicationInfo

SHOWN = 3
"""Entries of an ip_filter that are shown."""


def closed(service: Service, read: Look) -> str:
    """What shows that it admits no client; empty if nothing does."""
    if service.state == "POWEROFF":
        return "it is powered off"
    if read.side is None and not read.answered and lets_nobody_in(service):
        return f"its ip_filter is {NOBODY}"
    return ""


def left_open(service: Service, read: Look) -> str:
    """What shows that it is open."""
    if read.side is not None:
        return f"it answers as a {read.side.role}"
    if read.answered:
        return "it answers"
    entries = networks(service.user_config.get("ip_filter", ["0.0.0.0/0", "::/0"]))
    more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return f"its ip_filter admits {', '.join(entries[:SHOWN])}{more}" if entries else "nothing shows that it is closed"


Health = Literal["ok", "warning", "unknown", "critical"]
WORSE: tuple[Health, ...] = ("ok", "warning", "unknown", "critical")
"""From good to bad: what is unknown may be critical, so it outweighs a warning."""

CODES: dict[Health, int] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
"""Exit codes as those of Nagios' plugins."""

Verdict = tuple[Health, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Lag in bytes from which a pair is a warning, and critical."""

    warn: int = 10 * 1024 * 1024
    crit: int = 100 * 1024 * 1024


def verdicts(
    pair: Pair, link: str, lag: int | None, looks: tuple[Look, Look], limits: Limits, shut: str
) -> Iterable[Verdict]:
    """``shut``: what shows that an old primary is closed."""
    if pair.missing:
        yield "critical", f"the expected pair is missing: {pair.missing}"
        if looks[1].side and looks[1].side.role == "slave":
            hidden = "its promotion is in progress, or this token can't see the integration"
            yield "critical", f"{pair.replica_name} is a replica nevertheless: {hidden}"
        return
    yield from _succession(pair, looks[0], shut)
    if pair.past.is_old and not pair.replica_name:
        return  # how it fares is nobody's concern, as long as it is closed
    yield from _states(pair)
    if pair.counts:
        yield from _troubles(pair, looks)
    if pair.replica_name:
        yield from _replication(pair, link, lag, looks[1].side, limits)


def _succession(pair: Pair, read: Look, shut: str) -> Iterable[Verdict]:
    name, past = pair.primary_name, pair.past
    if past.is_old and not shut and pair.primary:
        later = " and ".join(past.successors)
        seen = f"{later} was promoted from it, and it is still open: {left_open(pair.primary, read)}"
        yield "critical", f"{name} is an old primary: {seen}; writes to it exist only there (split brain)"
    elif past.is_old and pair.replica_name:
        yield (
            "warning",
            f"{pair.replica_name} follows an old primary: {' and '.join(past.successors)} was promoted from it",
        )
    if past.claimants and not past.is_old and pair.primary and not closed(pair.primary, read):
        later = " and ".join(past.claimants)
        yield (
            "warning",
            f"{later} was promoted from a service named {name}; its tags do not say whether from this one",
        )
    if pair.is_current:
        yield "warning", f"pair lost: no replica since it was promoted from {past.origin}"


def _states(pair: Pair) -> Iterable[Verdict]:
    for name, service in ((pair.primary_name, pair.primary), (pair.replica_name, pair.replica)):
        if service is None and name and not pair.elsewhere:
            told = "its integration does not name its primary" if name == UNNAMED else f"{name} no longer exists"
            yield "critical" if name != UNNAMED else "warning", told
        if service is None:
            continue
        if service.state == "POWEROFF":
            yield "critical", f"{service.name} is powered off"
        elif service.state != "RUNNING":
            yield "warning", f"{service.name} is {service.state}"


def _troubles(pair: Pair, looks: tuple[Look, Look]) -> Iterable[Verdict]:
    for service, read in zip((pair.primary, pair.replica), looks, strict=True):
        if read.trouble and service and service.state != "POWEROFF":
            yield ("unknown" if read.ours else "critical"), read.trouble_of(service.name)
    side = looks[0].side
    if side and side.paused_seconds and not pair.past.is_old:  # by a switchover under way, or by hand
        yield "warning", f"writes on {pair.primary_name} are paused, for {format_duration(side.paused_seconds)} more"


def _replication(
    pair: Pair, link: str, lag: int | None, replica: ReplicationInfo | None, limits: Limits
) -> Iterable[Verdict]:
    if pair.row and not pair.row.active:
        yield "warning", "the integration is not active"
    if link == "down":
        since = replica.link_down_seconds if replica else None
        yield "critical", "link down" + (f" for {since} s" if since is not None else "")
    elif link == "syncing":
        yield "warning", "syncing: a full sync is in progress"
    elif link in NOT_LINKED:
        yield "critical", NOT_LINKED[link]
    if lag is not None and lag >= limits.warn:
        yield ("critical" if lag >= limits.crit else "warning"), f"{lag} bytes behind"
