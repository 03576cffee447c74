"""Steps that keep writes away: pause them, wait for the replica, and make sure of it right before the promotion."""

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ccr_avn.aiven.models import Service
from ccr_avn.clock import poll
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.options import Primary, Replica
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Act, Finding, Later, Poll, Probe, Step, go, stop, todo, wait
from ccr_avn.procedures.gates.history import lacks
from ccr_avn.procedures.gates.pair import is_primary, judge_caught_up
from ccr_avn.procedures.promotion import FAST
from ccr_avn.procedures.seen import FENCE, Fenced, Seen
from ccr_avn.procedures.setting import Setting, admission_of, endpoint
from ccr_avn.procedures.siblings import begin_to_look, left_paused
from ccr_avn.procedures.verb import SwitchoverOptions
from ccr_avn.units import clock_time, iso
from ccr_avn.valkey.fence import Fence, FenceRefused
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.server_facts import caught_up, fetch_replication
from ccr_avn.valkey.writers import LastConnection, Snapshot, wait_until_quiet

NOTED = "primary-noted"

ROUNDS = 3  # how often the fence is placed anew after a gap before it counts as one that can't be kept


def pause_writes(want: SwitchoverOptions) -> Step[str]:
    at, primary = want.at, want.primary

    def read(seen: Seen) -> str:
        """What shows that there is nothing to pause; empty: nothing does."""
        service = seen.service(primary)
        if not (seen.promoted or service.state == "POWEROFF"):
            return ""
        found = admission_of(service, at)
        return found.why if found.state == "closed" else ""

    def act(seen: Seen) -> Finding:
        fenced = _pause_writes(want, seen)
        seen.keep(FENCE, fenced)
        if fenced.until:
            return go(f"writes on {primary} are paused", writes_paused_until=iso(fenced.until))
        if not fenced.trouble:
            return go("no writes are seen")
        return go(f"writes on {primary} can't be paused", warnings=(f"nothing holds writes back: {fenced.trouble}",))

    observed = want.fence == "observe"
    command = ("ccr-avn", *(("gate", "last-known") if observed else ("fence",)), primary, *at.options)
    return Step(
        slug=FENCE,
        purpose=f"record the replication offset of {primary}" if observed else f"pause writes on {primary}",
        read=Probe(read, at.server(primary, "INFO replication")),
        rule=f"writes on {primary} are paused",
        judge=lambda closed, _: go(f"{primary}: {closed}") if closed else todo(f"writes on {primary} are not paused"),
        poll=Poll(limit=5, first=FAST),
        change=Act(
            (*command, "--token") if observed else (*command, "--ttl", f"{want.promote_timeout:g}", "--token"),
            act,
            variable="fence_token",
            looks=observed,
        ),
        undone_by=() if observed else lifting(want),
        undo=lambda seen: _unfence(want, seen),
        release=lambda seen: seen.fenced.close(),  # what is paused by now stays paused until it runs out
    )


def note_primary(at: Setting, primary: str, replica: str) -> tuple[Step[ReplicationInfo], ...]:  # noqa: ARG001
    """What it has written by now, for a look at its replica that is taken alone."""

    step = Step(
        slug=NOTED,
        purpose=f"record how much {primary} has written",
        read=at.info(primary),
        rule="it is a primary",
        judge=lambda side, _: is_primary(side, primary),
    )
    return (step,)


@gate("caught-up", timeout=60, asks=("primary", "replica"), before=note_primary, tight=True)
def catch_up(
    at: Setting,
    primary: Primary,
    replica: Replica,
    *,
    limit: float,
    target: Callable[[Seen], ReplicationInfo | None] | None = None,
) -> Step[ReplicationInfo]:
    """Wait until REPLICA has applied what PRIMARY wrote so far.

    Examples:
      ccr-avn gate caught-up eu us
      ccr-avn gate caught-up eu us --timeout 300
    """

    def judge(side: ReplicationInfo, seen: Seen) -> Finding:
        written: ReplicationInfo | None = target(seen) if target else seen.answer(NOTED)
        if written is None:
            return go("the promotion was already sent: nothing to wait for")
        if target is None and side.role == "master":  # taken alone: the answer would be about something else
            which = f"to see which service is the primary: ccr-avn status {replica}"
            return stop(f"{replica} is a primary: it replicates nothing", hint=which)
        if target is None and side.replid != written.replid:
            return wait("it has a different replication ID")
        return judge_caught_up(side, written.offset)

    hint = "try again at a quieter time" + (", or raise --catch-up-timeout" if target else "")
    return Step(
        slug="caught-up",
        purpose=f"wait until {replica} has applied all that {primary} acknowledged",
        read=at.info(replica),
        rule="the replica has applied everything",
        judge=judge,
        poll=Poll(limit=limit, first=FAST, interval=0.1, hint=hint),
    )


def prove_fence(want: SwitchoverOptions) -> Step[str]:
    """The last check before the promotion; from here on writes must not resume on the old primary automatically."""
    at = want.at

    def read(seen: Seen) -> str:
        """Why there is nothing to look at; empty: there is."""
        if seen.promoted:
            return "the promotion was already sent"
        return "promoted in the meantime" if at.replication(seen, want.replica).role == "master" else ""

    def act(seen: Seen) -> Finding:
        fenced, target, applied = _prove_held(want, seen)
        seen.keep(FENCE, fenced)
        noted = {"replication_id": target.replid, "offset": target.offset, "run_id": target.run_id}
        until = {"writes_paused_until": iso(fenced.until)} if fenced.until else {}
        held = fenced.trouble or "the write pause held"
        return go(f"{held}; {applied.reason}", warnings=applied.warnings, **noted, **until)

    ttl = "0" if want.fence == "observe" else f"{want.promote_timeout:g}"

    def token(seen: Seen) -> str:
        return Snapshot.of(target).token if (target := seen.fenced.target) else "none"

    filled = Later(variable="fence_token", fill=token)
    argv = at.gate("fence-held", want.primary, want.replica, "--ttl", ttl, *at.tolerance, "--token", filled)
    return Step(
        slug="fence-held",
        purpose="check that nothing was written since" + f", and make the write pause {ttl} s long" * (ttl != "0"),
        read=Probe(read, at.server(want.primary, "INFO replication")),
        rule="the write pause held throughout, nothing was written, and the replica has applied everything",
        judge=lambda over, _: go(over) if over else todo("not checked yet"),
        poll=Poll(limit=5, first=FAST),
        change=Act(argv, act, looks=ttl == "0"),
    )


def guard_fence(want: SwitchoverOptions) -> Callable[[Seen], None]:
    """The guard of the promotion: the process may have been stopped between the last look and now.

    What it returns raises Refused: the pause ran out.
    """

    def guard(seen: Seen) -> None:
        if (fence := seen.fenced.fence) is None:
            return
        with suppress(Unreachable):  # then what was acknowledged until now is all there is to judge by
            fence.side()
        if not fence.holds():
            raise Refused(
                f"the write pause on {want.primary} ran out before the promotion was sent",
                detail="this process was suspended, the server's clock was set, or somebody else lifted the pause",
                hint="run the same command again",
            )

    return guard


def _pause_writes(want: SwitchoverOptions, seen: Seen) -> Fenced:
    """After a promotion it is tried for 5 s, and then the service is closed anyway."""
    if not seen.promoted:
        return _pause(want, seen)

    def attempt() -> Fenced | Unreachable:
        try:
            return _pause(want, seen)
        except Unreachable as trouble:
            return trouble

    found = poll(attempt, lambda tried: isinstance(tried, Fenced), within=5.0, first=0.1, longest=1.0)
    return Fenced(trouble=found.what) if isinstance(found, Unreachable) else found


def _pause(want: SwitchoverOptions, seen: Seen) -> Fenced:
    primary = seen.service(want.primary)
    refused = "--fence observe was given"
    if want.fence != "observe":
        where = endpoint(primary, want.at)
        fence = Fence(where, want.at.run, want.promote_timeout if seen.may_be_promoting else want.fence_ttl)
        seen.keep(FENCE, Fenced(fence=fence))  # before it acts: a signal may come at any moment
        try:
            fence.place()
        except FenceRefused as refusal:
            if want.fence == "client-pause":
                raise
            refused = refusal.what
        else:
            begin_to_look(want.at, seen, want.replica)
            return Fenced(fence=fence, kept=_kept(primary, want.at), target=fence.side())
    target = None if seen.promoted else wait_until_quiet(endpoint(primary, want.at), within=want.catch_up_timeout)
    return Fenced(kept=_kept(primary, want.at), target=target, trouble="" if target else refused)


def _kept(primary: Service, setting: Setting) -> LastConnection | None:
    """To see later who is left; None: it was refused."""
    with suppress(Unreachable):
        return LastConnection(endpoint(primary, setting))
    return None


def _unfence(want: SwitchoverOptions, seen: Seen) -> str:
    """Writes resume. Never called once the promotion was sent.

    Raises:
        Refused: they don't; with how long they won't, and what lifts the pause.
    """
    fence, until = seen.fenced.fence, seen.fenced.until
    if fence is None or until is None:
        return f"writes on {want.primary} were not paused"
    if left := left_paused(seen, want.replica, until):
        return left
    try:
        if not (others := fence.release()):
            return f"writes on {want.primary} resumed"
        why = f"another run also holds a write pause ({', '.join(others)})"
    except Unreachable as trouble:
        why = trouble.what
    raise Refused(
        f"writes on {want.primary} are still paused",
        detail=f"{why}; the pause expires by {clock_time(until)}",
        hint=shlex.join(lifting(want)),
    )


def _prove_held(want: SwitchoverOptions, seen: Seen) -> tuple[Fenced, ReplicationInfo, Finding]:
    """What holds now, what the primary had then, and whether the replica has executed it.

    Raises:
        Refused: writes may have got through, or the replica lacks something; nothing is promoted.
        TimedOut: after a gap the replica does not catch up.
    """
    fenced = seen.fenced
    if (target := fenced.target) is None:
        raise Refused(f"writes on {want.primary} were never paused", hint="run the same command again")
    replica = endpoint(seen.service(want.replica), want.at)
    for _ in range(ROUNDS):
        now = _lengthened(want, fenced, seen)
        if now.run_id != target.run_id:
            break
        if (written := _pause_again(want, fenced, target, now, seen)) is None:
            break
        target = written
        fenced = replace(fenced, trouble="the writes that got through a gap in the write pause have arrived too")
        caught_up(target, replica, timeout=want.catch_up_timeout)
    trouble = _trouble(fenced.fence, target, now)
    side = fetch_replication(replica)
    if not trouble and side.role != "master":
        trouble = lacks(side, target.replid, target.offset, want.replica)
        if seen.sides is None or side.run_id != seen.sides.replica.run_id:
            trouble = f"the server of {want.replica} is a different process now"
    if trouble:
        raise Refused(f"{want.replica} must not be promoted now", detail=trouble, hint="run the same command again")
    applied = want.at.rejections.of_promotion(
        (now, side),
        lambda: (_lengthened(want, fenced, seen), fetch_replication(replica)),
        want.primary,
        want.replica,
    )
    return replace(fenced, target=target), target, applied


def _lengthened(want: SwitchoverOptions, fenced: Fenced, seen: Seen) -> ReplicationInfo:
    """First the longer pause, then the look: a stop in between shows as a gap in the renewals."""
    if fenced.fence is None:
        return want.at.replication(seen, want.primary)
    fenced.fence.lengthen(want.promote_timeout)
    return fenced.fence.side()


def _pause_again(
    want: SwitchoverOptions, fenced: Fenced, target: ReplicationInfo, now: ReplicationInfo, seen: Seen
) -> ReplicationInfo | None:
    """After a gap in the pause, or after a save that reset the count of writes: what the replica must have now.

    After a gap, writes are paused again first. None: nothing of the kind happened.
    """
    fence = fenced.fence
    gap = fence is not None and not fence.holds() and not fence.lifted  # what somebody else did is not undone
    if not gap and (now.last_save == target.last_save or now.offset == target.offset):
        return None
    if fence is None:
        return wait_until_quiet(endpoint(seen.service(want.primary), want.at), within=want.catch_up_timeout)
    if gap:
        fence.place()
    return fence.side()


def _trouble(fence: Fence | None, target: ReplicationInfo, now: ReplicationInfo) -> str:
    if now.run_id != target.run_id:
        return "the primary's server is a different process now: a failover within the service ends a write pause"
    if fence and fence.lifted:
        return "the write pause ended early: somebody lifted it, or the server's clock was set forward"
    if fence and not fence.holds():
        return "the write pause could not be maintained"
    if not Snapshot.of(target).no_writes_until(now):
        return f"data was written ({now.offset - target.offset} bytes): the write pause was lifted or bypassed"
    return ""


def lifting(want: SwitchoverOptions) -> tuple[str, ...]:
    return ("ccr-avn", "unfence", want.primary, *want.at.options)
