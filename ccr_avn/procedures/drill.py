"""drill: the whole procedure on a temporary replica of a real primary, which is promoted, examined and terminated."""

from dataclasses import dataclass, replace
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Integration, Service
from ccr_avn.errors import NotProven, Refused, Unreachable
from ccr_avn.plan.model import Act, Finding, Gate, Plan, Poll, Probe, Step, go, stop, todo, wait
from ccr_avn.procedures.examination import Subject, examination
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.promotion import FAST, PromoteWish, promote
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import (
    Proof,
    databases_step,
    endpoint,
    link_step,
    marker_step,
    see_offers,
    see_vpcs,
    wait_running,
)
from ccr_avn.procedures.temporary_replica import (
    DrillRequest,
    create,
    created_at,
    look_at_primary,
    same,
    see_answers,
    see_backup,
    tag,
    terminate,
)
from ccr_avn.procedures.verify import VerifyRequest, compare_step
from ccr_avn.valkey.first_write import accepts_write
from ccr_avn.valkey.heartbeat import Heartbeat, Received
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.replication import ReplicationInfo

MARKERS = "markers-begin"

INTEGRATION = 60.0
"""Seconds for which the integration of a replica that is linked may stay invisible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """The plan, and its steps whose results are told of."""

    want: DrillRequest
    plan: Plan
    pair: Step[tuple[Service, ...]]
    offers: Step[Any]
    up: Step[Service]
    running: Step[Service]
    proof: Proof

    def find(self, seen: Seen, name: str) -> Service:
        """As the last look at it showed it."""
        return _find(self.want, seen, self.pair, self.running, self.up, name)


def plan_drill(want: DrillRequest) -> Drill:
    """Everything a drill will do, in order, without doing any of it."""
    setting, name = want.setting, want.drill
    pair = look_at_primary(want)
    made = create(want, pair)
    created = created_at(want, made)
    up = same(wait_running(setting, name, "temporary-replica-running", want.limit), created)
    fed = same(see_integration(want), created)
    again = replace(
        same(wait_running(setting, name, "running", want.promote_timeout), created),
        purpose=f"read how Aiven shows {name} after its promotion",
    )

    def find(seen: Seen, which: str) -> Service:
        return _find(want, seen, pair, again, up, which)

    def row(seen: Seen) -> Integration | None:
        return seen.of(fed).row

    tagged = tag(want, pair, made)
    wish = PromoteWish(
        replica=name, setting=setting, find=find, row=row, limit=want.promote_timeout, doubt_limit=want.doubt_timeout
    )
    offers = see_offers(setting, (want.order,), pair)
    received = see_received(want, find)
    before = last_known(want, find)
    accepted = accepts_writes(want, find)
    examined = examination(
        Subject(want=want, find=find, created=created, tagged=tagged, before=up, followed=before, after=again)
    )
    proof = _proof(want, find)
    steps: tuple[Step[Any], ...] = (
        made,
        tagged,
        up,
        *proof.steps,
        before,
        fed,
        begin_markers(want, find),
        _promote(want, wish),
        accepted,
        again,
        accepts_anew(accepted, want, find),
        received,
        *examined,
        *(() if want.keep else (terminate(want, made),)),
    )
    return Drill(
        want=want,
        plan=Plan(
            f"drill a failover of {want.primary} on the temporary replica {name}",
            checks=(
                pair,
                offers,
                see_vpcs(setting, (want.order,), pair),
                see_backup(want, pair),
                see_answers(want, pair),
            ),
            steps=steps,
        ),
        pair=pair,
        offers=offers,
        up=up,
        running=again,
        proof=proof,
    )


def _find(
    want: DrillRequest,
    seen: Seen,
    pair: Step[tuple[Service, ...]],
    last: Step[Service],
    before: Step[Service],
    name: str,
) -> Service:
    if name == want.primary:
        found = by_name(seen.of(pair), name)
    elif seen.has(last):
        found = seen.of(last)
    else:
        found = seen.get(before)
    if found is None:
        raise Refused(f"{name} does not exist", hint="check its name: avn service list")
    return found


def _proof(want: DrillRequest, find: Any) -> Proof:
    """What `verify` proves, to the level that was asked for."""
    verify = VerifyRequest(
        primary=want.primary, replica=want.drill, setting=want.setting, level=want.level, depth=want.depth
    )
    ends = (want.primary, want.drill, find)
    link = link_step(want.setting, *ends, want.limit)
    return Proof(
        link=link,
        databases=databases_step(want.setting, *ends, NotProven),
        marker=None if want.level == "link" else marker_step(want.setting, *ends, want.samples),
        compare=compare_step(verify, find, link, None) if want.level in ("keys", "values") else None,
    )


def see_integration(want: DrillRequest) -> Step[Service]:
    """What its promotion deletes, from the same answer that shows when it was created."""

    def judge(found: Service, _: Seen) -> Finding:
        if found.row is None or found.source != want.primary:
            return wait(f"no integration with {want.primary} is listed: somebody else may have promoted it")
        return go(f"integration {found.row.id}") if found.row.active and found.row.id else wait("it is not active")

    return Step(
        slug="integration",
        purpose=f"check that {want.drill} is still the read replica that was created",
        read=avn.service_get(want.setting.project, want.drill),
        gate=Gate(f"it is a read replica of {want.primary}, created when this run created it", judge),
        poll=want.setting.poll(INTEGRATION, hint=f"look at it: avn service get {want.drill}"),
    )


def begin_markers(want: DrillRequest, find: Any) -> Step[bool]:
    """They tell afterwards up to when the temporary replica had everything."""

    def judge(begun: bool, _: Seen) -> Finding:
        return go("markers are written") if begun else todo("none are written yet")

    return Step(
        slug=MARKERS,
        purpose=f"write markers to {want.primary} until {want.drill} is promoted",
        read=Probe((), lambda seen: seen.result(MARKERS) is not None),
        gate=Gate("markers are written", judge),
        poll=Poll(limit=5),
        change=Act(("SET",), lambda seen: Heartbeat(endpoint(find(seen, want.primary), want.setting), want.run)),
        release=_stop_markers,
    )


def _stop_markers(seen: Seen) -> None:
    if beat := seen.result(MARKERS):
        beat.stop()


def _promote(want: DrillRequest, wish: PromoteWish) -> Step[Any]:
    """The step of a failover; here there is a way back, which is to terminate it, and a new password is no end."""
    step: Step[Any] = promote(wish)

    def read(seen: Seen) -> ReplicationInfo | None:
        try:
            side: ReplicationInfo = fetch_replication(endpoint(wish.find(seen, want.drill), want.setting))
        except Unreachable as trouble:
            if trouble.passing or seen.result("promote") is None:
                raise
            return None
        if side.role == "master" and (beat := seen.result(MARKERS)):
            beat.saw_promoted()
        return side

    def judge(side: ReplicationInfo | None, seen: Seen) -> Finding:
        if side is None:
            return go("it refuses its earlier password; the current one is read next")
        if side.role == "master" and seen.result("promote") is None:
            hint = f"look at it: avn service integration-list {want.drill}"
            return stop(f"{want.drill} was promoted by somebody else", hint=hint)
        return step.gate.judge(side, seen)

    return replace(step, read=Probe((), read), gate=Gate(step.gate.rule, judge), final=False)


def last_known(want: DrillRequest, find: Any) -> Step[ReplicationInfo]:
    """What it must still carry when it is promoted."""
    return Step(
        slug="last-known",
        purpose=f"read the replication ID of {want.drill}",
        read=Probe((), lambda seen: fetch_replication(endpoint(find(seen, want.drill), want.setting))),
        gate=Gate("it answers", lambda side, _: go(f"replication ID {side.replid[:12]}…, offset {side.offset}")),
    )


def accepts_writes(want: DrillRequest, find: Any) -> Step[str]:
    """A password that is refused ends the waiting: what it is now has to be read first."""

    def read(seen: Seen) -> str:
        try:
            return "accepted" if accepts_write(endpoint(find(seen, want.drill), want.setting)) else ""
        except Unreachable as trouble:
            return "" if trouble.passing else f"it refuses: {trouble.detail or trouble.what}"

    def judge(answer: str, _: Seen) -> Finding:
        if not answer:
            return wait("it does not accept writes yet")
        accepted = answer == "accepted"
        return go("a write succeeds and can be read back" if accepted else answer, accepted=accepted)

    return Step(
        slug="accepts-writes",
        purpose=f"write to {want.drill} and read it back",
        read=Probe((), read),
        gate=Gate("a write succeeds and can be read back", judge),
        poll=Poll(limit=want.promote_timeout, first=FAST, interval=0.1),
    )


def accepts_anew(first: Step[str], want: DrillRequest, find: Any) -> Step[str]:
    """With what the platform shows by now, which may come into force some time later."""

    def read(seen: Seen) -> str:
        try:
            return "accepted" if accepts_write(endpoint(find(seen, want.drill), want.setting)) else ""
        except Unreachable:
            return ""

    return replace(
        first,
        slug="accepts-writes-anew",
        purpose=f"write to {want.drill} with its current password",
        read=Probe((), read),
        unneeded=lambda seen: "it accepts writes already" if seen.of(first) == "accepted" else "",
    )


def see_received(want: DrillRequest, find: Any) -> Step[Received | None]:
    def read(seen: Seen) -> Received | None:
        beat = seen.result(MARKERS)
        if beat is None:
            return None
        found: Received = beat.received(endpoint(find(seen, want.drill), want.setting))
        beat.stop()
        return found

    def judge(found: Received | None, _: Seen) -> Finding:
        if found is None or found.bound is None:
            return go("no marker arrived: there is no bound for what was not received", bound_ms=None)
        bound = round(found.bound * 1000, 1)
        told = f"it has marker {found.newest}: all that {want.primary} acknowledged until {bound:g} ms before"
        return go(f"{told} its promotion was seen", bound_ms=bound, markers=found.sent, newest=found.newest)

    return Step(
        slug="received",
        purpose=f"find out what {want.drill} had received when it was promoted",
        read=Probe((), read),
        gate=Gate("the newest marker that arrived is read", judge),
        optional=True,
    )
