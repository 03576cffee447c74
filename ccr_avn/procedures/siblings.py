"""One promotion per primary: its other replicas are checked again, once writes are paused, right before it is sent."""

from contextlib import suppress
from functools import partial
from typing import Any

from ccr_avn import clock
from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.models import Service, Tag
from ccr_avn.background import Task
from ccr_avn.errors import AvnError, CcrError
from ccr_avn.options import Replica
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Finding, Keep, Later, Poll, Probe, Step, go, stop, todo
from ccr_avn.procedures.drill.ours import run_of
from ccr_avn.procedures.gates.pair_state import superseded
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.units import clock_time
from ccr_avn.valkey.server_facts import fetch_replication

LIMIT = 1.0  # seconds for all of them to answer: writes may be paused

SLUG, MARKED = "siblings", "marked"
WORD = "mark"  # what this run has set is kept so
LAG = 5.0  # seconds for a mark to be listed


def siblings_of(seen: Seen, replica: str) -> tuple[Service, ...]:
    """What else replicates the primary of REPLICA, as the checks listed it, without what a drill has made."""
    source = _source(seen, replica)
    others = (one for one in seen.family if source and one.source == source and one.name != replica)
    return tuple(one for one in others if not run_of(one, ()))


def begin_to_look(at: Setting, seen: Seen, replica: str) -> None:
    """Ask them all, in the background: the replica catches up meanwhile. What is kept gives each one's role, once asked."""
    services = () if _is_over(seen) else siblings_of(seen, replica)
    until, asked = clock.monotonic() + LIMIT, dict[str, Task[str]]()

    def role(service: Service) -> str:
        with suppress(CcrError):
            return fetch_replication(endpoint(service, at), until=until).role
        return ""

    def roles() -> dict[str, str]:
        """By their names; empty if it did not answer."""
        said = {name: one for name, one in asked.items() if one.ended(max(0.0, until - clock.monotonic()))}
        return {one.name: said[one.name].result() if one.name in said else "" for one in services}

    with suppress(CcrError):  # no thread can be started: they did not say
        for one in services:
            asked[one.name] = Task(partial(role, one), one.name)
    seen.keep(SLUG, roles)


def left_paused(seen: Seen, replica: str, until: float) -> str:
    """One was promoted by a run that has left its pause behind: that is not lifted. Empty: there is no such thing."""
    if not _were_paused(seen) or "master" not in (seen.answer(SLUG) or {}).values():
        return ""
    return f"writes on {_source(seen, replica)} were already paused, and stay paused until {clock_time(until)}"


def _source(seen: Seen, replica: str) -> str:
    service = seen.checked.get(replica)
    return (service.source if service else None) or ""


def _is_over(seen: Seen) -> bool:
    """Whether the checks found that there is nothing left to promote."""
    return seen.state is not None and seen.row is None


def _were_paused(seen: Seen) -> bool:
    """Whether writes on the primary were paused before this run, by one that no longer lives."""
    return bool(seen.sides and seen.sides.primary and seen.sides.primary.paused_seconds)


def list_family(at: Setting, replica: str) -> tuple[Step[tuple[Service, ...]], ...]:
    """REPLICA and all that belongs to its primary, for a look that is taken alone."""

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        new = by_name(found, replica)
        if new is None or not new.source:
            return stop(f"{replica} is not listed as a replica", hint=f"see avn service integration-list {replica}")
        return _another(at, found, new.source, replica) or go(f"{replica} replicates {new.source}")

    step = Step(
        slug="pair",
        purpose=f"list {replica} and the other replicas of its primary",
        read=avn.service_family(at.project, replica, recorded=at.journals.promotions),
        rule="it is a replica",
        judge=judge,
    )
    return (step,)


@gate("siblings", before=list_family)
def look_at_siblings(at: Setting, replica: Replica) -> Step[dict[str, str]]:
    """Check that no other replica of its primary was promoted: only one may be. Exit 4 if one was, or is marked for it.

    Examples:
      ccr-avn gate siblings us
      ccr-avn gate siblings us --json
    """

    def read(seen: Seen) -> dict[str, str]:
        if seen.result(SLUG) is None:
            begin_to_look(at, seen, replica)
        roles: dict[str, str] = seen.result(SLUG)()
        return roles

    def judge(roles: dict[str, str], seen: Seen) -> Finding:
        source = _source(seen, replica)
        if taken := sorted(name for name, role in roles.items() if role == "master"):
            return stop(
                "; ".join(f"{one}, another replica of {source}, was promoted in the meantime" for one in taken),
                detail=f"its role is master; promoting {replica} as well would make two primaries",
                hint=f"to finish that promotion: ccr-avn switchover {source} {taken[0]}",
            )
        mark = "not needed" if _alone(replica, seen) else "missing"
        if not roles:
            return go("there is no other replica to ask", mark=mark, unsaid=True)
        silent = sorted(name for name, role in roles.items() if not role)
        still = f"{len(roles)} other replicas of {source} still follow it"
        return go(f"{' and '.join(silent)} did not answer" if silent else still, mark=mark)

    return Step(
        slug=SLUG,
        purpose=f"check that no other replica of the primary of {replica} was promoted in the meantime",
        read=Probe(read, at.server("each of them", "INFO replication")),
        rule="no other replica of the primary is a master",
        judge=judge,
        unneeded=lambda seen: "the promotion was already sent" if _is_over(seen) else "",
        rare=True,
    )


def mark(at: Setting, replica: str) -> Step[tuple[Service, ...]]:
    """Say on REPLICA that its promotion is about to be sent, where its primary has other replicas, or may have some.

    :func:`list_siblings` comes later. Of two runs that do both, on whichever machines, at least one sees the other's mark.
    """

    def judge(found: tuple[Service, ...], seen: Seen) -> Finding:
        if seen.checked.get(_source(seen, replica)) is None or not found:
            unknown = f"{replica} can't be marked: its primary is not listed"
            return go(unknown, warnings=(unknown,))
        mine = f"{lineage.PROMOTING}={found[0].tags.get(lineage.PROMOTING)}" == seen.result(WORD)
        return go("it is marked as being promoted") if mine else todo("not marked")

    def word(seen: Seen) -> str:
        made = lineage.mark(seen.service(_source(seen, replica)), seen.service(replica), clock.now())
        seen.keep(WORD, made)
        return made

    return Step(
        slug=MARKED,
        purpose=f"mark {replica} as being promoted, if its primary has other replicas",
        read=avn.service_named(at.project, replica),
        rule="its mark is listed",
        judge=judge,
        change=avn.tags_update(at.project, replica, Later(variable="promoting_tag", fill=word)),
        asked=Keep(variable="mark", argv=(*at.gate(SLUG, replica), "--print", "mark")),
        undone_by=avn.tags_update(at.project, replica, remove=(lineage.PROMOTING,)).argv,
        poll=Poll(limit=LAG, first=0.1, interval=0.5, error=AvnError),
        unneeded=partial(_alone, replica),
        rare=True,
        brief=True,
        advisory=True,
    )


def unmark(at: Setting, replica: str, carries: Step[Any] | None = None) -> Step[tuple[Tag, ...]]:
    """However the run ends; but others are to know of a promotion that was sent until its tags record it.

    ``carries``: the step that finds out whether the promoted service has the data: without it, it must not take over.
    """

    def may_happen(seen: Seen) -> bool:
        if carries and seen.has(carries) and carries.judge(seen.of(carries), seen).verdict == "stop":
            return False
        return seen.may_be_promoting or seen.result("promote") not in (None, "refused")

    def unneeded(seen: Seen) -> str:
        before = seen.checked.get(replica)
        if seen.result(WORD) is None and not (before and lineage.PROMOTING in before.tags):
            return "it was not marked"
        is_over = _is_recorded(seen) or not may_happen(seen)
        return "" if is_over else "its promotion may still happen, and the mark expires"

    def judge(found: tuple[Tag, ...], seen: Seen) -> Finding:
        mark = next((f"{one.key}={one.value}" for one in found if one.key == lineage.PROMOTING), None)
        if mark is None or not (_is_recorded(seen) or mark == seen.result(WORD)):
            return go("its mark is gone" if mark is None else "its mark is another run's")
        return todo("it is marked as being promoted")

    return Step(
        slug="unmarked",
        purpose=f"remove the mark from {replica}",
        read=avn.tags_list(at.project, replica),
        rule="it is not marked by this run",
        judge=judge,
        change=avn.tags_update(at.project, replica, remove=(lineage.PROMOTING,)),
        poll=Poll(limit=LAG, first=0.2, interval=1),
        asked=Keep(variable="mark", argv=()),
        unneeded=unneeded,
        rare=True,
        restores=MARKED,
        brief=True,
        optional=True,
        always=True,
    )


def _is_recorded(seen: Seen) -> bool:
    """Whether this run has seen the tags that record the promotion."""
    return any(one.key == lineage.FROM for one in seen.answer("origin") or ())


def list_siblings(
    at: Setting, replica: str, listing: Step[tuple[Service, ...]], *, forced: bool
) -> Step[tuple[Service, ...]]:
    """One whose promotion was sent, and has not ended, still says that it follows; the platform shows it. A start of avn.

    ``listing``: the check that listed them. ``forced``: the run can do without it.
    """

    def judge(found: tuple[Service, ...], seen: Seen) -> Finding:
        source = _source(seen, replica)
        if other := _another(at, found, source, replica):
            return other
        still = {one.name for one in found if one.source == source}
        if gone := sorted(one.name for one in siblings_of(seen, replica) if one.name not in still):
            missing = "; ".join(f"{one} is no longer listed as a replica of {source}" for one in gone)
            return stop(
                f"{missing}: another run may be promoting it",
                detail=f"promoting {replica} as well would make two primaries",
                hint=f"inspect it: avn service get {gone[0]}; if it was promoted, to finish that: "
                f"ccr-avn switchover {source} {gone[0]}",
            )
        return go(f"all other replicas of {source} are listed as such")

    return Step(
        slug="siblings-listed",
        purpose="check that the other replicas of its primary are still listed as such, and none is marked",
        read=listing.read,
        rule="no other replica is marked, or was promoted",
        judge=judge,
        command=at.gate(SLUG, replica),
        unneeded=partial(_alone, replica),
        rare=True,
        brief=True,
        advisory=forced,
    )


def _another(at: Setting, found: tuple[Service, ...], source: str, replica: str) -> Finding | None:
    """Another one that took over from SOURCE, or may be about to, as far as they are listed."""
    old, new = by_name(found, source), by_name(found, replica)
    return superseded(at.project, old, new, found, at.journals.promotions, now=clock.now()) if old and new else None


def _alone(replica: str, seen: Seen) -> str:
    """Why no other replica of its primary can be promoted; empty: there is one, or nothing shows that there is none."""
    new = seen.checked.get(replica)
    if _is_over(seen) or new is None or new.source is None or new.source_project:
        return "there is nothing to promote, or its primary is in another project"
    old, listed = seen.checked.get(new.source), [one.name for one in seen.family if one.source == new.source]
    others = {*listed, *(old.replicas if old else ())} - {replica}
    known = old is not None or replica in listed
    return "there is no other replica" if known and not others else ""
