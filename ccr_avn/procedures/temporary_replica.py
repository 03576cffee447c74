"""Creates and terminates the temporary replica of a drill."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ccr_avn import clock
from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.models import Backup, Service
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.plan.model import Finding, Gate, Later, Poll, Probe, Step, go, todo, wait
from ccr_avn.procedures.enable import PROOF, ReplicaFlag
from ccr_avn.procedures.gates import drill as rules
from ccr_avn.procedures.gates.drill import Made
from ccr_avn.procedures.gates.offers import Order
from ccr_avn.procedures.gates.services import PrimaryWish, ReplicaWish, by_name
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.procedures.promotion import DOUBT_TIMEOUT
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import Setting, endpoint
from ccr_avn.procedures.verify import Depth, Level
from ccr_avn.valkey.drill_trials import strangers
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.replication import ReplicationInfo

Created = Callable[[Seen], int | None]

CREATE = "temporary-replica"
TERMINATE = "terminate"

CLEANING = Poll(limit=120.0, first=0.2, interval=2.0)
"""How long a termination that was accepted may stay invisible; also when a signal waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRequest:
    """Times are in seconds. ``name``: of the temporary replica; ``keep``: it is not terminated."""

    primary: str
    run: str
    cloud: str
    setting: Setting
    plan: str = "startup-4"
    name: str = ""
    level: Level = "values"
    samples: int = 20
    depth: Depth = field(default_factory=Depth)
    keep: bool = False
    any_plan: bool = False
    replica_flag: ReplicaFlag = "read-replica-for"
    replica_args: tuple[str, ...] = ()
    limit: float = 3600.0  # for all of it
    promote_timeout: float = 600.0
    doubt_timeout: float = DOUBT_TIMEOUT
    filter_timeout: float = 60.0
    backup_timeout: float = 600.0
    quiet: float = 5.0  # for how long the promoted temporary replica must stand still
    began: float = field(default_factory=clock.now)  # seconds since 1970

    @property
    def drill(self) -> str:
        return self.name or rules.name_of(self.primary, self.run)

    @property
    def wish(self) -> ReplicaWish:
        return ReplicaWish(
            name=self.drill,
            primary=self.primary,
            plan=self.plan,
            cloud=self.cloud,
            any_plan=self.any_plan,
            primary_plan="",
            primary_cloud=None,
        )

    @property
    def order(self) -> Order:
        return Order(
            role="replica",
            name=self.drill,
            type=None,
            plan=self.plan,
            cloud=self.cloud,
            any_plan=self.any_plan,
            args=self.replica_args,
        )


def look_at_primary(want: DrillRequest) -> Step[tuple[Service, ...]]:
    return Step(
        slug="primary",
        purpose=f"check that {want.primary} is running, and that the name {want.drill} is free",
        read=avn.service_list(want.setting.project, want.primary, want.drill),
        gate=rules.may_begin(
            want.setting.project, PrimaryWish(name=want.primary, type=None, plan=None, cloud=None), want.wish
        ),
    )


def see_backup(want: DrillRequest, pair: Step[tuple[Service, ...]]) -> Step[tuple[Backup, ...]]:
    return Step(
        slug="primary-backup",
        purpose=f"check that {want.primary} has a backup: the temporary replica is seeded from it",
        read=avn.backup_list(want.setting.project, want.primary),
        gate=rules.backup_is_there(want.setting.project, want.primary),
        unneeded=_is_no_primary(want, pair),
    )


def see_answers(want: DrillRequest, pair: Step[tuple[Service, ...]]) -> Step[ReplicationInfo]:
    """Before anything is billed: may the token read its password, does it answer."""

    def read(seen: Seen) -> ReplicationInfo:
        found = by_name(seen.of(pair), want.primary)
        if found is None:
            raise Refused(f"{want.primary} does not exist", hint="check its name: avn service list")
        return fetch_replication(endpoint(found, want.setting))

    return Step(
        slug="primary-answers",
        purpose=f"check that {want.primary} answers with its own credentials",
        read=Probe((), read),
        gate=rules.answers_as_primary(want.primary),
        unneeded=_is_no_primary(want, pair),
    )


def _is_no_primary(want: DrillRequest, pair: Step[tuple[Service, ...]]) -> Callable[[Seen], str]:
    """What is refused already has no backup to wait for."""

    def why(seen: Seen) -> str:
        found = by_name(seen.of(pair), want.primary)
        return f"not checked: {want.primary} is a replica" if found and found.source else ""

    return why


def create(want: DrillRequest, pair: Step[tuple[Service, ...]]) -> Step[tuple[Service, ...]]:
    setting = want.setting

    def kind(seen: Seen) -> str:
        found = by_name(seen.of(pair), want.primary)
        return found.type if found else "valkey"

    return Step(
        slug=CREATE,
        purpose=f"create {want.drill}, a temporary read replica of {want.primary}",
        read=avn.service_list(setting.project, want.primary, want.drill),
        gate=rules.is_made(want.wish, CREATE),
        poll=PROOF,
        change=avn.service_create(
            setting.project,
            want.drill,
            service_type=Later(variable="service_type", fill=kind),
            plan=want.plan,
            cloud=want.cloud,
            extra=(*avn.read_replica_words(want.replica_flag, want.primary), *want.replica_args),
            hint=f"list the plans there: avn service plans --cloud {want.cloud}",
        ),
    )


def created_at(want: DrillRequest, made: Step[tuple[Service, ...]]) -> Created:
    """When it was, as it was first seen; None: it never was."""

    def created(seen: Seen) -> int | None:
        first = by_name(seen.get(made) or (), want.drill)
        return lineage.created(first) if first else None

    return created


def same(step: Step[Service], created: Created) -> Step[Service]:
    """The step, which stops where a namesake has taken the place of what was created."""

    def judge(found: Service, seen: Seen) -> Finding:
        return rules.is_another(found, created(seen)) or step.gate.judge(found, seen)

    return replace(step, gate=Gate(step.gate.rule, judge))


def tag(want: DrillRequest, pair: Step[tuple[Service, ...]], made: Step[tuple[Service, ...]]) -> Step[Any]:
    """Right after: `avn service create` can't set tags."""
    lasts = 0.0 if want.keep else want.limit + CLEANING.limit

    def proof(seen: Seen) -> str:
        both = by_name(seen.get(made) or (), want.drill), by_name(seen.of(pair), want.primary)
        return rules.made_tag(want.run, *both, lasts)

    mark, tail = f"{rules.TAG}={want.run}", Later(variable="drill_made", fill=proof)
    return Step(
        slug="tagged",
        purpose=f"tag {want.drill} with this run",
        read=avn.service_named(want.setting.project, want.drill),
        gate=rules.is_tagged(created_at(want, made), proof, want.run),
        poll=Poll(limit=10, first=0.2, interval=1),
        change=avn.tags_update(want.setting.project, want.drill, mark, tail),
        optional=True,
    )


def terminate(want: DrillRequest, made: Step[tuple[Service, ...]]) -> Step[tuple[Service, ...]]:
    """Only what this run made. It is for every end of the run."""
    created = created_at(want, made)

    def known(seen: Seen) -> Made:
        return Made(
            name=want.drill,
            primary=want.primary,
            run=want.run,
            sent=seen.result(CREATE),
            created=created(seen),
            began=want.began,
            promoted=seen.result("promote") in ("answered", "unanswered"),
        )

    def absent(seen: Seen) -> Finding:
        if seen.result(CREATE) == "answered":
            return wait("it was created, and is not listed")
        doubt = "its creation was not confirmed, so it may still appear"
        return go(f"{want.drill} is not there; {doubt}", warnings=(doubt,))

    step = termination(want.setting, want.drill, TERMINATE, known, absent)
    return replace(step, always=True, unneeded=_nothing_made)


def termination(
    setting: Setting,
    name: str,
    slug: str,
    known: Callable[[Seen], Made | None],
    absent: Callable[[Seen], Finding],
    used: Callable[[Service], str] = lambda _: "",
) -> Step[tuple[Service, ...]]:
    """``known``: what shows that a drill made it; ``absent``: what it means that it is not there before it was sent.

    ``used``: which other run needs it; empty: none.
    """

    def judge(found: tuple[Service, ...], seen: Seen) -> Finding:
        if not found:
            return go(f"{name} is gone", gone=name) if seen.result(slug) else absent(seen)
        if seen.result(slug) == "answered":
            return wait(f"it is still there, {found[0].state}")
        finding = rules.judge_ours(found[0], known(seen), setting.project)
        return finding if finding.verdict == "stop" else todo(finding.reason)

    def guard(seen: Seen) -> None:
        [found] = seen.of(step)
        made = known(seen)
        if why := used(found) or in_use(found, setting, promoted=bool(made and made.promoted)):
            left = rules.not_touched(found, setting.project, why)
            raise Refused(left.reason, detail=left.detail, hint=left.hint)

    step = Step(
        slug=slug,
        purpose=f"terminate {name}, and check that it is gone",
        read=avn.service_named(setting.project, name),
        gate=Gate(f"{name} does not exist any more", judge),
        poll=replace(CLEANING, hint=f"look at it: avn service get {name}"),
        change=avn.service_terminate(setting.project, name, hint="`ccr-avn drill --clean` finds it again"),
        guard=guard,
        again=True,
    )
    return step


def in_use(found: Service, setting: Setting, *, promoted: bool) -> str:
    """Why it must not be terminated, as its server shows; empty: nobody uses it. ``promoted``: by its own drill."""
    if found.uri is None and found.state == "REBUILDING":
        return ""  # it has never been up
    try:
        role, clients = strangers(endpoint(found, setting), found.usernames)
    except Unreachable as trouble:
        if promoted and lets_nobody_in(found):
            return ""  # the drill has closed it
        return f"its server can't be asked who uses it: {trouble.what}"
    if role == "master" and not promoted:
        return "it was promoted, and nothing shows that its drill did it"
    return f"connected: {'; '.join(clients[:3])}" if clients else ""


def _nothing_made(seen: Seen) -> str:
    return "this run created no service" if seen.result(CREATE) in (None, "refused") else ""
