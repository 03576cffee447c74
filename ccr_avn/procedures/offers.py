"""Two checks of enable: is what would be created for sale there, and is its place in a VPC said."""

from collections.abc import Callable

from ccr_avn import avn
from ccr_avn.gates import offers
from ccr_avn.gates.offers import Orders
from ccr_avn.models import Catalogue, Service, Vpc
from ccr_avn.plan import Paste, Seen, Step
from ccr_avn.procedures.steps import Setting

ABSENT = {"primary": '[ -z "$primary" ]', "replica": '[ -z "$replica" ]'}
"""The variables that enable's look at the pair has set."""


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
        pastes=tuple(
            Paste(
                read=avn.service_plans_text(setting.project, order.cloud),
                filter=f"""awk '$1 ~ /^({order.type or "valkey|redis"}):{order.plan}$/ {{ n++ }} END {{ print n + 0 }}'""",
                go="[1-9]*|unknown",
                stop=(("*", f"Aiven lists no plan {order.plan} in {order.cloud}"),),
                only_if=ABSENT[order.role],
                otherwise="unknown",
            )
            for order in orders
            if order.cloud and not order.any_plan
        ),
    )


def see_vpcs(setting: Setting, orders: Orders, pair: Step[tuple[Service, ...]]) -> Step[tuple[Vpc, ...]]:
    call = avn.vpc_list(setting.project)
    text = tuple(word for word in call.argv if word != "--json")
    return Step(
        slug="vpc",
        purpose="see which clouds have a VPC",
        look=call,
        gate=offers.have_their_vpc(orders, pair),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders, pair),
        pastes=tuple(
            Paste(
                read=text,
                filter=f"""awk '$2 == "{order.cloud}" {{ n++ }} END {{ print n + 0 }}'""",
                go="0|unknown",
                stop=(("*", f"{order.cloud} has a VPC: --{order.role}-arg=--project-vpc-id=ID or --no-project-vpc"),),
                only_if=ABSENT[order.role],
                otherwise="unknown",
            )
            for order in orders
            if order.cloud and order.vpc is None
        ),
    )


def _nothing_to_make(orders: Orders, pair: Step[tuple[Service, ...]]) -> Callable[[Seen], str]:
    def why(seen: Seen) -> str:
        return "" if offers.still_to_make(orders, seen.of(pair)) else "there is nothing to create"

    return why
