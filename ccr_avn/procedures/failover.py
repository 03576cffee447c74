"""failover: forced, the primary is dead or cut off; what may be lost is stated."""

from dataclasses import dataclass, replace
from typing import Any

from ccr_avn import avn
from ccr_avn.dataplane.link import Side, look_at
from ccr_avn.errors import Refused
from ccr_avn.gates import switch
from ccr_avn.gates.services import by_name
from ccr_avn.models import REPLICABLE, Integration, Service
from ccr_avn.plan import Finding, Gate, Later, Paste, Plan, Poll, Probe, Seen, Step, go, stop, wait
from ccr_avn.procedures.held import Measured
from ccr_avn.procedures.last_known import look_at_last_known, look_at_primary
from ccr_avn.procedures.promotion import (
    FAST,
    accepts_writes,
    control_plane_agrees,
    look_at_integration,
    promote,
    remember_origin,
)
from ccr_avn.procedures.steps import Setting, endpoint, wait_running
from ccr_avn.procedures.unverified import allowed, promote_unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverRequest:
    """Times are in seconds."""

    replica: str
    setting: Setting
    allow_data_loss: bool = False
    force_partial: bool = False
    verify: bool = True  # False: on the word of the control plane alone, where the data plane is out of reach
    wait_automatic: float = 0.0
    promote_timeout: float = 600.0


def plan_failover(want: FailoverRequest) -> tuple[Plan, Measured]:
    setting, measured = want.setting, Measured()
    services = look_at_services(want)
    primary = look_at_primary(want, services)
    known: Step[Any] = look_at_last_known(want, services, primary)

    def find(seen: Seen, name: str) -> Service:
        service = by_name(seen.of(services), name)
        if service is None:
            raise Refused(f"{name} does not exist", hint="check its name: avn service list")
        return service

    rows = _rows(want, services)
    source = Later(variable="source", fill=lambda seen: find(seen, want.replica).source or "")
    steps: tuple[Step[Any], ...] = (
        *((_wait_for_automatic(want, find),) if want.wait_automatic else ()),
        promote(setting, want.replica, find, rows, want.promote_timeout),
        accepts_writes(setting, want.replica, find, measured, want.promote_timeout),
        remember_origin(setting, want.replica, source),
        *control_plane_agrees(setting, want.replica, want.promote_timeout),
    )
    if not want.verify:
        known = allowed(setting, want.replica, services, allow_data_loss=want.allow_data_loss)
        steps = (
            promote_unseen(setting, want.replica, rows, want.promote_timeout),
            remember_origin(setting, want.replica, source),
            wait_running(setting, want.replica, "running", want.promote_timeout),
        )
    plan = Plan(f"fail over to {want.replica}", (services, rows, primary, known), steps)
    return plan, measured


def look_at_services(want: FailoverRequest) -> Step[tuple[Service, ...]]:
    """The replica with its integration, by its name: what else is in the project, and how it looks, is nothing to us."""

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        replica = by_name(found, want.replica)
        if replica is None:
            return stop(f"{want.replica} does not exist", hint="check its name and the project: avn service list")
        if replica.type not in REPLICABLE:
            return stop(f"{want.replica} is a {replica.type} service", hint="check its name: avn service list")
        if replica.source is None and replica.replicas:
            return stop(
                f"{want.replica} is a primary itself: it feeds {', '.join(replica.replicas)}",
                hint=f"name the replica: ccr-avn failover {replica.replicas[0]} --allow-data-loss",
            )
        return switch.judge_serves(want.setting.project, replica)

    call = avn.service_named(want.setting.project, want.replica)
    return Step(
        slug="replica",
        purpose=f"see what is there of {want.replica}",
        look=call,
        gate=Gate(f"{want.replica} exists and serves", judge),
        pastes=_replica_pastes(want),
    )


def _rows(want: FailoverRequest, services: Step[tuple[Service, ...]]) -> Step[tuple[Integration, ...]]:
    """The integration as the list of services already told it: no second avn while everybody waits."""
    shown = look_at_integration(want.setting, None, want.replica)

    def look(seen: Seen) -> tuple[Integration, ...]:
        service = by_name(seen.of(services), want.replica)
        return service.integrations if service else ()

    command = tuple(word for word in shown.look.argv)
    return replace(shown, look=Probe(command, look))


def _wait_for_automatic(want: FailoverRequest, find: Any) -> Step[Side]:
    def judge(side: Side, _: Seen) -> Finding:
        return go("the platform promoted it by itself") if side.role == "master" else wait(f"its role is {side.role}")

    words = (*want.setting.options, "--timeout", f"{want.wait_automatic:g}")
    return Step(
        slug="automatic",
        purpose=f"give the platform {want.wait_automatic:g} s to promote {want.replica} by itself",
        look=Probe(
            ("ccr-avn", "accepts-writes", want.replica, *words),
            lambda seen: look_at(endpoint(find(seen, want.replica), want.setting)),
        ),
        gate=Gate("it was promoted", judge),
        poll=Poll(limit=want.wait_automatic, first=FAST, interval=0.5, hint="it is promoted from here now"),
        optional=True,
    )


def _replica_pastes(want: FailoverRequest) -> tuple[Paste, ...]:
    """It serves; and which primary it follows, for the tag that remembers it."""
    project, replica = want.setting.project, want.replica
    rows = avn.formatted(
        avn.integration_list(project, replica), "{integration_type} {dest_service} {enabled} {source_service}"
    )
    pick = f"""awk '$1 == "read_replica" && $2 == "{replica}" && $3 == "True" {{ print $4 }}'"""
    tag = f"""awk '$1 == "read_replica" && $2 == "{replica}" && $3 == "True" {{ print "{switch.TAG}=" $4 }}'"""
    return (
        Paste(read=avn.formatted(avn.service_list(project, replica), "{state}"), go="RUNNING|REBALANCING"),
        Paste(read=rows, filter=pick, go="*", variable="source"),
        Paste(read=rows, filter=tag, go="*", variable="origin_tag"),
    )
