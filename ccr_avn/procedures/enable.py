"""enable: from nothing to a pair that is proven to replicate."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ccr_avn import avn
from ccr_avn.errors import NotProven, UsageError
from ccr_avn.gates import services
from ccr_avn.gates.offers import Order
from ccr_avn.gates.services import PrimaryWish, ReplicaWish
from ccr_avn.models import Backup, Integration, Service
from ccr_avn.plan import Finding, Gate, Later, Paste, Plan, Poll, Seen, Step, Word, go, stop
from ccr_avn.procedures.offers import see_offers, see_vpcs
from ccr_avn.procedures.steps import (
    Setting,
    counting,
    databases_step,
    described,
    evidence,
    link_step,
    marker_step,
    wait_running,
)

ReplicaFlag = Literal["read-replica-for", "service-integration"]
PRIMARY_PLAN = "business-4"
PROOF = Poll(limit=30.0, first=0.2, interval=2.0)
"""How long a creation that avn reported may stay invisible to a read, in seconds."""

NOT_ALLOWED = (
    'if Aiven says "not allowed under current plan": either the primary has no backup it can be seeded from yet '
    "(run the same command again in some minutes), or the plan really is not allowed (--replica-plan startup-4); "
    "else the token needs project:services:write"
)
TAKEN = "the name is taken, by a service that this token may not see or that is being deleted: choose another name"
REDIS_ENDED = "Aiven for Redis ended on 2025-03-31 and its services became Valkey: use --service-type valkey"


def _create_hint(role: str) -> str:
    """Where avn refused it by itself, or nothing is known."""
    return f"see its words with --dry-run; those that you gave with --{role}-arg are handed on to avn as they are"


def _create_hints(role: str, cloud: str | None, kind: str | None) -> dict[int, str]:
    """By the status of Aiven's refusal."""
    offered = f"see what is offered there: avn service plans --cloud {cloud}"
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
    replica_plan: str = "startup-4"
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
    primary_wish: PrimaryWish = field(init=False)
    replica_wish: ReplicaWish = field(init=False)

    def __post_init__(self) -> None:
        if self.primary == self.replica:
            raise UsageError(
                "PRIMARY and REPLICA are the same service",
                detail=f"both are {self.primary}",
                hint="name two services: a pair has two sides",
            )
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


def plan_enable(want: EnableRequest) -> Plan:
    """Everything `enable` will do, in order, without doing any of it."""
    setting = want.setting
    pair = look_at_pair(want)
    primary = create_primary(want)
    primary_up = wait_running(setting, want.primary, "primary-running", want.running_timeout)
    replica_up = wait_running(setting, want.replica, "replica-running", want.running_timeout)

    def find(seen: Seen, name: str) -> Service:
        return seen.of(primary_up if name == want.primary else replica_up)

    proof = (
        link_step(setting, want.primary, want.replica, find, want.link_timeout),
        databases_step(setting, want.primary, want.replica, find, NotProven),
        marker_step(setting, want.primary, want.replica, find, want.samples),
    )
    return Plan(
        f"replicate {want.primary} to {want.replica}",
        checks=(*((confirm_flag(want),) if want.flag_was_asked else ()), pair, *_before_it_is_billed(want, pair)),
        steps=(
            primary,
            primary_up,
            confirm_backup(want, primary_up, pair),
            create_replica(want, primary_up),
            replica_up,
            confirm_integration(want),
            *(proof if want.verify else ()),
        ),
        assumptions=_assumptions(want),
    )


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
        plan=want.replica_plan,
        cloud=want.replica_cloud,
        any_plan=want.allow_any_plan,
        args=want.replica_args,
    )
    if not (want.primary_cloud or want.replica_cloud):
        return ()
    return see_offers(want.setting, (primary, replica), pair), see_vpcs(want.setting, (primary, replica), pair)


def look_at_pair(want: EnableRequest) -> Step[tuple[Service, ...]]:
    return Step(
        slug="pair",
        purpose=f"see what is there of {want.primary} and {want.replica}",
        look=avn.service_list(want.setting.project, want.primary, want.replica),
        gate=services.pair_is_possible(want.setting.project, want.primary_wish, want.replica_wish),
        pastes=_pair_pastes(want),
    )


def confirm_flag(want: EnableRequest) -> Step[str]:
    """Only for a spelling asked for by name; `auto` has already asked this avn."""
    flag = avn.read_replica_words(want.replica_flag, want.primary)[0]

    def judge(text: str, _: Seen) -> Finding:
        if flag in text:
            return go(f"avn service create offers {flag}")
        return stop(f"this avn has no {flag}", hint="leave --replica-flag out: what the installed avn offers is used")

    call = avn.create_help()
    paste = Paste(
        read=call.argv,
        filter=f"""awk 'index($0, "{flag}") {{ n = 1 }} END {{ print n ? "yes" : "no" }}'""",
        go="yes",
        stop=(("no", f"no {flag}"),),
    )
    return Step(
        slug="flag",
        purpose=f"see that the installed avn has {flag}",
        look=call,
        gate=Gate(f"avn service create offers {flag}", judge),
        pastes=(paste,),
    )


def create_primary(want: EnableRequest) -> Step[tuple[Service, ...]]:
    project = want.setting.project
    names = (want.primary, want.replica)
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
    listed = avn.service_list(project, want.primary)
    return Step(
        slug="primary",
        purpose=f"create {want.primary} unless it is there" if want.primary_cloud else f"adopt {want.primary}",
        look=avn.service_list(project, *names),
        gate=services.primary_is(want.primary_wish),
        poll=PROOF,
        change=create if want.primary_cloud else None,
        pastes=(Paste(read=avn.formatted(listed, "{service_name}"), go=want.primary),),
    )


def confirm_backup(
    want: EnableRequest, since: Step[Service], pair: Step[tuple[Service, ...]]
) -> Step[tuple[Backup, ...]]:
    call = avn.backup_list(want.setting.project, want.primary)
    return Step(
        slug="primary-backup",
        purpose=f"wait for a backup of {want.primary}: the replica is seeded from it",
        look=call,
        gate=services.has_backup(want.setting.project, since, pair, want.replica),
        poll=want.setting.poll(
            want.backup_timeout,
            hint="the first backup can take its time: run the same command again, or raise --backup-timeout",
        ),
        pastes=(
            Paste(
                read=call.argv,
                filter="awk '/backup_name/ { n++ } END { print n + 0 }'",
                go="[1-9]*",
                only_if='[ -z "$replica" ]',
            ),
        ),
    )


def create_replica(want: EnableRequest, primary_up: Step[Service]) -> Step[tuple[Service, ...]]:
    project = want.setting.project
    service_type: Word = want.service_type or Later(variable="service_type", fill=lambda seen: seen.of(primary_up).type)
    create = avn.service_create(
        project,
        want.replica,
        service_type=service_type,
        plan=want.replica_plan,
        cloud=want.replica_cloud or "",
        extra=(*avn.read_replica_words(want.replica_flag, want.primary), *want.replica_args),
        hint=_create_hint("replica"),
        hints=_create_hints("replica", want.replica_cloud, want.service_type),
    )
    listed = avn.service_list(project, want.replica)
    guard = Paste(read=avn.formatted(listed, "{service_name}"), go=want.replica)
    primary = avn.formatted(avn.service_get(project, want.primary), "{service_type}")
    kind = Paste(read=primary, go="valkey|redis", variable="service_type", stop=(("*", "no valkey or redis service"),))
    return Step(
        slug="replica",
        purpose=f"create {want.replica} as a read replica of {want.primary} unless it is one",
        look=avn.service_list(project, want.primary, want.replica),
        gate=services.replica_is(want.replica_wish),
        poll=PROOF,
        change=create if want.replica_cloud else None,
        pastes=(guard,) if want.service_type else (kind, guard),
    )


def confirm_integration(want: EnableRequest) -> Step[tuple[Integration, ...]]:
    call = avn.integration_list(want.setting.project, want.replica)
    template = "{integration_type} {source_service} {dest_service} {enabled} {active}"
    row = f"read_replica {want.primary} {want.replica} True True"
    return Step(
        slug="integration",
        purpose="see that the read_replica integration is active",
        look=call,
        gate=services.is_active(want.primary, want.replica),
        poll=want.setting.poll(want.running_timeout, hint=f"`avn service integration-list {want.replica}` shows it"),
        pastes=(Paste(read=avn.formatted(call, template), filter=counting(row), go="1"),),
    )


def _pair_pastes(want: EnableRequest) -> tuple[Paste, ...]:
    """Its parts in the order of their variables: the replica's name, the primary, who replicates whom."""
    project, primary, replica = want.setting.project, want.primary, want.replica
    told = (want.service_type or "*", want.primary_plan or "*", want.primary_cloud or "*")
    absent = () if want.primary_cloud else (("''", f"{primary} does not exist: --primary-cloud creates it"),)
    shape = "{service_type} {plan} {cloud_name} {state} {user_config}"
    counted = (
        f"""awk '/^read_replica True / {{ if ($4 == "{primary}") print "itself"; else n++ }} END {{ print n + 0 }}'"""
    )
    rows = "{integration_type} {enabled} {source_service} {dest_service}"
    taken = f"the name {replica} is taken by something else than a read replica of {primary}"
    replica_rows = avn.formatted(avn.integration_list(project, replica), rows)
    return (
        Paste(
            read=avn.formatted(avn.service_list(project, replica), "{service_name}"),
            go=f"''|{replica}",
            variable="replica",
        ),
        Paste(
            read=replica_rows,
            filter=counting(f"read_replica True {primary} {replica}"),
            go="1",
            stop=(("*", taken),),
            only_if='[ -n "$replica" ]',
        ),
        Paste(
            read=avn.formatted(avn.service_list(project, primary), shape),
            variable="primary",
            stop=(
                *absent,
                ("*' POWEROFF '*", f"{primary} is powered off: avn service update {primary} --power-on"),
                ("*\"_persistence': 'off'\"*", f"{primary} has persistence off: no backup can ever come"),
            ),
            go=("''|" if want.primary_cloud else "") + f"{' '.join(told)} *".replace(" ", "\\ "),
        ),
        Paste(
            read=avn.formatted(avn.integration_list(project, primary), rows),
            filter=counted,
            go="[0-4]",
            stop=(
                ("itself*", f"{primary} is itself a read replica"),
                ("[5-9]*", f"{primary} has as many replicas as Aiven allows"),
            ),
            only_if='[ -n "$primary" ] && [ -z "$replica" ]',
        ),
    )


def _assumptions(want: EnableRequest) -> tuple[str, ...]:
    said = []
    if not want.primary_cloud:
        said.append(f"{want.primary} exists (without --primary-cloud it can't be created)")
    if not want.replica_cloud:
        said.append(f"{want.replica} exists (without --replica-cloud it can't be created)")
    if want.setting.project.name is None:
        said.append("avn's own default project is the right one (no --project, no AIVEN_PROJECT)")
    return tuple(said)


def summarize(want: EnableRequest, plan: Plan, seen: Seen) -> dict[str, Any]:
    """The result as plain data: the pair, ids, clouds, plans, what was proven. No secrets."""
    by_slug = {step.slug: step for step in plan.all_steps}
    rows: tuple[Integration, ...] = seen.of(by_slug["integration"])
    row = next(row for row in rows if row.feeds(want.replica))
    return {
        "project": want.setting.project.name,
        "primary": described(seen.of(by_slug["primary-running"])),
        "replica": described(seen.of(by_slug["replica-running"])),
        "integration": row.id,
        "proven": want.verify,
        **evidence(plan, seen),
    }
