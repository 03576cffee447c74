"""Steps on services that several procedures share."""

from collections.abc import Callable

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Offers, Vpc
from ccr_avn.aiven.models import Service as Facts
from ccr_avn.errors import Unreachable, UsageError
from ccr_avn.options import Service
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Keep, Probe, Step
from ccr_avn.procedures.gates import offers, parity, services
from ccr_avn.procedures.gates.services import Wanted
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.valkey.server_facts import PairFacts, read_pair_facts


@gate("running", timeout=60)
def wait_running(at: Setting, service: Service, *, limit: float, slug: str = "running", keep: str = "") -> Step[Facts]:
    """Wait until SERVICE is running: its state is RUNNING or REBALANCING.

    Examples:
      ccr-avn gate running eu
      ccr-avn gate running eu --timeout 1200
    """
    asked = (*at.gate("running", service, limit=limit), "--print", keep)  # a fact that a later word of a preview needs
    return Step(
        slug=slug,
        purpose=f"wait until {service} is running",
        read=avn.service_get(at.project, service),
        gate=services.is_running(at.project),
        poll=at.poll(limit, hint=f"check it with `avn service get {service}`, then run the same command again"),
        keeps=(Keep(variable=keep, argv=asked),) if keep else (),
    )


def two_sides(primary: str, replica: str) -> None:
    """Raises:
    UsageError: both are the same service.
    """
    if primary == replica:
        raise UsageError(
            "PRIMARY and REPLICA are the same service",
            detail=f"both are {primary}",
            hint="name both services of the pair",
        )


def compare_sides(at: Setting, primary: str, replica: str, check: tuple[str, ...]) -> Step[PairFacts | None]:
    """Differences are warnings with their values. A side that can't be reached is another check's matter.

    ``check``: the command that a preview has for it.
    """

    def read(seen: Seen) -> PairFacts | None:
        found = {one.name: one for one in seen.family}
        if primary not in found or replica not in found or found[replica].source != primary:
            return None
        try:
            return read_pair_facts(endpoint(found[primary], at), endpoint(found[replica], at))
        except Unreachable:
            return None

    return Step(
        slug="parity",
        purpose="compare rights, settings, versions, modules, functions and clocks of both sides",
        read=Probe(check, read),
        by_hand=f"avn service get {primary} --json, avn service get {replica} --json",
        gate=parity.are_alike(at.project, primary, replica),
    )


def see_offers(at: Setting, orders: tuple[Wanted, ...]) -> Step[Offers]:
    """The whole catalogue: avn has no smaller read that tells which plan is offered in which cloud."""
    cloud = next(order.cloud or "" for order in orders if order.cloud)
    return Step(
        slug="offers",
        purpose="check that Aiven offers these plans in these clouds",
        read=avn.service_plans(at.project, cloud),
        gate=offers.are_sold(orders),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders),
    )


def see_vpcs(at: Setting, orders: tuple[Wanted, ...]) -> Step[tuple[Vpc, ...]]:
    return Step(
        slug="vpc",
        purpose="list the clouds that have a VPC",
        read=avn.vpc_list(at.project),
        gate=offers.have_their_vpc(orders),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders),
    )


def _nothing_to_make(orders: tuple[Wanted, ...]) -> Callable[[Seen], str]:
    def why(seen: Seen) -> str:
        return "" if offers.still_to_make(orders, seen.family) else "there is nothing to create"

    return why
