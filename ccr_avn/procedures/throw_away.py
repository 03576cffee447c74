"""Creates and terminates the throw-away replica of a drill."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.models import Backup, Service
from ccr_avn.errors import Refused
from ccr_avn.plan.model import Finding, Gate, Later, Poll, Probe, Results, Step, go, todo, wait
from ccr_avn.procedures.enable import PROOF, ReplicaFlag
from ccr_avn.procedures.gates import drill as rules
from ccr_avn.procedures.gates.drill import Made
from ccr_avn.procedures.gates.offers import Order
from ccr_avn.procedures.gates.services import PrimaryWish, ReplicaWish, by_name
from ccr_avn.procedures.promotion import DOUBT_TIMEOUT
from ccr_avn.procedures.steps import Setting, endpoint
from ccr_avn.procedures.verify import Depth, Level
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.replication import ReplicationInfo

CREATE = "throw-away"
TERMINATE = "terminate"

CLEANING = Poll(limit=120.0, first=0.2, interval=2.0)
"""How long a termination that was accepted may stay invisible; also when a signal waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRequest:
    """Times are in seconds. ``name``: of the throw-away; ``keep``: it is not terminated."""

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
    quiet: float = 5.0  # for how long the promoted throw-away must stand still

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
        purpose=f"check that {want.primary} has a backup: the throw-away is seeded from it",
        read=avn.backup_list(want.setting.project, want.primary),
        gate=rules.backup_is_there(want.setting.project, want.primary),
        unneeded=_is_no_primary(want, pair),
    )


def see_answers(want: DrillRequest, pair: Step[tuple[Service, ...]]) -> Step[ReplicationInfo]:
    """Before anything is billed: may the token read its password, does it answer."""

    def read(seen: Results) -> ReplicationInfo:
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


def _is_no_primary(want: DrillRequest, pair: Step[tuple[Service, ...]]) -> Callable[[Results], str]:
    """What is refused already has no backup to wait for."""

    def why(seen: Results) -> str:
        found = by_name(seen.of(pair), want.primary)
        return f"not checked: {want.primary} is a replica" if found and found.source else ""

    return why


def create(want: DrillRequest, pair: Step[tuple[Service, ...]]) -> Step[tuple[Service, ...]]:
    setting = want.setting

    def kind(seen: Results) -> str:
        found = by_name(seen.of(pair), want.primary)
        return found.type if found else "valkey"

    return Step(
        slug=CREATE,
        purpose=f"create {want.drill}, a throw-away read replica of {want.primary}",
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


def tag(want: DrillRequest, made: Step[tuple[Service, ...]]) -> Step[tuple[Service, ...]]:
    """Right after: `avn service create` can't set tags."""

    mark = f"{rules.TAG}={want.run}"
    return Step(
        slug="tagged",
        purpose=f"tag {want.drill} with this run",
        read=avn.service_named(want.setting.project, want.drill),
        gate=rules.is_tagged(made, want.drill, want.run),
        poll=Poll(limit=10, first=0.2, interval=1),
        change=avn.tags_update(want.setting.project, want.drill, mark, _made_at(want, made)),
        optional=True,
    )


def terminate(
    want: DrillRequest, made: Step[tuple[Service, ...]], tagged: Step[tuple[Service, ...]]
) -> Step[tuple[Service, ...]]:
    """Only what this run made. It is for every end of the run."""

    def known(seen: Results) -> Made:
        first = by_name(seen.get(made) or (), want.drill)
        last = seen.get(tagged) or ()
        return Made(
            name=want.drill,
            primary=want.primary,
            run=want.run,
            sent=seen.result(CREATE),
            created=lineage.created(first) if first else None,
            tagged=any(one.tags.get(rules.TAG) == want.run for one in last),
        )

    def judge(found: tuple[Service, ...], seen: Results) -> Finding:
        if not found:
            unsure = seen.result(CREATE) == "unanswered"
            later = f"its creation was not answered, so it may still appear: {_clean_words(want)} finds it"
            return go(f"{want.drill} is gone", warnings=(later,) if unsure else ())
        if seen.result(TERMINATE) == "answered":
            return wait(f"it is still there, {found[0].state}")
        finding = rules.judge_ours(found[0], known(seen), want.setting.project)
        return finding if finding.verdict == "stop" else todo(finding.reason)

    return termination(want.setting, want.drill, judge, unneeded=_nothing_made)


def termination(
    setting: Setting,
    name: str,
    judge: Callable[[tuple[Service, ...], Results], Finding],
    unneeded: Callable[[Results], str] | None = None,
) -> Step[tuple[Service, ...]]:
    """``judge``: go when it is gone, todo when it may be terminated, stop when it must not."""
    return Step(
        slug=TERMINATE,
        purpose=f"terminate {name}, and check that it is gone",
        read=avn.service_named(setting.project, name),
        gate=Gate(f"{name} does not exist any more", judge),
        poll=replace(CLEANING, hint=f"look at it: avn service get {name}"),
        change=avn.service_terminate(setting.project, name, hint="`ccr-avn drill --clean` finds it again"),
        always=True,
        unneeded=unneeded,
    )


def _made_at(want: DrillRequest, made: Step[tuple[Service, ...]]) -> Later:
    """The tag with its creation time."""

    def fill(seen: Results) -> str:
        return rules.made_tag(by_name(seen.get(made) or (), want.drill))

    return Later(variable="drill_made", fill=fill)


def _nothing_made(seen: Results) -> str:
    return "" if seen.result(CREATE) else "this run created no service"


def _clean_words(want: DrillRequest) -> str:
    return f"`{shlex.join(('ccr-avn', 'drill', '--clean', *want.setting.options))}`"
