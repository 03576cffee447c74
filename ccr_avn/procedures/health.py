"""Checks of a switchover: that both services are there, named the right way round, and healthy."""

from contextlib import suppress
from dataclasses import replace

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Service
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.plan.model import Finding, Gate, Probe, Step, go
from ccr_avn.procedures.gates import pair
from ccr_avn.procedures.gates.pair_state import pair_state
from ccr_avn.procedures.promotion import keep_lineage
from ccr_avn.procedures.seen import Health, Seen
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.procedures.switchover_options import SwitchoverOptions
from ccr_avn.valkey.diagnose import Answered
from ccr_avn.valkey.fence import must_be_unlocked
from ccr_avn.valkey.server_facts import fetch_replication


def look_at_both(want: SwitchoverOptions) -> Step[tuple[Service, ...]]:
    at, names = want.at, (want.primary, want.replica)
    listed = avn.service_list(at.project, *dict.fromkeys((*names, *want.family)))

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        return pair.judge_pair(want, {one.name: one for one in found})

    return Step(
        slug="pair",
        purpose=f"look up {want.primary} and {want.replica}, and what belongs to them",
        read=listed if want.family else avn.service_family(at.project, *names, recorded=at.journals.promotions),
        gate=Gate(f"both exist and are running, and {want.replica} is or was a replica of {want.primary}", judge),
    )


def look_at_health(want: SwitchoverOptions) -> Step[Health | None]:
    at = want.at

    def judge(health: Health | None, seen: Seen) -> Finding:
        if health is None:
            return go("not checked: see the result for the pair")
        return pair.judge_health(want, seen.service(want.primary), seen.service(want.replica), health)

    words = ("--max-lag-bytes", str(want.max_lag_bytes), *at.tolerance)
    return Step(
        slug="health",
        purpose="check that the link is up and how far behind it is",
        keeps=keep_lineage(at, want.replica)[:1],
        by_hand=at.server(want.replica, "INFO replication"),
        read=Probe(
            at.gate("link", want.primary, want.replica, *words),
            lambda seen: health_of(at, seen, want.primary, want.replica),
        ),
        gate=Gate(f"the link is up and at most {want.max_lag_bytes} bytes behind", judge),
    )


def health_of(at: Setting, seen: Seen, primary: str, replica: str) -> Health | None:
    """None: one of them does not exist.

    Raises:
        Refused: the replica can't be asked.
        Locked: another run is promoting a replica of PRIMARY.
    """
    old, new = seen.checked.get(primary), seen.checked.get(replica)
    if not old or not new:
        return None
    try:
        side = fetch_replication(endpoint(new, at))
    except Unreachable as silent:  # nothing can be promoted that can't be asked: said at once
        raise Refused(silent.what, detail=silent.detail, hint=silent.hint) from None
    try:
        found = Health(primary=fetch_replication(endpoint(old, at)), replica=side)
    except Unreachable as trouble:
        alive = isinstance(trouble, Answered) or not trouble.passing
        why, hint = f"{trouble.what}: {trouble.detail}", trouble.hint if alive else ""
        found = Health(primary=None, replica=side, primary_trouble=why, primary_hint=hint)
    if found.primary and found.primary.paused_seconds and not at.journals.may_have_paused(primary, replica):
        with suppress(Unreachable):  # else the pause alone is a refusal
            must_be_unlocked(endpoint(old, at))
    if old.source:
        return found
    looked = (found.primary, found.replica)
    return replace(found, state=pair_state(seen.rows, old, new, looked, at.journals.promotions, now=at.now))
