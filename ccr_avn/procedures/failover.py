"""failover: a forced promotion, when the primary is dead or cut off. States what may be lost."""

from dataclasses import dataclass, field, replace
from typing import Any

from ccr_avn import clock
from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import Recorded
from ccr_avn.aiven.models import REPLICABLE, Integration, Service
from ccr_avn.plan.model import Finding, Gate, Later, Plan, Poll, Probe, Step, go, stop, wait
from ccr_avn.procedures.gates import promotion as switch
from ccr_avn.procedures.gates.drill import Made, is_meant
from ccr_avn.procedures.gates.history import Expected
from ccr_avn.procedures.gates.pair_state import PairState
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.last_known import (
    LastKnown,
    look_at_last_known,
    look_at_primary,
    look_at_primary_alone,
    state_in,
)
from ccr_avn.procedures.promotion import (
    DOUBT_TIMEOUT,
    FAST,
    PromoteWish,
    accepts_writes,
    carries_history,
    control_plane_agrees,
    look_at_integration,
    promote,
    remember_origin,
)
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.siblings import Siblings, list_siblings, look_at_siblings
from ccr_avn.procedures.steps import Setting, endpoint, found_by, wait_running
from ccr_avn.procedures.unverified import allowed, promote_unseen
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.replication import NO_HISTORY, ReplicationInfo


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
    doubt_timeout: float = DOUBT_TIMEOUT
    recorded: tuple[Recorded, ...] = ()  # promotions in this machine's journals
    drills: tuple[Made, ...] = ()  # what drills created, by the same journals
    drill_service: str = ""  # the one of these that is to be promoted all the same
    family: tuple[str, ...] = ()  # the primary, and what else follows or was promoted from it; empty: all are looked at
    now: float = field(default_factory=clock.now)  # seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """The plan, and its steps whose results are told of. ``known`` and ``accepts_writes`` None: no server is asked."""

    want: FailoverRequest
    plan: Plan
    services: Step[tuple[Service, ...]]
    primary: Step[tuple[Service, ...]]
    known: Step[LastKnown | None] | None
    promote: Step[Any]
    accepts_writes: Step[ReplicationInfo | str] | None
    running: Step[Service]

    def state(self, seen: Seen) -> PairState | None:
        """In which state the checks found the replica; None: they have not come so far, or did not look."""
        return state_in(self.want, seen, self.services, self.primary, self.known) if self.known else None

    def replica(self, seen: Seen) -> Service | None:
        return by_name(seen.get(self.services) or (), self.want.replica)

    def old(self, seen: Seen) -> Service | None:
        """The old primary as it was looked at, if it was there."""
        replica = self.replica(seen)
        source = replica.source if replica else None
        return by_name(seen.of(self.primary), source) if source and seen.has(self.primary) else None

    def deletes(self, seen: Seen) -> Integration | None:
        """What a promotion will delete: nothing is deleted that was not asked about."""
        if self.known is None:
            replica = self.replica(seen)
            return replica.row if replica else None
        found = self.state(seen)
        return found.row if found and found.state == "following" else None

    def old_address(self, seen: Seen) -> tuple[Project, str] | None:
        """The project and the name of the old primary: it may be another project's."""
        replica = self.replica(seen)
        if replica is None or replica.row is None or replica.row.source is None:
            return None
        project = Project(replica.source_project) if replica.source_project else self.want.setting.project
        return project, replica.row.source

    def last_known(self, seen: Seen) -> LastKnown | None:
        return seen.of(self.known) if self.known and seen.has(self.known) else None


def plan_failover(want: FailoverRequest) -> Failover:
    """Everything a failover will do, in order, without doing any of it."""
    services = look_at_services(want)
    primary = look_at_primary(want, services)
    if not want.verify:
        return _unverified(want, services, primary)
    setting = want.setting
    known = look_at_last_known(want, services, primary)

    find = found_by(services)

    def state(seen: Seen) -> PairState | None:
        return state_in(want, seen, services, primary, known)

    def row(seen: Seen) -> Integration | None:
        found = state(seen)
        return found.row if found and found.state == "following" else None

    def may_be_promoting(seen: Seen) -> bool:
        found = state(seen)
        return found is not None and found.may_be_promoting

    promotion = PromoteWish(
        replica=want.replica,
        setting=setting,
        find=find,
        row=row,
        limit=want.promote_timeout,
        doubt_limit=want.doubt_timeout,
    )
    siblings = Siblings(
        replica=want.replica,
        setting=setting,
        family=primary,
        recorded=want.recorded,
        promoted=lambda seen: row(seen) is None,
        paused=lambda _: False,
    )
    source = _source(want, services)
    gone, running = control_plane_agrees(setting, want.replica, want.promote_timeout)
    carries = carries_history(
        promotion, source, lambda seen: _expected(want, seen, services, primary, known), "known_token"
    )
    promoted, accepted = promote(promotion), accepts_writes(promotion, carries)
    steps: tuple[Step[Any], ...] = (
        *((_wait_for_automatic(want, find),) if want.wait_automatic else ()),
        look_at_siblings(siblings),
        list_siblings(siblings, brief=True),
        promoted,
        carries,
        accepted,
        remember_origin(promotion, source, lambda seen: _tags(want, seen, services, primary, known)),
        gone,
        running,
    )
    checks = (services, _rows(want, services), primary, look_at_primary_alone(want, services, primary), known)
    title = f"fail over to {want.replica}"
    return Failover(
        want=want,
        plan=Plan(title, checks, steps, check=_check_words(want), beyond=may_be_promoting),
        services=services,
        primary=primary,
        known=known,
        promote=promoted,
        accepts_writes=accepted,
        running=running,
    )


def _unverified(
    want: FailoverRequest, services: Step[tuple[Service, ...]], primary: Step[tuple[Service, ...]]
) -> Failover:
    """On the word of the control plane alone."""
    rows = _rows(want, services)
    running = wait_running(want.setting, want.replica, "running", want.promote_timeout)
    wish = PromoteWish(
        replica=want.replica,
        setting=want.setting,
        find=lambda seen, name: next(one for one in seen.of(services) if one.name == name),
        row=lambda _: None,
        limit=want.promote_timeout,
    )
    source = _source(want, services)
    promoted = promote_unseen(want.setting, want.replica, rows, want.promote_timeout, want.doubt_timeout)
    steps = (
        promoted,
        remember_origin(wish, source, lambda seen: _tags(want, seen, services, primary, None)),
        running,
    )
    looked = allowed(want.setting, want.replica, services, primary, allow_data_loss=want.allow_data_loss)
    checks = (services, rows, primary, look_at_primary_alone(want, services, primary), looked)
    plan = Plan(f"fail over to {want.replica}", checks, steps, check=_check_words(want))
    return Failover(
        want=want,
        plan=plan,
        services=services,
        primary=primary,
        known=None,
        promote=promoted,
        accepts_writes=None,
        running=running,
    )


def _check_words(want: FailoverRequest) -> tuple[str, ...]:
    given = (
        ("--allow-data-loss", want.allow_data_loss),
        ("--force-partial", want.force_partial),
        ("--no-verify", not want.verify),
    )
    words = (option for option, said in given if said)
    return ("ccr-avn", "failover", want.replica, *words, *want.setting.options, "--check")


def _source(want: FailoverRequest, services: Step[tuple[Service, ...]]) -> Later:
    def fill(seen: Seen) -> str:
        replica = by_name(seen.of(services), want.replica)
        return (replica.source if replica else None) or ""

    return Later(variable="source", fill=fill)


def _expected(
    want: FailoverRequest,
    seen: Seen,
    services: Step[tuple[Service, ...]],
    primary: Step[tuple[Service, ...]],
    known: Step[LastKnown | None],
) -> Expected:
    """What the replica had when it was asked, if it was a whole replica then; else what a record says it followed."""
    looked, new = seen.of(known), by_name(seen.of(services), want.replica)
    if looked is None or new is None or not looked.replica.has_a_copy:
        return Expected()
    if looked.replica.role == "master":
        old = by_name(seen.get(primary) or (), new.source or "")
        return Expected(ids=lineage.followed(old, new, want.recorded))
    return Expected(ids=(looked.replica.replid,), offset=looked.replica.offset)


def _tags(
    want: FailoverRequest,
    seen: Seen,
    services: Step[tuple[Service, ...]],
    primary: Step[tuple[Service, ...]],
    known: Step[LastKnown | None] | None,
) -> tuple[str, ...]:
    new = by_name(seen.of(services), want.replica)
    if new is None or not new.source:
        return ()
    looked = seen.of(known) if known else None
    old = by_name(seen.get(primary) or (), new.source)
    if old is None:
        return (f"{lineage.FROM}={new.source}", f"{lineage.LINEAGE}={lineage.UNKNOWN}")
    return lineage.tags(old, new, looked.replica.replid if looked else NO_HISTORY)


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
                f"{want.replica} is itself a primary: it is replicated to {', '.join(replica.replicas)}",
                hint=f"name the replica: ccr-avn failover {replica.replicas[0]} --allow-data-loss",
            )
        command = f"ccr-avn failover {want.replica} --allow-data-loss"
        drill = is_meant(replica, want.drills, want.drill_service, command, want.recorded)
        return drill or switch.judge_serves(want.setting.project, replica)

    project = want.setting.project
    rows = avn.integration_list(project, want.replica).text.replace(" --json", "")
    by_hand = f"by hand: {rows}, then {avn.integration_delete(project, 'ID').text}"
    call = replace(avn.service_named(want.setting.project, want.replica), hint=by_hand)
    return Step(
        slug="replica",
        purpose=f"look up {want.replica}",
        read=call,
        gate=Gate(f"{want.replica} exists and serves", judge),
    )


def _rows(want: FailoverRequest, services: Step[tuple[Service, ...]]) -> Step[tuple[Integration, ...]]:
    """The integration as the list of services already told it: no second avn while everybody waits."""
    shown = look_at_integration(want.setting, None, want.replica)

    def read(seen: Seen) -> tuple[Integration, ...]:
        service = by_name(seen.of(services), want.replica)
        return service.integrations if service else ()

    command = tuple(word for word in shown.read.argv)
    return replace(shown, read=Probe(command, read))


def _wait_for_automatic(want: FailoverRequest, find: Any) -> Step[ReplicationInfo]:
    def judge(side: ReplicationInfo, _: Seen) -> Finding:
        return go("Aiven promoted it") if side.role == "master" else wait(f"its role is {side.role}")

    return Step(
        slug="automatic",
        purpose=f"wait up to {want.wait_automatic:g} s for automatic promotion of {want.replica} by Aiven",
        read=Probe(
            want.setting.gate("promoted", want.replica, limit=want.wait_automatic),
            lambda seen: fetch_replication(endpoint(find(seen, want.replica), want.setting)),
        ),
        by_hand=want.setting.server(want.replica, "INFO replication"),
        gate=Gate("it was promoted", judge),
        poll=Poll(limit=want.wait_automatic, first=FAST, interval=0.5, hint="it is being promoted by this run"),
        optional=True,
    )
