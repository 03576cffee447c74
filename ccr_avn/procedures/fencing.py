"""The steps of a switchover that pause writes: fence, catch up, seal."""

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from ccr_avn.aiven.models import Service
from ccr_avn.clock import poll
from ccr_avn.errors import Refused, TimedOut, Unreachable
from ccr_avn.plan.model import Act, Finding, Gate, Later, Poll, Probe, Step, go, todo
from ccr_avn.procedures.gates import promotion
from ccr_avn.procedures.gates.history import lacks
from ccr_avn.procedures.promotion import FAST
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.siblings import Siblings
from ccr_avn.procedures.steps import Find, Setting, admission_of, endpoint
from ccr_avn.units import clock_time
from ccr_avn.valkey.catch_up import Snapshot, caught_up, no_writes_between, wait_until_quiet
from ccr_avn.valkey.fence import Fence, FenceRefused
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.last_connection import LastConnection
from ccr_avn.valkey.replication import ReplicationInfo

FenceMode = Literal["auto", "client-pause", "observe"]

ROUNDS = 3
"""How often the fence is placed anew after a gap before it counts as one that can't be kept."""

FENCE, SEAL = "fence", "seal"
"""The slugs of the steps whose results others need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceWish:
    """Times are in seconds. ``promoted``: whether the checks saw an earlier run's promotion; ``may_be_promoting``: or doubt it."""

    primary: str
    replica: str
    setting: Setting
    run: str
    mode: FenceMode
    ttl: float
    catch_up_timeout: float
    promote_timeout: float
    find: Find
    promoted: Callable[[Seen], bool]
    may_be_promoting: Callable[[Seen], bool]
    siblings: Siblings
    replica_before: Callable[[Seen], ReplicationInfo]

    @property
    def lifting(self) -> tuple[str, ...]:
        return ("ccr-avn", "unfence", self.primary, *self.setting.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """``fence`` None: writes could not be paused. ``target``: the primary's side once they were paused, or stood still.

    ``trouble``: why nothing holds writes back, after a promotion.
    """

    fence: Fence | None
    kept: LastConnection | None
    target: ReplicationInfo | None
    trouble: str = ""
    applied: Finding | None = None  # by the last look at the replica

    def close(self) -> None:
        if self.kept:
            self.kept.close()
        if self.fence:
            self.fence.leave()


def fenced_in(seen: Seen) -> Fenced | None:
    """What holds by now: as the last look before the promotion left it, else as it was placed."""
    found: Fenced | None = seen.result(SEAL) or seen.result(FENCE)
    return found


def place_fence(want: FenceWish) -> Step[str]:
    def read(seen: Seen) -> str:
        """What shows that there is nothing to pause; empty: nothing does."""
        primary = want.find(seen, want.primary)
        if seen.result(FENCE) or not (want.promoted(seen) or primary.state == "POWEROFF"):
            return ""
        found = admission_of(primary, want.setting)
        return found.why if found.state == "closed" else ""

    def judge(closed: str, seen: Seen) -> Finding:
        fenced: Fenced | None = seen.result(FENCE)
        if fenced is None:
            return go(f"{want.primary}: {closed}") if closed else todo(f"writes on {want.primary} are not paused")
        if fenced.fence:
            return go(f"writes on {want.primary} are paused", writes_paused_until=fenced.fence.paused_until())
        if not fenced.trouble:
            return go("no writes are seen")
        return go(
            f"writes on {want.primary} can't be paused", warnings=(f"nothing holds writes back: {fenced.trouble}",)
        )

    observed = want.mode == "observe"
    alone = ("ccr-avn", *(("gate", "last-known") if observed else ("fence",)), want.primary, *want.setting.options)
    return Step(
        slug=FENCE,
        purpose=f"note what {want.primary} has" if observed else f"pause writes on {want.primary}",
        by_hand=want.setting.server(want.primary, "INFO replication"),
        read=Probe(alone, read),
        gate=Gate(f"writes on {want.primary} are paused", judge),
        poll=Poll(limit=5, first=FAST),
        change=Act(
            (*alone, "--token") if observed else (*alone, "--ttl", f"{want.promote_timeout:g}", "--token"),
            lambda seen: _fence(want, seen),
            variable="fence_token",
            looks=observed,
        ),
        undone_by=() if observed else want.lifting,
        undo=lambda seen: _unfence(want, seen),
        release=_leave,
    )


def catch_up(want: FenceWish) -> Step[ReplicationInfo]:
    def read(seen: Seen) -> ReplicationInfo:
        return fetch_replication(endpoint(want.find(seen, want.replica), want.setting))

    def judge(side: ReplicationInfo, seen: Seen) -> Finding:
        fenced: Fenced | None = seen.result(FENCE)
        if want.promoted(seen) or fenced is None or fenced.target is None:
            return go("the promotion was already sent: nothing to wait for")
        return promotion.judge_caught_up(side, fenced.target.offset)

    alone = want.setting.gate("caught-up", want.primary, want.replica, limit=want.catch_up_timeout, tight=True)
    return Step(
        slug="caught-up",
        purpose=f"wait until {want.replica} has applied all that {want.primary} acknowledged",
        read=Probe(alone, read),
        by_hand=want.setting.server(want.replica, "INFO replication"),
        gate=Gate("the replica has applied everything", judge),
        poll=Poll(
            limit=want.catch_up_timeout,
            first=FAST,
            interval=0.1,
            error=TimedOut,
            hint="try again at a quieter time, or raise --catch-up-timeout",
        ),
    )


def seal(want: FenceWish) -> Step[str]:
    """The last look before the promotion; from here on the old primary must not come back by itself."""

    def read(seen: Seen) -> str:
        if seen.result(SEAL):
            return "sealed"
        if want.promoted(seen):
            return "past"
        side = fetch_replication(endpoint(want.find(seen, want.replica), want.setting))
        return "promoted" if side.role == "master" else "open"

    def judge(state: str, seen: Seen) -> Finding:
        if state == "sealed":
            applied: Finding = seen.result(SEAL).applied
            held = seen.result(SEAL).trouble or "the write pause held"
            return go(f"{held}; {applied.reason}", warnings=applied.warnings, **_noted(seen))
        told = {"past": "the promotion was already sent", "promoted": "promoted in the meantime"}
        return go(told[state]) if state in told else todo("not checked yet")

    token = Later(variable="fence_token", fill=_token)
    ttl = "0" if want.mode == "observe" else f"{want.promote_timeout:g}"
    words = ("--ttl", ttl, *want.setting.tolerance, "--token")
    argv = want.setting.gate("fence-held", want.primary, want.replica, *words, token)
    return Step(
        slug=SEAL,
        purpose="check that nothing was written since" + f", and make the write pause {ttl} s long" * (ttl != "0"),
        read=Probe(argv, read),
        by_hand=want.setting.server(want.primary, "INFO replication"),
        gate=Gate(
            "the write pause held all the time, nothing was written, and the replica has applied everything", judge
        ),
        poll=Poll(limit=5, first=FAST),
        change=Act(argv, lambda seen: _seal(want, seen), looks=ttl == "0"),
    )


def still_fenced(want: FenceWish) -> Callable[[Seen], None]:
    """The guard of the promotion: the process may have been stopped between the seal and now.

    What it returns raises Refused: the pause ran out.
    """

    def guard(seen: Seen) -> None:
        fenced = fenced_in(seen)
        if fenced is None or fenced.fence is None:
            return
        with suppress(Unreachable):  # then what was acknowledged until now is all there is to judge by
            fenced.fence.side()
        if not fenced.fence.holds():
            raise Refused(
                f"the write pause on {want.primary} ran out before the promotion was sent",
                detail="this process was suspended, the server's clock was set, or somebody else lifted the pause",
                hint="run the same command again",
            )

    return guard


def _fence(want: FenceWish, seen: Seen) -> Fenced:
    """After a promotion it is tried for a while, and then the service is closed all the same."""
    if not want.promoted(seen):
        return _fenced(want, seen)

    def attempt() -> Fenced | Unreachable:
        try:
            return _fenced(want, seen)
        except Unreachable as trouble:
            return trouble

    found = poll(attempt, lambda tried: isinstance(tried, Fenced), within=5.0, first=0.1, longest=1.0)
    return Fenced(fence=None, kept=None, target=None, trouble=found.what) if isinstance(found, Unreachable) else found


def _fenced(want: FenceWish, seen: Seen) -> Fenced:
    primary, may_be_promoting = want.find(seen, want.primary), want.may_be_promoting(seen)
    refused = "--fence observe was asked for"
    if want.mode != "observe":
        where = endpoint(primary, want.setting)
        fence = Fence(where, want.run, want.promote_timeout if may_be_promoting else want.ttl)
        seen.keep(FENCE, Fenced(fence=fence, kept=None, target=None))  # before it acts: a signal may come at any moment
        try:
            fence.place()
        except FenceRefused as refusal:
            if want.mode == "client-pause":
                raise
            refused = refusal.what
        else:
            want.siblings.begin(seen)
            return Fenced(fence=fence, kept=_kept(primary, want.setting), target=fence.side())
    target = (
        None if want.promoted(seen) else wait_until_quiet(endpoint(primary, want.setting), within=want.catch_up_timeout)
    )
    return Fenced(fence=None, kept=_kept(primary, want.setting), target=target, trouble="" if target else refused)


def _kept(primary: Service, setting: Setting) -> LastConnection | None:
    """To see later who is left; None: it was refused."""
    with suppress(Unreachable):
        return LastConnection(endpoint(primary, setting))
    return None


def _unfence(want: FenceWish, seen: Seen) -> str:
    """Writes resume. Never called once the promotion was sent.

    Raises:
        Refused: they don't; with how long they won't, and what lifts the pause.
    """
    fenced = fenced_in(seen)
    if fenced is None or fenced.fence is None or not fenced.fence.placed_at:
        return f"writes on {want.primary} were not paused"
    until = fenced.fence.paused_until()
    if left := want.siblings.left_paused(seen, until):
        return left
    try:
        if not (others := fenced.fence.release()):
            return f"writes on {want.primary} resumed"
        why = f"another run also holds a write pause ({', '.join(others)})"
    except Unreachable as trouble:
        why = trouble.what
    raise Refused(
        f"writes on {want.primary} are still paused",
        detail=f"{why}; the pause expires by {clock_time(until)}",
        hint=shlex.join(want.lifting),
    )


def _seal(want: FenceWish, seen: Seen) -> Fenced:
    """Raises:
    Refused: writes may have got through, or the replica lacks something; nothing is promoted.
    TimedOut: after a gap the replica does not catch up.
    """
    fenced: Fenced | None = seen.result(FENCE)
    if fenced is None or (target := fenced.target) is None:
        raise Refused(f"writes on {want.primary} were never paused", hint="run the same command again")
    replica = endpoint(want.find(seen, want.replica), want.setting)
    for _ in range(ROUNDS):
        now = _lengthened(want, fenced, seen)
        if now.run_id != target.run_id or (more := _anew(want, fenced, target, now, seen)) is None:
            break
        target = more
        fenced = replace(fenced, trouble="what came through a gap in the write pause has arrived, too")
        caught_up(target, replica, timeout=want.catch_up_timeout)
    trouble = _trouble(fenced.fence, target, now)
    side = fetch_replication(replica)
    if not trouble and side.role != "master":
        trouble = lacks(side, target.replid, target.offset, want.replica)
        if side.run_id != want.replica_before(seen).run_id:
            trouble = f"the server of {want.replica} is a different process now"
    if trouble:
        raise Refused(f"{want.replica} must not be promoted now", detail=trouble, hint="run the same command again")
    looks = (now, side), lambda: (_lengthened(want, fenced, seen), fetch_replication(replica))
    applied = want.setting.rejections.of_promotion(*looks, want.primary, want.replica)
    return replace(fenced, target=target, applied=applied)


def _lengthened(want: FenceWish, fenced: Fenced, seen: Seen) -> ReplicationInfo:
    """First the longer pause, then the look: a stop in between shows as a gap in the renewals."""
    if fenced.fence is None:
        return fetch_replication(endpoint(want.find(seen, want.primary), want.setting))
    fenced.fence.lengthen(want.promote_timeout)
    return fenced.fence.side()


def _anew(
    want: FenceWish, fenced: Fenced, target: ReplicationInfo, now: ReplicationInfo, seen: Seen
) -> ReplicationInfo | None:
    """What the replica must have after a gap, or where a save has set the count of writes back; None: neither is so."""
    fence = fenced.fence
    gap = fence is not None and not fence.holds() and not fence.lifted  # what somebody else did is not undone
    if not gap and (now.last_save == target.last_save or now.offset == target.offset):
        return None
    if fence is None:
        return wait_until_quiet(endpoint(want.find(seen, want.primary), want.setting), within=want.catch_up_timeout)
    if gap:
        fence.place_anew()
    return fence.side()


def _trouble(fence: Fence | None, target: ReplicationInfo, now: ReplicationInfo) -> str:
    if now.run_id != target.run_id:
        return "the primary's server is a different process now: a failover within the service ends a write pause"
    if fence and fence.lifted:
        return "the write pause ended before its time: somebody lifted it, or the server's clock was set forward"
    if fence and not fence.holds():
        return "the write pause could not be kept"
    if not no_writes_between(target, now):
        return f"data was written ({now.offset - target.offset} bytes): the write pause was lifted or bypassed"
    return ""


def _leave(seen: Seen) -> None:
    """The run ends: what is paused by now stays paused until it runs out."""
    if fenced := fenced_in(seen):
        fenced.close()


def _token(seen: Seen) -> str:
    fenced = fenced_in(seen)
    return Snapshot.of(fenced.target).token if fenced and fenced.target else "none"


def _noted(seen: Seen) -> dict[str, Any]:
    fenced = fenced_in(seen)
    if fenced is None or fenced.target is None:
        return {}
    target = fenced.target
    until = {"writes_paused_until": fenced.fence.paused_until()} if fenced.fence else {}
    return {"replication_id": target.replid, "offset": target.offset, "run_id": target.run_id, **until}
