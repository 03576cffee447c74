"""Rules of a drill: may it start, and is the service to be terminated the one that this run created."""

import re
from dataclasses import dataclass

from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import Backup, Service
from ccr_avn.plan.model import Finding, Gate, Results, Sent, Step, go, stop, todo, wait
from ccr_avn.procedures.gates.services import (
    PrimaryWish,
    ReplicaWish,
    by_name,
    judge_replica,
    pair_is_possible,
    together,
)
from ccr_avn.valkey.replication import ReplicationInfo

TAG = "ccr_drill"
"""The tag that names the run which made a throw-away service."""

MADE = "ccr_drill_made"
"""The tag with its creation time, in seconds since 1970: it tells a namesake from the one that was tagged."""

RUN = re.compile(r"\d{8}T\d{6}(?:\d{3})?Z-([0-9a-f]{6})")
"""A run's name, with what the name of its throw-away service ends in."""

NAMED = re.compile(r"(.+)-drill-([0-9a-f]{6})")

CLOCKS = 60.0
"""Seconds by which the clocks of this machine and of the platform may be apart."""

SENT_WITHIN = 900.0
"""Seconds after its command was started in which a creation may have been carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is known of how a service came to be. Times are in seconds since 1970.

    ``sent``: how our creation of it ended; ``created``: when it was made, as it was first seen, None: never seen;
    ``tagged``: whether our tags were seen on it; ``began``: when the creation was sent.
    """

    name: str
    primary: str
    run: str
    sent: Sent | None
    created: int | None = None
    tagged: bool = False
    began: float | None = None


def name_of(primary: str, run: str) -> str:
    """Whoever sees it in a list knows what it is; 64 characters at most."""
    return f"{primary[:51]}-drill-{run[-6:]}"


def tags(run: str, service: Service) -> tuple[str, ...]:
    return (f"{TAG}={run}", made_tag(service))


def made_tag(service: Service | None) -> str:
    """The tag with its creation time, in seconds since 1970; without a value: there is no service."""
    return f"{MADE}={lineage.created(service) if service else ''}"


def may_begin(project: Project, primary: PrimaryWish, drill: ReplicaWish) -> Gate[tuple[Service, ...]]:
    """All that can be known of the services before the first change."""
    possible = pair_is_possible(project, primary, drill)

    def judge(found: tuple[Service, ...], seen: Results) -> Finding:
        if (there := by_name(found, drill.name)) is not None:
            return stop(
                f"the name {drill.name} is taken: a drill creates its own service",
                detail=f"it is a {there.type} service, {there.state}",
                hint="leave --name out, or choose another; `ccr-avn drill --clean` lists what drills have left behind",
            )
        source = by_name(found, primary.name)
        if source and not source.serving and source.state != "POWEROFF":
            hint = f"wait for it: avn service wait {primary.name}"
            return together([possible.judge(found, seen), stop(f"{primary.name} is {source.state}", hint=hint)])
        return possible.judge(found, seen)

    return Gate(f"{primary.name} is running, can have a replica, and the name {drill.name} is free", judge)


def backup_is_there(project: Project, primary: str) -> Gate[tuple[Backup, ...]]:
    """A drill waits for none: a primary without a backup is no pair that could be drilled."""

    def judge(backups: tuple[Backup, ...], _: Results) -> Finding:
        if not backups:
            return stop(
                f"{primary} has no backup, and a replica is seeded from one",
                hint=f"wait for the first, then drill: ccr-avn gate backup {primary} --timeout 3600"
                + "".join(f" {word}" for word in project.flag),
            )
        newest = max(backups, key=lambda one: one.taken)
        return go(f"{newest.name} taken {newest.taken:%F %T}")

    return Gate("a backup is listed", judge)


def answers_as_primary(primary: str) -> Gate[ReplicationInfo]:
    def judge(side: ReplicationInfo, _: Results) -> Finding:
        if side.role != "master":
            return stop(f"{primary} is not a primary: its role is {side.role}", hint="name the primary of a pair")
        return go(f"it answers, version {side.version}, {side.keys} keys", version=side.version, keys=side.keys)

    return Gate("it answers as a primary, with its own credentials", judge)


def is_made(drill: ReplicaWish, slug: str) -> Gate[tuple[Service, ...]]:
    """``slug``: the step that makes it. One that is there without our creation is somebody else's, whatever it is."""

    def judge(found: tuple[Service, ...], seen: Results) -> Finding:
        service, sent = by_name(found, drill.name), seen.result(slug)
        if service is None and sent is None:
            finding = judge_replica(found, drill)
            return finding if finding.verdict == "stop" else todo(f"{drill.name} does not exist")
        if service is None:
            return wait("it is not listed yet")
        if sent != "answered":
            return stop(
                f"{drill.name} exists, and nothing shows that this run created it",
                detail="the creation was not confirmed" if sent else "it was created in the meantime by someone else",
                hint="it is not touched; `ccr-avn drill --clean` shows what is known about it",
            )
        if service.source != drill.primary:
            return wait(f"it does not follow {drill.primary} yet")
        return go(f"it is a read replica of {drill.primary}", created=lineage.created(service))

    return Gate(f"{drill.name} exists as a read replica of {drill.primary}", judge)


def judge_ours(found: Service | None, made: Made, project: Project) -> Finding:
    """May it be terminated: only what this run made, and what is still the same. Any doubt: it is left."""
    if found is None:
        return go(f"{made.name} does not exist")
    created, tag = lineage.created(found), found.tags.get(TAG)
    doubts = []
    if made.sent != "answered":
        doubts.append("its creation by this run was not confirmed")
    if created is None:
        doubts.append("its creation time is not shown")
    if made.created is not None and created != made.created:
        doubts.append("its creation time differs from the one first seen")
    if tag is not None and tag != made.run:
        doubts.append(f"its tag {TAG} is {tag}")
    if tag is None and made.tagged:
        doubts.append(f"its tag {TAG} is gone")
    return _left_or_ours(found, doubts, project)


def judge_left_over(found: Service, made: Made | None, project: Project) -> Finding:
    """The same of one that a drill left which died. ``made``: what a journal of this machine says of it."""
    created, tag = lineage.created(found), found.tags.get(TAG)
    doubts = []
    if created is None:
        doubts.append("its creation time is not shown")
    elif tag is not None:
        if not RUN.fullmatch(str(tag)) or str(found.tags.get(MADE)) != str(created):
            doubts.append(f"its tags {TAG} and {MADE} are not those that a drill sets on the service it created")
        elif made and made.run != tag:
            doubts.append(f"the journal has it from run {made.run}, its tag from {tag}")
    elif made is None:
        doubts.append(f"it has no tag {TAG}, and no journal on this machine shows that a drill created it")
    else:
        doubts += _by_the_journal(found, created, made)
    return _left_or_ours(found, doubts, project)


def is_tagged(wanted: "Step[tuple[Service, ...]]", name: str, run: str) -> "Gate[tuple[Service, ...]]":
    """``wanted``: the step that first saw the service."""

    def judge(found: tuple[Service, ...], seen: Results) -> Finding:
        first = by_name(seen.of(wanted), name)
        now = found[0] if found else None
        if now is None or first is None:
            return stop(f"{name} does not exist", hint="look at it: avn service list")
        if lineage.created(now) != lineage.created(first):
            return stop(f"{name} is not the service that was created", hint="it is not touched")
        there = {f"{key}={value}" for key, value in now.tags.items()}
        return go(f"tag {TAG}={run}") if set(tags(run, first)) <= there else todo("not tagged")

    return Gate("its tags name the run that created it, and when", judge)


def terminate_words(project: Project, name: str) -> str:
    return avn.service_terminate(project, name).text


def _by_the_journal(found: Service, created: int, made: Made) -> list[str]:
    if made.sent == "answered" and made.created is not None:
        return [] if created == made.created else ["its creation time differs from the one in the journal"]
    named = NAMED.fullmatch(found.name)
    if made.sent is None or made.began is None or not named or named.group(2) != made.run[-6:]:
        return ["the journal does not show that this run sent its creation under a name of its own"]
    if not made.began - CLOCKS <= created <= made.began + SENT_WITHIN:
        return ["it was not created when the journal says its creation was sent"]
    return [] if found.source in (made.primary, None) else [f"it replicates {found.source}, not {made.primary}"]


def _left_or_ours(found: Service, doubts: list[str], project: Project) -> Finding:
    feeds = sorted(
        {
            row.dest or row.dest_endpoint or row.type
            for row in found.integrations
            if row.enabled and row.source == found.name
        }
    )
    if feeds:
        doubts.append(f"it is the source of integrations: {', '.join(feeds)}")
    if found.protected:
        doubts.append("someone has protected it against termination")
    if not doubts:
        return go(f"{found.name} is the throw-away of a drill, unchanged since", state=found.state)
    return stop(
        f"{found.name} is not touched: it is not certain that a drill created it and that no one else uses it",
        detail="; ".join(doubts),
        hint=f"look at it: avn service get {found.name}; if no one needs it: {terminate_words(project, found.name)}",
    )
