"""Steps on the old primary after a promotion: compare it a last time, then close it before its write pause ends."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Service
from ccr_avn.errors import TimedOut, Unreachable
from ccr_avn.plan.model import Act, Finding, Gate, Poll, Probe, Step, go, stop, todo, wait
from ccr_avn.procedures.fencing import FENCE, Fenced, fenced_in
from ccr_avn.procedures.gates.closed import Closing, judge_closed
from ccr_avn.procedures.gates.history import Audit, audit, judge_audit
from ccr_avn.procedures.gates.settings import DEFAULTS, NOBODY, filter_word, networks
from ccr_avn.procedures.gates.succession import ANOTHER, is_another
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import Find, Setting, admission_of, endpoint
from ccr_avn.valkey.diagnose import Admission
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.last_connection import LastConnection, RemainingClients
from ccr_avn.valkey.replication import ReplicationInfo

OldPrimaryAction = Literal["close", "power-off", "hold", "open"]

SHUT_LIMIT = 120.0
"""Seconds the platform may take to put an accepted filter into force."""

LONGEST_WORD = 120_000
"""Bytes that one word of a command may have: Linux takes 128 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseWish:
    primary: str
    replica: str
    fate: OldPrimaryAction
    setting: Setting
    find: Find
    promoted: Callable[[Seen], bool]  # whether an earlier run's promotion was seen by the checks
    checked: bool = True  # False: a gate, which made no checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Both servers' INFO, the old primary's when writes were paused for the promotion, and what follows from them.

    ``noted`` None: another run paused them, and what it saw is not known; ``new`` None: one of them does not answer.
    """

    new: ReplicationInfo | None
    noted: ReplicationInfo | None
    found: Audit


def closing_steps(want: CloseWish) -> tuple[Step[Any], ...]:
    """The steps for this fate, in order."""
    compare = compare_histories(want)
    shut = set_filter(want)
    if want.fate == "close":
        return (compare, shut, see_closed(want, shut))
    if want.fate == "power-off":
        return (
            compare,
            replace(shut, unneeded=lambda seen: "" if _has_data(seen, compare) else "it will be powered off"),
            replace(
                see_closed(want, shut),
                unneeded=lambda seen: "" if _has_data(seen, compare) else "it will be powered off",
            ),
            replace(power_off(want), unneeded=lambda seen: _has_data(seen, compare)),
        )
    if want.fate == "hold":
        return (compare, _hold(want))
    return (compare, _open(want))


def holding(setting: Setting, name: str) -> str:
    """The command that keeps writers off for an hour."""
    return shlex.join(("ccr-avn", "fence", name, *setting.options, "--ttl", "3600"))


def restoring(setting: Setting, name: str, ip_filter: object) -> tuple[str, ...]:
    """The commands that open a service again: its filter put back, what is left of the write pause lifted."""
    unfence = shlex.join(("ccr-avn", "unfence", name, *setting.options, "--force"))
    return (*filter_commands(setting, name, ip_filter), unfence)


def filter_commands(setting: Setting, name: str, ip_filter: object) -> tuple[str, ...]:
    """What sets an ip_filter. Long descriptions are left out to fit."""
    given = ip_filter if isinstance(ip_filter, list) else DEFAULTS["ip_filter"]
    for entries in (given, [str(one.get("network")) if isinstance(one, dict) else str(one) for one in given]):
        word = filter_word(entries)
        if len(word.encode()) <= LONGEST_WORD:
            return (avn.service_update(setting.project, name, "-c", word).text,)
    return (f"# its ip_filter has {len(given)} entries, too many for one command: set it in the Aiven console",)


def _has_data(seen: Seen, compared: "Step[Compared]") -> str:
    """Why it must not be powered off: what is only there would be lost. Empty: nothing speaks against it."""
    found = seen.of(compared).found
    if not (found.ahead_bytes or found.lapsed):
        return ""
    return "it was closed instead of powered off: it has, or may have, writes that the new primary lacks"


def compare_histories(want: CloseWish) -> Step[Compared]:
    """Before it is closed: has it anything that the new primary lacks. Told at the end, whatever happened before."""

    def read(seen: Seen) -> Compared:
        fenced = fenced_in(seen)
        noted = fenced.target if fenced and not want.promoted(seen) else None
        try:
            new = fetch_replication(endpoint(want.find(seen, want.replica), want.setting))
            return Compared(new=new, noted=noted, found=audit(_old_side(want, seen), new, noted))
        except Unreachable as trouble:
            held = fenced is None or (fenced.fence is not None and fenced.fence.holds())
            unknown = Audit(ahead_bytes=None, why=trouble.what, lapsed=not held)
            return Compared(new=None, noted=noted, found=unknown)

    def judge(compared: Compared, _: Seen) -> Finding:
        return judge_audit(compared.found, want.primary)

    words = want.setting.gate(
        "audit", want.primary, want.replica, *(("--expect-none",) if want.fate == "power-off" else ())
    )
    return Step(
        slug="audit",
        purpose=f"check whether {want.primary} has writes that {want.replica} lacks",
        read=Probe(words, read),
        gate=Gate("both replication histories are compared", judge),
        by_hand=want.setting.server(want.primary, "INFO replication"),
    )


def final_audit(seen: Seen, compared: Step[Compared], shut: Step[Any] | None) -> Audit | None:
    """What was found before it was closed; or more, by what a connection from before saw last.

    ``shut``: the step that closed it, or powered it off; None: it was left open.
    """
    found = seen.get(compared)
    if found is None or shut is None or not seen.has(shut) or found.new is None or found.found.ahead_bytes is None:
        return found.found if found else None
    fenced = fenced_in(seen)
    last = fenced.kept.last if fenced and fenced.kept else None
    if fenced and fenced.fence is None and last is None and not found.found.ahead_bytes:
        return Audit(
            ahead_bytes=None, why=f"nothing held writes back until it was closed: {fenced.trouble}", lapsed=True
        )
    since = audit(last, found.new, found.noted) if last else found.found
    if since.ahead_bytes is None or since.ahead_bytes > found.found.ahead_bytes:
        return since
    closed = seen.of(shut)
    if isinstance(closed, Closing) and closed.left and closed.left.cut and not (closed.paused or since.ahead_bytes):
        return Audit(ahead_bytes=None, why="the write pause expired before it was confirmed closed", lapsed=True)
    return found.found


def _old_side(want: CloseWish, seen: Seen) -> ReplicationInfo:
    fenced = fenced_in(seen)
    if fenced and fenced.fence:
        return fenced.fence.side()
    return fetch_replication(endpoint(want.find(seen, want.primary), want.setting))


def set_filter(want: CloseWish) -> Step[Service]:
    def judge(service: Service, seen: Seen) -> Finding:
        if other := _another(want, seen, service):
            return other
        if service.state == "POWEROFF":
            return go(f"{want.primary} is powered off")
        if networks(service.user_config.get("ip_filter")) == [NOBODY]:
            return go(f"its ip_filter is {NOBODY}")
        return todo("its ip_filter admits clients")

    return Step(
        slug="close",
        purpose=f"close {want.primary} to client connections; its data is kept for inspection",
        read=avn.service_get(want.setting.project, want.primary),
        gate=Gate(f"its ip_filter is {NOBODY}, a reserved address", judge),
        poll=Poll(limit=30, first=0.2, interval=2),
        change=avn.service_update(want.setting.project, want.primary, "-c", f'ip_filter=["{NOBODY}"]'),
        guard=_look_closely,
        alone=want.setting.gate("ip-filter", want.primary, limit=30),
    )


def _another(want: CloseWish, seen: Seen, service: Service) -> Finding | None:
    found = want.find(seen, want.primary) if want.checked else service
    if other := is_another(want.setting.project, found, service, want.replica):
        seen.keep(ANOTHER, result=True)
    return other


def _look_closely(seen: Seen) -> None:
    """From just before it is closed: what the connection from before sees last is the proof."""
    fenced = fenced_in(seen)
    if fenced and fenced.kept:
        fenced.kept.look_closely()


def see_closed(want: CloseWish, shut: Step[Service]) -> Step[Closing]:
    """avn returns when the platform has accepted the filter; closed means that nobody is left and nobody comes.

    ``shut``: the step that set the filter, and read it back.
    """

    def read(seen: Seen) -> Closing:
        service = seen.get(shut) or want.find(seen, want.primary)
        found = admission_of(service, want.setting)
        if found.state == "closed" and service.state != "POWEROFF" and (trouble := _cut_off(want, seen)):
            found = Admission(state="unknown", why=trouble)
        fenced: Fenced | None = seen.result(FENCE)
        before = seen.of(step).quiet if seen.has(step) else 0
        if fenced is None or fenced.kept is None or service.state == "POWEROFF":
            return Closing(admission=found, left=None)
        closed = found.state == "closed"
        left, trouble = _cut(fenced.kept, _users(service), closed=closed)
        quiet = before + 1 if closed and not trouble and left and not left.clients else 0
        paused = fenced.fence is None or fenced.fence.holds()
        return Closing(admission=found, left=left, trouble=trouble, quiet=quiet, paused=paused)

    def judge(found: Closing, _: Seen) -> Finding:
        return judge_closed(found, want.primary, _power_off_words(want))

    step = Step(
        slug="closed",
        purpose=f"check that no client is connected to {want.primary} or can connect",
        read=Probe(
            want.setting.gate("closed", want.primary, "--new-primary", want.replica, limit=SHUT_LIMIT, tight=True), read
        ),
        by_hand=want.setting.server(want.primary, "PING"),
        gate=Gate(f"new connections are refused, no client remains, and {want.replica} answers", judge),
        poll=Poll(
            limit=SHUT_LIMIT,
            first=0.05,
            interval=0.5,
            error=TimedOut,
            hint=f"{want.primary} is NOT closed: {_power_off_words(want)} closes it reliably",
        ),
    )
    return step


def _cut_off(want: CloseWish, seen: Seen) -> str:
    """What speaks against a closed service: this machine does not reach the new primary either. Empty: nothing does."""
    if want.replica == want.primary:  # nobody said which it is
        return ""
    try:
        fetch_replication(endpoint(want.find(seen, want.replica), want.setting))
    except Unreachable as trouble:
        return f"{want.replica} does not answer from this machine either: {trouble.what}"
    return ""


def _cut(kept: LastConnection, users: frozenset[str], *, closed: bool) -> tuple[RemainingClients | None, str]:
    """Look who is left; once nobody new is let in, cut them: while writes are paused nothing they sent is executed."""
    try:
        left = kept.read(users)
        if left.clients and closed:
            kept.cut_others(users)
    except Unreachable as trouble:
        return None, f"an existing connection can't list the remaining clients: {trouble.detail or trouble.what}"
    return left, ""


def _users(service: Service) -> frozenset[str]:
    """The service's own users: what the platform connects as is not closed by an ip_filter."""
    return frozenset({"default", *(one.username for one in service.users)})


def power_off(want: CloseWish) -> Step[Service]:
    def judge(service: Service, seen: Seen) -> Finding:
        if other := _another(want, seen, service):
            return other
        if service.state == "POWEROFF":
            return go("it is powered off")
        if service.protected:
            allow = avn.service_update(want.setting.project, want.primary, "--disable-termination-protection")
            return stop(f"{want.primary} is protected", hint=allow.text)
        return todo(f"it is {service.state}")

    return Step(
        slug="power-off",
        purpose=f"power {want.primary} off",
        read=avn.service_get(want.setting.project, want.primary),
        gate=Gate("its state is POWEROFF", judge),
        poll=Poll(limit=SHUT_LIMIT, first=0.2, interval=5),
        change=avn.service_update(want.setting.project, want.primary, "--power-off"),
        guard=_look_closely,
        alone=want.setting.gate("powered-off", want.primary, limit=SHUT_LIMIT),
    )


def _power_off_words(want: CloseWish) -> str:
    off = avn.service_update(want.setting.project, want.primary, "--power-off")
    return f"`{off.text}` (if it is protected, --disable-termination-protection first)"


def _hold(want: CloseWish) -> Step[str]:
    """Until Ctrl-C: shows who still tries to write to the old primary."""

    def read(seen: Seen) -> str:
        fenced = fenced_in(seen)
        if fenced is None or fenced.fence is None:
            return ""
        return "; ".join(fenced.fence.writers()) or "no client is trying to write"

    def judge(writers: str, _: Seen) -> Finding:
        return wait(f"paused until Ctrl-C: {writers}") if writers else go("there is no write pause to hold")

    return Step(
        slug="hold",
        purpose=f"keep writes on {want.primary} paused",
        read=Probe(("ccr-avn", "fence", want.primary, *want.setting.options, "--ttl", "3600"), read),
        gate=Gate("you press Ctrl-C", judge),
        poll=Poll(limit=10.0**9, first=1, interval=5),
        release=_end_hold,
    )


def _end_hold(seen: Seen) -> None:
    """Held to the end: nothing that waited may be acknowledged now."""
    fenced = fenced_in(seen)
    if fenced and fenced.fence:
        fenced.fence.release(cut=True)


def split_brain(primary: str) -> str:
    return f"{primary} accepts writes once they are no longer paused: what is written to it then exists only there (split brain)"


def _open(want: CloseWish) -> Step[str]:
    def read(seen: Seen) -> str:
        fenced = fenced_in(seen)
        if fenced is None or fenced.fence is None:
            return "open"
        lifted = seen.result("open")
        return "fenced" if lifted is None else "lifted" if lifted else "held"

    def judge(state: str, _: Seen) -> Finding:
        if state == "fenced":
            return todo("writes are paused")
        if state == "held":
            why = "another run also holds a write pause; they resume when that ends"
            return go(f"writes on {want.primary} are still paused: {why}", warnings=(split_brain(want.primary),))
        told = (
            "every client was disconnected, and the write pause was lifted"
            if state == "lifted"
            else "this run paused no writes"
        )
        return go(told, warnings=(split_brain(want.primary),))

    def act(seen: Seen) -> bool:
        fenced = fenced_in(seen)
        return bool(fenced and fenced.fence and not fenced.fence.release(cut=True))

    words = ("ccr-avn", "unfence", want.primary, *want.setting.options, "--disconnect", "--force")
    return Step(
        slug="open",
        purpose=f"disconnect all clients of {want.primary}, then resume writes",
        read=Probe(words, read),
        gate=Gate("there is no write pause", judge),
        poll=Poll(limit=5),
        change=Act(words, act),
    )
