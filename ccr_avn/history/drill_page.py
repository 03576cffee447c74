"""What the report of a drill adds to that of any run: RTO and RPO, the assumptions, the cost, the temporary replica."""

from dataclasses import dataclass

from ccr_avn.history.facts import Assumption
from ccr_avn.history.story import Story
from ccr_avn.procedures.drill import assumptions
from ccr_avn.procedures.drill.ours import CREATE, TERMINATE
from ccr_avn.units import cents, format_duration

RTO = "from the deletion of the integration to the first accepted write"
BOUND = "of what the primary acknowledged before the promotion was seen: a bound, measured by markers"

SEVERAL = {"holds": "hold", "does not hold": "do not hold"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``counts``: how many of each outcome, in words; ``facts``: plan, cost and the like, each with its label."""

    rows: tuple[Assumption, ...]
    counts: str
    facts: tuple[tuple[str, str], ...]


def page(story: Story) -> Page | None:
    """None: of any other command, or of a drill that made nothing."""
    made = story.step(CREATE)
    if story.command != "drill" or made is None or made.sent is None:
        return None
    so_far = assumptions.table(step.found.facts for step in story.steps)  # of a drill that was killed
    every = story.result.assumptions or tuple(map(Assumption.model_validate, so_far))
    rows = sorted(
        (one for one in every if one.outcome in assumptions.ORDER), key=lambda one: assumptions.ORDER.index(one.outcome)
    )
    counted = [(outcome, sum(one.outcome == outcome for one in rows)) for outcome in assumptions.ORDER]
    counts = (
        f"{count} {SEVERAL.get(outcome, outcome) if count > 1 else outcome}" for outcome, count in counted if count
    )
    return Page(rows=tuple(rows), counts=", ".join(counts), facts=tuple(one for one in _facts(story) if one[1]))


def figures(story: Story) -> list[dict[str, str]]:
    """The two that a drill is made for."""
    rto, behind = story.result.rto_ms, story.result.not_received_ms
    received = "not measured" if behind is None else f"≤ {format_duration(behind / 1000)}"
    return [
        {"label": "RTO", "value": "not measured" if rto is None else format_duration(rto / 1000), "how": RTO},
        {"label": "Not received", "value": received, "how": BOUND},
    ]


def temporary_replica(story: Story) -> str:
    """What became of the temporary replica, as far as the journal shows."""
    step, made = story.step(TERMINATE), story.step(CREATE)
    if step and step.noted.gone:
        return "terminated"
    if story.result.terminate:
        return "kept, promoted"
    sent = made is not None and made.sent is not None
    return "may be there" if sent and story.changed is not False else "not made"


def _facts(story: Story) -> list[tuple[str, str]]:
    facts, result = story.facts, story.result
    hour, existed, estimate = result.usd_an_hour, result.existed_seconds, result.estimate_usd
    price = f"{hour:g} USD an hour, by Aiven's price list" if hour is not None else "not reported by avn"
    return [
        ("Temporary replica", facts.temporary_replica),
        (
            "Plan",
            f"{facts.replica_plan} in {facts.replica_cloud}" if facts.replica_plan and facts.replica_cloud else "",
        ),
        ("Data proven by", result.proven_by or facts.level),
        ("Existed for", format_duration(existed) if existed else ""),
        ("Price", price),
        ("Cost", "" if estimate is None else cents(estimate)),
    ]
