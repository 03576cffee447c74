"""Runs a drill from its plan to its result: the question, the run with its time limit, the output."""

import shlex
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ccr_avn.aiven.models import Offer
from ccr_avn.aiven.program import Program
from ccr_avn.cli.drill import confirmed
from ccr_avn.cli.session import Session, show_preview
from ccr_avn.errors import CcrError, NotConfirmed, NotProven, TimedOut
from ccr_avn.history.drill_page import ORDER, cents
from ccr_avn.output import console
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.plan.preview import changes
from ccr_avn.procedures.drill import Drill, plan_drill
from ccr_avn.procedures.gates import assumptions
from ccr_avn.procedures.gates.drill import terminate_words
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import described
from ccr_avn.procedures.temporary_replica import CREATE, TERMINATE, DrillRequest
from ccr_avn.signals import unlimited


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilling:
    want: DrillRequest
    session: Session
    program: Program
    call_timeout: float  # seconds
    yes: bool

    def run(self, *, check: bool, dry_run: bool) -> None:
        want, procedure = self.want, plan_drill(self.want)
        if dry_run:
            show_preview("drill", procedure.plan, want.setting.avn, json=self.session.json, shown=changes)
            return
        self.session.facts |= {
            "primary": want.primary,
            "temporary_replica": want.drill,
            "project": want.setting.project.name,
            "replica_cloud": want.cloud,
            "replica_plan": want.plan,
            "level": want.level,
        }
        try:
            run = self.session.perform(
                procedure.plan,
                self.program,
                self.call_timeout,
                None if check else lambda begun: self._ask(begun, procedure),
                checks_only=check,
                explain=lambda begun, problem: self._explain(begun, problem, procedure),
                time_limit=want.limit,
            )
        except CcrError:
            raise
        except Exception:  # an internal error has no notes
            if self.session.run and self.session.run.seen.result(CREATE):
                console.warn(self._left())
            raise
        if check:
            result = {
                "primary": want.primary,
                "temporary_replica": want.drill,
                "would_go": True,
                "cost": self._cost(run, procedure),
            }
            line = (
                f"{want.primary}: all pre-checks passed; {want.drill} would be created: {self._costs(run, procedure)}"
            )
            self.session.finish(run, result, [line])
            return
        self._finish(run, procedure)

    def _ask(self, run: Run, procedure: Drill) -> None:
        """Say what will be made and what it costs.

        Raises:
            NotConfirmed: it was not wanted.
        """
        want = self.want
        fate = "kept (--keep)" if want.keep else "terminated at the end, however the drill ends"
        told = {
            "made": f"{want.drill}, {want.plan} in {want.cloud}, a read replica of {want.primary}",
            "costs": self._costs(run, procedure),
            "then": f"{want.drill} is promoted, examined and {fate}",
            want.primary: "is not changed and keeps serving; markers are written to it, its keys are read",
        }
        console.note(console.fitted(list(told.items()), console.columns("stderr")))
        if self.yes:
            return
        question, began = "Type yes to begin; anything else stops here, with nothing changed: ", time.monotonic()
        with unlimited():
            agreed = confirmed(question)
        asked = events.Asked(
            at=self.session.now(), question=question.strip(), confirmed=agreed, seconds=time.monotonic() - began
        )
        self.session.emit(asked)
        if not agreed:
            raise NotConfirmed(
                "not confirmed", detail="nothing was changed", hint="look first with --check or --dry-run"
            )

    def _price(self, run: Run, procedure: Drill) -> float | None:
        if not run.seen.has(procedure.offers):
            return None
        source = by_name(run.seen.of(procedure.pair), self.want.primary)
        kind = source.type if source else "valkey"
        offer: Offer = run.seen.of(procedure.offers).get((kind, self.want.plan, str(self.want.cloud)), Offer())
        return offer.usd_an_hour

    def _costs(self, run: Run, procedure: Drill) -> str:
        hour = self._price(run, procedure)
        return (
            "the price of its plan: avn does not report it"
            if hour is None
            else f"{hour:g} USD an hour, by Aiven's price list"
        )

    def _cost(self, run: Run, procedure: Drill) -> dict[str, Any]:
        hour = self._price(run, procedure)
        existed = self._existed()
        estimate = round(hour * existed / 3600, 4) if hour is not None and existed else None
        return {"usd_an_hour": hour, "seconds": round(existed), "estimate_usd": estimate}

    def _existed(self) -> float:
        """Seconds from its creation to its end, as far as it was seen."""
        timeline = self.session.timeline
        began = next((one.at for one in timeline if isinstance(one, events.ChangeStarted) and one.slug == CREATE), None)
        ended = next((one.at for one in self.session.done if one.slug == TERMINATE), None)
        return 0.0 if began is None else (self.session.now() if ended is None else ended) - began

    def _explain(self, run: Run, problem: CcrError, procedure: Drill) -> None:
        """What became of the temporary replica is in the notes already; how far the drill had come is not."""
        if sent := run.seen.result(CREATE):
            problem.result = self._result(run, procedure, problem)
            problem.resumable = False
            if sent != "refused" and not problem.result["terminated"]:
                problem.notes += (self._left(),)

    def _result(self, run: Run, procedure: Drill, problem: CcrError | None = None) -> dict[str, Any]:
        want, seen = self.want, run.seen
        done = {one.slug: one for one in self.session.done}
        service = procedure.find(seen, want.drill) if seen.has(procedure.up) else None
        received = done.get("received")
        gone = done.get(TERMINATE)
        terminated = bool(gone and gone.finding.facts.get("gone"))
        source = by_name(seen.of(procedure.pair), want.primary)
        before = [{**described(source), "role": "primary"}] if source else []
        temporary = described(service) if service else {"name": want.drill}
        role = "terminated" if terminated else "kept, promoted" if want.keep and "promote" in done else "may be there"
        return {
            "primary": want.primary,
            "temporary_replica": temporary,
            "before": before,
            "after": [*before, {**temporary, "role": role}],
            "project": want.setting.project.name,
            "avn": self.program.version,
            "level": want.level,
            "proven_by": _proven_by(procedure, seen, done),
            "rto_ms": self._rto(),
            "not_received_ms": received.finding.facts.get("bound_ms") if received else None,
            "assumptions": assumptions.table(
                [
                    *(one.finding.facts for one in done.values()),
                    *self._not_promoted(done, problem),
                    *self._no_backup(done),
                    *self._refused(),
                ]
            ),
            "cost": self._cost(run, procedure),
            "terminated": terminated,
            **procedure.proof.evidence(seen),
        }

    def _not_promoted(self, done: dict[str, events.StepDone], problem: CcrError | None) -> list[dict[str, str]]:
        """The deletion was accepted, and the run did not come behind it."""
        sent = self._sent("promote")
        if not sent or sent.refused or "promote" in done or not isinstance(problem, TimedOut):
            return []
        saw = f"it was not a master within {self.want.promote_timeout:g} s after the integration was deleted"
        return [{"assumption": "deletion-promotes", "outcome": "does not hold", "saw": saw}]

    def _sent(self, slug: str) -> events.ChangeEnded | None:
        """How the change of a step ended, if it did, and was sent."""
        ended = [one for one in self.session.timeline if isinstance(one, events.ChangeEnded) and one.slug == slug]
        return ended[-1] if ended and ended[-1].started else None

    def _refused(self) -> list[dict[str, str]]:
        """Why a creation is refused the platform says in words only; the other two are a matter of rights."""
        rights = {"promote": "the deletion of its integration was refused", TERMINATE: "its termination was refused"}
        told = [saw for slug, saw in rights.items() if (sent := self._sent(slug)) and sent.refused]
        found = [{"assumption": "token-rights", "outcome": "does not hold", "saw": "; ".join(told)}] if told else []
        if (made := self._sent(CREATE)) and made.refused:
            names, saw = ("plan-names", "replicas-are-offered", "token-rights"), "the creation was refused"
            found += [{"assumption": name, "outcome": "not tested", "saw": saw} for name in names]
        return found

    def _no_backup(self, done: dict[str, events.StepDone]) -> list[dict[str, str]]:
        """It may come later: that is no finding about the platform."""
        step = done.get("first-backup")
        if step is None or step.outcome != "failed":
            return []
        saw = f"none was listed within {self.want.backup_timeout:g} s"
        return [{"assumption": "first-backup", "outcome": "not tested", "saw": saw}]

    def _rto(self) -> float | None:
        """Milliseconds from the deletion of the integration to the first accepted write."""
        timeline = self.session.timeline
        began = next(
            (one.at for one in timeline if isinstance(one, events.ChangeStarted) and one.slug == "promote"), None
        )
        ended = [
            one.at
            for one in timeline
            if isinstance(one, events.StepDone)
            and one.slug.startswith("accepts-writes")
            and one.finding.facts.get("accepted")
        ]
        return None if began is None or not ended else round((ended[0] - began) * 1000, 1)

    def _finish(self, run: Run, procedure: Drill) -> None:
        want = self.want
        result = self._result(run, procedure)
        lines = [*_figures(want, result), *_table(result["assumptions"])]
        if want.keep:
            result["terminate"] = terminate_words(want.setting.project, want.drill)
            lines.append(self._left())
        else:
            lines.append(f"{want.drill} is terminated and gone; {want.primary} was not changed")
        if (hour := result["cost"]["usd_an_hour"]) is not None:
            lines.append(f"cost: {cents(result['cost']['estimate_usd'] or 0)} ({hour:g} USD an hour)")
        self.session.finish(run, result, lines, _problem(want, result["assumptions"]))

    def _left(self) -> str:
        want = self.want
        if want.keep:
            command = terminate_words(want.setting.project, want.drill)
            return f"{want.drill} is kept, and billed, until: {command}"
        clean = shlex.join(("ccr-avn", "drill", "--clean", "--only", want.drill, *want.setting.options))
        return f"{want.drill} may still exist, and is then billed: {clean}"


def _problem(want: DrillRequest, rows: list[dict[str, Any]]) -> NotProven | None:
    """A critical assumption that does not hold, or that nobody knows of."""
    critical = [one for one in rows if one["critical"] and one["outcome"] != "holds"]
    failed = [one for one in critical if one["outcome"] != assumptions.UNTRIED]
    if not critical:
        return None
    told = "would not complete as intended here" if failed else "was not shown to complete as intended here"
    problem = NotProven(
        f"a switchover of {want.primary} {told}",
        detail="; ".join(f"{one['name']}: {one['outcome']}: {one['saw']}" for one in critical),
        hint="; ".join(f"{one['name']}: {one['otherwise']}" for one in failed)
        or f"drill again: ccr-avn drill {want.primary} --replica-cloud {want.cloud}",
    )
    problem.resumable = False
    return problem


def _figures(want: DrillRequest, result: dict[str, Any]) -> list[str]:
    rto, behind = result["rto_ms"], result["not_received_ms"]
    told = (
        (
            "RTO",
            f"{rto / 1000:.1f} s" if rto is not None else "not measured",
            "from the deletion of the integration to the first accepted write",
        ),
        (
            "not received",
            f"at most the last {behind:.0f} ms" if behind is not None else "not bounded",
            "of what was acknowledged before the promotion was seen",
        ),
    )
    title = f"drill of {want.primary} on {want.drill}: proven by {result['proven_by']}, promoted, examined"
    return [title, console.fitted(told, console.columns("stdout"))]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Those that were tried, then those that a drill can't try in one line."""
    columns = console.columns("stdout")
    untried = [one["name"] for one in rows if assumptions.BY_NAME[one["name"]].untried]
    tried = sorted((one for one in rows if one["name"] not in untried), key=lambda one: ORDER.index(one["outcome"]))
    lines = [
        console.fitted([(one["outcome"], one["name"], one["saw"]) for one in tried], columns),
        console.fitted([("not tested by a drill:", ", ".join(untried))], columns),
    ]
    failed = [(one["name"], one["otherwise"]) for one in tried if one["outcome"] == "does not hold"]
    if failed:
        lines += ["what ccr-avn does if an assumption does not hold:", console.fitted(failed, columns)]
    return lines


def _proven_by(procedure: Drill, seen: Seen, done: Collection[str]) -> str:
    """The level that the steps which are ``done`` came to; keys that are not there prove nothing."""
    proof = procedure.proof
    if proof.compare and proof.compare.slug in done:
        return procedure.want.level if seen.of(proof.compare).keys else "marker (there were no keys to compare)"
    return next((one.slug for one in (proof.marker, proof.link) if one and one.slug in done), "nothing")
