"""Rules on the data plane: is the link up, how far may a replica be behind, do markers arrive."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from ccr_avn.aiven.models import Service
from ccr_avn.errors import Refused
from ccr_avn.plan.model import Finding, go, stop, wait
from ccr_avn.procedures.gates.services import together
from ccr_avn.valkey.compare import Comparison, brief
from ccr_avn.valkey.marker import MarkerResult
from ccr_avn.valkey.replication import NOT_LINKED, Link, ReplicationInfo
from ccr_avn.valkey.server_facts import NOTICEABLE, OUT_OF_RANGE, Databases


def judge_link(link: Link) -> Finding:
    """A replica, up, not syncing, on its primary's history; the lag is then known in bytes."""
    replica, primary, state = link.replica, link.primary, link.state
    if state == "same server":
        hint = "check both addresses: avn service list --json"
        return stop(NOT_LINKED[state], detail=f"run_id {primary.run_id}", hint=hint)
    if state in NOT_LINKED:
        return wait(NOT_LINKED[state])
    if state == "syncing":
        return wait("the initial sync is in progress")
    if state == "down":
        down = f" for {replica.link_down_seconds} s" if replica.link_down_seconds else ""
        found = wait(f"master_link_status is {replica.link_status}{down}")
        release = numbers_of(primary.version)[:2]
        if numbers_of(replica.version)[:2] >= release:
            return found
        return replace(  # no time-out is long enough for a copy that the replica can't read
            found,
            reason=f"{found.reason}; it runs {replica.version}, older than its primary's {primary.version}",
            hint="an older server may not be able to load a newer one's data: upgrade the replica to its primary's "
            f"version, avn service update REPLICA -c valkey_version={'.'.join(map(str, release))}",
        )
    what = f"link up, no sync in progress, {link.lag_bytes} bytes behind, replication ID {primary.replid[:8]}"
    return go(what, lag_bytes=link.lag_bytes)


def _starting_over(found: Finding, link: Link, first: ReplicationInfo) -> Finding:
    """A sync that is begun again and again, as the stream outgrows its buffer meanwhile, is not the initial one."""
    begun = link.primary.full_syncs - first.full_syncs if link.primary.run_id == first.run_id else 0
    if begun < MANY_SYNCS or found.verdict != "wait" or link.state not in ("syncing", "down"):
        return found
    return replace(
        found,
        reason=f"{begun} full syncs have started since the first check, and none has brought the link up",
        hint="the output buffer for replicas on the primary is probably too small for what is written during a sync "
        "(client-output-buffer-limit replica; its log would say so): reduce the write load, or ask Aiven to raise it",
    )


def numbers_of(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


MANY_SYNCS = 2  # full syncs that a primary has begun since the first look: with several replicas, not all of one

LOOKS = 20
"""How often both sides are looked at until their offsets are equal: while writes are paused they are at once."""

ComparedState = tuple[str, str, int]
"""A replica's server, the history that it follows, and how many commands it had rejected: run_id, replid, count."""


def as_compared(side: ReplicationInfo) -> ComparedState | None:
    """As a comparison by value finds it; None: it does not report what it rejected."""
    return None if side.rejected is None else (side.run_id, side.replid, side.rejected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejections:
    """What is known of commands that replicas rejected. ``allowed`` None: the command has no option for that.

    ``compared``: what comparisons by value on this machine found equal, of a replica.
    """

    allowed: bool | None = None
    compared: Callable[[str], Collection[ComparedState]] = lambda _: ()

    def judge(self, side: ReplicationInfo, primary: str, replica: str) -> Finding:
        """A command that the replica does not know, or refuses, is skipped: the offsets are equal anyway."""
        if side.rejected == 0:
            return go("no command was rejected")
        rejected = f"{replica} rejected {side.rejected} command{'s' * (side.rejected != 1)} from its primary"
        if side.rejected is None:
            rejected = f"{replica} does not report whether it rejected commands from its primary"
        elif as_compared(side) in self.compared(replica):
            return go(rejected, warnings=(f"{rejected}; since then `verify --level values` has found it equal",))
        since = f"errors since its server was started: {', '.join(side.errors) or 'not shown'}"
        detail = f"INFO of {replica}: unexpected_error_replies {side.rejected}; {since}"
        return self._unless_allowed(f"{rejected}: what they wrote may be missing there", detail, primary, replica)

    def judge_keys(self, before: ReplicationInfo, side: ReplicationInfo, primary: str, replica: str) -> Finding:
        """At equal offsets both have executed the same commands. Keys that have expired count until both drop them."""
        if before.offset != side.offset:
            what = f"{replica} was never seen at the same offset as {primary}: their keys could not be compared"
            return stop(what, detail=f"{before.offset} and {side.offset}", hint="run the same command again")
        here, there = dict(before.keyspace), dict(side.keyspace)
        differing = [number for number in sorted(here.keys() | there.keys()) if here.get(number) != there.get(number)]
        if not differing:
            return go(f"both hold {before.keys} keys")
        counts = (f"database {number}: {here.get(number, 0)} and {there.get(number, 0)}" for number in differing)
        what = f"{primary} and {replica} hold different numbers of keys, although all writes have been applied"
        return self._unless_allowed(what, "; ".join(counts), primary, replica)

    def of_promotion(
        self,
        looked: tuple[ReplicationInfo, ReplicationInfo],
        again: Callable[[], tuple[ReplicationInfo, ReplicationInfo]],
        primary: str,
        replica: str,
    ) -> Finding:
        """At the primary, then at the replica: the first look with equal offsets counts.

        Raises: Refused: the replica did not execute what it received, or nothing shows whether it did.
        """
        for _ in range(LOOKS):
            if looked[0].offset == looked[1].offset:
                break
            looked = again()
        before, side = looked
        if side.role == "master":
            return go("promoted in the meantime")
        found = together((self.judge(side, primary, replica), self.judge_keys(before, side, primary, replica)))
        if found.verdict == "stop":
            what = "; ".join(one for one in (found.reason, found.detail) if one)
            raise Refused(f"{replica} must not be promoted now", detail=what, hint=found.hint)
        return found

    def _unless_allowed(self, what: str, detail: str, primary: str, replica: str) -> Finding:
        if self.allowed:
            return go(what, warnings=(f"{what} ({detail})",))
        accept = "; to accept what may be missing: --allow-rejected-commands" if self.allowed is not None else ""
        compare = f"ccr-avn verify {primary} {replica} --level values"
        return stop(
            what,
            detail=detail,
            hint=f"`{compare}` shows whether it lacks anything, and counts as proof from then on if it does not; "
            f"`ccr-avn gate databases {primary} {replica}` shows whether it lacks a database; "
            f"another replica: ccr-avn enable {primary} NAME --replica-cloud CLOUD{accept}",
        )


def too_far_behind(lag_bytes: int | None, at_most: int | None) -> str:
    """Why a replica is refused by --max-lag-bytes; empty: it is not. A lag that is not known, or no limit, refuses nothing."""
    if lag_bytes is None or at_most is None or lag_bytes <= at_most:
        return ""
    return f"{lag_bytes} bytes behind, more than {at_most}"


def replicates(
    link: Link, first: ReplicationInfo, primary: str, replica: str, rejections: Rejections, max_lag: int | None
) -> Finding:
    """``first``: the primary, at the first look; ``max_lag``: bytes that the replica may be behind; None: any."""
    found = _starting_over(judge_link(link), link, first)
    if found.verdict != "go":
        return found
    if why := too_far_behind(link.lag_bytes, max_lag):
        return wait(why, **found.facts)
    applied = rejections.judge(link.replica, primary, replica)
    return replace(found, warnings=applied.warnings) if applied.verdict == "go" else applied


def has_every_database(found: Databases, primary: Service, replica: str) -> Finding:
    """What the primary writes to a database that the replica lacks is applied to another one there."""
    if found.refused:
        return _lacking(found, primary.name, replica, primary.type)
    what = f"databases in use: {', '.join(map(str, found.used)) or 'none'}; {replica} has them"
    fewer = (
        f"{primary.name} has {found.primary} databases, {replica} has {found.replica}: "
        f"a write to database {found.replica} or above overwrites another database on {replica}"
    )
    warnings = (fewer,) if 0 < found.replica < found.primary else ()
    return go(what, warnings=warnings, databases_used=list(found.used))


def _lacking(found: Databases, primary: str, replica: str, kind: str) -> Finding:
    numbers = ", ".join(str(number) for number, _ in found.refused)
    number, why = found.refused[0]
    asked = f"SELECT {number} on {replica}: {why}"
    if not any(words in why for words in OUT_OF_RANGE):
        hint = f"use a user that is allowed to SELECT there: avn service user-list {replica} --json"
        return stop(f"{replica} does not show whether it has database {numbers}", detail=asked, hint=hint)
    option = f"--replica-arg=-c --replica-arg={kind}_number_of_databases={found.primary or number + 1}"
    return stop(
        f"{replica} lacks databases that {primary} uses: {numbers}",
        detail=f"{asked}; what is written to it on {primary} overwrites another database on {replica}",
        hint=f"create another replica with as many databases: ccr-avn enable {primary} NAME {option}",
    )


def markers_arrive(result: MarkerResult) -> Finding:
    figures = f"{result.arrived} of {result.samples} markers arrived"
    clocks = _clocks(result.skew)
    if result.arrived < result.samples:
        hint = "check the link with `ccr-avn verify PRIMARY REPLICA --level link`, then run the same command again"
        return stop(figures, detail=clocks, hint=hint)
    lag = "lag min {:.1f}, median {:.1f}, max {:.1f} ms".format(*result.spread)
    return go(f"{figures}, {lag}", warnings=(clocks,) if clocks else ())


def _clocks(skew: float) -> str:
    """What clocks that differ do to keys: expiry is kept as a moment, and each side judges it by its own clock."""
    then = "behind: after the promotion, keys with a time to live expire that much later"
    if skew > 0:
        then = "ahead: keys with a shorter time to live have already expired there"
    return f"the replica's clock is {abs(skew):.1f} s {then}" if abs(skew) >= NOTICEABLE else ""


def is_equal(found: Comparison) -> Finding:
    counted = f"{found.keys} keys compared in {found.seconds:.1f} s ({found.rate:.0f} a second)"
    if found.verdict == "equal":
        none = "no key was compared: neither side has any, or none matches the options"
        return go(f"equal: {counted}" if found.keys else none, warnings=found.reasons)
    if found.verdict == "inconclusive":
        hint = "run it again at a quieter time, or with more --rounds"
        return stop(f"inconclusive: {counted}", detail="; ".join(found.reasons), hint=hint)
    kinds = ", ".join(f"{count} {name}" for name, count in found.counts.items() if count)
    examples = ", ".join(f"{one.kind} {brief(one.key)} (db {one.database})" for one in found.examples)
    new = "a replica can only be replaced by a new one: ccr-avn enable PRIMARY NAME"
    hint = f"all of them as JSON lines: --differences FILE; {new}"
    return stop(f"different: {kinds}; {counted}", detail=examples, hint=hint)
