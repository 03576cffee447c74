"""switchover: a planned promotion, with both sides healthy and no acknowledged write lost."""

import shlex
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.models import Service
from ccr_avn.errors import CcrError, NotProven, Refused
from ccr_avn.plan.model import Plan
from ccr_avn.procedures import fencing, old_primary, promotion, verb
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.gates.history import Audit, Expected
from ccr_avn.procedures.gates.pair_state import ANOTHER
from ccr_avn.procedures.gates.settings import NOBODY, networks
from ccr_avn.procedures.seen import FENCE, Seen
from ccr_avn.procedures.siblings import list_siblings, look_at_siblings, mark, unmark
from ccr_avn.procedures.steps import compare_sides, look_at_both, look_at_health, wait_running
from ccr_avn.procedures.verb import DECLARED, Ended, Line, Outcome, Question, SwitchoverOptions
from ccr_avn.procedures.verify import databases_step
from ccr_avn.units import clock_time, iso
from ccr_avn.valkey.replication import ReplicationInfo, behind

BECOMES = {
    "close": ("closed", "is closed to client connections (ip_filter)"),
    "power-off": ("powered off", "is powered off"),
    "hold": ("paused", "has its writes paused until Ctrl-C, and is then open again"),
    "open": ("open", "stays open: what is written to it after the promotion exists only there"),
}
"""What the old primary becomes, in a word and in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchover(SwitchoverOptions):
    """Promote REPLICA while both sides are healthy (planned): no acknowledged write is lost."""

    command: ClassVar[str] = "switchover"
    never_suspend: ClassVar[bool] = True
    ended_by_signal: ClassVar[str] = "hold"

    def facts(self) -> dict[str, Any]:
        return {"primary": self.primary, "replica": self.replica, "old_primary": self.old_primary}

    # -- what it does

    def plan(self) -> Plan:
        at, old, new, limit = self.at, self.primary, self.replica, self.promote_timeout
        check = ("ccr-avn", "switchover", old, new, *self.words(), "--check")
        both = look_at_both(self)
        carries = promotion.carries_history(at, new, self.source, self._expected, limit=limit, variable="fence_token")

        def is_linked(seen: Seen) -> bool:
            return bool(seen.row and seen.sides and seen.sides.primary)

        return Plan(
            f"switch over from {old} to {new}",
            checks=(
                both,
                promotion.look_at_integration(at, new, primary=old),
                look_at_health(self),
                databases_step(at, old, new, refused=Refused, linked=is_linked),
                compare_sides(at, old, new, check),
            ),
            steps=(
                mark(at, new),
                fencing.pause_writes(self),
                fencing.catch_up(
                    at,
                    old,
                    new,
                    limit=self.catch_up_timeout,
                    target=lambda seen: None if seen.promoted else seen.fenced.target,
                ),
                look_at_siblings(at, new),
                list_siblings(at, new, both, forced=False),
                fencing.prove_fence(self),
                promotion.promote(
                    at, new, limit=limit, doubt_limit=self.doubt_timeout, fenced=old, guard=fencing.guard_fence(self)
                ),
                carries,
                promotion.accepts_writes(at, new, limit=limit, history=carries),
                promotion.remember_origin(at, new, self._tags, old),
                promotion.integration_gone(at, new, limit=limit),
                wait_running(at, new, limit=limit),
                *old_primary.closing_steps(at, old, new, self.old_primary),
                unmark(at, new, carries),
            ),
            check=check,
            passed_before=lambda seen: seen.may_be_promoting,
            overtaken_by=promotion.looks_at_promotion(at, new, limit=limit),
        )

    def _expected(self, seen: Seen, side: ReplicationInfo | None) -> Expected:
        """What the replica must carry: what its primary had at the last look, else the history that the old primary has now.

        Where ``side`` has neither, the server of the old primary may have been started again, or another node took over:
        the replica followed the ID under which that went on.
        """
        target, looked, offset = seen.fenced.target, seen.sides, None
        old = target or (looked.primary if looked else None)
        ids: tuple[str, ...] = (old.replid,) if old else ()
        if target and looked and looked.replica.role == "slave":
            offset = target.offset
        else:
            origin, replica = seen.checked.get(self.primary), seen.checked.get(self.replica)
            recorded = lineage.followed(origin, replica, self.at.journals.promotions) if replica else ()
            ids = (*ids, *recorded)
        if target and side and ids and side.replid2 not in ids:
            with suppress(CcrError):
                now = self.at.replication(seen, self.primary)
                ids += (now.replid,) if now.replid2 == target.replid else ()
        return Expected(ids=ids, offset=offset, old_server=old.run_id if old else "")

    def _tags(self, seen: Seen) -> tuple[str, ...]:
        old, new, looked = seen.checked.get(self.primary), seen.checked.get(self.replica), seen.sides
        if old is None or new is None or looked is None:
            return ()
        if (origin := lineage.origin_of(new)) and lineage.is_origin(origin, old, new):
            return (f"{lineage.FROM}={origin.name}", f"{lineage.LINEAGE}={new.tags[lineage.LINEAGE]}")
        return lineage.tags(old, new, looked.followed)

    # -- what is asked

    def question(self, seen: Seen) -> Question | None:
        looked = seen.sides
        if seen.row is None or looked is None:
            return None
        old, new = seen.service(self.primary), seen.service(self.replica)
        lag = behind(looked.primary, looked.replica)
        rows = [("service", "role", "becomes", "cloud", "plan", "state", "link", "lag")]
        link = (looked.replica.link_status or "-", "?" if lag is None else str(lag))
        rows.append((old.name, "primary", BECOMES[self.old_primary][0], old.cloud, old.plan, old.state, "-", "-"))
        rows.append((new.name, "replica", "primary", new.cloud, new.plan, new.state, *link))
        single = f"{new.name} is a single node, and has" if new.node_count == 1 else f"{new.name} has"
        most = f"{self.catch_up_timeout + self.promote_timeout:g} s at most, usually seconds"
        return Question(
            answer=self.replica,
            text=f"Type {self.replica} to promote it; anything else stops here, with nothing changed: ",
            shown=(rows, f"{single} no backup and no replica of its own yet."),
            consequences={
                "promoted": f"{new.name} becomes a standalone primary, permanently; {old.name} can't become its replica",
                "old primary": f"{old.name} {BECOMES[self.old_primary][1]}",
                "write pause": "none: you have stopped the writers" if self.fence == "observe" else most,
                "may be lost": "no acknowledged write",
                "declared": DECLARED,
            },
        )

    # -- how it ended

    def half_way(self, ended: Ended) -> tuple[tuple[str, ...], dict[str, Any]]:
        """After the promotion: which service is the primary, until when writes are paused, what to type."""
        seen = ended.seen
        if not ended.past_return or seen.result(ANOTHER):  # else there is nothing left to close
            return (), {}
        old, new = self.primary, self.replica
        promoted = getattr(seen.answer("promote"), "role", "") == "master"
        who = f"{new} is the primary now" if promoted else f"the promotion of {new} was sent"
        if not (promoted or seen.promoted or seen.result("promote")):
            who += " by an earlier run, and nothing shows whether it is under way"
        until = seen.fenced.until
        ways = () if ended.lacks_data else self._ways_to_close(seen, promoted=promoted)
        facts = {
            "new_primary": new,
            "promoted": promoted,
            "old_primary": old,
            "writes_paused_until": iso(until) if until else None,
            "ways_to_close": list(ways),
        }
        writes = f"writes on {old} are " + (f"paused until {clock_time(until)}" if until else "not paused by this run")
        if ended.lacks_data:
            who = f"{new} was promoted, and must not take over; {old} is not closed: keep applications on it"
            resume = f"to resume them now: `{shlex.join((*fencing.lifting(self), '--force'))}`"
            return (who, writes, *((resume,) if until else ())), facts
        when, other = "before then" if until else "now", "; ".join(f"`{way}`" for way in ways)
        again = f"run the same command again {when}; other ways to keep writers off {old}: {other}"
        return (f"{who}; {old} is not closed yet", writes, again), facts

    def _ways_to_close(self, seen: Seen, *, promoted: bool) -> tuple[str, ...]:
        """Other commands that keep writers off the old primary. It is not powered off if it may be the only one with some data."""
        old, found = seen.checked.get(self.primary), old_primary.final_audit(seen)
        fence = old_primary.holding(self.at, self.primary)
        if not promoted or (found and (found.ahead_bytes or found.lapsed)):
            return (fence,)
        return parity.power_off_commands(self.at.project, self.primary, protected=bool(old and old.protected)), fence

    def checked(self, ended: Ended) -> Outcome:
        seen, state = ended.seen, ended.seen.state
        old, new = seen.checked.get(self.primary), seen.checked.get(self.replica)
        drilled, line = self.at.journals.last_drill(self.primary, new)
        result = {
            "primary": self.primary,
            "replica": self.replica,
            "would_go": True,
            "state": state.state if state else None,
            "differences": [one.as_dict() for one in verb.differences(self.at, seen, old, new)],
            "last_drill": drilled,
        }
        return Outcome(
            result=result, lines=(f"{self.primary} → {self.replica}: {promotion.passed(seen, self.replica)}", line)
        )

    def outcome(self, ended: Ended) -> Outcome:
        at, seen = self.at, ended.seen
        old, new = seen.service(self.primary), seen.latest[self.replica]
        different, found = verb.differences(at, seen, old, new), self._only_on_the_old(seen)
        exposed = [*verb.exposure(at, new), *self._split_brain(), *parity.risks(different)]
        outage = self.outage(ended)
        result: dict[str, Any] = {
            "old_primary": self.primary,
            "new_primary": self.replica,
            "write_outage_ms": outage,
            "bytes_not_replicated": found.ahead_bytes if found else None,
            "writes_not_replicated": found.ahead_writes if found else None,
            "before": verb.sides(primary=old, replica=seen.service(self.replica)),
            "after": verb.sides(primary=new, old_primary=seen.latest[self.primary]),
            "risks": exposed,
            "differences": [one.as_dict() for one in different],
            "hooks_seconds": ended.hooks,
        }
        lines: list[Line] = [
            f"{self.replica} is the primary now",
            f"  old primary           {self._what_became(ended)}",
        ]
        if outage is not None:
            lines.append(f"  write outage          {outage:.0f} ms")
        if found and found.ahead_bytes is not None:
            lines.append(f"  bytes not replicated  {found.ahead_bytes}")
        lines.append(f"  connection details    ccr-avn endpoint {self.replica}")
        if self.old_primary == "close":
            lines.append(f"  to open {self.primary} again  {self._restoring(old, result)}")
        lines += verb.exposure_lines(exposed)
        return Outcome(result=result, lines=tuple(lines), problem=self._problem(found))

    def outage(self, ended: Ended) -> float | None:
        """Milliseconds from before the pause to after the first accepted write; None: another run did a part of it."""
        fenced, accepted = ended.sent_at(FENCE), ended.done("accepts-writes")
        if fenced is None or accepted is None or ended.sent_at("promote") is None:
            return None
        return round((accepted.at - fenced) * 1000, 1)

    def _what_became(self, ended: Ended) -> str:
        """Of the old primary: what was seen of it last, not what was asked for."""
        last = ended.done({"close": "closed"}.get(self.old_primary, self.old_primary))
        reason = last.finding.reason if last else ""
        if self.old_primary == "hold":
            reason = reason or "its writes were paused until now; it is open again"
        return f"{self.primary}: {reason}"

    def _restoring(self, old: Service, result: dict[str, Any]) -> str:
        """How to open the old primary again, with the filter from before, if it is known."""
        now = old.user_config.get("ip_filter")
        before = self.at.journals.filter_before(old, [NOBODY]) if networks(now) == [NOBODY] else (now,)
        if before is None:
            return "no journal on this machine has its ip_filter from before it was closed"
        result["ip_filter_before"] = before[0]
        result["restore"] = old_primary.restoring(self.at, old.name, before[0])
        return "; ".join(result["restore"])

    def _split_brain(self) -> list[dict[str, str]]:
        if self.old_primary not in ("open", "hold"):
            return []
        what = f"{self.primary} accepts writes: what is written to it now exists only there (split brain)"
        return [{"what": what, "fix": avn.service_update(self.at.project, self.primary, "--power-off").text}]

    def _only_on_the_old(self, seen: Seen) -> Audit | None:
        """If it can no longer be asked: what an earlier run on this machine found on it."""
        found = old_primary.final_audit(seen)
        if found and found.ahead_bytes is not None:
            return found
        old, new = seen.checked.get(self.primary), seen.checked.get(self.replica)
        return (self.at.journals.ahead_before(old, new, self.at.run) if old and new else None) or found

    def _problem(self, found: Audit | None) -> CcrError | None:
        """Writes that only the old primary has must not pass for success."""
        if found is None or not (found.ahead_bytes or found.lapsed):
            return None
        counted = "" if found.ahead_writes is None else f" ({found.ahead_writes} writes)"
        old, new, ahead = self.primary, self.replica, found.ahead_bytes
        what = f"{ahead} bytes{counted} are on {old} only"
        why = f"{old} acknowledged them while {new} was already promoted, or had no link"
        if ahead is None:
            what, why = f"{old} may have writes that {new} lacks{counted}", found.why
        opening = old_primary.filter_command(self.at, old, ["ADDRESS/32"])
        compare = f"ccr-avn verify {old} {new} --level values --unlinked --differences FILE"
        only = (
            f"do not terminate {old}. To list the keys, open it for your own address only: {opening}; then: {compare}"
        )
        problem = NotProven(what, detail=why, hint=only)
        problem.resumable = False  # all is done; what is there to do is done by hand
        return problem
