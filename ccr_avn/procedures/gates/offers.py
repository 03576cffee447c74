"""Rules on Aiven's offers: are the plans, clouds and VPCs available. Checked before anything is billed."""

from collections.abc import Iterator

from ccr_avn.aiven.models import REPLICABLE, Offer, Offers, Service, Vpc
from ccr_avn.errors import near
from ccr_avn.plan.model import Finding, go, stop
from ccr_avn.procedures.gates.services import Wanted, by_name, together


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
