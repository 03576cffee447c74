"""enable: from nothing to a pair that is proven to replicate."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Backup, Integration, Service
from ccr_avn.errors import NotProven
from ccr_avn.options import LinkTimeout, Primary, Replica, Samples, a_word, choice, flag, seconds, word
from ccr_avn.plan.model import Finding, Gate, Keep, Later, Plan, Poll, Step, go, stop
from ccr_avn.procedures.drill.ours import temporary
from ccr_avn.procedures.gates import services
from ccr_avn.procedures.gates.offers import Order
from ccr_avn.procedures.gates.services import PrimaryWish, ReplicaWish
from ccr_avn.procedures.proof import databases_step, evidence, link_step, marker_step
from ccr_avn.procedures.result import described, sides
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.steps import see_offers, see_vpcs, two_sides, wait_running
from ccr_avn.procedures.verb import Ended, Line, Outcome, Verb

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
class Enable(Verb):
    """Create PRIMARY and its read replica REPLICA unless they exist, and prove that data arrives."""

    primary: Primary
    replica: Replica
    primary_cloud: Annotated[str | None, word("C", "Cloud of a new primary.", a_word)] = None
    replica_cloud: Annotated[str | None, word("C", "Cloud of a new replica.", a_word)] = None
    primary_plan: Annotated[str | None, word("PLAN", "Plan of a new primary. [default: business-4]", a_word)] = None
    replica_plan: Annotated[
        str | None, word("PLAN", "Plan of a new replica: a startup plan. [default: startup-4]", a_word)
    ] = None
    verify: Annotated[bool, flag("--verify/--no-verify", "Prove replication on the data plane.")] = True
    service_type: Annotated[
        Literal["valkey", "redis"] | None, choice("Type of a new primary (valkey); an existing one must match.")
    ] = None
    primary_arg: Annotated[list[str] | None, word("ARG", "Passed to `avn service create PRIMARY`; repeatable.")] = None
    replica_arg: Annotated[
        list[str] | None, word("ARG", "The same for REPLICA, as in: --replica-arg=--no-project-vpc")
    ] = None
    samples: Samples = 20
    allow_any_plan: Annotated[bool, flag("--allow-any-plan", "Let Aiven decide on the replica's plan.")] = False
    replica_flag: Annotated[
        Literal["auto", ReplicaFlag], choice("avn flag that creates the replica; auto: the one avn has.")
    ] = "auto"
    running_timeout: Annotated[float, seconds("Time limit for each service to be RUNNING.")] = 1200
    backup_timeout: Annotated[float, seconds("Time limit for the first backup.")] = 3600
    link_timeout: LinkTimeout = 900
    flag_of_avn: ReplicaFlag = "read-replica-for"  # the one that the installed avn has

    command: ClassVar[str] = "enable"

    def __post_init__(self) -> None:
        two_sides(self.primary, self.replica)

    def facts(self) -> dict[str, Any]:
        return {"primary": self.primary, "replica": self.replica}

    @property
    def flag(self) -> ReplicaFlag:
        return self.flag_of_avn if self.replica_flag == "auto" else self.replica_flag

    @property
    def wanted_primary(self) -> PrimaryWish:
        return PrimaryWish(name=self.primary, type=self.service_type, plan=self.primary_plan, cloud=self.primary_cloud)

    @property
    def wanted_replica(self) -> ReplicaWish:
        return ReplicaWish(
            name=self.replica,
            primary=self.primary,
            plan=self.replica_plan,
            cloud=self.replica_cloud,
            any_plan=self.allow_any_plan,
            primary_plan=self.primary_plan or PRIMARY_PLAN,
            primary_cloud=self.primary_cloud,
        )

    # -- what it does

    def plan(self) -> Plan:
        at, sides = self.at, (self.primary, self.replica)
        keep = "" if self.service_type or not self.replica_cloud else "service_type"
        primary_up = wait_running(at, self.primary, "primary-running", self.running_timeout, keep)
        proof = (
            link_step(at, *sides, self.link_timeout),
            databases_step(at, *sides, NotProven),
            marker_step(at, *sides, self.samples),
        )
        return Plan(
            f"replicate {self.primary} to {self.replica}",
            checks=(
                *(() if self.replica_flag == "auto" else (self._confirm_flag(),)),
                self._look_at_pair(),
                *self._before_it_is_billed(),
            ),
            steps=(
                self._create_primary(),
                primary_up,
                confirm_backup(at, *sides, self.backup_timeout),
                self._create_replica(),
                wait_running(at, self.replica, "replica-running", self.running_timeout),
                confirm_integration(at, *sides, self.running_timeout),
                *(proof if self.verify else ()),
            ),
            assumptions=self._assumptions(),
            check=("ccr-avn", "enable", *sides, *self.words(), "--check"),
        )

    def _before_it_is_billed(self) -> tuple[Step[Any], ...]:
        """What Aiven or avn would refuse only when the replica is made, long after its primary was."""
        primary = Order(
            role="primary",
            name=self.primary,
            type=self.service_type,
            plan=self.primary_plan or PRIMARY_PLAN,
            cloud=self.primary_cloud,
            any_plan=self.allow_any_plan,
            args=tuple(self.primary_arg or ()),
        )
        replica = replace(
            primary,
            role="replica",
            name=self.replica,
            plan=self.replica_plan or services.REPLICA_PLAN,
            cloud=self.replica_cloud,
            args=tuple(self.replica_arg or ()),
        )
        if not (self.primary_cloud or self.replica_cloud):
            return ()
        return see_offers(self.at, (primary, replica)), see_vpcs(self.at, (primary, replica))

    def _look_at_pair(self) -> Step[tuple[Service, ...]]:
        at, new = self.at, self.replica
        possible = services.pair_is_possible(at.project, self.wanted_primary, self.wanted_replica)

        def judge(found: tuple[Service, ...], seen: Seen) -> Finding:
            """What a drill made is no replica to adopt: a cleaning terminates it."""
            clean = at.command("ccr-avn", "drill", "--clean", "--only", new)
            promote = at.command("ccr-avn", "switchover", self.primary, new, "--drill-service", new)
            hint = (
                f"choose another name for the replica; to terminate this one: {clean}; "
                f"to promote it all the same: {promote}"
            )
            replica, journals = services.by_name(found, new), at.journals
            drill = temporary(replica, journals.drills, journals.promotions, hint) if replica else None
            finding = possible.judge(found, seen)
            return services.together([finding, drill]) if drill else finding

        return Step(
            slug="pair",
            purpose=f"look up {self.primary} and {self.replica}",
            read=avn.service_list(at.project, self.primary, self.replica),
            gate=Gate(possible.rule, judge),
        )

    def _confirm_flag(self) -> Step[str]:
        """Only for a spelling asked for by name; `auto` has already asked this avn."""
        option = avn.read_replica_words(self.flag, self.primary)[0]

        def judge(text: str, _: Seen) -> Finding:
            if option in text:
                return go(f"avn service create offers {option}")
            hint = "omit --replica-flag: the flag that the installed avn has is used"
            return stop(f"this avn has no {option}", hint=hint)

        return Step(
            slug="flag",
            purpose=f"check that the installed avn has {option}",
            read=avn.create_help(),
            gate=Gate(f"avn service create offers {option}", judge),
        )

    def _create_primary(self) -> Step[tuple[Service, ...]]:
        at, cloud = self.at, self.primary_cloud
        create = avn.service_create(
            at.project,
            self.primary,
            service_type=self.service_type or "valkey",
            plan=self.primary_plan or PRIMARY_PLAN,
            cloud=cloud or "",
            extra=tuple(self.primary_arg or ()),
            hint=_create_hint("primary"),
            hints=_create_hints("primary", cloud, self.service_type),
        )
        there = primary_there(at, self.wanted_primary, self.replica)
        purpose = f"create {self.primary} unless it exists" if cloud else f"adopt {self.primary}"
        return _created(there, at, purpose, create if cloud else None)

    def _create_replica(self) -> Step[tuple[Service, ...]]:
        at, cloud = self.at, self.replica_cloud
        as_its_primary = Later(variable="service_type", fill=lambda seen: seen.latest[self.primary].type)
        create = avn.service_create(
            at.project,
            self.replica,
            service_type=self.service_type or as_its_primary,
            plan=self.replica_plan or services.REPLICA_PLAN,
            cloud=cloud or "",
            extra=(*avn.read_replica_words(self.flag, self.primary), *(self.replica_arg or ())),
            hint=_create_hint("replica"),
            hints=_create_hints("replica", cloud, self.service_type),
        )
        there = replica_there(at, self.wanted_replica)
        purpose = f"create {self.replica} as a read replica of {self.primary} unless it is one"
        return _created(there, at, purpose, create if cloud else None)

    def _assumptions(self) -> tuple[str, ...]:
        found = []
        if not self.primary_cloud:
            found.append(f"{self.primary} exists (without --primary-cloud it can't be created)")
        if not self.replica_cloud:
            found.append(f"{self.replica} exists (without --replica-cloud it can't be created)")
        if self.at.project.name is None:
            found.append("avn's own default project is the right one (no --project, no AIVEN_PROJECT)")
        return tuple(found)

    # -- how it ended

    def checked(self, ended: Ended) -> Outcome:
        there = {one.name for one in ended.seen.family}
        missing = [name for name in (self.primary, self.replica) if name not in there]
        what = f"{' and '.join(missing)} would be created" if missing else "both exist, nothing would be created"
        result = {"primary": self.primary, "replica": self.replica, "would_go": True, "to_create": missing}
        return Outcome(result=result, lines=(f"{self.primary} → {self.replica}: all pre-checks passed; {what}",))

    def outcome(self, ended: Ended) -> Outcome:
        seen, changed = ended.seen, ended.changed
        primary, replica = described(seen.latest[self.primary]), described(seen.latest[self.replica])
        row = next(row for row in seen.rows if row.feeds(self.replica))
        shown = evidence(seen)
        result = {
            "project": self.at.project.name,
            "primary": primary,
            "replica": replica,
            "integration": row.id,
            "proven": self.verify,
            "before": sides(
                primary=services.by_name(seen.family, self.primary), replica=services.by_name(seen.family, self.replica)
            ),
            "after": sides(primary=seen.latest[self.primary], replica=seen.latest[self.replica]),
            **shown,
        }
        what = "are now a pair" if changed else "were a pair already: nothing was changed"
        proof = "replication is proven" if self.verify else "replication is NOT proven (--no-verify)"
        table = [
            (role, side["name"], f"{side['type']} {side['plan']}", side["cloud"], side["state"])
            for role, side in (("primary", primary), ("replica", replica))
        ]
        lines: list[Line] = [f"{self.primary} and {self.replica} {what}; {proof}", table, f"  integration  {row.id}"]
        if link := shown.get("link"):
            lines.append(f"  link         up, {link['lag_bytes']} bytes behind")
        if marker := shown.get("marker"):
            lag = "lag min {minimum_ms:.1f}, median {median_ms:.1f}, max {maximum_ms:.1f} ms".format(**marker)
            lines.append(f"  markers      {marker['arrived']} of {marker['samples']} arrived, {lag}")
        return Outcome(result=result, lines=tuple(lines))


def _created(there: Step[tuple[Service, ...]], at: Setting, purpose: str, create: Any) -> Step[tuple[Service, ...]]:
    """``create`` None: it is only looked at. A pasted shell asks first, and ends where it exists as something else."""
    name, *more = there.alone[3:]
    words = more[: len(more) - len(at.options)]
    asked = Keep(variable=there.slug, argv=(*at.gate("exists", name, *words), "--print", "exists"))
    return replace(
        there,
        purpose=purpose,
        change=create,
        alone=at.gate("exists", name, *words, limit=PROOF.limit),
        asked=asked if create else None,
    )


def primary_there(at: Setting, wanted: PrimaryWish, *others: str) -> Step[tuple[Service, ...]]:
    given = (("--service-type", wanted.type), ("--plan", wanted.plan), ("--cloud", wanted.cloud))
    return Step(
        slug="primary",
        purpose=f"check that {wanted.name} exists with the requested settings",
        read=avn.service_list(at.project, wanted.name, *others),
        gate=services.primary_is(wanted),
        poll=PROOF,
        alone=at.gate("exists", wanted.name, *(word for option, value in given if value for word in (option, value))),
    )


def replica_there(at: Setting, wanted: ReplicaWish) -> Step[tuple[Service, ...]]:
    given = (("--plan", wanted.plan), ("--cloud", wanted.cloud))
    words = [word for option, value in given if value for word in (option, value)]
    any_plan = ("--allow-any-plan",) if wanted.any_plan else ()
    return Step(
        slug="replica",
        purpose=f"check that {wanted.name} is a read replica of {wanted.primary}",
        read=avn.service_list(at.project, wanted.primary, wanted.name),
        gate=services.replica_is(wanted),
        poll=PROOF,
        alone=at.gate("exists", wanted.name, "--replica-of", wanted.primary, *words, *any_plan),
    )


def see_services(at: Setting, *names: str) -> Step[tuple[Service, ...]]:
    """Which of them are there, whatever they are."""
    return Step(
        slug="pair",
        purpose="list the existing services",
        read=avn.service_list(at.project, *names),
        gate=Gate("avn answers", lambda found, _: go(f"there: {', '.join(one.name for one in found) or 'none'}")),
    )


def confirm_backup(at: Setting, primary: str, replica: str, limit: float) -> Step[tuple[Backup, ...]]:
    """``limit``: seconds."""
    return Step(
        slug="primary-backup",
        purpose=f"wait for a backup of {primary}: the replica is seeded from it",
        read=avn.backup_list(at.project, primary),
        gate=services.has_backup(at.project, primary, replica),
        poll=at.poll(
            limit,
            hint="the first backup can take a while: run the same command again, or raise --backup-timeout",
        ),
        alone=at.gate("backup", primary, "--for", replica, limit=limit),
    )


def confirm_integration(at: Setting, primary: str, replica: str, limit: float) -> Step[tuple[Integration, ...]]:
    """``limit``: seconds."""
    return Step(
        slug="integration",
        purpose="check that the read_replica integration is active",
        read=avn.integration_list(at.project, replica),
        gate=services.is_active(primary, replica),
        poll=at.poll(limit, hint=f"`avn service integration-list {replica}` shows it"),
        alone=at.gate("active", primary, replica, limit=limit),
    )
