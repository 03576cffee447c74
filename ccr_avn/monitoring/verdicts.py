"""Judges what is wrong with a service or a pair, and how severe it is."""

import shlex
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import TAGGED
from ccr_avn.aiven.models import Service
from ccr_avn.history.resume import Unfinished
from ccr_avn.monitoring.collect import Look
from ccr_avn.monitoring.pairs import UNNAMED, Pair
from ccr_avn.procedures.gates.links import Compared, as_compared
from ccr_avn.procedures.gates.settings import NOBODY, lets_nobody_in, networks
from ccr_avn.units import format_duration
from ccr_avn.valkey.diagnose import Admission
from ccr_avn.valkey.replication import NOT_LINKED, ReplicationInfo

SHOWN = 3
"""Entries of an ip_filter that are shown."""


def admission(service: Service, read: Look) -> Admission:
    """Whether it accepts clients. Only a refused connection together with the filter shows that it does not."""
    if service.state == "POWEROFF":
        return Admission(state="closed", why="it is powered off")
    if read.side is not None:
        return Admission(state="open", why=f"it answers as a {read.side.role}")
    if read.answered:
        return Admission(state="open", why="it answers")
    if lets_nobody_in(service):
        sure = read.refused or not read.trouble  # without a look the platform's word is all there is
        why = f"its ip_filter is {NOBODY}" + ("" if sure else f", but {read.trouble}")
        return Admission(state="closed" if sure else "unknown", why=why)
    entries = networks(service.user_config.get("ip_filter", ["0.0.0.0/0", "::/0"]))
    more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    admits = (
        f"its ip_filter admits {', '.join(entries[:SHOWN])}{more}" if entries else "nothing shows that it is closed"
    )
    return Admission(state="open", why=admits)


def closed(service: Service, read: Look) -> str:
    """What shows that it accepts no client; empty if nothing does."""
    found = admission(service, read)
    return found.why if found.state == "closed" else ""


Health = Literal["ok", "warning", "unknown", "critical"]
WORSE: tuple[Health, ...] = ("ok", "warning", "unknown", "critical")
"""From good to bad: what is unknown may be critical, so it outweighs a warning."""

CODES: dict[Health, int] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
"""Exit codes as those of Nagios' plugins."""

Words = tuple[str, ...]
Verdict = tuple[Health, str, Words]
"""How bad it is, why, and the next command to type; no words: none can help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Lag in bytes from which a pair is a warning, and critical."""

    warn: int = 10 * 1024 * 1024
    crit: int = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """``project``: the one that next commands name. ``unfinished``: the runs on this machine that have no end.

    ``compared``: what comparisons by value on this machine found equal, of a replica.
    """

    project: Project = field(default_factory=Project)
    unfinished: tuple[Unfinished, ...] = ()
    compared: Callable[[str], Collection[Compared]] = lambda _: ()


def verdicts(
    pair: Pair,
    link: str,
    lag: int | None,
    looks: tuple[Look, Look],
    limits: Limits,
    known: Known,
    later: tuple[str, ...] = (),
) -> Iterable[Verdict]:
    """``later``: open services whose history began as the primary's, and nothing records why."""
    if pair.drill is not None:
        name = pair.replica_name or pair.primary_name
        words = ("ccr-avn", "drill", "--clean", "--only", name, *known.project.flag)
        yield "ok", f"{name} was made by a drill, and is billed until it is terminated", words
        return  # whatever else it does is the drill's
    for run in known.unfinished:
        if {pair.primary_name, pair.replica_name or pair.primary_name} <= set(run.services):
            told = f"run {run.run} on this machine ({run.command}) has no end: it was killed, or is still running"
            yield "warning", told, run.next
    if pair.missing:
        yield "critical", f"the expected pair is missing: {pair.missing}", ()
        if looks[1].side and looks[1].side.role == "slave":
            hidden = "its promotion is in progress, or this token can't see the integration"
            yield "critical", f"{pair.replica_name} is a replica nevertheless: {hidden}", ()
        return
    yield from _succession(pair, looks[0], known.project)
    yield from _paused(pair, looks, known, later)
    if pair.past.is_old and not pair.replica_name:
        return  # how it fares is nobody's concern, as long as it is closed
    yield from _states(pair)
    if pair.counts:
        yield from _troubles(pair, looks)
    if pair.replica_name:
        yield from _replication(pair, link, lag, looks[1].side, limits)
        yield from _rejected(pair, looks[1].side, known)


def _succession(pair: Pair, read: Look, project: Project) -> Iterable[Verdict]:
    name, past = pair.primary_name, pair.past
    if past.is_old and pair.primary:
        yield from _old_primary(pair, admission(pair.primary, read), project)
    if past.claimants and not past.is_old and pair.primary and not closed(pair.primary, read):
        later = " and ".join(past.claimants)
        told = f"{later} was promoted from a service named {name}; its tags do not say whether from this one"
        yield "warning", told, ()
    if pair.is_current:
        yield "warning", f"pair lost: no replica since it was promoted from {past.origin}", ()


def _old_primary(pair: Pair, found: Admission, project: Project) -> Iterable[Verdict]:
    name, past = pair.primary_name, pair.past
    told = "; ".join(
        f"{one.name} was promoted from it"
        if one.seen
        else f"the promotion of {one.name} was sent, and no run saw what became of it"
        for one in past.recorded
    )
    closing = tuple(str(word) for word in avn.service_update(project, name, "-c", f'ip_filter=["{NOBODY}"]').argv)
    if found.state == "open":
        split = f"it is still open: {found.why}; writes to it exist only there (split brain)"
        yield "critical", f"{name} is an old primary: {told}, and {split}", closing
    elif found.state == "unknown":
        yield "unknown", f"{name} is an old primary: {told}, and whether it is closed can't be said: {found.why}", ()
    elif pair.replica_name:
        yield "warning", f"{pair.replica_name} follows an old primary: {told}", ()
    else:
        yield "ok", f"{name} is an old primary: {told}, and it is closed: {found.why}", ()
    for one in past.recorded:
        if TAGGED not in one.proofs:
            lost = f"only a journal of this machine says that {one.name} was promoted from {name}: its tags do not"
            yield "warning", lost, ("ccr-avn", "switchover", name, one.name, *project.flag)


def _paused(pair: Pair, looks: tuple[Look, Look], known: Known, later: tuple[str, ...]) -> Iterable[Verdict]:
    """By a switchover under way, one that was killed, or by hand; from any machine."""
    side, replica = (look.side for look in looks)
    if not side or not side.paused_seconds:
        return
    name = pair.primary_name
    told = f"writes on {name} are paused, for {format_duration(side.paused_seconds)} more"
    promoted = pair.replica_name if replica and replica.role == "master" else "".join(later[:1])
    if promoted and not pair.past.is_old:
        yield "warning", told, ("ccr-avn", "switchover", name, promoted, *known.project.flag)
    elif pair.past.is_old or any(name in run.services for run in known.unfinished):
        yield "warning", told, ()  # what is next was said with the promotion or the run
    else:
        unfence = shlex.join(("ccr-avn", "unfence", name, *known.project.flag))
        yield "warning", f"{told}, and resume by themselves then; if no run is under way: {unfence}", ()


def _rejected(pair: Pair, replica: ReplicationInfo | None, known: Known) -> Iterable[Verdict]:
    """A command that a replica rejected is skipped: link and lag do not show what it lacks."""
    name = pair.replica_name
    if replica and replica.rejected and as_compared(replica) not in known.compared(name):
        told = f"{name} rejected {replica.rejected} command{'s' * (replica.rejected != 1)} of its primary"
        yield "warning", told, ("ccr-avn", "verify", pair.primary_name, name, "--level", "values", *known.project.flag)


def _states(pair: Pair) -> Iterable[Verdict]:
    for name, service in ((pair.primary_name, pair.primary), (pair.replica_name, pair.replica)):
        if service is None and name and not pair.elsewhere:
            told = "its integration does not name its primary" if name == UNNAMED else f"{name} no longer exists"
            yield "critical" if name != UNNAMED else "warning", told, ()
        if service is None:
            continue
        if service.state == "POWEROFF":
            yield "critical", f"{service.name} is powered off", ()
        elif service.state != "RUNNING":
            yield "warning", f"{service.name} is {service.state}", ()


def _troubles(pair: Pair, looks: tuple[Look, Look]) -> Iterable[Verdict]:
    for service, read in zip((pair.primary, pair.replica), looks, strict=True):
        if read.trouble and service and service.state != "POWEROFF":
            yield ("unknown" if read.ours else "critical"), read.trouble_of(service.name), ()


def _replication(
    pair: Pair, link: str, lag: int | None, replica: ReplicationInfo | None, limits: Limits
) -> Iterable[Verdict]:
    if pair.row and not pair.row.active:
        yield "warning", "the integration is not active", ()
    if link == "down":
        since = replica.link_down_seconds if replica else None
        yield "critical", "link down" + (f" for {since} s" if since is not None else ""), ()
    elif link == "syncing":
        yield "warning", "syncing: a full sync is in progress", ()
    elif link in NOT_LINKED:
        yield "critical", NOT_LINKED[link], ()
    if lag is not None and lag >= limits.warn:
        yield ("critical" if lag >= limits.crit else "warning"), f"{lag} bytes behind", ()
