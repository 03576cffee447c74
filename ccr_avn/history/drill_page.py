"""What the report of a drill adds to that of any run: RTO and RPO, the assumptions, the cost, the temporary replica's fate."""

from dataclasses import dataclass
from typing import Any

from ccr_avn.history.summary import Story, mapping, mappings, number, string
from ccr_avn.procedures.gates import assumptions
from ccr_avn.procedures.temporary_replica import CREATE, TERMINATE
from ccr_avn.units import format_duration

RTO = "from the deletion of the integration to the first accepted write"
BOUND = "of what the primary acknowledged before the promotion was seen: a bound, measured by markers"

CLASSES = {"holds": "holds", "does not hold": "fails", "not tested": "untried"}
SEVERAL = {"holds": "hold", "does not hold": "do not hold"}
ORDER = ("does not hold", "holds", "not tested")
"""What needs attention comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One assumption. ``kind``: for its colour; ``then``: what ccr-avn does, where it does not hold."""

    name: str
    what: str
    outcome: str
    kind: str
    saw: str
    then: str
    critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``counts``: how many of each outcome, in words; ``facts``: plan, cost and the like, each with its label."""

    rows: tuple[Row, ...]
    counts: str
    facts: tuple[tuple[str, str], ...]


def page(story: Story) -> Page | None:
    """None: of any other command, or of a drill that made nothing."""
    if story.command != "drill" or _not_begun(story):
        return None
    rows = tuple(sorted(_rows(story), key=lambda one: ORDER.index(one.outcome)))
    counted = [(outcome, sum(one.outcome == outcome for one in rows)) for outcome in ORDER]
    return Page(
        rows=rows,
        counts=", ".join(
            f"{count} {SEVERAL.get(outcome, outcome) if count > 1 else outcome}" for outcome, count in counted if count
        ),
        facts=tuple((label, value) for label, value in _facts(story) if value),
    )


def figures(story: Story) -> list[dict[str, str]]:
    """The two that a drill is made for."""
    rto, behind = number(story.result.get("rto_ms")), number(story.result.get("not_received_ms"))
    return [
        {"label": "RTO", "value": "not measured" if rto is None else format_duration(rto / 1000), "how": RTO},
        {
            "label": "Not received",
            "value": "not measured" if behind is None else f"≤ {format_duration(behind / 1000)}",
            "how": BOUND,
        },
    ]


def fate(story: Story) -> str:
    """The fate of the temporary replica, as far as the journal shows."""
    step = story.step(TERMINATE)
    if step and step.facts.get("gone"):
        return "terminated"
    if string(story.result.get("terminate")):
        return "kept, promoted"
    made = story.step(CREATE)
    if made is None or not made.sent:
        return "not made"
    return "not made" if story.changed is False else "may be there"


def promoted(story: Story) -> bool:
    step = story.step("promote")
    return bool(step and step.shown)


def _not_begun(story: Story) -> bool:
    made = story.step(CREATE)
    return made is None or not made.sent


def _rows(story: Story) -> list[Row]:
    """From the closing line; for a drill that was killed, as far as it got."""
    return [
        _row(one)
        for one in mappings(story.result.get("assumptions")) or assumptions.table(step.facts for step in story.steps)
    ]


def _row(told: dict[str, Any]) -> Row:
    outcome = string(told.get("outcome"))
    outcome = outcome if outcome in ORDER else "not tested"
    return Row(
        name=string(told.get("name")),
        what=string(told.get("what")),
        outcome=outcome,
        kind=CLASSES[outcome],
        saw=string(told.get("saw")),
        then=string(told.get("otherwise")) if outcome == "does not hold" else "",
        critical=told.get("critical") is True,
    )


def _facts(story: Story) -> list[tuple[str, str]]:
    cost = mapping(story.result.get("cost"))
    hour, existed, estimate = (number(cost.get(key)) for key in ("usd_an_hour", "seconds", "estimate_usd"))
    plan, cloud = (string(story.facts.get(key)) for key in ("replica_plan", "replica_cloud"))
    return [
        ("Temporary replica", string(story.facts.get("temporary_replica"))),
        ("Plan", f"{plan} in {cloud}" if plan and cloud else ""),
        ("Data proven by", string(story.result.get("proven_by") or story.facts.get("level"))),
        ("Existed for", format_duration(existed) if existed else ""),
        ("Price", f"{hour:g} USD an hour, by Aiven's price list" if hour is not None else "not reported by avn"),
        ("Cost", "" if estimate is None else cents(estimate)),
    ]


def cents(usd: float) -> str:
    return "less than 0.01 USD" if usd < 0.005 else f"about {usd:.2f} USD"
