"""failover without the data plane (--no-verify): relies on Aiven's API alone, proves nothing."""

import shlex
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.lineage import created
from ccr_avn.aiven.models import Integration, Service
from ccr_avn.errors import Refused
from ccr_avn.plan.model import Finding, Gate, Later, Probe, Step, go, stop, todo
from ccr_avn.procedures.gates import promotion
from ccr_avn.procedures.gates.pair_state import feeding
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.promotion import keep_lineage, keep_origin
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import Setting

UNSEEN = "its data plane was not checked"


def allowed(
    setting: Setting,
    replica: str,
    services: Step[tuple[Service, ...]],
    primary: Step[tuple[Service, ...]],
    *,
    allow_data_loss: bool,
) -> Step[None]:
    """In the place of a look at the replica: nothing can be known, so nothing is promised."""

    def judge(_: None, seen: Seen) -> Finding:
        found = by_name(seen.of(services), replica)
        if found is None:
            return go("not judged: the service is missing")
        if found.source is None:
            warning = f"{UNSEEN}: whether {replica} accepts writes is not known"
            return go(
                f"no read_replica integration of {replica} is listed: there is nothing to delete", warnings=(warning,)
            )
        if not allow_data_loss:
            return stop(
                "a failover may lose acknowledged writes, and how many can't be estimated from here",
                detail=f"{UNSEEN}: its link, its lag and whether it has any data at all are unknown",
                hint="if that is acceptable: --allow-data-loss --no-verify; better: run it from within its network",
            )
        old = by_name(seen.get(primary) or (), found.source)
        born = {one.name: created(one) for one in (found, old) if one}
        warning = f"nothing is proven: {UNSEEN}, it may be empty or far behind"
        return go("allowed", warnings=(warning,), follows=found.source, created=born)

    words = ("--allow-data-loss", "--no-verify", "--check", *setting.options)
    return Step(
        slug="last-known",
        purpose=f"promote {replica} without checking its data plane",
        read=Probe(("ccr-avn", "failover", replica, *words), lambda _: None),
        by_hand=f"avn service integration-list {replica}",
        gate=Gate("the possible loss, although unknown, is accepted", judge),
        keeps=(keep_origin(setting, replica, "--no-verify"), keep_lineage(setting, replica, "--no-verify")),
    )


def promote_unseen(
    setting: Setting, replica: str, rows: Step[tuple[Integration, ...]], limit: float, doubt_limit: float
) -> Step[Any]:
    """Irreversible. What proves it is that the integration is no longer listed. Limits are in seconds."""

    def integration_id(seen: Seen) -> str:
        row = feeding(seen.of(rows), None, replica)
        if row is None or row.id is None:
            raise Refused(
                f"{replica} has no integration that can be deleted",
                detail="an integration is listed, but it has no id",
                hint=f"look at it: avn service integration-list {replica}",
            )
        return row.id

    gone = promotion.is_gone(replica)

    def judge(listed: tuple[Integration, ...], seen: Seen) -> Finding:
        found = gone.judge(listed, seen)
        return found if found.verdict == "go" else todo(found.reason)

    return Step(
        slug="promote",
        purpose=f"promote {replica}: it stops following and accepts writes; this can't be undone",
        read=avn.integration_list(setting.project, replica),
        gate=Gate(gone.rule, judge),
        poll=setting.poll(limit),
        change=avn.integration_delete(setting.project, Later(variable="integration_id", fill=integration_id)),
        alone=setting.gate("integration-gone", replica, limit=limit),
        final=True,
        doubt_limit=doubt_limit,
    )


def from_inside(replica: str, setting: Setting) -> tuple[str, ...]:
    """What to type inside its network, to see what could not be seen."""
    gates = (setting.gate(name, replica) for name in ("accepts-writes", "last-known"))
    return tuple(shlex.join(str(word) for word in words) for words in gates)
