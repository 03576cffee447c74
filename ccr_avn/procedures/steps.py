"""Steps on services that several procedures share, and the checks of a switchover: both exist, the right way round, healthy."""

from contextlib import suppress

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Offers, Service, Vpc
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.options import Service as Named
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Finding, Keep, Probe, Step, Word, go
from ccr_avn.procedures.gates import pair, parity, services
from ccr_avn.procedures.gates.pair_state import pair_state
from ccr_avn.procedures.gates.services import Wanted
from ccr_avn.procedures.promotion import keep_lineage
from ccr_avn.procedures.seen import Seen, Sides
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.procedures.verb import SwitchoverOptions
from ccr_avn.valkey.diagnose import Answered
from ccr_avn.valkey.fence import must_be_unlocked
from ccr_avn.valkey.server_facts import PairFacts, fetch_replication, read_pair_facts


@gate("running", timeout=60)
def wait_running(at: Setting, service: Named, *, limit: float, slug: str = "running", keep: str = "") -> Step[Service]:
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
        rule="its state is RUNNING or REBALANCING",
        judge=lambda found, _: services.is_running(at.project, found),
        poll=at.poll(limit, hint=f"check it with `avn service get {service}`, then run the same command again"),
        keeps=(Keep(variable=keep, argv=asked),) if keep else (),
    )


def compare_sides(at: Setting, primary: str, replica: str, check: tuple[Word, ...]) -> Step[PairFacts | None]:
    """Differences are warnings with their values. A side that can't be reached is another check's matter.

    ``check``: the command that a preview has for it.
    """

    def both(seen: Seen) -> tuple[Service, Service] | None:
        old, new = services.by_name(seen.family, primary), services.by_name(seen.family, replica)
        return (old, new) if old and new and new.source == primary else None

    def read(seen: Seen) -> PairFacts | None:
        with suppress(Unreachable):
            if found := both(seen):
                return read_pair_facts(*(endpoint(one, at) for one in found))
        return None

    def judge(facts: PairFacts | None, seen: Seen) -> Finding:
        if found := both(seen):
            return parity.are_alike(at.project, *found, facts)
        return go(f"not compared: {replica} is not a replica of {primary}")

    return Step(
        slug="parity",
        purpose="compare rights, settings, versions, modules, functions and clocks of both sides",
        read=Probe(read, f"avn service get {primary} --json, avn service get {replica} --json"),
        command=check,
        rule="no difference between the sides prevents it",
        judge=judge,
    )


def see_offers(at: Setting, orders: tuple[Wanted, ...]) -> tuple[Step[Offers], Step[tuple[Vpc, ...]]]:
    """The whole catalogue: avn has no smaller read that shows which plan is offered in which cloud. And the VPCs."""
    cloud = next(order.cloud or "" for order in orders if order.cloud)

    def unneeded(seen: Seen) -> str:
        return "" if services.still_to_make(orders, seen.family) else "there is nothing to create"

    plans = Step(
        slug="offers",
        purpose="check that Aiven offers these plans in these clouds",
        read=avn.service_plans(at.project, cloud),
        rule="Aiven offers these plans in these clouds",
        judge=lambda found, seen: services.are_sold(found, orders, seen.family),
        brief=True,
        advisory=True,
        unneeded=unneeded,
    )
    vpcs = Step(
        slug="vpc",
        purpose="list the clouds that have a VPC",
        read=avn.vpc_list(at.project),
        rule="a VPC is chosen or declined for each cloud that has one",
        judge=lambda found, seen: services.have_their_vpc(found, orders, seen.family),
        brief=True,
        advisory=True,
        unneeded=unneeded,
    )
    return plans, vpcs


def look_at_both(want: SwitchoverOptions) -> Step[tuple[Service, ...]]:
    at, names = want.at, (want.primary, want.replica)

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        return pair.judge_pair(want, {one.name: one for one in found})

    return Step(
        slug="pair",
        purpose=f"look up {want.primary} and {want.replica}, and what belongs to them",
        read=avn.service_family(at.project, *names, recorded=at.journals.promotions),
        rule=f"both exist and are running, and {want.replica} is or was a replica of {want.primary}",
        judge=judge,
    )


def look_at_health(want: SwitchoverOptions) -> Step[Sides]:
    at = want.at

    def judge(sides: Sides, seen: Seen) -> Finding:
        return pair.judge_health(want, seen.service(want.primary), seen.service(want.replica), sides)

    def unneeded(seen: Seen) -> str:
        old = seen.checked.get(want.primary)
        is_refused = old is None or old.source or want.replica not in seen.checked
        return "not checked: see the result for the pair" if is_refused else ""

    words = ("--max-lag-bytes", str(want.max_lag_bytes), *at.tolerance)
    return Step(
        slug="health",
        purpose="check that the link is up and how far behind it is",
        keeps=keep_lineage(at, want.replica)[:2],
        read=Probe(
            lambda seen: health_of(at, seen, want.primary, want.replica), at.server(want.replica, "INFO replication")
        ),
        command=at.gate("link", want.primary, want.replica, *words),
        rule=f"the link is up and at most {want.max_lag_bytes} bytes behind",
        judge=judge,
        unneeded=unneeded,
    )


def health_of(at: Setting, seen: Seen, primary: str, replica: str) -> Sides:
    """Raises: Refused: the replica can't be asked; Locked: another run is promoting a replica of PRIMARY."""
    old, new = seen.service(primary), seen.service(replica)
    main, why, hint = None, "", ""
    try:
        side = fetch_replication(endpoint(new, at))
    except Unreachable as silent:  # nothing can be promoted that can't be asked: said at once
        raise Refused(silent.what, detail=silent.detail, hint=silent.hint) from None
    try:
        main = fetch_replication(endpoint(old, at))
    except Unreachable as trouble:
        alive = isinstance(trouble, Answered) or not trouble.passing
        why, hint = f"{trouble.what}: {trouble.detail}", trouble.hint if alive else ""
    if main and main.paused_seconds and not at.journals.may_have_paused(primary, replica):
        with suppress(Unreachable):  # else the pause alone is a refusal
            must_be_unlocked(endpoint(old, at))
    state = pair_state(seen.rows, old, new, (main, side), at.journals.promotions, now=at.now)
    return Sides(primary=main, replica=side, state=state, primary_trouble=why, primary_hint=hint)
