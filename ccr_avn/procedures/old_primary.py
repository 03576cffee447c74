"""Steps on the old primary after a promotion: compare it a last time, then close it before its write pause ends."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Service
from ccr_avn.errors import NotProven, Unreachable
from ccr_avn.options import Primary, Replica, a_name, flag, word
from ccr_avn.options import Service as Named
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Act, Finding, Poll, Probe, Step, go, stop, todo, wait
from ccr_avn.procedures.gates.history import Audit, audit, judge_audit
from ccr_avn.procedures.gates.pair_state import ANOTHER, is_another
from ccr_avn.procedures.gates.settings import DEFAULTS, NOBODY, filter_word, networks
from ccr_avn.procedures.seen import FENCE, Seen
from ccr_avn.procedures.setting import Setting, admission_of
from ccr_avn.procedures.verb import OldPrimaryAction
from ccr_avn.valkey.diagnose import Admission
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.writers import LastConnection, RemainingClients

CLOSING_LIMIT = 120  # seconds the platform may take to put an accepted filter into force
QUIET_LOOKS = 3  # how often in a row nobody must be left: who was cut comes back within some of these looks, if it can

AUDIT = "audit"

LONGEST_WORD = 120_000  # bytes that one word of a command may have: Linux takes 128 KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """``admission``: of new connections; ``left``: who a connection from before sees, None: there is none.

    ``quiet``: looks in a row in which nobody was left and nobody was let in; ``paused``: whether writes still are.
    """

    admission: Admission
    left: RemainingClients | None
    trouble: str = ""
    quiet: int = 0
    paused: bool = True


def closing_steps(at: Setting, primary: str, replica: str, action: OldPrimaryAction) -> tuple[Step[Any], ...]:
    compare = compare_histories(at, primary, replica, expect_none=action == "power-off", stops=False)
    filtered = set_filter(at, primary, limit=30, replica=replica)
    closed = see_closed(at, primary, new_primary=replica, limit=CLOSING_LIMIT)
    off = replace(power_off(at, primary, limit=CLOSING_LIMIT, replica=replica), unneeded=_has_data)

    def instead(seen: Seen) -> str:
        return "" if _has_data(seen) else "it will be powered off"

    follows: dict[OldPrimaryAction, tuple[Step[Any], ...]] = {
        "hold": (_hold(at, primary),),
        "open": (_open(at, primary),),
        "close": (filtered, closed),
        "power-off": (replace(filtered, unneeded=instead), replace(closed, unneeded=instead), off),
    }
    return (compare, *follows[action])


def holding(at: Setting, name: str) -> str:
    """The command that keeps writers off for an hour."""
    return shlex.join(("ccr-avn", "fence", name, *at.options, "--ttl", "3600"))


def restoring(at: Setting, name: str, ip_filter: object) -> tuple[str, ...]:
    """The commands that open a service again: its filter put back, what is left of the write pause lifted."""
    unfence = shlex.join(("ccr-avn", "unfence", name, *at.options, "--force"))
    return filter_command(at, name, ip_filter), unfence


def filter_command(at: Setting, name: str, ip_filter: object) -> str:
    """What sets an ip_filter. Long descriptions are left out to fit."""
    given = ip_filter if isinstance(ip_filter, list) else DEFAULTS["ip_filter"]
    for entries in (given, [str(one.get("network")) if isinstance(one, dict) else str(one) for one in given]):
        word = filter_word(entries)
        if len(word.encode()) <= LONGEST_WORD:
            return avn.service_update(at.project, name, "-c", word).text
    return f"# its ip_filter has {len(given)} entries, too many for one command: set it in the Aiven console"


def _has_data(seen: Seen) -> str:
    """Why it must not be powered off: what is only there would be lost. Empty: nothing speaks against it."""
    found: Audit | None = seen.answer(AUDIT)
    if not found or not (found.ahead_bytes or found.lapsed):
        return ""
    return "it was closed instead of powered off: it has, or may have, writes that the new primary lacks"


@gate("audit", asks=("primary", "replica"))
def compare_histories(
    at: Setting,
    primary: Primary,
    replica: Replica,
    *,
    expect_none: Annotated[bool, flag("Exit 6 if there are any, or if that can't be ruled out.")] = False,
    stops: bool = True,
) -> Step[Audit]:
    """Report writes that only an old PRIMARY has. Without --expect-none it always exits 0.

    Examples:
      ccr-avn gate audit eu us
      ccr-avn gate audit eu us --json
    """

    def read(seen: Seen) -> Audit:
        fence = seen.fenced.fence
        try:
            new = at.replication(seen, replica)
            old = fence.side() if fence else at.replication(seen, primary)
            return audit(old, new, _noted(seen))
        except Unreachable as trouble:
            held = fence.holds() if fence else seen.result(FENCE) is None
            return Audit(ahead_bytes=None, why=trouble.what, lapsed=not held)

    def judge(compared: Audit, _: Seen) -> Finding:
        """In a run it never stops: what is found is reported at the end, once the old primary is closed."""
        found = judge_audit(compared, primary)
        if not (expect_none and stops) or found.facts["ahead_bytes"] == 0:
            return found
        return stop(found.reason, hint=f"do not power {primary} off, and do not terminate it")

    return Step(
        slug=AUDIT,
        purpose=f"check whether {primary} has writes that {replica} lacks",
        read=Probe(read, at.server(primary, "INFO replication")),
        rule="both replication histories are compared",
        judge=judge,
        refused=NotProven,
    )


def _noted(seen: Seen) -> ReplicationInfo | None:
    """The old primary when writes were paused for the promotion; None: another run did that."""
    return None if seen.promoted else seen.fenced.target


def final_audit(seen: Seen) -> Audit | None:
    """What was found before it was closed; or more, by what a connection from before saw last."""
    found: Audit | None = seen.answer(AUDIT)
    closed = seen.answer("closed") or seen.answer("power-off")  # neither: it was left open
    if found is None or closed is None or found.ahead_bytes is None:
        return found
    fenced = seen.fenced
    last = fenced.kept.last if fenced.kept else None
    if seen.result(FENCE) and fenced.fence is None and last is None and not found.ahead_bytes:
        why = f"nothing held writes back until it was closed: {fenced.trouble}"
        return Audit(ahead_bytes=None, why=why, lapsed=True)
    since = audit(last, seen.answer("history"), _noted(seen)) if last else found
    if since.ahead_bytes is None or since.ahead_bytes > found.ahead_bytes:
        return since
    if isinstance(closed, Closing) and closed.left and closed.left.cut and not (closed.paused or since.ahead_bytes):
        return Audit(ahead_bytes=None, why="the write pause expired before it was confirmed closed", lapsed=True)
    return found


@gate("ip-filter", timeout=30)
def set_filter(at: Setting, service: Named, *, limit: float, replica: str = "") -> Step[Service]:
    """Wait until the ip_filter of SERVICE allows no client; `gate closed` checks that it has taken effect.

    Examples:
      ccr-avn gate ip-filter eu
      ccr-avn gate ip-filter eu --timeout 0
    """

    def judge(found: Service) -> Finding:
        if networks(found.user_config.get("ip_filter")) == [NOBODY]:
            return go(f"its ip_filter is {NOBODY}")
        return todo("its ip_filter accepts clients")

    return Step(
        slug="close",
        purpose=f"close {service} to client connections; its data is kept for inspection",
        read=avn.service_get(at.project, service),
        rule=f"its ip_filter is {NOBODY}, a reserved address",
        judge=_of_the_old_primary(at, replica, judge),
        poll=Poll(limit=limit, first=0.2, interval=2),
        change=avn.service_update(at.project, service, "-c", f'ip_filter=["{NOBODY}"]'),
        guard=_look_closely,
    )


def _of_the_old_primary(
    at: Setting, replica: str, judge: Callable[[Service], Finding]
) -> Callable[[Service, Seen], Finding]:
    """A namesake is left as it is; what is off is closed. A gate has made no checks: whom it is asked about is meant."""

    def judged(found: Service, seen: Seen) -> Finding:
        if other := is_another(at.project, seen.checked.get(found.name, found), found, replica):
            seen.keep(ANOTHER, result=True)
            return other
        return go("it is powered off") if found.state == "POWEROFF" else judge(found)

    return judged


def _look_closely(seen: Seen) -> None:
    """From just before it is closed: what the connection from before sees last is the proof."""
    if kept := seen.fenced.kept:
        kept.look_closely()


@gate("closed", timeout=CLOSING_LIMIT, asks=("service", "new_primary"), tight=True)
def see_closed(
    at: Setting,
    service: Named,
    *,
    new_primary: Annotated[str | None, word("NAME", "Must answer too, to show that the network is up.", a_name)] = None,
    limit: float,
) -> Step[Closing]:
    """Wait until SERVICE refuses all client connections.

    Examples:
      ccr-avn gate closed eu
      ccr-avn gate closed eu --timeout 300
    """

    def read(seen: Seen) -> Closing:
        """avn returns when the platform has accepted the filter; closed means that nobody is left and nobody comes."""
        facts = seen.latest.get(service) or seen.service(service)
        found = admission_of(facts, at)
        if found.state == "closed" and facts.state != "POWEROFF" and new_primary:
            try:
                at.replication(seen, new_primary)
            except Unreachable as unseen:
                why = f"{new_primary} does not answer from this machine either: {unseen.what}"
                found = Admission(state="unknown", why=why)
        fence, kept = seen.fenced.fence, seen.fenced.kept
        before: Closing | None = seen.answer("closed")
        if kept is None or facts.state == "POWEROFF":
            return Closing(admission=found, left=None)
        closed = found.state == "closed"
        left, trouble = _cut(kept, facts.usernames, closed=closed)
        quiet = (before.quiet if before else 0) + 1 if closed and not trouble and left and not left.clients else 0
        paused = fence is None or fence.holds()
        return Closing(admission=found, left=left, trouble=trouble, quiet=quiet, paused=paused)

    powering_off = avn.service_update(at.project, service, "--power-off").text
    off = f"`{powering_off}` (if it is protected, --disable-termination-protection first)"
    answers = f", and {new_primary} answers" if new_primary else ""
    return Step(
        slug="closed",
        purpose=f"check that no client is connected to {service} or can connect",
        read=Probe(read, at.server(service, "PING")),
        rule=f"new connections are refused, no client remains{answers}",
        judge=lambda found, _: judge_closed(found, service, off),
        poll=Poll(limit=limit, first=0.05, interval=0.5, hint=f"{service} is NOT closed: {off} closes it reliably"),
    )


def judge_closed(found: Closing, primary: str, power_off: str) -> Finding:
    why = found.admission.why
    if found.admission.state != "closed":
        return wait(why if found.admission.state == "open" else f"whether it is closed is unknown: {why}")
    if found.trouble:
        return wait(found.trouble)
    if found.left is None:
        what = f"it can't be seen from here whether earlier clients of {primary} are still connected"
        return go(why, warnings=(f"{what}; {power_off} disconnects them reliably",))
    if found.left.cut:
        return go(f"{why}; existing ones were closed")
    if found.left.clients:
        return wait(f"{len(found.left.clients)} clients are still connected: {', '.join(found.left.clients[:3])}")
    if found.quiet < QUIET_LOOKS:
        return wait("no client is connected; waiting to see whether one connects")
    return go(f"{why}; no client is connected")


def _cut(kept: LastConnection, users: frozenset[str], *, closed: bool) -> tuple[RemainingClients | None, str]:
    """Look who is left; once nobody new is let in, cut them: while writes are paused nothing they sent is executed."""
    try:
        left = kept.read(users)
        if left.clients and closed:
            kept.cut_others(users)
    except Unreachable as trouble:
        return None, f"an existing connection can't list the remaining clients: {trouble.detail or trouble.what}"
    return left, ""


@gate("powered-off", timeout=CLOSING_LIMIT)
def power_off(at: Setting, service: Named, *, limit: float, replica: str = "") -> Step[Service]:
    """Wait until SERVICE is powered off.

    Examples:
      ccr-avn gate powered-off eu
      ccr-avn gate powered-off eu --timeout 0
    """

    def judge(found: Service) -> Finding:
        if found.protected:
            allow = avn.service_update(at.project, service, "--disable-termination-protection")
            return stop(f"{service} is protected", hint=allow.text)
        return todo(f"it is {found.state}")

    return Step(
        slug="power-off",
        purpose=f"power {service} off",
        read=avn.service_get(at.project, service),
        rule="its state is POWEROFF",
        judge=_of_the_old_primary(at, replica, judge),
        poll=Poll(limit=limit, first=0.2, interval=5),
        change=avn.service_update(at.project, service, "--power-off"),
        guard=_look_closely,
    )


def _hold(at: Setting, primary: str) -> Step[str]:
    """Until Ctrl-C: shows who still tries to write to the old primary."""

    def read(seen: Seen) -> str:
        fence = seen.fenced.fence
        return ("; ".join(fence.writers()) or "no client is trying to write") if fence else ""

    def judge(writers: str, _: Seen) -> Finding:
        return wait(f"paused until Ctrl-C: {writers}") if writers else go("there is no write pause to hold")

    def end(seen: Seen) -> None:
        """Held to the end: nothing that waited may be acknowledged now."""
        if fence := seen.fenced.fence:
            fence.release(cut=True)

    return Step(
        slug="hold",
        purpose=f"keep writes on {primary} paused",
        read=Probe(read),
        command=("ccr-avn", "fence", primary, *at.options, "--ttl", "3600"),
        rule="you press Ctrl-C",
        judge=judge,
        poll=Poll(limit=10.0**9, first=1, interval=5),
        release=end,
    )


def _open(at: Setting, primary: str) -> Step[bool]:
    unpaused = f"{primary} accepts writes once they are no longer paused"
    risk = (f"{unpaused}: what is written to it then exists only there (split brain)",)

    def judge(paused: bool, _: Seen) -> Finding:
        return todo("writes are paused") if paused else go("this run paused no writes", warnings=risk)

    def act(seen: Seen) -> Finding:
        if (fence := seen.fenced.fence) and fence.release(cut=True):
            why = "another run also holds a write pause; they resume when that ends"
            return go(f"writes on {primary} are still paused: {why}", warnings=risk)
        return go("every client was disconnected, and the write pause was lifted", warnings=risk)

    words = ("ccr-avn", "unfence", primary, *at.options, "--disconnect", "--force")
    return Step(
        slug="open",
        purpose=f"disconnect all clients of {primary}, then resume writes",
        read=Probe(lambda seen: seen.fenced.fence is not None),
        rule="there is no write pause",
        judge=judge,
        poll=Poll(limit=5),
        change=Act(words, act),
    )
