"""The state of a pair, named alike in every command; and one promotion per primary: another that took over is a refusal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import (
    FROM,
    JOURNALED,
    LINEAGE,
    MARKED,
    PROMOTING,
    Recorded,
    Successor,
    created,
    marked,
    proofs_of,
    successors,
)
from ccr_avn.aiven.models import READ_REPLICA, Integration, Service
from ccr_avn.plan.model import Finding, stop
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.units import local_time
from ccr_avn.valkey.replication import ReplicationInfo

State = Literal["following", "promoting", "promoted", "divided", "hidden", "unrelated"]
"""following: a replica with its integration. promoting: the integration was deleted, and it is no master yet.
promoted: a master that is recorded as promoted from this primary, or is shown to be by both servers. divided: a master
with this primary's history, which has gone on writing since, and no record says whether the one took over from the
other. hidden: it follows a service, and no integration shows which one. unrelated: a master, and nothing shows
that it ever followed this primary."""

RECENT = 900.0
"""Seconds for which a deletion that was sent, and of which nothing more is known, may still be under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairState:
    """``row``: what a promotion deletes. ``proofs``: what shows a promotion. ``doubt``: one may be under way anyway."""

    state: State
    row: Integration | None = None
    proofs: tuple[str, ...] = ()
    doubt: bool = False

    @property
    def promoted(self) -> bool:
        """Whether a promotion was seen: then there is nothing left to wait for."""
        return self.state in ("promoting", "promoted")

    @property
    def may_be_promoting(self) -> bool:
        """Whether one may be under way: then no fence is ever lifted by undoing, and nothing is skipped."""
        return self.promoted or self.doubt


def feeding(rows: tuple[Integration, ...], primary: str | None, replica: str) -> Integration | None:
    """The enabled row that makes ``replica`` follow ``primary`` (``None``: anybody, by name); only one with an id counts."""
    ours = (row for row in rows if row.feeds(replica) and row.source and row.id)
    return next((row for row in ours if primary in (None, row.source)), None)


def still_sent(
    old: Service, services: Iterable[Service], recorded: Iterable[Recorded], *, now: float
) -> tuple[Recorded, ...]:
    """The promotions of replicas of ``old`` that were sent, of which no more is known, and that may still happen."""
    services = tuple(services)
    known = (one for one in recorded if any(one.is_of(old, new) for new in services))
    return tuple(one for one in (*known, *marked(old, services)) if is_recent(one, now))


def is_recent(sent: Recorded, now: float) -> bool:
    return not sent.proven and abs(now - sent.sent_at) < RECENT  # by a clock that may be behind the other


def pair_state(
    rows: tuple[Integration, ...],
    old: Service | None,
    new: Service,
    sides: tuple[ReplicationInfo | None, ReplicationInfo],
    recorded: tuple[Recorded, ...],
    *,
    now: float,
) -> PairState:
    """``old`` None: nobody says who the primary is; ``sides``: the primary's, if it answers, and the replica's."""
    primary, replica = sides
    row = feeding(rows, old.name if old else None, new.name)
    sent = [one for one in recorded if one.is_of(old, new)]
    if replica.role == "master":
        return _of_a_master(row, primary, replica, proofs_of(old, new, sent))
    sent += still_sent(old, (new,), (), now=now) if old else ()  # its mark, which never says who is the primary
    if row:
        return PairState(state="following", row=row, doubt=any(is_recent(one, now) for one in sent))
    if any(row.type == READ_REPLICA and row.dest == new.name and (row.enabled or row.id) for row in rows):
        return PairState(state="hidden")  # whether the row does not say what it follows, or not whether it is on
    proofs = tuple(dict.fromkeys(one.shown_by for one in sent))
    if primary and primary.paused_seconds and primary.replid == replica.replid:
        proofs = (*proofs, "the write pause on its primary")
    return PairState(state="promoting" if proofs else "hidden", proofs=proofs)


def _of_a_master(
    row: Integration | None, primary: ReplicationInfo | None, replica: ReplicationInfo, recorded: tuple[str, ...]
) -> PairState:
    """Any standalone service looks promoted, and a fork shares its origin's history: what is recorded counts.

    Without a record the servers show it only where no write can be stranded: the primary has none that the other lacks,
    or its writes are paused, and what it is ahead by are pings to its other replicas.
    """
    if recorded:
        return PairState(state="promoted", proofs=recorded)
    if primary and replica.has_foreign_history and replica.replid2 == primary.replid:
        ahead = primary.offset >= replica.second_offset
        if not ahead or (primary.paused_seconds and primary.connected_replicas):
            return PairState(state="promoted", proofs=("its replication history",))
        return PairState(state="divided")
    return PairState(state="following" if row else "unrelated", row=row)


ANOTHER = "another-service"  # kept among the answers of a run: a service of the old primary's name took its place


def superseded(
    project: Project,
    old: Service,
    new: Service,
    services: tuple[Service, ...],
    recorded: tuple[Recorded, ...],
    *,
    now: float,
) -> Finding | None:
    """Another service took over from the primary, or may be about to: with a second one there would be two."""
    later = successors(old, services, recorded)
    this = next((one for one in later if one.name == new.name), None)
    if this:
        return both_promoted(project, old.name, this, later)
    if not later:
        others = (one for one in still_sent(old, services, recorded, now=now) if one.new != new.name)
        closed = closed_already(project, old, new) if lets_nobody_in(old) and new.source == old.name else None
        return next((may_still_happen(project, old.name, one) for one in others), closed)
    first = later[0]
    finish, give_up = _finish(project, old.name, first.name)
    return stop(
        f"{first.name} was promoted from {old.name}" + ("" if first.seen else ", or is being promoted"),
        detail=f"shown by {' and '.join(first.proofs)}; promoting {new.name} as well would make two primaries",
        hint=f"to finish that promotion: {finish}; to give up {first.name}: {give_up}, then run the same command again",
    )


def _finish(project: Project, old: str, new: str) -> tuple[str, str]:
    """The commands that finish a promotion, and that give it up."""
    return project.command("ccr-avn", "switchover", old, new), project.command("avn", "service", "terminate", new)


def may_still_happen(project: Project, old: str, sent: Recorded) -> Finding:
    """The platform may carry the deletion out yet, or it did and no run has recorded it."""
    unmark = avn.tags_update(project, sent.new, remove=(PROMOTING,)).text
    gone = f"; if no such run is under way: {unmark}" if sent.shown_by == MARKED else ""
    finish, give_up = _finish(project, old, sent.new)
    gate = f"{project.command('ccr-avn', 'gate', 'promoted', sent.new)} --timeout 600"
    at, until = local_time(sent.sent_at), local_time(sent.sent_at + RECENT)
    return stop(
        f"the promotion of {sent.new} from {old} was sent at {at} and may still happen",
        detail=f"shown by {sent.shown_by}, which counts until {until}; {sent.new} would not have what is written elsewhere",
        hint=f"to finish that promotion: {finish}; to see whether it happens: {gate}; "
        f"if {sent.new} is lost: {give_up}, then run the same command again{gone}",
    )


def closed_already(project: Project, old: Service, new: Service) -> Finding:
    """So is a primary that another service was promoted from; which one, nothing here records."""
    opening = avn.service_update(project, old.name, "-c", "ip_filter=[…]").text
    return stop(
        f"{old.name} is closed to client connections, like an old primary: another service may have taken over its role",
        detail="its ip_filter allows no client, and neither a tag nor a journal on this machine records a promotion from it",
        hint=f"find the service that applications use: {project.command('ccr-avn', 'status')}; if there is "
        f"none, and {new.name} should take over from {old.name}: {opening}, then run the same command again",
    )


def both_promoted(project: Project, old: str, this: Successor, later: Sequence[Successor]) -> Finding | None:
    """Which of them took over is not guessed. A promotion that was seen comes before one that was only sent."""
    others = [one for one in later if one.name != this.name and (one.seen or not this.seen)]
    if not others:
        return None
    both, levels = (this, *others), ("--level", "values", "--unlinked")
    looks = [("ccr-avn", "status"), *(("ccr-avn", "verify", old, one.name, *levels) for one in both)]
    untag = ("--remove-tag", FROM, "--remove-tag", LINEAGE)
    wrong = [
        project.command(
            "avn", "service", *(("terminate", name) if JOURNALED in proofs else ("tags", "update", name, *untag))
        )
        for name, proofs in ((one.name, one.proofs) for one in both)
    ]
    ways = (f"if {one.name} is the wrong one: {way}" for one, way in zip(both, wrong, strict=True))
    return stop(
        f"both {' and '.join(one.name for one in both)} are recorded as promoted from {old}",
        detail="; ".join(f"{one.name}: shown by {' and '.join(one.proofs)}" for one in both),
        hint=f"to see which one has the writes: {', '.join(project.command(*look) for look in looks)}; {'; '.join(ways)}; "
        "then run the same command again",
    )


def is_another(project: Project, found: Service, service: Service, replica: str) -> Finding | None:
    """A service of the same name that was created since the checks is nobody's old primary: it is left as it is."""
    if created(service) == created(found):
        return None
    look = project.command("ccr-avn", "status", found.name, replica)
    return stop(
        f"{found.name} is not the service that the checks found: created {service.created}, not {found.created}",
        detail=f"it was not changed; nothing was promoted from it, and {replica} is the primary",
        hint=f"leave {found.name} as it is; inspect both: {look}",
    )
