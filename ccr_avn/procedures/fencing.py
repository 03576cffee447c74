"""The part of a switchover in which writes are held back: fence, catch up, seal."""

import time
from dataclasses import dataclass
from typing import Literal

from ccr_avn.dataplane.fence import Fence, FenceRefused, stands_still
from ccr_avn.dataplane.link import Side, look_at
from ccr_avn.dataplane.still import wrote_nothing
from ccr_avn.dataplane.writes import Kept
from ccr_avn.errors import CcrError, Refused, TimedOut
from ccr_avn.gates import switch
from ccr_avn.models import Service
from ccr_avn.plan import Finding, Gate, Poll, Probe, Seen, Step, go, wait
from ccr_avn.procedures.held import Held
from ccr_avn.procedures.promotion import FAST, reachable
from ccr_avn.procedures.steps import Find, Setting, endpoint

FenceMode = Literal["auto", "client-pause", "observe"]
STILL = 3.0
"""Seconds for which the primary's offset must stand still where writers are stopped by the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceWish:
    """Times are in seconds."""

    primary: str
    replica: str
    setting: Setting
    run: str
    mode: FenceMode
    ttl: float
    catch_up_timeout: float
    promote_timeout: float


def place_fence(want: FenceWish, held: Held, find: Find) -> Step[str]:

    def look(seen: Seen) -> str:
        if held.fence is not None or held.observed:
            return "fenced"
        primary = find(seen, want.primary)
        if primary.state == "POWEROFF":
            return "off"
        role = look_at(endpoint(find(seen, want.replica), want.setting)).role
        if role == "master" and reachable(want.setting, primary)[0] is None:
            return "shut"
        return "open"

    def judge(state: str, _: Seen) -> Finding:
        told = {
            "fenced": "writes on the old primary are held back" if not held.observed else "no writes are seen",
            "off": f"{want.primary} is powered off",
            "shut": f"{want.primary} lets nobody in",
        }
        return go(told[state]) if state in told else wait("writes are let through")

    return Step(
        slug="fence",
        purpose=f"hold back writes on {want.primary}",
        look=Probe(("ccr-avn", "fence", want.primary, *want.setting.options), look),
        gate=Gate(f"writes on {want.primary} are held back", judge),
        poll=Poll(limit=5, first=FAST),
        change=Probe(
            ("ccr-avn", "fence", want.primary, *want.setting.options, "--ttl", f"{want.promote_timeout:g}"),
            lambda seen: _fence(want, held, find(seen, want.primary)),
        ),
        undone_by=("ccr-avn", "unfence", want.primary, *want.setting.options),
        undo=lambda seen: _unfence(want, held, find(seen, want.replica)),
    )


def catch_up(want: FenceWish, held: Held, find: Find) -> Step[Side]:

    def look(seen: Seen) -> Side:
        return look_at(endpoint(find(seen, want.replica), want.setting))

    def judge(side: Side, _: Seen) -> Finding:
        return switch.judge_caught_up(side, held.target.offset if held.target else 0)

    timeout = f"{want.catch_up_timeout:g}"
    return Step(
        slug="caught-up",
        purpose=f"wait until {want.replica} has applied all that {want.primary} acknowledged",
        look=Probe(
            ("ccr-avn", "caught-up", want.primary, want.replica, *want.setting.options, "--timeout", timeout), look
        ),
        gate=Gate("nothing is missing on the replica", judge),
        poll=Poll(
            limit=want.catch_up_timeout,
            first=FAST,
            interval=0.1,
            error=TimedOut,
            hint="writes go on as before; try again at a quieter time, or raise --catch-up-timeout",
        ),
    )


def seal(want: FenceWish, held: Held, find: Find) -> Step[str]:
    """The last look before the promotion; from here on the old primary must not come back by itself."""

    def look(seen: Seen) -> str:
        if held.sealed:
            return "sealed"
        side = look_at(endpoint(find(seen, want.replica), want.setting))
        return "promoted" if side.role == "master" else "open"

    def judge(state: str, _: Seen) -> Finding:
        told = {"sealed": "the fence held, and nothing was written", "promoted": "promoted meanwhile"}
        return go(told[state]) if state in told else wait("not checked yet")

    return Step(
        slug="seal",
        purpose=f"see that nothing was written since, and lengthen the fence to {want.promote_timeout:g} s",
        look=Probe(("ccr-avn", "caught-up", want.primary, want.replica, *want.setting.options), look),
        gate=Gate("the fence held all the time and the primary's offset moved only by pings", judge),
        poll=Poll(limit=5, first=FAST),
        change=Probe(
            ("ccr-avn", "caught-up", want.primary, want.replica, *want.setting.options),
            lambda seen: _seal(want, held, find(seen, want.primary), find(seen, want.replica)),
        ),
    )


def _fence(want: FenceWish, held: Held, primary: Service) -> None:
    if want.mode != "observe":
        fence = Fence(endpoint(primary, want.setting), want.run, want.ttl)
        held.fence = fence  # before it is placed: whatever ends us now lifts it
        try:
            fence.place()
        except FenceRefused:
            held.fence = None
            fence.close()
            if want.mode == "client-pause":
                raise
        else:
            held.measured.began = fence.placed_at
            held.kept = Kept(fence.endpoint)
            _note_target(held, fence.side())
            return
    _observe(want, held, primary)


def _observe(want: FenceWish, held: Held, primary: Service) -> None:
    """The operator stops the writers; we only believe it when the offset stands still.

    Raises:
        Refused: something still writes.
    """
    until = time.monotonic() + want.catch_up_timeout
    while True:
        side = stands_still(endpoint(primary, want.setting), STILL)
        if side is not None:
            break
        if time.monotonic() >= until:
            raise Refused(
                f"something still writes to {primary.name}",
                detail=f"its offset did not stand still for {STILL:g} s within {want.catch_up_timeout:g} s",
                hint="stop the writers, then run the same command again (this service refuses CLIENT PAUSE)",
            )
    held.observed = True
    held.measured.began = time.monotonic() - STILL
    _note_target(held, side)


def _note_target(held: Held, side: Side) -> None:
    held.target, held.target_at = side, time.monotonic()


def _unfence(want: FenceWish, held: Held, replica: Service) -> None:
    """Writes go on; unless the replica was promoted meanwhile: then nothing held back may be acknowledged.

    Raises:
        CcrError: it can't be done; the fence then runs out by itself.
    """
    fence, held.fence = held.fence, None
    if fence is None:
        return
    try:
        promoted = look_at(endpoint(replica, want.setting)).role == "master"
    except CcrError:
        promoted = False
    if promoted:
        fence.release_disconnecting()
    else:
        fence.release()


def _seal(want: FenceWish, held: Held, primary: Service, replica: Service) -> None:
    """Raises:
    Refused: writes may have got through; nothing is promoted.
    """
    target = held.target
    if target is None:
        raise Refused(f"{primary.name} was never fenced", hint="run the same command again")
    now = held.fence.side() if held.fence else look_at(endpoint(primary, want.setting))
    trouble = ""
    if held.fence and not held.fence.holds():
        trouble = "the fence was not renewed in time"
    elif now.run_id != target.run_id:
        trouble = "its server is another process than before: a fail-over inside the service lifts a fence"
    elif not wrote_nothing(target, now, time.monotonic() - held.target_at):
        trouble = f"something was written ({now.offset - target.offset} bytes): the fence was lifted, or is got around"
    if trouble:
        raise Refused(
            f"writes may have got through on {primary.name}", detail=trouble, hint="run the same command again"
        )
    if held.fence:
        held.fence.lengthen(want.promote_timeout)
    side = look_at(endpoint(replica, want.setting))
    held.measured.lost_bytes = max(0, target.offset - side.offset)
    held.sealed = True
