"""enable: from nothing to a pair that is proven to replicate."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Backup, Integration, Service
from ccr_avn.errors import NotProven
from ccr_avn.plan.model import Finding, Gate, Keep, Later, Plan, Poll, Step, Word, go, stop
from ccr_avn.procedures.gates import services
from ccr_avn.procedures.gates.drill import Made, is_lasting
from ccr_avn.procedures.gates.offers import Order
from ccr_avn.procedures.gates.services import PrimaryWish, ReplicaWish
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import (
    Proof,
    Setting,
    databases_step,
    described,
    link_step,
    marker_step,
    see_offers,
    see_vpcs,
    two_sides,
    wait_running,
)

ReplicaFlag = Literal["read-replica-for", "service-integration"]
PRIMARY_PLAN = "business-4"
PROOF = Poll(limit=30.0, first=0.2, interval=2.0)
"""How long a creation that avn reported may stay invisible to a read, in seconds."""

NOT_ALLOWED = (
    'if Aiven says "not allowed under current plan": either the primary has no backup yet to seed it from '
    "(run the same command again in some minutes), or the plan is indeed not allowed (--replica-plan startup-4); "
    "else the token needs project:services:write"
)
TAKEN = "the name is taken by a service that this token cannot see, or that is being deleted: choose another name"
REDIS_ENDED = "Aiven for Redis ended on 2025-03-31 and its services became Valkey: use --service-type valkey"


def _create_hint(role: str) -> str:
    """Where avn refused it by itself, or nothing is known."""
    return f"--dry-run shows the whole command; what you gave with --{role}-arg is passed to avn unchanged"


def _create_hints(role: str, cloud: str | None, kind: str | None) -> dict[int, str]:
    """By the status of Aiven's refusal."""
    offered = f"list the plans there: avn service plans --cloud {cloud}"
    return {
        400: f"{offered}; {REDIS_ENDED}" if kind == "redis" else offered,
        403: NOT_ALLOWED if role == "replica" else "the token needs project:services:write",
        409: TAKEN,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableRequest:
    """What was asked for; ``None``: not said. Times are in seconds."""

    primary: str
    replica: str
    setting: Setting
    service_type: str | None = None
    primary_cloud: str | None = None
    primary_plan: str | None = None
    replica_cloud: str | None = None
    replica_plan: str | None = None
    replica_flag: ReplicaFlag = "read-replica-for"
    flag_was_asked: bool = False
    primary_args: tuple[str, ...] = ()
    replica_args: tuple[str, ...] = ()
    allow_any_plan: bool = False
    verify: bool = True
    samples: int = 20
    running_timeout: float = 1200.0
    backup_timeout: float = 3600.0
    link_timeout: float = 900.0
    drills: tuple[Made, ...] = ()  # created by drills, by the journals of this machine
    primary_wish: PrimaryWish = field(init=False)
    replica_wish: ReplicaWish = field(init=False)

    def __post_init__(self) -> None:
        two_sides(self.primary, self.replica)
        primary = PrimaryWish(
            name=self.primary, type=self.service_type, plan=self.primary_plan, cloud=self.primary_cloud
        )
        replica = ReplicaWish(
            name=self.replica,
            primary=self.primary,
            plan=self.replica_plan,
            cloud=self.replica_cloud,
            any_plan=self.allow_any_plan,
            primary_plan=self.primary_plan or PRIMARY_PLAN,
            primary_cloud=self.primary_cloud,
        )
        object.__setattr__(self, "primary_wish", primary)
        object.__setattr__(self, "replica_wish", replica)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enable:
    """The plan, and its steps whose results are told of."""

    want: EnableRequest
    plan: Plan
    pair: Step[tuple[Service, ...]]
    primary: Step[Service]
    replica: Step[Service]
    rows: Step[tuple[Integration, ...]]
    proof: Proof

    def missing(self, seen: Seen) -> tuple[str, ...]:
        """The names of those that are to be created."""
        there = {one.name for one in seen.of(self.pair)}
        return tuple(name for name in (self.want.primary, self.want.replica) if name not in there)

    def summarize(self, seen: Seen) -> dict[str, Any]:
        """The result as plain data: the pair, ids, clouds, plans, what was proven. No secrets."""
        row = next(row for row in seen.of(self.rows) if row.feeds(self.want.replica))
        roles = {self.want.primary: "primary", self.want.replica: "replica"}
        there = ((services.by_name(seen.of(self.pair), name), role) for name, role in roles.items())
        made = ((seen.of(self.primary), "primary"), (seen.of(self.replica), "replica"))
        return {
            "project": self.want.setting.project.name,
            "primary": described(seen.of(self.primary)),
            "replica": described(seen.of(self.replica)),
            "integration": row.id,
            "before": [{**described(one), "role": role} for one, role in there if one],
            "after": [{**described(one), "role": role} for one, role in made],
            "proven": self.want.verify,
            **self.proof.evidence(seen),
        }


def plan_enable(want: EnableRequest) -> Enable:
    """Everything `enable` will do, in order, without doing any of it."""
    setting = want.setting
    pair = look_at_pair(want)
    primary = create_primary(want)
    keep = "" if want.service_type or not want.replica_cloud else "service_type"
    primary_up = wait_running(setting, want.primary, "primary-running", want.running_timeout, keep)
    replica_up = wait_running(setting, want.replica, "replica-running", want.running_timeout)

    def find(seen: Seen, name: str) -> Service:
        return seen.of(primary_up if name == want.primary else replica_up)

    rows = confirm_integration(setting, want.primary, want.replica, want.running_timeout)
    proof = Proof(
        link=link_step(setting, want.primary, want.replica, find, want.link_timeout),
        databases=databases_step(setting, want.primary, want.replica, find, NotProven),
        marker=marker_step(setting, want.primary, want.replica, find, want.samples),
    )
    plan = Plan(
        f"replicate {want.primary} to {want.replica}",
        checks=(*((confirm_flag(want),) if want.flag_was_asked else ()), pair, *_before_it_is_billed(want, pair)),
        steps=(
            primary,
            primary_up,
            confirm_backup(setting, want.primary, want.replica, primary_up, pair, want.backup_timeout),
            create_replica(want, primary_up),
            replica_up,
            rows,
            *(proof.steps if want.verify else ()),
        ),
        assumptions=_assumptions(want),
        check=check_words(want),
    )
    return Enable(want=want, plan=plan, pair=pair, primary=primary_up, replica=replica_up, rows=rows, proof=proof)


def _before_it_is_billed(want: EnableRequest, pair: Step[tuple[Service, ...]]) -> tuple[Step[Any], ...]:
    """What Aiven or avn would refuse only when the replica is made, long after its primary was."""
    primary = Order(
        role="primary",
        name=want.primary,
        type=want.service_type,
        plan=want.primary_plan or PRIMARY_PLAN,
        cloud=want.primary_cloud,
        any_plan=want.allow_any_plan,
        args=want.primary_args,
    )
    replica = Order(
        role="replica",
        name=want.replica,
        type=want.service_type,
        plan=want.replica_plan or services.REPLICA_PLAN,
        cloud=want.replica_cloud,
        any_plan=want.allow_any_plan,
        args=want.replica_args,
    )
    if not (want.primary_cloud or want.replica_cloud):
        return ()
    return see_offers(want.setting, (primary, replica), pair), see_vpcs(want.setting, (primary, replica), pair)


def look_at_pair(want: EnableRequest) -> Step[tuple[Service, ...]]:
    project = want.setting.project
    possible = services.pair_is_possible(project, want.primary_wish, want.replica_wish)

    def judge(found: tuple[Service, ...], seen: Seen) -> Finding:
        lasting = is_lasting(project, want.primary, services.by_name(found, want.replica), want.drills)
        finding = possible.judge(found, seen)
        return finding if lasting.verdict == "go" else services.together([finding, lasting])

    return Step(
        slug="pair",
        purpose=f"look up {want.primary} and {want.replica}",
        read=avn.service_list(project, want.primary, want.replica),
        gate=Gate(possible.rule, judge),
    )


def confirm_flag(want: EnableRequest) -> Step[str]:
    """Only for a spelling asked for by name; `auto` has already asked this avn."""
    flag = avn.read_replica_words(want.replica_flag, want.primary)[0]

    def judge(text: str, _: Seen) -> Finding:
        if flag in text:
            return go(f"avn service create offers {flag}")
        return stop(f"this avn has no {flag}", hint="omit --replica-flag: the flag that the installed avn has is used")

    return Step(
        slug="flag",
        purpose=f"check that the installed avn has {flag}",
        read=avn.create_help(),
        gate=Gate(f"avn service create offers {flag}", judge),
    )


def create_primary(want: EnableRequest) -> Step[tuple[Service, ...]]:
    project = want.setting.project
    create = avn.service_create(
        project,
        want.primary,
        service_type=want.service_type or "valkey",
        plan=want.primary_plan or PRIMARY_PLAN,
        cloud=want.primary_cloud or "",
        extra=want.primary_args,
        hint=_create_hint("primary"),
        hints=_create_hints("primary", want.primary_cloud, want.service_type),
    )
    said = (("--service-type", want.service_type), ("--plan", want.primary_plan), ("--cloud", want.primary_cloud))
    words = tuple(word for option, value in said if value for word in (option, value))
    return replace(
        primary_there(want.setting, want.primary_wish, want.replica),
        purpose=f"create {want.primary} unless it exists" if want.primary_cloud else f"adopt {want.primary}",
        change=create if want.primary_cloud else None,
        alone=want.setting.gate("exists", want.primary, *words, limit=PROOF.limit),
        asked=_asked("primary", want.setting.gate("exists", want.primary, *words)) if want.primary_cloud else None,
    )


def primary_there(setting: Setting, wish: PrimaryWish, *others: str) -> Step[tuple[Service, ...]]:
    return Step(
        slug="primary",
        purpose=f"check that {wish.name} exists with the requested settings",
        read=avn.service_list(setting.project, wish.name, *others),
        gate=services.primary_is(wish),
        poll=PROOF,
    )


def replica_there(setting: Setting, wish: ReplicaWish) -> Step[tuple[Service, ...]]:
    return Step(
        slug="replica",
        purpose=f"check that {wish.name} is a read replica of {wish.primary}",
        read=avn.service_list(setting.project, wish.primary, wish.name),
        gate=services.replica_is(wish),
        poll=PROOF,
    )


def _asked(variable: str, argv: tuple[Word, ...]) -> Keep:
    """Whether it must be created: a shell ends here where it exists as something else."""
    return Keep(variable=variable, argv=(*argv, "--print", "exists"))


def see_services(setting: Setting, *names: str) -> Step[tuple[Service, ...]]:
    """Which of them are there, whatever they are."""
    return Step(
        slug="services",
        purpose="list the existing services",
        read=avn.service_list(setting.project, *names),
        gate=Gate("avn answers", lambda found, _: go(f"there: {', '.join(one.name for one in found) or 'none'}")),
    )


def confirm_backup(
    setting: Setting, primary: str, replica: str, since: Step[Service], pair: Step[tuple[Service, ...]], limit: float
) -> Step[tuple[Backup, ...]]:
    """``limit``: seconds."""
    return Step(
        slug="primary-backup",
        purpose=f"wait for a backup of {primary}: the replica is seeded from it",
        read=avn.backup_list(setting.project, primary),
        gate=services.has_backup(setting.project, since, pair, replica),
        poll=setting.poll(
            limit,
            hint="the first backup can take a while: run the same command again, or raise --backup-timeout",
        ),
        alone=setting.gate("backup", primary, "--for", replica, limit=limit),
    )


def create_replica(want: EnableRequest, primary_up: Step[Service]) -> Step[tuple[Service, ...]]:
    project = want.setting.project
    service_type: Word = want.service_type or Later(variable="service_type", fill=lambda seen: seen.of(primary_up).type)
    create = avn.service_create(
        project,
        want.replica,
        service_type=service_type,
        plan=want.replica_plan or services.REPLICA_PLAN,
        cloud=want.replica_cloud or "",
        extra=(*avn.read_replica_words(want.replica_flag, want.primary), *want.replica_args),
        hint=_create_hint("replica"),
        hints=_create_hints("replica", want.replica_cloud, want.service_type),
    )
    said = (("--plan", want.replica_plan), ("--cloud", want.replica_cloud))
    any_plan = ("--allow-any-plan",) if want.allow_any_plan else ()
    settings = (word for option, value in said if value for word in (option, value))
    words = ("--replica-of", want.primary, *settings, *any_plan)
    return replace(
        replica_there(want.setting, want.replica_wish),
        purpose=f"create {want.replica} as a read replica of {want.primary} unless it is one",
        change=create if want.replica_cloud else None,
        alone=want.setting.gate("exists", want.replica, *words, limit=PROOF.limit),
        asked=_asked("replica", want.setting.gate("exists", want.replica, *words)) if want.replica_cloud else None,
    )


def confirm_integration(setting: Setting, primary: str, replica: str, limit: float) -> Step[tuple[Integration, ...]]:
    """``limit``: seconds."""
    return Step(
        slug="integration",
        purpose="check that the read_replica integration is active",
        read=avn.integration_list(setting.project, replica),
        gate=services.is_active(primary, replica),
        poll=setting.poll(limit, hint=f"`avn service integration-list {replica}` shows it"),
        alone=setting.gate("active", primary, replica, limit=limit),
    )


def check_words(want: EnableRequest) -> tuple[Word, ...]:
    """The command that runs just the checks, with all that they judge by."""
    given = (
        ("--service-type", want.service_type),
        ("--primary-cloud", want.primary_cloud),
        ("--primary-plan", want.primary_plan),
        ("--replica-cloud", want.replica_cloud),
        ("--replica-plan", want.replica_plan),
        ("--replica-flag", want.replica_flag if want.flag_was_asked else None),
    )
    words = [word for option, value in given if value for word in (option, value)]
    words += [f"--primary-arg={word}" for word in want.primary_args]
    words += [f"--replica-arg={word}" for word in want.replica_args]
    words += ["--allow-any-plan"] if want.allow_any_plan else []
    return ("ccr-avn", "enable", want.primary, want.replica, *words, *want.setting.options, "--check")


def _assumptions(want: EnableRequest) -> tuple[str, ...]:
    said = []
    if not want.primary_cloud:
        said.append(f"{want.primary} exists (without --primary-cloud it can't be created)")
    if not want.replica_cloud:
        said.append(f"{want.replica} exists (without --replica-cloud it can't be created)")
    if want.setting.project.name is None:
        said.append("avn's own default project is the right one (no --project, no AIVEN_PROJECT)")
    return tuple(said)
