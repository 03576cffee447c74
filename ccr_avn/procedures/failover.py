"""failover: forced, the primary is dead or cut off; what may be lost is stated."""

import time
from dataclasses import dataclass, replace
from typing import Any

from ccr_avn import avn
from ccr_avn.dataplane.link import Side, look_at
from ccr_avn.dataplane.marker import last_watched
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.gates import switch
from ccr_avn.gates.services import by_name
from ccr_avn.models import Integration, Service
from ccr_avn.plan import Finding, Gate, Later, Paste, Plan, Poll, Probe, Seen, Step, go, stop, wait
from ccr_avn.procedures.held import Measured
from ccr_avn.procedures.promotion import (
    FAST,
    accepts_writes,
    control_plane_agrees,
    look_at_integration,
    promote,
    remember_origin,
)
from ccr_avn.procedures.steps import Setting, endpoint

BRIEFLY = 0.5
"""Seconds given to a primary that is thought dead, to say that it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverRequest:
    """Times are in seconds."""

    replica: str
    setting: Setting
    allow_data_loss: bool = False
    force_partial: bool = False
    wait_automatic: float = 0.0
    promote_timeout: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LastKnown:
    """What the replica knew when it was asked, and whether the primary answers after all."""

    replica: Side
    primary: Side | None
    marker_age: float | None = None  # seconds since the last marker of `watch` that has arrived was written

    @property
    def behind(self) -> int | None:
        """Bytes; ``None``: only the primary could tell."""
        return max(0, self.primary.offset - self.replica.offset) if self.primary else None

    @property
    def estimate(self) -> tuple[float | None, str]:
        """The loss in seconds of writes, as an estimate or a bound, and how it was got."""
        if self.marker_age is not None:
            return round(self.marker_age, 1), "a bound: the last marker of `watch` that arrived was written then"
        if self.replica.link_status == "up" and self.replica.last_io_seconds is not None:
            how = "master_last_io_seconds_ago; a frozen primary leaves the link up, so it may be more"
            return float(self.replica.last_io_seconds), how
        if self.replica.link_down_seconds is not None:
            return float(
                self.replica.link_down_seconds
            ), "master_link_down_since_seconds: writes acknowledged since are lost"
        return None, "the replica does not say"


def plan_failover(want: FailoverRequest) -> tuple[Plan, Measured]:
    setting, measured = want.setting, Measured()
    services = look_at_services(want)
    known = look_at_last_known(want, services)

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
    plan = Plan(f"fail over to {want.replica}", (services, rows, known), steps)
    return plan, measured


def look_at_services(want: FailoverRequest) -> Step[tuple[Service, ...]]:
    """One read for all: the replica, its integration, and its primary if that is still there."""

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        replica = by_name(found, want.replica)
        if replica is None:
            return stop(f"{want.replica} does not exist", hint="check its name: avn service list")
        if replica.source is None and replica.replicas:
            return stop(
                f"{want.replica} is a primary itself: it feeds {', '.join(replica.replicas)}",
                hint=f"name the replica: ccr-avn failover {replica.replicas[0]} --allow-data-loss",
            )
        return switch.judge_serves(want.setting.project, replica)

    call = avn.service_list(want.setting.project)
    return Step(
        slug="replica",
        purpose=f"see what is there of {want.replica}",
        look=call,
        gate=Gate(f"{want.replica} exists and serves", judge),
        pastes=_replica_pastes(want),
    )


def look_at_last_known(want: FailoverRequest, services: Step[tuple[Service, ...]]) -> Step[LastKnown | None]:
    def look(seen: Seen) -> LastKnown | None:
        found = seen.of(services)
        service = by_name(found, want.replica)
        if service is None:
            return None
        here = endpoint(service, want.setting)
        side, watched = look_at(here), last_watched(here)
        age = None if watched is None else max(0.0, time.time() - watched)
        return LastKnown(replica=side, primary=_primary_after_all(want, found, service.source), marker_age=age)

    def judge(known: LastKnown | None, seen: Seen) -> Finding:
        service = by_name(seen.of(services), want.replica)
        if known is None or service is None:
            return go("not looked at: the service is missing")
        if service.source is None:
            return _judge_promoted(want, known, service)
        return judge_loss(want, known, service.source)

    return Step(
        slug="last-known",
        purpose="see what the replica last knew",
        look=Probe(("ccr-avn", "last-known", want.replica, *want.setting.options), look),
        gate=Gate("its data is whole, and the possible loss is allowed", judge),
    )


def _judge_promoted(want: FailoverRequest, known: LastKnown, service: Service) -> Finding:
    """Any standalone service is a master: a history taken over is the least that is asked for."""
    if not switch.had_a_primary(known.replica) and switch.TAG not in service.tags:
        return stop(
            f"{want.replica} is not a replica, and never was one",
            detail=f"role {known.replica.role}, no read_replica integration, no history of another server",
            hint="check the name: avn service list",
        )
    if origin := service.tags.get(switch.TAG):
        return go(f"{want.replica} was promoted from {origin} already")
    warning = f"{want.replica} took over another server's history, but nothing proves whose"
    return go(f"{want.replica} was promoted already", warnings=(warning,))


def judge_loss(want: FailoverRequest, known: LastKnown, source: str | None) -> Finding:
    side = known.replica
    if side.role == "master":
        return go("it accepts writes already; its integration is still listed")
    if (side.sync_in_progress or side.loading) and not want.force_partial:
        return stop(
            f"{want.replica} is still copying from its primary: its data is not whole",
            hint="wait if the primary lives; --force-partial promotes what there is",
        )
    seconds, how = known.estimate
    loss = "unknown" if seconds is None else f"about the last {seconds:g} s of writes"
    told = f"possible loss: {loss} ({how}); applied up to offset {side.offset}, link {side.link_status}"
    alive: tuple[str, ...] = ()
    if known.primary:
        alive = (f"{source} answers after all: `ccr-avn switchover {source} {want.replica}` loses nothing",)
    if not want.allow_data_loss:
        hint = "if that is acceptable: --allow-data-loss" + (
            f"; better: ccr-avn switchover {source} {want.replica}" if alive else ""
        )
        return stop("a failover may lose acknowledged writes", detail=told, hint=hint)
    return go(told, warnings=alive)


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


def _primary_after_all(want: FailoverRequest, found: tuple[Service, ...], source: str | None) -> Side | None:
    service = by_name(found, source) if source else None
    if service is None or not service.serving:
        return None
    try:
        return look_at(replace(endpoint(service, want.setting), timeout=BRIEFLY))
    except Unreachable:
        return None


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
