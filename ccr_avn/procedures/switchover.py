"""switchover: planned, both sides healthy, nothing acknowledged is lost."""

from dataclasses import dataclass
from typing import Any

from ccr_avn import avn
from ccr_avn.dataplane.link import look_at
from ccr_avn.errors import Refused, Unreachable, UsageError
from ccr_avn.gates import switch
from ccr_avn.gates.services import by_name
from ccr_avn.gates.switch import Health, feeding
from ccr_avn.models import Service
from ccr_avn.plan import Paste, Plan, Probe, Seen, Step
from ccr_avn.procedures import closing
from ccr_avn.procedures.fencing import FenceMode, FenceWish, catch_up, place_fence, seal
from ccr_avn.procedures.held import Held
from ccr_avn.procedures.parity import compare_sides
from ccr_avn.procedures.promotion import (
    accepts_writes,
    control_plane_agrees,
    look_at_integration,
    promote,
    reachable,
    remember_origin,
)
from ccr_avn.procedures.steps import Setting, databases_step, endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverRequest:
    """Times are in seconds, lags in bytes."""

    primary: str
    replica: str
    setting: Setting
    run: str
    max_lag_bytes: int = 31_457_280  # 30 MB, as GCP has it
    allow_smaller: bool = False  # promote also when the data is more than the replica holds
    fence: FenceMode = "auto"
    fence_ttl: float = 30.0
    catch_up_timeout: float = 60.0
    promote_timeout: float = 600.0
    old_primary: closing.Fate = "close"
    in_journal: bool = False  # whether this machine's journal tells of a promotion of REPLICA from PRIMARY

    def __post_init__(self) -> None:
        if self.primary == self.replica:
            raise UsageError(
                "PRIMARY and REPLICA are the same service",
                detail=f"both are {self.primary}",
                hint="name the two sides of the pair",
            )


def plan_switchover(want: SwitchoverRequest) -> tuple[Plan, Held]:
    """The plan, and what will have been held and measured once it has run."""
    setting, held = want.setting, Held()
    pair = look_at_both(want)
    rows = look_at_integration(setting, want.primary, want.replica)
    health = look_at_health(want, pair)

    def find(seen: Seen, name: str) -> Service:
        service = by_name(seen.of(pair), name)
        if service is None:
            raise Refused(f"{name} does not exist", hint="check its name: avn service list")
        return service

    def linked(seen: Seen) -> bool:
        looked = seen.of(health) if seen.has(health) else None
        return bool(looked and looked.primary and feeding(seen.of(rows), want.primary, want.replica))

    databases = databases_step(setting, want.primary, want.replica, find, Refused, linked)
    wish = FenceWish(
        primary=want.primary,
        replica=want.replica,
        setting=setting,
        run=want.run,
        mode=want.fence,
        ttl=want.fence_ttl,
        catch_up_timeout=want.catch_up_timeout,
        promote_timeout=want.promote_timeout,
    )
    steps: tuple[Step[Any], ...] = (
        place_fence(wish, held, find),
        catch_up(wish, held, find),
        seal(wish, held, find),
        promote(setting, want.replica, find, rows, want.promote_timeout, want.primary),
        accepts_writes(setting, want.replica, find, held.measured, want.promote_timeout),
        remember_origin(setting, want.replica, want.primary),
        *control_plane_agrees(setting, want.replica, want.promote_timeout),
        *closing.shut(setting, want.primary, want.old_primary, find, held),
    )
    alike = compare_sides(setting, want.primary, want.replica, pair)
    checks = (pair, rows, health, databases, alike)
    return Plan(f"switch over from {want.primary} to {want.replica}", checks, steps), held


def look_at_both(want: SwitchoverRequest) -> Step[tuple[Service, ...]]:
    return Step(
        slug="pair",
        purpose=f"see what is there of {want.primary} and {want.replica}",
        look=avn.service_list(want.setting.project, want.primary, want.replica),
        gate=switch.both_are_there(
            want.setting.project, want.primary, want.replica, power_off=want.old_primary == "power-off"
        ),
        pastes=tuple(
            Paste(
                read=avn.formatted(avn.service_list(want.setting.project, name), "{state}"),
                go="RUNNING|REBALANCING",
                stop=(("*", f"{name} does not serve"),),
            )
            for name in (want.primary, want.replica)
        ),
    )


def look_at_health(want: SwitchoverRequest, pair: Step[tuple[Service, ...]]) -> Step[Health | None]:
    def look(seen: Seen) -> Health | None:
        services = {one.name: one for one in seen.of(pair)}
        if {want.primary, want.replica} - set(services):
            return None
        try:
            replica = look_at(endpoint(services[want.replica], want.setting))
        except Unreachable as silent:  # nothing can be promoted that can't be asked: said at once
            raise Refused(silent.what, detail=silent.detail, hint=silent.hint) from None
        primary, trouble = reachable(want.setting, services[want.primary])
        return Health(primary=primary, replica=replica, primary_trouble=trouble)

    options = (*want.setting.options, "--level", "link")
    rows = look_at_integration(want.setting, want.primary, want.replica)
    return Step(
        slug="health",
        purpose="see that the link is up and how far behind it is",
        look=Probe(("ccr-avn", "verify", want.primary, want.replica, *options), look),
        gate=switch.may_be_promoted(
            rows,
            pair,
            want.primary,
            want.replica,
            max_lag=want.max_lag_bytes,
            journal=want.in_journal,
            allow_smaller=want.allow_smaller,
        ),
    )
