"""switchover: a planned promotion, with both sides healthy and no acknowledged write lost."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ccr_avn import clock
from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.lineage import Recorded
from ccr_avn.aiven.models import Integration, Service
from ccr_avn.errors import CcrError, Refused, Unreachable
from ccr_avn.plan.model import Plan, Probe, Step
from ccr_avn.procedures import old_primary as closing
from ccr_avn.procedures.fencing import (
    FenceMode,
    FenceWish,
    catch_up,
    fenced_in,
    place_fence,
    seal,
    still_fenced,
)
from ccr_avn.procedures.gates import promotion as switch
from ccr_avn.procedures.gates.drill import Made
from ccr_avn.procedures.gates.history import Audit, Expected
from ccr_avn.procedures.gates.pair_state import PairState
from ccr_avn.procedures.gates.parity import power_off
from ccr_avn.procedures.gates.promotion import Asked, Health
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.promotion import (
    DOUBT_TIMEOUT,
    PromoteWish,
    accepts_writes,
    carries_history,
    control_plane_agrees,
    health_of,
    keep_lineage,
    look_at_integration,
    promote,
    promoted_meanwhile,
    remember_origin,
)
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.siblings import Siblings, list_siblings, look_at_siblings
from ccr_avn.procedures.steps import Find, Setting, compare_sides, databases_step, endpoint, found_by, two_sides
from ccr_avn.units import clock_time
from ccr_avn.valkey.fence import must_be_unlocked
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.replication import ReplicationInfo


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
    doubt_timeout: float = DOUBT_TIMEOUT
    old_primary: closing.OldPrimaryAction = "close"
    recorded: tuple[Recorded, ...] = ()  # promotions in this machine's journals
    drills: tuple[Made, ...] = ()  # created by drills, by the same journals
    drill_service: str = ""  # the one that is meant
    family: tuple[str, ...] = ()  # what belongs to PRIMARY, by name; empty: all are looked at
    may_have_paused: bool = False  # whether a run of this machine may have
    now: float = field(default_factory=clock.now)  # seconds since 1970

    def __post_init__(self) -> None:
        two_sides(self.primary, self.replica)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The checks that both sides are judged by, and what follows from their answers so far."""

    want: SwitchoverRequest
    pair: Step[tuple[Service, ...]]
    rows: Step[tuple[Integration, ...]]
    health: Step[Health | None]

    def state(self, seen: Seen) -> PairState | None:
        """In which state the checks found the pair; None: they have not come so far."""
        health = seen.get(self.health)
        return switch.state_of(seen.of(self.rows), seen.of(self.pair), health, _asked(self.want)) if health else None

    def row(self, seen: Seen) -> Integration | None:
        """What a promotion deletes."""
        found = self.state(seen)
        return found.row if found and found.state == "following" else None

    def promoted(self, seen: Seen) -> bool:
        found = self.state(seen)
        return found is not None and found.promoted

    def may_be_promoting(self, seen: Seen) -> bool:
        found = self.state(seen)
        return found is not None and found.may_be_promoting

    @property
    def siblings(self) -> Siblings:
        return Siblings(
            replica=self.want.replica,
            setting=self.want.setting,
            family=self.pair,
            recorded=self.want.recorded,
            promoted=self.promoted,
            paused=lambda seen: bool((both := seen.get(self.health)) and both.primary and both.primary.paused_seconds),
        )

    def linked(self, seen: Seen) -> bool:
        health = seen.get(self.health)
        return bool(health and health.primary and self.row(seen))

    def replica_before(self, seen: Seen) -> ReplicationInfo:
        health = seen.of(self.health)
        assert health is not None  # noqa: S101 (its gate has let the run go on)
        return health.replica

    def expected(self, seen: Seen) -> Expected:
        """What the replica must carry: what was sealed, else the history that the old primary has now."""
        fenced = fenced_in(seen)
        looked = seen.of(self.health)
        old = fenced.target if fenced and fenced.target else looked.primary if looked else None
        server = old.run_id if old else ""
        if fenced and fenced.target and looked and looked.replica.role == "slave":
            return Expected(ids=(fenced.target.replid,), offset=fenced.target.offset, old_server=server)
        services = seen.of(self.pair)
        origin, replica = by_name(services, self.want.primary), by_name(services, self.want.replica)
        recorded = lineage.followed(origin, replica, self.want.recorded) if replica else ()
        return Expected(ids=(*((old.replid,) if old else ()), *recorded), old_server=server)

    def tags(self, seen: Seen) -> tuple[str, ...]:
        """What a promotion leaves on the replica."""
        services = seen.of(self.pair)
        old, new = by_name(services, self.want.primary), by_name(services, self.want.replica)
        looked = seen.of(self.health)
        if old is None or new is None or looked is None:
            return ()
        if (origin := lineage.origin_of(new)) and lineage.is_origin(origin, old, new):
            return (f"{lineage.FROM}={origin.name}", f"{lineage.LINEAGE}={new.tags[lineage.LINEAGE]}")
        followed = looked.replica.replid if looked.replica.role == "slave" else looked.replica.replid2
        return lineage.tags(old, new, followed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchover:
    """The plan, and the steps that are told of."""

    want: SwitchoverRequest
    plan: Plan
    checked: Checked
    parity: Step[Any]
    fence: Step[str]
    promote: Step[ReplicationInfo]
    accepts_writes: Step[ReplicationInfo | str]
    running: Step[Service]
    compared: Step[closing.Compared]
    closing: tuple[Step[Any], ...]

    def service(self, seen: Seen, name: str) -> Service | None:
        return by_name(seen.get(self.checked.pair) or (), name)

    def found_ahead(self, seen: Seen) -> Audit | None:
        """What only the old primary has, as far as it could be seen."""
        shut = next((step for step in self.closing if step.slug in ("closed", "power-off") and seen.has(step)), None)
        return closing.final_audit(seen, self.compared, shut)

    def as_left(self, seen: Seen) -> Service | None:
        """The old primary as the last look at it shows it."""
        for step in self.closing:
            if step.slug in ("close", "power-off") and seen.has(step):
                found: Service = seen.of(step)
                return found
        return self.service(seen, self.want.primary)

    def left_half_way(self, seen: Seen) -> tuple[tuple[str, ...], dict[str, Any]]:
        """After an end behind the promotion: who is the primary, until when writes are paused, what to type."""
        want = self.want
        is_primary = self._is_promoted(seen)
        sent = self.checked.promoted(seen) or seen.result(self.promote.slug)
        who = f"{want.replica} is the primary now" if is_primary else f"the promotion of {want.replica} was sent"
        if not (is_primary or sent):
            who += " by an earlier run, and nothing shows whether it is under way"
        fenced = fenced_in(seen)
        until = fenced.fence.paused_until() if fenced and fenced.fence and fenced.fence.placed_at else None
        facts = {
            "new_primary": want.replica,
            "promoted": is_primary,
            "old_primary": want.primary,
            "writes_paused_until": until,
            "ways_to_close": list(self._ways(seen)),
        }
        paused = f"paused until {clock_time(until)}" if until else "not paused by this run"
        when, ways = "before then" if until else "now", "; ".join(f"`{way}`" for way in self._ways(seen))
        again = f"run the same command again {when}; other ways to keep writers off {want.primary}: {ways}"
        return (f"{who}; {want.primary} is not closed yet", f"writes on {want.primary} are {paused}", again), facts

    def _is_promoted(self, seen: Seen) -> bool:
        return seen.has(self.promote) and seen.of(self.promote).role == "master"

    def _ways(self, seen: Seen) -> tuple[str, ...]:
        """Other commands that keep writers off the old primary: it stays on if only it may have data."""
        want, old, found = self.want, self.service(seen, self.want.primary), self.found_ahead(seen)
        fence = closing.holding(want.setting, want.primary)
        if not self._is_promoted(seen) or (found and (found.ahead_bytes or found.lapsed)):
            return (fence,)
        return power_off(want.setting.project, want.primary, protected=bool(old and old.protected)), fence


def plan_switchover(want: SwitchoverRequest) -> Switchover:
    """Everything a switchover will do, in order, without doing any of it."""
    setting = want.setting
    pair = look_at_both(want)
    rows = look_at_integration(setting, want.primary, want.replica)
    checked = Checked(want=want, pair=pair, rows=rows, health=look_at_health(want, pair, rows))
    find = found_by(pair)
    fence = FenceWish(
        primary=want.primary,
        replica=want.replica,
        setting=setting,
        run=want.run,
        mode=want.fence,
        ttl=want.fence_ttl,
        catch_up_timeout=want.catch_up_timeout,
        promote_timeout=want.promote_timeout,
        find=find,
        promoted=checked.promoted,
        may_be_promoting=checked.may_be_promoting,
        siblings=checked.siblings,
        replica_before=checked.replica_before,
    )
    promotion = PromoteWish(
        replica=want.replica,
        setting=setting,
        find=find,
        row=checked.row,
        limit=want.promote_timeout,
        doubt_limit=want.doubt_timeout,
        fenced=want.primary,
        guard=still_fenced(fence),
    )
    gone, running = control_plane_agrees(setting, want.replica, want.promote_timeout)
    last = closing.closing_steps(
        closing.CloseWish(
            primary=want.primary,
            replica=want.replica,
            fate=want.old_primary,
            setting=setting,
            find=find,
            promoted=checked.promoted,
        )
    )
    databases = databases_step(setting, want.primary, want.replica, find, Refused, checked.linked)
    options = _check_options(want)
    alike = compare_sides(setting, want.primary, want.replica, pair, options)
    paused, promoted = place_fence(fence), promote(promotion)
    carries = carries_history(
        promotion, want.primary, checked.expected, "fence_token", lambda seen: _gone_on_as(want, find, seen)
    )
    accepted = accepts_writes(promotion, carries)
    steps: tuple[Step[Any], ...] = (
        paused,
        catch_up(fence),
        look_at_siblings(checked.siblings),
        list_siblings(checked.siblings, brief=False),
        seal(fence),
        promoted,
        carries,
        accepted,
        remember_origin(promotion, want.primary, checked.tags),
        gone,
        running,
        *last,
    )
    return Switchover(
        want=want,
        plan=Plan(
            f"switch over from {want.primary} to {want.replica}",
            (pair, rows, checked.health, databases, alike),
            steps,
            check=("ccr-avn", "switchover", want.primary, want.replica, *setting.options, *options, "--check"),
            beyond=checked.may_be_promoting,
            meanwhile=promoted_meanwhile(promotion),
        ),
        checked=checked,
        parity=alike,
        fence=paused,
        promote=promoted,
        accepts_writes=accepted,
        running=running,
        compared=last[0],
        closing=last[1:],
    )


def _check_options(want: SwitchoverRequest) -> tuple[str, ...]:
    """Those that decide what a check lets through."""
    lag = ("--max-lag-bytes", str(want.max_lag_bytes))
    smaller = ("--allow-smaller",) if want.allow_smaller else ()
    power_off = ("--old-primary", want.old_primary) if want.old_primary == "power-off" else ()
    drill = ("--drill-service", want.drill_service) if want.drill_service else ()
    return (*lag, *smaller, *power_off, *want.setting.tolerance, *drill)


def _asked(want: SwitchoverRequest) -> Asked:
    return Asked(
        project=want.setting.project,
        primary=want.primary,
        replica=want.replica,
        max_lag=want.max_lag_bytes,
        allow_smaller=want.allow_smaller,
        rejections=want.setting.rejections,
        recorded=want.recorded,
        now=want.now,
        may_have_paused=want.may_have_paused,
    )


def _gone_on_as(want: SwitchoverRequest, find: Find, seen: Seen) -> tuple[str, ...]:
    """The server of the old primary was started again, or another node took over: the replica followed the new ID."""
    fenced = fenced_in(seen)
    if fenced is None or fenced.target is None:
        return ()
    with suppress(CcrError):
        now = fetch_replication(endpoint(find(seen, want.primary), want.setting))
        if now.replid2 == fenced.target.replid:
            return (now.replid,)
    return ()


def look_at_both(want: SwitchoverRequest) -> Step[tuple[Service, ...]]:
    project = want.setting.project
    names = (want.primary, want.replica)
    return Step(
        slug="pair",
        purpose=f"look up {want.primary} and {want.replica}, and what belongs to them",
        read=avn.service_list(project, *dict.fromkeys((*names, *want.family)))
        if want.family
        else avn.service_family(project, *names, recorded=want.recorded),
        gate=switch.both_are_there(
            project,
            *names,
            power_off=want.old_primary == "power-off",
            recorded=want.recorded,
            drills=want.drills,
            drill_service=want.drill_service,
            now=want.now,
        ),
    )


def look_at_health(
    want: SwitchoverRequest, pair: Step[tuple[Service, ...]], rows: Step[tuple[Integration, ...]]
) -> Step[Health | None]:
    def read(seen: Seen) -> Health | None:
        old, new = (by_name(seen.of(pair), name) for name in (want.primary, want.replica))
        if not old or not new:
            return None
        try:
            replica = fetch_replication(endpoint(new, want.setting))
        except Unreachable as silent:  # nothing can be promoted that can't be asked: said at once
            raise Refused(silent.what, detail=silent.detail, hint=silent.hint) from None
        found = health_of(want.setting, old, replica)
        if found.primary and found.primary.paused_seconds and not want.may_have_paused:
            with suppress(Unreachable):  # else the pause alone is a refusal
                must_be_unlocked(endpoint(old, want.setting))
        return found

    words = ("--max-lag-bytes", str(want.max_lag_bytes), *want.setting.tolerance)
    return Step(
        slug="health",
        purpose="check that the link is up and how far behind it is",
        keeps=(keep_lineage(want.setting, want.replica),),
        by_hand=want.setting.server(want.replica, "INFO replication"),
        read=Probe(want.setting.gate("link", want.primary, want.replica, *words), read),
        gate=switch.may_be_promoted(rows, pair, _asked(want)),
    )
