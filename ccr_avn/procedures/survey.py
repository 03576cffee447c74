"""Steps that check what Aiven offers, and in what both sides differ."""

from collections.abc import Callable

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Catalogue, Service, Vpc
from ccr_avn.errors import Unreachable
from ccr_avn.plan.model import Probe, Results, Step
from ccr_avn.procedures.gates import offers, parity
from ccr_avn.procedures.gates.offers import Orders
from ccr_avn.procedures.steps import Setting, endpoint
from ccr_avn.valkey.inventory import Planes, read_planes


def compare_sides(
    setting: Setting,
    primary: str,
    replica: str,
    services: Step[tuple[Service, ...]],
    options: tuple[str, ...] = (),
) -> Step[Planes | None]:
    """Differences are warnings with their values. A side that can't be reached is another check's matter.

    ``options``: those of the switchover, so that a pasted ``--check`` allows what the run does.
    """

    def read(seen: Results) -> Planes | None:
        found = {one.name: one for one in seen.of(services)}
        if primary not in found or replica not in found or found[replica].source != primary:
            return None
        try:
            return read_planes(endpoint(found[primary], setting), endpoint(found[replica], setting))
        except Unreachable:
            return None

    return Step(
        slug="parity",
        purpose="compare rights, settings, versions, functions and clocks of both sides",
        read=Probe(("ccr-avn", "switchover", primary, replica, *setting.options, *options, "--check"), read),
        by_hand=f"avn service get {primary} --json, avn service get {replica} --json",
        gate=parity.are_alike(setting.project, services, primary, replica),
    )


def see_offers(setting: Setting, orders: Orders, pair: Step[tuple[Service, ...]]) -> Step[Catalogue]:
    """The whole catalogue: avn has no smaller read that tells which plan is offered in which cloud."""
    cloud = next(order.cloud or "" for order in orders if order.cloud)
    return Step(
        slug="offers",
        purpose="check that Aiven offers these plans in these clouds",
        read=avn.service_plans(setting.project, cloud),
        gate=offers.are_sold(orders, pair),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders, pair),
    )


def see_vpcs(setting: Setting, orders: Orders, pair: Step[tuple[Service, ...]]) -> Step[tuple[Vpc, ...]]:
    return Step(
        slug="vpc",
        purpose="list the clouds that have a VPC",
        read=avn.vpc_list(setting.project),
        gate=offers.have_their_vpc(orders, pair),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders, pair),
    )


def _nothing_to_make(orders: Orders, pair: Step[tuple[Service, ...]]) -> Callable[[Results], str]:
    def why(seen: Results) -> str:
        return "" if offers.still_to_make(orders, seen.of(pair)) else "there is nothing to create"

    return why
