"""drill: the whole procedure on a temporary replica of a real primary, which is promoted, examined and terminated."""

import shlex
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Offer, Service
from ccr_avn.errors import NotProven, TimedOut, Unreachable
from ccr_avn.plan import events
from ccr_avn.plan.model import Finding, Plan, Poll, Probe, Step, go, stop, wait
from ccr_avn.procedures.drill import assumptions
from ccr_avn.procedures.drill.ours import CREATE, TERMINATE, terminate_words
from ccr_avn.procedures.drill.temporary_replica import (
    DrillOptions,
    create,
    look_at_primary,
    same,
    see_answers,
    see_backup,
    tag,
    terminate,
)
from ccr_avn.procedures.drill.trials import AFTER, BEFORE, server, trials
from ccr_avn.procedures.promotion import FAST, promote
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import endpoint
from ccr_avn.procedures.steps import see_offers, wait_running
from ccr_avn.procedures.verb import Ended, Line, Outcome, Question, described, sides
from ccr_avn.procedures.verify import Verify, evidence
from ccr_avn.units import cents
from ccr_avn.valkey.marker import Heartbeat, Received, accepts_write
from ccr_avn.valkey.replication import ReplicationInfo

MARKERS = "markers-begin"

INTEGRATION = 60.0  # seconds for which the integration of a replica that is linked may stay invisible


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill(DrillOptions):
    """Create a temporary replica of PRIMARY, compare it, promote it, test every assumption on it, and terminate it."""

    command: ClassVar[str] = "drill"
    resumable: ClassVar[bool] = False

    def facts(self) -> dict[str, Any]:
        names = ("primary", "temporary_replica", "replica_cloud", "replica_plan", "level")
        return {name: getattr(self, name) for name in names}

    # -- what it does

    def plan(self) -> Plan:
        """There is a way back from each step, which is to terminate it."""
        at, name, orders = self.at, self.temporary_replica, (self.wanted,)
        verify = Verify(
            primary=self.primary,
            replica=name,
            at=at,
            level=self.level,
            samples=self.samples,
            max_ops=self.max_ops,
            link_timeout=self.time_limit,
        )
        again = replace(
            wait_running(at, name, limit=self.promote_timeout, slug=AFTER),
            purpose=f"read what Aiven shows about {name} after its promotion",
        )
        return Plan(
            f"drill a failover of {self.primary} on the temporary replica {name}",
            checks=(
                look_at_primary(self),
                *see_offers(at, orders),
                see_backup(self),
                see_answers(self),
            ),
            steps=(
                create(self),
                tag(self),
                same(wait_running(at, name, limit=self.time_limit, slug=BEFORE), self),
                *verify.proof(TimedOut),
                self._last_known(),
                same(self._look_at_integration(), self),
                self._begin_markers(),
                self._promote(),
                self._accept_writes(),
                same(again, self),
                self._accept_writes(anew=True),
                self._see_received(),
                *trials(self),
                *(() if self.keep else (terminate(self),)),
            ),
        )

    def _last_known(self) -> Step[ReplicationInfo]:
        """What it must still carry when it is promoted."""
        name = self.temporary_replica
        return Step(
            slug="last-known",
            purpose=f"read the replication ID of {name}",
            read=self.at.info(name),
            rule="it answers",
            judge=lambda side, _: go(f"replication ID {side.replid[:12]}…, offset {side.offset}"),
        )

    def _look_at_integration(self) -> Step[Service]:
        """What its promotion deletes, from the same answer that shows when it was created."""

        def judge(found: Service, _: Seen) -> Finding:
            if found.row is None or found.source != self.primary:
                return wait(f"no integration with {self.primary} is listed: somebody else may have promoted it")
            return go(f"integration {found.row.id}") if found.row.active and found.row.id else wait("it is not active")

        name = self.temporary_replica
        return Step(
            slug="integration",
            purpose=f"check that {name} is still the read replica that was created",
            read=avn.service_get(self.at.project, name),
            rule=f"it is a read replica of {self.primary}, created when this run created it",
            judge=judge,
            poll=self.at.poll(INTEGRATION, hint=f"inspect it: avn service get {name}"),
        )

    def _begin_markers(self) -> Step[Heartbeat]:
        """They show afterwards until when the temporary replica had everything."""
        return Step(
            slug=MARKERS,
            purpose=f"write markers to {self.primary} until {self.temporary_replica} is promoted",
            read=Probe(lambda seen: Heartbeat(endpoint(seen.service(self.primary), self.at), self.at.run)),
            rule="markers are written",
            judge=lambda _, __: go("markers are written"),
            writes_keys=True,
            release=lambda seen: beat.stop() if (beat := seen.answer(MARKERS)) else None,
        )

    def _promote(self) -> Step[ReplicationInfo | None]:
        """The step of a failover; but a new password is no end."""
        name = self.temporary_replica
        shared = promote(
            self.at,
            name,
            limit=self.promote_timeout,
            doubt_limit=self.doubt_timeout,
            row=lambda seen: seen.answer("integration").row,
        )

        def read(seen: Seen) -> ReplicationInfo | None:
            try:
                side = self.at.replication(seen, name)
            except Unreachable as trouble:
                if trouble.passing or seen.result("promote") is None:
                    raise
                return None
            if side.role == "master":
                seen.answer(MARKERS).saw_promoted()
            return side

        def judge(side: ReplicationInfo | None, seen: Seen) -> Finding:
            if side is None:
                return go("it refuses its earlier password; reading the current one next")
            if side.role == "master" and seen.result("promote") is None:
                hint = f"inspect it: avn service integration-list {name}"
                return stop(f"{name} was promoted by somebody else", hint=hint)
            return shared.judge(side, seen)

        step: Step[Any] = shared
        return replace(step, read=Probe(read), judge=judge, final=False)

    def _accept_writes(self, *, anew: bool = False) -> Step[str]:
        """A password that is refused ends the waiting: what it is now has to be read first.

        ``anew``: with what Aiven shows by now, which may take effect some time later.
        """
        slug, name, rule = "accepts-writes", self.temporary_replica, "a write succeeds and can be read back"

        def read(seen: Seen) -> str:
            try:
                return "accepted" if accepts_write(server(self, seen)) else ""
            except Unreachable as trouble:
                return "" if anew or trouble.passing else f"it refuses: {trouble.detail or trouble.what}"

        def judge(answer: str, _: Seen) -> Finding:
            if not answer:
                return wait("it does not accept writes yet")
            return go(rule if answer == "accepted" else answer, accepted=answer == "accepted")

        def unneeded(seen: Seen) -> str:
            return "it accepts writes already" if anew and seen.answer(slug) == "accepted" else ""

        return Step(
            slug=f"{slug}-anew" if anew else slug,
            purpose=f"write to {name} with its current password" if anew else f"write to {name} and read it back",
            read=Probe(read),
            rule=rule,
            judge=judge,
            poll=Poll(limit=self.promote_timeout, first=FAST, interval=0.1),
            unneeded=unneeded,
        )

    def _see_received(self) -> Step[Received]:
        def read(seen: Seen) -> Received:
            beat: Heartbeat = seen.answer(MARKERS)
            found = beat.received(server(self, seen))
            beat.stop()
            return found

        def judge(found: Received, _: Seen) -> Finding:
            if found.bound is None:
                return go("no marker arrived: what was not received can't be bounded", bound_ms=None)
            bound = round(found.bound * 1000, 1)
            what = f"it has marker {found.newest}, so all that {self.primary} acknowledged up to {bound:g} ms before"
            return go(f"{what} its promotion was seen", bound_ms=bound, markers=found.sent, newest=found.newest)

        return Step(
            slug="received",
            purpose=f"find out what {self.temporary_replica} had received when it was promoted",
            read=Probe(read),
            rule="the newest marker that arrived is read",
            judge=judge,
            optional=True,
        )

    # -- what is asked

    def question(self, seen: Seen) -> Question:
        name = self.temporary_replica
        end = "kept (--keep)" if self.keep else "terminated at the end, however the drill ends"
        return Question(
            answer="yes",
            text="Type yes to begin; anything else stops here, with nothing changed: ",
            consequences={
                "made": f"{name}, {self.replica_plan} in {self.replica_cloud}, a read replica of {self.primary}",
                "costs": costs(self, seen),
                "then": f"{name} is promoted, examined and {end}",
                self.primary: "is not changed and keeps serving; markers are written to it, and its keys are read",
            },
        )

    # -- how it ended

    def half_way(self, ended: Ended) -> tuple[tuple[str, ...], dict[str, Any]]:
        sent = ended.seen.result(CREATE)
        if not sent:
            return (), {}
        found = result(self, ended)
        return () if sent == "refused" or found["terminated"] else (left(self),), found

    def checked(self, ended: Ended) -> Outcome:
        primary, name = self.primary, self.temporary_replica
        found = {"primary": primary, "temporary_replica": name, "would_go": True, "cost": cost(self, ended)}
        line = f"{primary}: all pre-checks passed; {name} would be created: {costs(self, ended.seen)}"
        return Outcome(result=found, lines=(line,))

    def outcome(self, ended: Ended) -> Outcome:
        found = result(self, ended)
        if self.keep:
            found["terminate"] = terminate_words(self.at.project, self.temporary_replica)
        return Outcome(result=found, lines=tuple(lines(self, found)), problem=problem(self, found["assumptions"]))


# -- what it reports


def hourly(want: DrillOptions, seen: Seen) -> float | None:
    """US dollars an hour; None: avn does not report it."""
    offers = seen.answer("offers")
    key = (seen.service(want.primary).type, want.replica_plan, want.replica_cloud)
    return offers.get(key, Offer()).usd_an_hour if offers else None


def costs(want: DrillOptions, seen: Seen) -> str:
    if (hour := hourly(want, seen)) is None:
        return "the price of its plan: avn does not report it"
    return f"{hour:g} USD an hour, by Aiven's price list"


def cost(want: DrillOptions, ended: Ended) -> dict[str, Any]:
    """For as long as it existed, as far as that was seen."""
    hour, began, gone = hourly(want, ended.seen), ended.sent_at(CREATE), ended.done(TERMINATE)
    existed = 0.0 if began is None else (gone or ended.timeline[-1]).at - began
    estimate = round(hour * existed / 3600, 4) if hour is not None and existed else None
    return {"usd_an_hour": hour, "seconds": round(existed), "estimate_usd": estimate}


def result(want: DrillOptions, ended: Ended) -> dict[str, Any]:
    seen, received, gone = ended.seen, ended.done("received"), ended.done(TERMINATE)
    name = want.temporary_replica
    started = next(one for one in ended.timeline if isinstance(one, events.RunStarted))
    terminated = bool(gone and gone.finding.facts.get("gone"))
    temporary = described(seen.latest[name]) if seen.answer("temporary-replica-running") else {"name": name}
    role = "terminated" if terminated else "kept, promoted" if want.keep and ended.done("promote") else "may be there"
    before = sides(primary=seen.checked.get(want.primary))
    return {
        "primary": want.primary,
        "temporary_replica": name,
        "before": before,
        "after": [*before, {**temporary, "role": role}],
        "project": want.at.project.name,
        "avn": started.facts.get("avn"),
        "level": want.level,
        "proven_by": proven_by(want, ended),
        "rto_ms": _rto(ended),
        "not_received_ms": received.finding.facts.get("bound_ms") if received else None,
        "assumptions": assumptions.table([*_tried(ended), *_shown_by_the_end(want, ended)]),
        "cost": cost(want, ended),
        "terminated": terminated,
        **evidence(seen),
    }


def proven_by(want: DrillOptions, ended: Ended) -> str:
    """The level that the steps which are done came to; keys that are not there prove nothing."""
    if ended.done("compare"):
        return want.level if ended.seen.answer("compare").keys else "marker (there were no keys to compare)"
    return next((level for level in ("marker", "link") if ended.done(level)), "nothing")


def _rto(ended: Ended) -> float | None:
    """Milliseconds from the deletion of the integration to the first accepted write."""
    began = ended.sent_at("promote")
    tried = (ended.done("accepts-writes"), ended.done("accepts-writes-anew"))
    accepted = next((one.at for one in tried if one and one.finding.facts.get("accepted")), None)
    return None if began is None or accepted is None else round((accepted - began) * 1000, 1)


def _tried(ended: Ended) -> list[dict[str, Any]]:
    """What each trial came to; one that failed tested nothing."""
    return [
        _row(one.slug, "not tested", "; ".join(one.finding.warnings))
        if one.outcome == "failed" and one.slug in assumptions.BY_NAME
        else dict(one.finding.facts)
        for one in ended.timeline
        if isinstance(one, events.StepDone)
    ]


def _shown_by_the_end(want: DrillOptions, ended: Ended) -> list[dict[str, Any]]:
    """What the end of a run shows that did not come to its trials."""
    ends = {one.slug: one for one in ended.timeline if isinstance(one, events.ChangeEnded)}
    refused = {slug for slug, one in ends.items() if one.refused}
    rows = []
    if "promote" in ends.keys() - refused and not ended.done("promote") and isinstance(ended.problem, TimedOut):
        saw = f"it was not a master within {want.promote_timeout:g} s after the integration was deleted"
        rows.append(_row("deletion-promotes", "does not hold", saw))
    rights = {"promote": "the deletion of its integration was refused", TERMINATE: "its termination was refused"}
    if saw := "; ".join(text for slug, text in rights.items() if slug in refused):
        rows.append(_row("token-rights", "does not hold", saw))
    if CREATE in refused:  # why, the platform says in words only
        names = ("plan-names", "replicas-are-offered", "token-rights")
        rows += [_row(name, "not tested", "the creation was refused") for name in names]
    return rows


def _row(name: str, outcome: str, saw: str) -> dict[str, Any]:
    return {"assumption": name, "outcome": outcome, "saw": saw}


def left(want: DrillOptions) -> str:
    name, at = want.temporary_replica, want.at
    if want.keep:
        return f"{name} is kept, and billed, until: {terminate_words(at.project, name)}"
    clean = shlex.join(("ccr-avn", "drill", "--clean", "--only", name, *at.options))
    return f"{name} may still exist, and is then billed: {clean}"


def problem(want: DrillOptions, rows: list[dict[str, Any]]) -> NotProven | None:
    """A critical assumption that does not hold, or that nobody knows of."""
    critical = [one for one in rows if one["critical"] and one["outcome"] != "holds"]
    failed = [one for one in critical if one["outcome"] != assumptions.UNTRIED]
    if not critical:
        return None
    what = "would not complete as intended here" if failed else "is not proven to complete as intended here"
    found = NotProven(
        f"a switchover of {want.primary} {what}",
        detail="; ".join(f"{one['name']}: {one['outcome']}: {one['saw']}" for one in critical),
        hint="; ".join(f"{one['name']}: {one['otherwise']}" for one in failed)
        or f"repeat the drill: ccr-avn drill {want.primary} --replica-cloud {want.replica_cloud}",
    )
    found.resumable = False
    return found


def lines(want: DrillOptions, found: dict[str, Any]) -> list[Line]:
    name, rto, bound, cost = want.temporary_replica, found["rto_ms"], found["not_received_ms"], found["cost"]
    hour, estimate = cost["usd_an_hour"], cents(cost["estimate_usd"] or 0)
    waited = "not measured" if rto is None else f"{rto / 1000:.1f} s"
    lost = "not bounded" if bound is None else f"at most the last {bound:.0f} ms"
    return [
        f"drill of {want.primary} on {name}: proven by {found['proven_by']}, promoted, examined",
        (
            ("RTO", waited, "from the deletion of the integration to the first accepted write"),
            ("not received", lost, "of the writes acknowledged before the promotion was seen"),
        ),
        *_table(found["assumptions"]),
        left(want) if want.keep else f"{name} is terminated and gone; {want.primary} was not changed",
        *([] if hour is None else [f"cost: {estimate} ({hour:g} USD an hour)"]),
    ]


def _table(rows: list[dict[str, Any]]) -> list[Line]:
    """Those that were tried, then those that a drill can't try in one line."""
    untried = [one["name"] for one in rows if assumptions.BY_NAME[one["name"]].untried]
    tried = [one for outcome in assumptions.ORDER for one in rows if one["outcome"] == outcome]
    tried = [one for one in tried if one["name"] not in untried]
    failed = [(one["name"], one["otherwise"]) for one in tried if one["outcome"] == "does not hold"]
    return [
        [(one["outcome"], one["name"], one["saw"]) for one in tried],
        [("not tested by a drill:", ", ".join(untried))],
        *(("what ccr-avn does if an assumption does not hold:", failed) if failed else ()),
    ]
