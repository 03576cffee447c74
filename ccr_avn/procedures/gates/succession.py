"""Rules for one promotion per primary: another service that took over, or may be about to, is a refusal."""

import shlex
from collections.abc import Sequence

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import FROM, JOURNALED, LINEAGE, Recorded, Successor, created, successors
from ccr_avn.aiven.models import Service
from ccr_avn.plan.model import Finding, stop
from ccr_avn.procedures.gates.pair_state import RECENT, still_sent
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.units import local_time

ANOTHER = "another-service"
"""Kept among the answers of a run: a service of the old primary's name took its place."""


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
        hint=f"to finish that promotion: {finish}; if {first.name} is given up: {give_up}, then run the same command again",
    )


def _finish(project: Project, old: str, new: str) -> tuple[str, str]:
    """The commands that finish a promotion, and that give it up."""
    words = ("ccr-avn", "switchover", old, new), ("avn", "service", "terminate", new)
    finish, give_up = (shlex.join((*one, *project.flag)) for one in words)
    return finish, give_up


def may_still_happen(project: Project, old: str, sent: Recorded) -> Finding:
    """Its integration is still listed: the platform may carry the deletion out yet."""
    finish, give_up = _finish(project, old, sent.new)
    gate = shlex.join(("ccr-avn", "gate", "promoted", sent.new, *project.flag, "--timeout", "600"))
    at, until = (local_time(one) for one in (sent.sent_at, sent.sent_at + RECENT))
    return stop(
        f"the promotion of {sent.new} from {old} was sent at {at} and may still happen",
        detail=f"shown by {JOURNALED}, for which it counts until {until}; {sent.new} would not have what is written "
        "elsewhere",
        hint=f"to finish that promotion: {finish}; to see whether it happens: {gate}; "
        f"if {sent.new} is lost: {give_up}, then run the same command again",
    )


def closed_already(project: Project, old: Service, new: Service) -> Finding:
    """So is a primary that another service was promoted from; which one, nothing here records."""
    opening = avn.service_update(project, old.name, "-c", "ip_filter=[…]").text
    return stop(
        f"{old.name} is closed to client connections, as an old primary is: another service may have its role",
        detail="its ip_filter admits nobody, and neither a tag nor a journal of this machine records a promotion from it",
        hint=f"find the service that applications use: {shlex.join(('ccr-avn', 'status', *project.flag))}; if there is "
        f"none, and {new.name} is to take over what {old.name} had: {opening}, then run the same command again",
    )


def both_promoted(project: Project, old: str, this: Successor, later: Sequence[Successor]) -> Finding | None:
    """Which of them took over is not guessed. A promotion that was seen comes before one that was only sent."""
    others = [one for one in later if one.name != this.name and (one.seen or not this.seen)]
    if not others:
        return None
    both = (this, *others)
    levels = ("--level", "values", "--unlinked")
    looks = [("ccr-avn", "status"), *(("ccr-avn", "verify", old, one.name, *levels) for one in both)]
    removals = ("--remove-tag", FROM, "--remove-tag", LINEAGE)
    ways = [
        ("avn", "service", "terminate", one.name)
        if JOURNALED in one.proofs
        else ("avn", "service", "tags", "update", one.name, *removals)
        for one in both
    ]
    words = [shlex.join((*one, *project.flag)) for one in (*looks, *ways)]
    wrong = (f"if {one.name} is the wrong one: {way}" for one, way in zip(both, words[len(looks) :], strict=True))
    return stop(
        f"both {' and '.join(one.name for one in both)} are recorded as promoted from {old}",
        detail="; ".join(f"{one.name}: shown by {' and '.join(one.proofs)}" for one in both),
        hint=f"see which has the writes: {', '.join(words[: len(looks)])}; {'; '.join(wrong)}; "
        "then run the same command again",
    )


def is_another(project: Project, found: Service, service: Service, replica: str) -> Finding | None:
    """A service of the same name that was created since the checks is nobody's old primary: it is left as it is."""
    if created(service) == created(found):
        return None
    return stop(
        f"{found.name} is another service than the checks found: created {service.created}, not {found.created}",
        detail=f"it was not changed; nothing was promoted from it, and {replica} is the primary",
        hint=f"leave {found.name} as it is; look at both: "
        + shlex.join(("ccr-avn", "status", found.name, replica, *project.flag)),
    )
