"""The options of a drill; and how its temporary replica is created and terminated."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from ccr_avn import options
from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.models import Backup, Service
from ccr_avn.errors import Refused, Unreachable, UsageError
from ccr_avn.plan.model import Finding, Later, Poll, Step, go, stop, todo, wait
from ccr_avn.procedures.drill import ours
from ccr_avn.procedures.drill.ours import CREATE, TERMINATE, Made
from ccr_avn.procedures.enable import PROOF, ReplicaFlag, creation
from ccr_avn.procedures.gates.services import (
    REPLICA_PLAN,
    Wanted,
    by_name,
    has_backup,
    judge_replica,
    pair_is_possible,
    together,
)
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.procedures.verb import Verb
from ccr_avn.procedures.verify import MAX_OPS, Level
from ccr_avn.valkey.drill_trials import strangers
from ccr_avn.valkey.replication import ReplicationInfo

CLEANING = Poll(limit=120.0, first=0.2, interval=2.0)
"""How long a termination that was accepted may stay invisible; also when a signal waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillOptions(Verb):
    """What its steps are made from."""

    primary: Annotated[str, options.service("[PRIMARY]", "The primary; it is not changed.")]
    replica_cloud: Annotated[str, options.cloud_of_replicas("Cloud of the temporary replica.")]
    replica_plan: Annotated[str, options.word("PLAN", "Its plan: a startup plan.", options.a_word)] = REPLICA_PLAN
    level: Annotated[Level, options.choice("How thoroughly its data is compared before the promotion.")] = "values"
    name: Annotated[
        str | None, options.word("NAME", "Name of the temporary replica. [default: PRIMARY-drill-…]", options.a_name)
    ] = None
    keep: Annotated[bool, options.flag("Don't terminate the temporary replica; print the command.")] = False
    samples: options.Samples = 20
    max_ops: Annotated[int, options.number("Maximum commands per second on PRIMARY for --level keys, values.")] = (
        MAX_OPS
    )
    replica_arg: Annotated[list[str] | None, options.word("ARG", "Passed to `avn service create`; repeatable.")] = None
    allow_any_plan: Annotated[bool, options.flag("Skip the check of the plan; Aiven decides.")] = False
    max_minutes: Annotated[float, options.minutes("Time limit for everything except the clean-up.")] = 60
    promote_timeout: Annotated[float, options.seconds("Time limit for its promotion.", options.at_least_one)] = 600
    doubt_timeout: options.DoubtTimeout = 60
    filter_timeout: Annotated[float, options.seconds("How long to wait for an IP filter to take effect.")] = 60
    backup_timeout: Annotated[float, options.seconds("How long to wait for the first backup.")] = 600
    quiet_seconds: Annotated[
        float, options.seconds("How long the promoted temporary replica must receive no writes.")
    ] = 5
    flag_of_avn: ReplicaFlag = "read-replica-for"  # the one that the installed avn has

    def __post_init__(self) -> None:
        if self.name and self.name == self.primary:
            raise UsageError("--name is PRIMARY", detail=self.primary, hint="leave --name out")

    @property
    def time_limit(self) -> float:
        return self.max_minutes * 60

    @property
    def temporary_replica(self) -> str:
        return self.name or ours.name_of(self.primary, self.at.run)

    @property
    def wanted(self) -> Wanted:
        return Wanted(
            name=self.temporary_replica,
            of=Wanted(name=self.primary),
            plan=self.replica_plan,
            cloud=self.replica_cloud,
            any_plan=self.allow_any_plan,
            args=tuple(self.replica_arg or ()),
        )

    def first_seen(self, seen: Seen) -> Service | None:
        """The temporary replica as its creation showed it; None: it never was."""
        return by_name(seen.answer(CREATE) or (), self.temporary_replica)

    def is_no_primary(self, seen: Seen) -> str:
        """Why its backup and its server are not asked for: it is refused already. Empty: nothing speaks against it."""
        found = seen.checked.get(self.primary)
        return f"not checked: {self.primary} is a replica" if found and found.source else ""


# -- before anything is billed


def look_at_primary(want: DrillOptions) -> Step[tuple[Service, ...]]:
    at, primary, name = want.at, want.primary, want.temporary_replica

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        if there := by_name(found, name):
            return stop(
                f"the name {name} is taken: a drill creates its own service",
                detail=f"it is a {there.type} service, {there.state}",
                hint="leave --name out, or choose another; `ccr-avn drill --clean` lists what drills have left behind",
            )
        source = by_name(found, primary)
        if source is None:
            return stop(f"{primary} does not exist", hint="check its name and the project: avn service list")
        findings = [pair_is_possible(at.project, found, Wanted(name=primary), want.wanted)]
        if not source.serving and source.state != "POWEROFF":
            findings.append(stop(f"{primary} is {source.state}", hint=f"wait for it: avn service wait {primary}"))
        return together(findings)

    return Step(
        slug="primary",
        purpose=f"check that {primary} is running, and that the name {name} is free",
        read=avn.service_list(at.project, primary, name),
        rule=f"{primary} is running, can have a replica, and the name {name} is free",
        judge=judge,
    )


def see_backup(want: DrillOptions) -> Step[tuple[Backup, ...]]:
    """A drill waits for none: a primary without a backup is no pair that could be drilled."""
    primary = want.primary

    def judge(backups: tuple[Backup, ...], _: Seen) -> Finding:
        if not backups:
            first = want.at.command("ccr-avn", "gate", "backup", primary, "--timeout", "3600")
            hint = f"wait for the first one, then run the drill: {first}"
            return stop(f"{primary} has no backup, and a replica is seeded from one", hint=hint)
        return has_backup(backups)

    return Step(
        slug="primary-backup",
        purpose=f"check that {primary} has a backup: the temporary replica is seeded from it",
        read=avn.backup_list(want.at.project, primary),
        rule="a backup is listed",
        judge=judge,
        unneeded=want.is_no_primary,
    )


def see_answers(want: DrillOptions) -> Step[ReplicationInfo]:
    """May the token read its password, does it answer."""
    primary = want.primary

    def judge(side: ReplicationInfo, _: Seen) -> Finding:
        if side.role != "master":
            return stop(f"{primary} is not a primary: its role is {side.role}", hint="name the primary of a pair")
        return go(f"it answers, version {side.version}, {side.keys} keys", version=side.version, keys=side.keys)

    return Step(
        slug="primary-answers",
        purpose=f"check that {primary} answers with its own credentials",
        read=want.at.info(primary),
        rule="it answers as a primary, with its own credentials",
        judge=judge,
        unneeded=want.is_no_primary,
    )


# -- from its creation to its end


def create(want: DrillOptions) -> Step[tuple[Service, ...]]:
    at, name, primary = want.at, want.temporary_replica, want.primary

    def judge(found: tuple[Service, ...], seen: Seen) -> Finding:
        """One that is there without our creation is somebody else's, whatever it is."""
        service, sent = by_name(found, name), seen.result(CREATE)
        if service is None and sent is None:
            finding = judge_replica(found, want.wanted)
            return finding if finding.verdict == "stop" else todo(f"{name} does not exist")
        if service is None:
            return wait("it is not listed yet")
        if sent != "answered":
            return stop(
                f"{name} exists, and nothing shows that this run created it",
                detail="the creation was not confirmed" if sent else "someone else has created it in the meantime",
                hint="it is not touched; `ccr-avn drill --clean` shows what is known about it",
            )
        if service.source != primary:
            return wait(f"it does not follow {primary} yet")
        return go(f"it is a read replica of {primary}", created=lineage.created(service))

    kind = Later(variable="service_type", fill=lambda seen: seen.service(primary).type)
    return Step(
        slug=CREATE,
        purpose=f"create {name}, a temporary read replica of {primary}",
        read=avn.service_list(at.project, primary, name),
        rule=f"{name} exists as a read replica of {primary}",
        judge=judge,
        poll=PROOF,
        change=creation(at, want.wanted, kind, want.flag_of_avn),
    )


def another(want: DrillOptions, found: Service, seen: Seen) -> Finding | None:
    first = want.first_seen(seen)
    created = lineage.created(first) if first else None
    if created is not None and lineage.created(found) == created:
        return None
    hint = f"inspect it: avn service get {found.name}"
    return stop(f"{found.name} is not the service that this drill created", detail="it is not touched", hint=hint)


def same(step: Step[Service], want: DrillOptions) -> Step[Service]:
    def judge(found: Service, seen: Seen) -> Finding:
        return another(want, found, seen) or step.judge(found, seen)

    return replace(step, judge=judge)


def tag(want: DrillOptions) -> Step[tuple[Service, ...]]:
    """Right after: `avn service create` can't set tags."""
    at, name = want.at, want.temporary_replica
    lasts = 0.0 if want.keep else want.time_limit + CLEANING.limit

    def proof(seen: Seen) -> str:
        return ours.made_tag(at.run, want.first_seen(seen), seen.checked.get(want.primary), lasts)

    def judge(found: tuple[Service, ...], seen: Seen) -> Finding:
        if not found:
            return wait("it is not listed")
        if other := another(want, found[0], seen):
            return other
        there = {f"{key}={value}" for key, value in found[0].tags.items()}
        return go(f"tag {mark}") if {mark, proof(seen)} <= there else todo("not tagged")

    mark, tail = f"{ours.TAG}={at.run}", Later(variable="drill_made", fill=proof)
    return Step(
        slug="tagged",
        purpose=f"tag {name} with this run",
        read=avn.service_named(at.project, name),
        rule="its tags name the run that created it, and when",
        judge=judge,
        poll=Poll(limit=10, first=0.2, interval=1),
        change=avn.tags_update(at.project, name, mark, tail),
        optional=True,
    )


def terminate(want: DrillOptions) -> Step[tuple[Service, ...]]:
    """Only what this run made. It is for every end of the run."""
    name = want.temporary_replica

    def known(seen: Seen) -> Made:
        first = want.first_seen(seen)
        return Made(
            name=name,
            primary=want.primary,
            run=want.at.run,
            sent=seen.result(CREATE),
            created=lineage.created(first) if first else None,
            began=want.at.now,
            promoted=seen.result("promote") in ("answered", "unanswered"),
        )

    def absent(seen: Seen) -> Finding:
        if seen.result(CREATE) == "answered":
            return wait("it was created, and is not listed")
        doubt = "its creation was not confirmed, so it may still appear"
        return go(f"{name} does not exist; {doubt}", warnings=(doubt,))

    return replace(
        termination(want.at, name, TERMINATE, known, absent),
        always=True,
        unneeded=lambda seen: "this run created no service" if seen.result(CREATE) in (None, "refused") else "",
    )


def termination(
    at: Setting, name: str, slug: str, known: Callable[[Seen], Made | None], absent: Callable[[Seen], Finding]
) -> Step[tuple[Service, ...]]:
    """``known``: what shows that a drill made it; ``absent``: what it means that it is not there before it was sent."""

    def judge(found: tuple[Service, ...], seen: Seen) -> Finding:
        if not found:
            return go(f"{name} is gone", gone=name) if seen.result(slug) else absent(seen)
        if seen.result(slug) == "answered":
            return wait(f"it is still there, {found[0].state}")
        finding = ours.judge_ours(found[0], known(seen), at.project)
        return finding if finding.verdict == "stop" else todo(finding.reason)

    def guard(seen: Seen) -> None:
        [found] = seen.answer(slug)
        if why := in_use(found, at, known(seen)):
            left = ours.not_touched(found, at.project, why)
            raise Refused(left.reason, detail=left.detail, hint=left.hint)

    return Step(
        slug=slug,
        purpose=f"terminate {name}, and check that it is gone",
        read=avn.service_named(at.project, name),
        rule=f"{name} no longer exists",
        judge=judge,
        poll=replace(CLEANING, hint=f"inspect it: avn service get {name}"),
        change=avn.service_terminate(at.project, name, hint="`ccr-avn drill --clean` finds it again"),
        guard=guard,
        again=True,
    )


def in_use(found: Service, at: Setting, made: Made | None) -> str:
    """Why it must not be terminated, as its server and other runs on this machine show; empty: nobody uses it."""
    if user := at.journals.user_of(found):
        return user
    promoted = made is not None and made.promoted
    if found.uri is None and found.state == "REBUILDING":
        return ""  # it has never been up
    try:
        role, clients = strangers(endpoint(found, at), found.usernames)
    except Unreachable as trouble:
        if promoted and lets_nobody_in(found):
            return ""  # the drill has closed it
        return f"its server can't be asked which clients use it: {trouble.what}"
    if not promoted and (role == "master" or found.source is None):
        return "it was promoted, or is being promoted, and nothing shows that its drill did it"
    return f"connected: {'; '.join(clients[:3])}" if clients else ""
