"""Two checks of enable: is what would be created for sale there, and is its place in a VPC said."""

from collections.abc import Callable

from ccr_avn import avn
from ccr_avn.gates import offers
from ccr_avn.gates.offers import Orders
from ccr_avn.models import Catalogue, Service, Vpc
from ccr_avn.plan import Seen, Step
from ccr_avn.procedures.steps import Setting


def see_offers(setting: Setting, orders: Orders, pair: Step[tuple[Service, ...]]) -> Step[Catalogue]:
    """The whole catalogue: avn has no smaller read that tells which plan is offered in which cloud."""
    cloud = next(order.cloud or "" for order in orders if order.cloud)
    return Step(
        slug="offers",
        purpose="see that Aiven offers these plans in these clouds",
        look=avn.service_plans(setting.project, cloud),
        gate=offers.are_sold(orders, pair),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders, pair),
    )


def see_vpcs(setting: Setting, orders: Orders, pair: Step[tuple[Service, ...]]) -> Step[tuple[Vpc, ...]]:
    return Step(
        slug="vpc",
        purpose="see which clouds have a VPC",
        look=avn.vpc_list(setting.project),
        gate=offers.have_their_vpc(orders, pair),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders, pair),
    )


def _nothing_to_make(orders: Orders, pair: Step[tuple[Service, ...]]) -> Callable[[Seen], str]:
    def why(seen: Seen) -> str:
        return "" if offers.still_to_make(orders, seen.of(pair)) else "there is nothing to create"

    return why
