"""What a drill reports: what was measured, each assumption, the cost; and what is left of its temporary replica."""

import shlex
from typing import Any

from ccr_avn.aiven.models import Offer
from ccr_avn.errors import NotProven, TimedOut
from ccr_avn.plan import events
from ccr_avn.procedures.drill import assumptions
from ccr_avn.procedures.drill.ours import CREATE, TERMINATE, terminate_words
from ccr_avn.procedures.drill.temporary_replica import DrillOptions
from ccr_avn.procedures.proof import evidence
from ccr_avn.procedures.result import described, sides
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.verb import Ended, Line
from ccr_avn.units import cents


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
    what = "would not complete as intended here" if failed else "was not shown to complete as intended here"
    found = NotProven(
        f"a switchover of {want.primary} {what}",
        detail="; ".join(f"{one['name']}: {one['outcome']}: {one['saw']}" for one in critical),
        hint="; ".join(f"{one['name']}: {one['otherwise']}" for one in failed)
        or f"drill again: ccr-avn drill {want.primary} --replica-cloud {want.replica_cloud}",
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
            ("not received", lost, "of what was acknowledged before the promotion was seen"),
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
