"""Rules on one service: is it the requested one, does Aiven offer it, is it running, does it have a backup."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import Recorded, promoted_from, successors
from ccr_avn.aiven.models import REPLICABLE, Backup, Integration, Offer, Offers, Service, Vpc
from ccr_avn.errors import near
from ccr_avn.plan.model import Finding, go, stop, todo, wait
from ccr_avn.procedures.gates.settings import NOBODY, filter_word, lets_nobody_in

MAX_REPLICAS = 5
PRIMARY_PLAN, REPLICA_PLAN = "business-4", "startup-4"  # of a new service, where none was asked for
UNREPLICATED_PLANS = re.compile(r"^(free|developer)\b")  # the free and developer tiers have no integrations at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A service as asked for; ``None``: not said on the command line, so any will do, and a new one gets the default.

    ``of``: the primary that it must be a read replica of; ``args``: the person's own words for avn.
    """

    name: str
    of: "Wanted | None" = None
    type: str | None = None
    plan: str | None = None
    cloud: str | None = None
    any_plan: bool = False
    args: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        return "replica" if self.of else "primary"

    @property
    def primary(self) -> str:
        return self.of.name if self.of else ""

    @property
    def new_plan(self) -> str:
        return self.plan or (REPLICA_PLAN if self.of else PRIMARY_PLAN)

    @property
    def vpc(self) -> str | None:
        """The VPC that was asked for; empty: none was wanted; None: nothing was said."""
        for number, word in enumerate(self.args):
            if "--no-project-vpc".startswith(word) and len(word) > len("--no-"):
                return ""
            option, equals, value = word.partition("=")
            if "--project-vpc-id".startswith(option) and len(option) > len("--project"):
                return value if equals else next(iter(self.args[number + 1 :]), "")
        return None


def by_name(services: tuple[Service, ...], name: str) -> Service | None:
    return next((service for service in services if service.name == name), None)


def judge_primary(services: tuple[Service, ...], want: Wanted) -> Finding:
    """An existing primary is adopted as it is or refused; never changed to fit."""
    found = by_name(services, want.name)
    if not found and not want.cloud:
        hint = f"to create {want.name}, choose a cloud: --primary-cloud CLOUD (`avn cloud list`); else check its name"
        return stop(f"{want.name} does not exist", hint=hint)
    if not found:
        return todo(f"{want.name} does not exist yet", primary_exists=False)
    if found.source:
        hint = f"use {found.source} as the primary: a replica has no backups and can't be replicated itself"
        return stop(f"{want.name} is itself a read replica of {found.source}", hint=hint)
    if found.type not in REPLICABLE:
        return stop(f"{want.name} is a {found.type} service", hint="name a valkey or redis service as the primary")
    different = _different(found, type=want.type, plan=want.plan, cloud=want.cloud)
    return different or go(f"{want.name} exists: {found.type} {found.plan} in {found.cloud}")


def judge_replica(services: tuple[Service, ...], want: Wanted) -> Finding:
    """Attached to its primary already, or free to be created; a service can't be attached later."""
    found = by_name(services, want.name)
    if found and found.source == want.primary:
        different = _different(found, plan=want.plan, cloud=want.cloud)
        return different or go(f"{want.name} is a read replica of {want.primary}")
    if found:
        if not found.source and (old := promoted_from(found, services)) and old.name == want.primary:
            return stop(
                f"{want.name} was a replica of {want.primary}, and was promoted",
                detail="a promoted service can't become a replica again",
                hint=f"to replicate its current data: ccr-avn enable {want.name} NAME --replica-cloud CLOUD",
            )
        what = f"a read replica of {found.source}" if found.source else f"a standalone service ({found.type})"
        return stop(
            f"the name {want.name} is taken: it is {what}",
            hint="choose another name: a replica can only be created as a new service; an existing one can't be attached",
        )
    primary = by_name(services, want.primary)
    if refusals := tuple(_creation_refusals(primary, want)):
        return together(refusals)
    cloud = primary.cloud if primary else want.of and want.of.cloud
    both = f"{want.primary} and {want.name} are both in {cloud}: one outage takes down both"
    warnings = (both,) if cloud and cloud == want.cloud else ()
    return todo(f"{want.name} does not exist yet", warnings=warnings, replica_exists=False)


def exists_as(services: tuple[Service, ...], want: Wanted) -> Finding:
    return judge_replica(services, want) if want.of else judge_primary(services, want)


def pair_is_possible(project: Project, services: tuple[Service, ...], primary: Wanted, replica: Wanted) -> Finding:
    """Everything that can be known before the first change, all at once."""
    source, target = by_name(services, primary.name), by_name(services, replica.name)
    findings = [judge_primary(services, primary), judge_replica(services, replica)]
    findings += [judge_power(project, one, services) for one in (source, target) if one]
    if source and not target:
        findings += [judge_persistence(project, source), _judge_open(source)]
    return together(findings)


def paired_otherwise(command: str, primary: Service | None, replica: Service) -> Finding | None:
    """Stop where Aiven says that they are replicated, but not as they were named; with the ``command`` that was meant."""
    name = replica.name
    if replica.source and (primary is None or replica.source != primary.name):
        unlike = f", not {primary.name}" if primary else ""
        return stop(f"{name} replicates {replica.source}{unlike}", hint=f"ccr-avn {command} {replica.source} {name}")
    if primary and primary.source == name:
        what = f"{primary.name} replicates {name}: the names are swapped"
        return stop(what, hint=f"ccr-avn {command} {name} {primary.name}")
    return None


def together(findings: Iterable[Finding]) -> Finding:
    """One finding of many: what stops, all of it at once; else go (what is still to do is the steps' matter)."""
    every = tuple(findings)
    warnings = tuple(dict.fromkeys(warning for finding in every for warning in finding.warnings))
    facts = {name: fact for finding in every for name, fact in finding.facts.items()}
    stops = tuple(dict.fromkeys(finding for finding in every if finding.verdict == "stop"))
    if not stops:
        return go("; ".join(dict.fromkeys(finding.reason for finding in every)), warnings=warnings, **facts)
    reason, detail, hint = (
        "; ".join(filter(None, dict.fromkeys(getattr(one, part) for one in stops)))
        for part in ("reason", "detail", "hint")
    )
    return stop(reason, detail=detail, hint=hint, warnings=warnings, **facts)


def judge_power(
    project: Project, service: Service, services: tuple[Service, ...] = (), recorded: tuple[Recorded, ...] = ()
) -> Finding:
    """``services``: what is listed beside it; one that took over from it may be among them, or may not be listed."""
    if service.state == "POWEROFF":
        name = service.name
        if later := successors(service, services, recorded):
            what = f"{name} is powered off: it is the old primary of {later[0].name}"
            hint = f"leave it off, and use {later[0].name}: writes to {name} would exist only there (split brain)"
            return stop(what, detail=f"shown by {' and '.join(later[0].proofs)}", hint=hint)
        status = project.command("ccr-avn", "status", name)
        unless = "" if service.source else f"unless it was powered off after a promotion (`{status}` shows that): "
        return stop(f"{name} is powered off", hint=unless + avn.service_update(project, name, "--power-on").text)
    moving = rebalancing(service)
    return go(f"{service.name} is {service.state}", warnings=(moving,) if moving else ())


def rebalancing(service: Service) -> str:
    """What may happen while its nodes are replaced; empty where none are."""
    what = "is REBALANCING: its nodes are being replaced, and a failover to a new one ends a write pause"
    return f"{service.name} {what}" if service.state == "REBALANCING" else ""


def judge_persistence(project: Project, service: Service) -> Finding:
    """With persistence off the platform deletes all backups, and a replica is seeded from one."""
    if service.persistence == "off":
        key = f"{service.type}_persistence"
        turn_on = avn.service_update(project, service.name, "-c", f"{key}=rdb").text
        what = f"{service.name} has persistence off: there will never be a backup"
        return stop(what, detail=f"{key} is off", hint=turn_on)
    return go(f"{service.name} has persistence on")


def _judge_open(service: Service) -> Finding:
    """An old primary that a switchover closed holds old data, and nobody reaches it to prove anything."""
    if not lets_nobody_in(service):
        return go(f"the ip_filter of {service.name} allows clients")
    why = f"(its ip_filter contains only {NOBODY}): a switchover does that to an old primary"
    warning = f"{service.name} is closed {why}; is it the right service to replicate?"
    return go(f"{service.name} is closed", warnings=(warning,))


def is_running(project: Project, service: Service) -> Finding:
    """REBALANCING swaps nodes while it serves, so it will do."""
    if service.serving:
        given = service.user_config.get("ip_filter")
        word = filter_word(given) if isinstance(given, list) else None
        return go(f"{service.name} is {service.state}", service_type=service.type, ip_filter_option=word)
    if service.state == "POWEROFF":
        return judge_power(project, service)
    return wait(": ".join(filter(None, (service.state, ", ".join(map(str, service.nodes))))))


def has_backup(backups: tuple[Backup, ...]) -> Finding:
    """A replica is seeded from a backup: without one Aiven answers 403 "not allowed under current plan"."""
    if not backups:
        return wait("no backup yet")
    newest = max(backups, key=attrgetter("taken"))
    return go(f"{newest.name} taken {newest.taken:%F %T}")


def is_active(rows: tuple[Integration, ...], primary: str, replica: str) -> Finding:
    row = next((row for row in rows if row.feeds(replica) and row.source == primary), None)
    if row is None:
        return wait(f"no enabled read_replica integration from {primary} yet")
    if not row.active:
        return wait(f"integration {row.id} is enabled, but not active yet")
    return go(f"integration {row.id} is enabled and active")


def _different(found: Service, **asked: str | None) -> Finding | None:
    """What it has and was not asked for; None where nothing else was."""
    has = {name: getattr(found, name) for name in asked}
    differing = [
        f"{name}: requested {one}, it has {has[name]}" for name, one in asked.items() if one not in (None, has[name])
    ]
    hint = "omit those options to use it as it is, or choose another name: existing services are never changed"
    what = f"{found.name} exists with different settings"
    return stop(what, detail="; ".join(differing), hint=hint) if differing else None


def _creation_refusals(primary: Service | None, want: Wanted) -> Iterable[Finding]:
    plan = primary.plan if primary else want.of.new_plan if want.of else ""
    if primary and len(primary.replicas) >= MAX_REPLICAS:
        yield stop(
            f"{primary.name} already has {len(primary.replicas)} replicas, the maximum Aiven allows",
            detail=", ".join(primary.replicas),
            hint="name one of these as REPLICA, or terminate one that is no longer needed",
        )
    if primary and primary.is_cluster:
        yield stop(f"{primary.name} is on a cluster plan", hint="a cluster plan can't have read replicas")
    if UNREPLICATED_PLANS.match(plan):
        existing = f"upgrade it first: avn service update {want.primary} --plan startup-4"
        hint = existing if primary else "use another --primary-plan, startup-4 or larger"
        yield stop(f"{want.primary} is on {plan}: the free and developer tiers have no integrations", hint=hint)
    if not want.cloud:
        hint = "choose its cloud: --replica-cloud CLOUD, preferably not the primary's (`avn cloud list`)"
        yield stop(f"{want.name} does not exist", hint=hint)
    if not want.new_plan.startswith("startup-") and not want.any_plan:
        what = f"{want.new_plan} is not a plan for a read replica: Aiven documents startup plans only"
        yield stop(what, hint="use --replica-plan startup-N, or --allow-any-plan to let Aiven decide")


# -- what Aiven offers, checked before anything is billed


def still_to_make(orders: tuple[Wanted, ...], services: tuple[Service, ...]) -> tuple[Wanted, ...]:
    return tuple(order for order in orders if order.cloud and by_name(services, order.name) is None)


def are_sold(offers: Offers, orders: tuple[Wanted, ...], services: tuple[Service, ...]) -> Finding:
    names = [name for order in orders for name in (order.name, order.primary)]
    kind = next((one.type for name in names if (one := by_name(services, name))), "valkey")
    wanted = still_to_make(orders, services)
    findings = [one for order in wanted for one in _sold(offers, order, order.type or kind)]
    keys = ((order.type or kind, order.new_plan, str(order.cloud)) for order in wanted)
    match [offers.get(key, Offer()).memory_mb for key in keys]:
        case [float(primary), float(replica)] if replica < primary:
            small = f"the replica has {replica:g} MB of memory, its primary {primary:g} MB: the data may not fit"
            findings.append(go("", warnings=(small,)))
    offered = ", ".join(f"{order.new_plan} in {order.cloud}" for order in wanted)
    return together([go(f"Aiven offers {offered}"), *findings])


def have_their_vpc(vpcs: tuple[Vpc, ...], orders: tuple[Wanted, ...], services: tuple[Service, ...]) -> Finding:
    findings = [one for order in still_to_make(orders, services) for one in _placed(vpcs, order)]
    return together([go("every cloud has the requested VPC, or needs none"), *findings])


def _sold(offers: Offers, order: Wanted, kind: str) -> Iterator[Finding]:
    types = {one for one, _, _ in offers}
    if kind not in types:
        offered = next((one for one in REPLICABLE if one in types), None)
        yield stop(
            f"Aiven offers no {kind} services to this project",
            detail="Aiven for Redis ended on 2025-03-31 and its services became Valkey" if kind == "redis" else "",
            hint=f"use --service-type {offered}" if offered else "ask an administrator of the Aiven organization",
        )
        return
    clouds = {cloud for one, _, cloud in offers if one == kind}
    if order.cloud not in clouds:
        hint = f"choose another cloud{near(str(order.cloud), clouds)}: avn cloud list"
        yield stop(
            f"Aiven offers no {kind} in {order.cloud}", detail=f"as --{order.role}-cloud for {order.name}", hint=hint
        )
    elif (kind, order.new_plan, order.cloud) not in offers:
        there = sorted(plan for one, plan, cloud in offers if (one, cloud) == (kind, order.cloud))
        what = f"Aiven lists no plan {order.new_plan} for {kind} in {order.cloud}"
        if order.any_plan:
            yield go("", warnings=(f"{what}: creating {order.name} may be refused",))
            return
        hint = f"choose another{near(order.new_plan, there)}: --{order.role}-plan PLAN; or --allow-any-plan to let Aiven decide"
        yield stop(what, detail=f"for {order.name}; it lists {', '.join(there)}", hint=hint)


def _placed(vpcs: tuple[Vpc, ...], order: Wanted) -> Iterator[Finding]:
    """avn itself refuses to create a service in a cloud with a VPC when neither is said."""
    wanted = order.vpc
    here = [vpc for vpc in vpcs if vpc.cloud == order.cloud]
    if wanted is None and here:
        ids = " or ".join(f"--{order.role}-arg=--project-vpc-id={vpc.id}" for vpc in here)
        yield stop(
            f"{order.cloud} has a VPC, and no option says whether to put {order.name} in it",
            detail=", ".join(f"{vpc.id} ({vpc.state})" for vpc in here),
            hint=f"choose one: {ids}; or decline it: --{order.role}-arg=--no-project-vpc",
        )
    if not wanted:
        return
    found = next((vpc for vpc in vpcs if vpc.id == wanted), None)
    if found is None:
        yield stop(f"this project has no VPC {wanted}", hint="list them: avn vpc list")
    elif found.cloud != order.cloud:
        hint = f"name one in {order.cloud}, or put {order.name} into {found.cloud}: --{order.role}-cloud {found.cloud}"
        yield stop(f"the VPC {wanted} is in {found.cloud}, not in {order.cloud}", hint=hint)
    elif found.state != "ACTIVE":
        yield stop(f"the VPC {wanted} is {found.state}", hint="wait until it is ACTIVE: avn vpc list")
