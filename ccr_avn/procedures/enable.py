"""enable: from nothing to a pair that is proven to replicate."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from ccr_avn import options
from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Backup, Integration, Service
from ccr_avn.errors import TimedOut
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Call, Finding, Keep, Later, Plan, Poll, Step, Word, go, stop
from ccr_avn.procedures.drill.ours import temporary
from ccr_avn.procedures.gates import services
from ccr_avn.procedures.gates.services import Wanted
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.steps import see_offers, wait_running
from ccr_avn.procedures.verb import Ended, Line, Outcome, PairVerb, sides
from ccr_avn.procedures.verify import Verify, evidence

ReplicaFlag = Literal["read-replica-for", "service-integration"]
AllowAnyPlan = Annotated[bool, options.flag("Skip the check of the replica's plan; Aiven decides.")]
PROOF = Poll(limit=30.0, first=0.2, interval=2.0)
"""How long a creation that avn reported may stay invisible to a read, in seconds."""

NOT_ALLOWED = (
    'if Aiven says "not allowed under current plan": either the primary has no backup yet to seed it from '
    "(run the same command again in a few minutes), or the plan really is not allowed (--replica-plan startup-4); "
    "else the token needs project:services:write"
)
TAKEN = "the name is taken by a service that this token cannot see, or that is being deleted: choose another name"
REDIS_ENDED = "Aiven for Redis ended on 2025-03-31 and its services became Valkey: use --service-type valkey"


def creation(at: Setting, wanted: Wanted, kind: Word, flag: ReplicaFlag) -> Call[None]:
    """``kind``: its type; ``flag``: that makes a replica. The hints are by the status of Aiven's refusal."""
    offered = f"list the plans there: avn service plans --cloud {wanted.cloud}"
    return avn.service_create(
        at.project,
        wanted.name,
        service_type=kind,
        plan=wanted.new_plan,
        cloud=wanted.cloud or "",
        extra=(*(avn.read_replica_words(flag, wanted.primary) if wanted.of else ()), *wanted.args),
        hint=f"--dry-run shows the whole command; what you gave with --{wanted.role}-arg is passed to avn unchanged",
        hints={
            400: f"{offered}; {REDIS_ENDED}" if wanted.type == "redis" else offered,
            403: NOT_ALLOWED if wanted.of else "the token needs project:services:write",
            409: TAKEN,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enable(PairVerb):
    """Create PRIMARY and its read replica REPLICA unless they exist, and prove that data arrives."""

    primary_cloud: Annotated[str | None, options.word("C", "Cloud of a new primary.", options.a_word)] = None
    replica_cloud: Annotated[str | None, options.cloud_of_replicas("Cloud of a new replica.")] = None
    primary_plan: Annotated[
        str | None, options.word("PLAN", "Plan of a new primary. [default: business-4]", options.a_word)
    ] = None
    replica_plan: Annotated[
        str | None, options.word("PLAN", "Plan of a new replica: a startup plan. [default: startup-4]", options.a_word)
    ] = None
    verify: Annotated[bool, options.flag("Prove replication on the data plane.")] = True
    service_type: Annotated[
        Literal["valkey", "redis"] | None, options.choice("Type of a new primary (valkey); an existing one must match.")
    ] = None
    primary_arg: Annotated[
        list[str] | None, options.word("ARG", "Passed to `avn service create PRIMARY`; repeatable.")
    ] = None
    replica_arg: Annotated[
        list[str] | None, options.word("ARG", "The same for REPLICA, as in: --replica-arg=--no-project-vpc")
    ] = None
    samples: options.Samples = 20
    allow_any_plan: AllowAnyPlan = False
    replica_flag: Annotated[
        Literal["auto", ReplicaFlag], options.choice("avn flag that creates the replica; auto: the one avn has.")
    ] = "auto"
    running_timeout: Annotated[float, options.seconds("Time limit for each service to be RUNNING.")] = 1200
    backup_timeout: Annotated[float, options.seconds("Time limit for the first backup.")] = 3600
    link_timeout: options.LinkTimeout = 900
    flag_of_avn: ReplicaFlag = "read-replica-for"  # the one that the installed avn has

    command: ClassVar[str] = "enable"

    @property
    def flag(self) -> ReplicaFlag:
        return self.flag_of_avn if self.replica_flag == "auto" else self.replica_flag

    @property
    def wanted(self) -> tuple[Wanted, Wanted]:
        wanted = partial(Wanted, type=self.service_type, any_plan=self.allow_any_plan)
        args, more = tuple(self.primary_arg or ()), tuple(self.replica_arg or ())
        primary = wanted(name=self.primary, plan=self.primary_plan, cloud=self.primary_cloud, args=args)
        plan, cloud = self.replica_plan, self.replica_cloud
        return primary, wanted(name=self.replica, of=primary, plan=plan, cloud=cloud, args=more)

    # -- what it does

    def plan(self) -> Plan:
        at, sides, (primary, replica) = self.at, (self.primary, self.replica), self.wanted
        orders = self.primary_cloud or self.replica_cloud
        keep = "" if self.service_type or not self.replica_cloud else "service_type"
        primary_up = wait_running(at, self.primary, limit=self.running_timeout, slug="primary-running", keep=keep)
        proved = Verify(
            at=at, primary=self.primary, replica=self.replica, samples=self.samples, link_timeout=self.link_timeout
        )
        return Plan(
            f"replicate {self.primary} to {self.replica}",
            checks=(
                *(() if self.replica_flag == "auto" else (self._confirm_flag(),)),
                self._look_at_pair(),
                # what Aiven or avn would refuse only when the replica is made, long after its primary was
                *(see_offers(at, self.wanted) if orders else ()),
            ),
            steps=(
                self._create(primary),
                primary_up,
                confirm_backup(at, self.primary, replica=self.replica, limit=self.backup_timeout),
                self._create(replica),
                wait_running(at, self.replica, limit=self.running_timeout, slug="replica-running"),
                confirm_integration(at, *sides, limit=self.running_timeout),
                *(proved.proof(late=TimedOut) if self.verify else ()),
            ),
            assumptions=self._assumptions(),
            check=("ccr-avn", "enable", *sides, *self.words(), "--check"),
        )

    def _look_at_pair(self) -> Step[tuple[Service, ...]]:
        at, new = self.at, self.replica
        clean = at.command("ccr-avn", "drill", "--clean", "--only", new)
        promote = at.command("ccr-avn", "switchover", self.primary, new, "--drill-service", new)
        ways = f"to terminate this one: {clean}; to promote it anyway: {promote}"

        def judge(found: tuple[Service, ...], _: Seen) -> Finding:
            """What a drill made is no replica to adopt: a cleaning terminates it."""
            replica, (drills, promotions) = services.by_name(found, new), (at.journals.drills, at.journals.promotions)
            hint = f"choose another name for the replica; {ways}"
            drill = temporary(replica, drills, promotions, hint) if replica else None
            finding = services.pair_is_possible(at.project, found, *self.wanted)
            return services.together([finding, drill]) if drill else finding

        return Step(
            slug="pair",
            purpose=f"look up {self.primary} and {self.replica}",
            read=avn.service_list(at.project, self.primary, self.replica),
            rule="names, types, plans, clouds, power and persistence allow it",
            judge=judge,
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
            read=avn.CREATE_HELP,
            rule=f"avn service create offers {option}",
            judge=judge,
        )

    def _create(self, wanted: Wanted) -> Step[tuple[Service, ...]]:
        """Unless it exists; without a cloud it is only looked at. A pasted shell asks first, and ends where it is another."""
        at, name = self.at, wanted.name
        as_its_primary = Later(variable="service_type", fill=lambda seen: seen.latest[self.primary].type)
        kind = self.service_type or (as_its_primary if wanted.of else "valkey")
        purpose = f"create {name} unless it exists" if wanted.cloud else f"adopt {name}"
        if wanted.of:
            purpose = f"create {name} as a read replica of {self.primary} unless it is one"
        there, asked = (
            exists(
                at,
                name,
                replica_of=wanted.primary or None,
                service_type=None if wanted.of else wanted.type,
                plan=wanted.plan,
                cloud=wanted.cloud,
                allow_any_plan=wanted.of is not None and wanted.any_plan,
                limit=limit,
            )
            for limit in (PROOF.limit, 0)
        )
        keep = Keep(variable=wanted.role, argv=(*asked.command, "--print", "exists"))
        return replace(
            there,
            purpose=purpose,
            read=avn.service_list(at.project, self.primary, self.replica),
            judge=lambda found, _: services.exists_as(found, wanted),
            change=creation(at, wanted, kind, self.flag) if wanted.cloud else None,
            asked=keep if wanted.cloud else None,
        )

    def _assumptions(self) -> tuple[str, ...]:
        adopted = [
            f"{one.name} exists (without --{one.role}-cloud it can't be created)"
            for one in self.wanted
            if not one.cloud
        ]
        if self.at.project.name is None:
            adopted.append("avn's own default project is the right one (no --project, no AIVEN_PROJECT)")
        return tuple(adopted)

    # -- how it ended

    def checked(self, ended: Ended) -> Outcome:
        there = {one.name for one in ended.seen.family}
        missing = [name for name in (self.primary, self.replica) if name not in there]
        what = f"{' and '.join(missing)} would be created" if missing else "both exist, nothing would be created"
        result = {**self.facts(), "would_go": True, "to_create": missing}
        return Outcome(result=result, lines=(f"{self.primary} → {self.replica}: all pre-checks passed; {what}",))

    def outcome(self, ended: Ended) -> Outcome:
        seen, shown = ended.seen, evidence(ended.seen)
        row = next(row for row in seen.rows if row.feeds(self.replica))
        listed = {one.name: one for one in seen.family}
        after = sides(primary=seen.latest[self.primary], replica=seen.latest[self.replica])
        result = {
            "project": self.at.project.name,
            **self.facts(),
            "integration_id": row.id,
            "proven": self.verify,
            "before": sides(primary=listed.get(self.primary), replica=listed.get(self.replica)),
            "after": after,
            **shown,
        }
        what = "are now a pair" if ended.changed else "were already a pair: nothing was changed"
        proof = "replication is proven" if self.verify else "replication is NOT proven (--no-verify)"
        table = [
            (side["role"], side["name"], f"{side['type']} {side['plan']}", side["cloud"], side["state"])
            for side in after
        ]
        lines: list[Line] = [f"{self.primary} and {self.replica} {what}; {proof}", table, f"  integration  {row.id}"]
        if link := shown.get("replication"):
            lines.append(f"  link         up, {link['lag_bytes']} bytes behind")
        if marker := shown.get("marker"):
            lag = "lag min {minimum_ms:.1f}, median {median_ms:.1f}, max {maximum_ms:.1f} ms".format(**marker)
            lines.append(f"  markers      {marker['arrived']} of {marker['samples']} arrived, {lag}")
        return Outcome(result=result, lines=tuple(lines))


@gate("exists")
def exists(
    at: Setting,
    service: options.Service,
    *,
    replica_of: Annotated[str | None, options.word("PRIMARY", "As a read replica of PRIMARY.", options.a_name)] = None,
    service_type: Annotated[str | None, options.word("T", "Of this type.")] = None,
    plan: Annotated[str | None, options.word("PLAN", "On this plan.", options.a_word)] = None,
    cloud: Annotated[
        str | None, options.word("CLOUD", "In this cloud, even if it does not exist yet.", options.a_word)
    ] = None,
    allow_any_plan: AllowAnyPlan = False,
    limit: float,
) -> Step[tuple[Service, ...]]:
    """Check that SERVICE exists as given; exit 4 if it differs. --print exists: `there` or `missing`, both exit 0.

    Examples:
      ccr-avn gate exists eu --cloud do-fra
      ccr-avn gate exists us --replica-of eu --cloud aws-us-east-1
      ccr-avn gate exists us --replica-of eu --cloud aws-us-east-1 --print exists
    """
    of = Wanted(name=replica_of) if replica_of else None
    wanted = Wanted(name=service, of=of, type=service_type, plan=plan, cloud=cloud, any_plan=allow_any_plan)
    how = f"as a read replica of {replica_of}" if replica_of else "with the requested settings"
    return Step(
        slug=wanted.role,
        purpose=f"check that {service} exists {how}",
        read=avn.service_list(at.project, *filter(None, (replica_of, service))),
        rule=f"{service} exists {how}",
        judge=lambda found, _: services.exists_as(found, wanted),
        poll=replace(PROOF, limit=limit),
    )


def _before_backup(at: Setting, primary: str, *, replica: str | None = None, limit: float) -> tuple[Step[Any], ...]:
    """Whether the replica is there, whatever it is, and whether the primary runs."""
    names = (primary, *((replica,) if replica else ()))
    there = Step(
        slug="pair",
        purpose="list the existing services",
        read=avn.service_list(at.project, *names),
        rule="avn answers",
        judge=lambda found, _: go(f"there: {', '.join(one.name for one in found) or 'none'}"),
    )
    return there, wait_running(at, primary, limit=limit)


@gate("backup", timeout=60, before=_before_backup)
def confirm_backup(
    at: Setting,
    primary: options.Primary,
    *,
    replica: Annotated[
        str | None,
        options.Opt(
            names=("--for",), metavar="REPLICA", help="Also succeed if REPLICA already exists.", rule=options.a_name
        ),
    ] = None,
    limit: float,
) -> Step[tuple[Backup, ...]]:
    """Wait until PRIMARY has a backup to seed a replica from.

    Examples:
      ccr-avn gate backup eu
      ccr-avn gate backup eu --for us --timeout 3600
    """

    def judge(found: tuple[Backup, ...], seen: Seen) -> Finding:
        if replica and services.by_name(seen.family, replica):
            return go(f"{replica} already exists: no backup is needed to create it")
        persists = services.judge_persistence(at.project, seen.latest[primary])
        return persists if persists.verdict == "stop" else services.has_backup(found)

    return Step(
        slug="primary-backup",
        purpose=f"wait for a backup of {primary}: the replica is seeded from it",
        read=avn.backup_list(at.project, primary),
        rule="a backup is listed",
        judge=judge,
        poll=at.poll(
            limit,
            hint="the first backup can take a while: run the same command again, or raise --backup-timeout",
        ),
    )


@gate("active", timeout=60)
def confirm_integration(
    at: Setting, primary: options.Primary, replica: options.Replica, *, limit: float
) -> Step[tuple[Integration, ...]]:
    """Wait until the integration of a pair is active: read_replica, from PRIMARY to REPLICA, enabled.

    Examples:
      ccr-avn gate active eu us
      ccr-avn gate active eu us --timeout 1200
    """
    return Step(
        slug="integration",
        purpose="check that the read_replica integration is active",
        read=avn.integration_list(at.project, replica),
        rule="the read_replica integration is enabled and active",
        judge=lambda rows, _: services.is_active(rows, primary, replica),
        poll=at.poll(limit, hint=f"`avn service integration-list {replica}` shows it"),
    )
