"""What reports of a drill and of an evacuation add to that of any run, and the charts of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ccr_avn.history.records import Assumption, Pair
from ccr_avn.history.story import Span, Story
from ccr_avn.procedures.drill import assumptions
from ccr_avn.procedures.drill.ours import CREATE
from ccr_avn.units import cents, format_duration

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds between two marks of the axis: the first that needs at most six of them."""
MOST = 60
"""Marks on the axis, whatever a damaged journal says of time."""
FEW = 3
"""Looks at the lag, below which there is nothing to draw."""
LEAST = 0.5
"""Percent: a bar is never narrower, so that a step of a millisecond can still be seen."""


Figure = dict[str, str]
"""What is shown in large type: a label, a value, and how it was got."""


def figure(label: str, value: str | None, how: str) -> Figure:
    return {"label": label, "value": "not measured" if value is None else value, "how": how}


class Bar(NamedTuple):
    kind: str
    left: float
    width: float
    title: str


class Tick(NamedTuple):
    left: float
    label: str


class Lag(NamedTuple):
    """Points from the top left; ``most`` and ``last`` in bytes."""

    points: tuple[tuple[float, float], ...]
    most: int
    last: int


def ticks(total: float) -> list[Tick]:
    """The marks of the axis. ``total``: seconds."""
    step = next((one for one in TICKS if total / one <= 6), TICKS[-1])
    marks = [mark * step for mark in range(min(int(total / step), MOST) + 1)]
    return [Tick(percent(mark, total), _label(mark)) for mark in marks]


def bars(name: str, spans: Sequence[Span], total: float) -> list[Bar]:
    """The parts of a row that can be seen; of one that is all too short the longest, as a sliver."""
    visible = [one for one in spans if one[2] - one[1] >= total * LEAST / 200]
    if spans and not visible:
        visible = [max(spans, key=lambda one: (one[0] == "change", one[2] - one[1]))]
    return [
        Bar(
            kind=kind,
            left=min(percent(began, total), 100 - LEAST),
            width=max(LEAST, min(percent(ended - began, total), 100 - percent(began, total))),
            title=f"{name}: {kind} {format_duration(max(0.0, ended - began))}",
        )
        for kind, began, ended in visible
    ]


def lag_line(lag: Sequence[tuple[float, int]], total: float) -> Lag | None:
    """A line needs several samples, and a replica that was behind; otherwise words say it better."""
    most = max((behind for _, behind in lag), default=0)
    if len(lag) < FEW or most <= 0:
        return None
    points = tuple((percent(at, total), round(100 - behind / most * 100, 3)) for at, behind in lag)
    return Lag(points=points, most=most, last=lag[-1][1])


def percent(seconds: float, total: float) -> float:
    return round(min(100.0, max(0.0, seconds / total * 100)), 3)


def _label(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if not rest else f"{minutes}:{rest:02}"


RTO = "from the deletion of the integration to the first accepted write"
BOUND = "of the writes the primary acknowledged before the promotion was seen: an upper bound, measured by markers"

SEVERAL = {"holds": "hold", "does not hold": "do not hold"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillPage:
    """``counts``: how many of each outcome, in words; ``facts``: plan, cost and the like, each with its label."""

    rows: tuple[Assumption, ...]
    counts: str
    facts: tuple[tuple[str, str], ...]


def drill_page(story: Story) -> DrillPage | None:
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
    return DrillPage(
        rows=tuple(rows), counts=", ".join(counts), facts=tuple(one for one in _drill_facts(story) if one[1])
    )


def drill_figures(story: Story) -> list[Figure]:
    """The two that a drill is made for."""
    rto, behind = story.result.rto_ms, story.result.not_received_ms
    return [
        figure("RTO", None if rto is None else format_duration(rto / 1000), RTO),
        figure("Not received", None if behind is None else f"≤ {format_duration(behind / 1000)}", BOUND),
    ]


def _drill_facts(story: Story) -> list[tuple[str, str]]:
    facts, result = story.facts, story.result
    plan = (facts.replica_plan, facts.replica_cloud)
    hour, existed, estimate = result.usd_an_hour, result.existed_seconds, result.estimate_usd
    price = f"{hour:g} USD an hour, by Aiven's price list" if hour is not None else "not reported by avn"
    return [
        ("Temporary replica", facts.temporary_replica),
        ("Plan", " in ".join(plan) if all(plan) else ""),
        ("Data proven by", result.proven_by or facts.level),
        ("Existed for", format_duration(existed) if existed else ""),
        ("Price", price),
        ("Cost", "" if estimate is None else cents(estimate)),
    ]


ORDER = ("half-way", "failed", "refused", "under way", "not begun", "skipped", "done")
"""What needs attention comes first."""


def in_order(story: Story) -> list[Pair]:
    return sorted(story.pairs, key=lambda one: (ORDER.index(one.state) if one.state in ORDER else len(ORDER), one.pair))


def over_time(pairs: list[Pair]) -> tuple[list[tuple[Pair, list[Bar]]], list[Tick]]:
    """The bars of every pair that was begun, and the axis below."""
    spans = [span for one in pairs for span in one.phases_seconds]
    first = min((began for _, began, _ in spans), default=0.0)
    total = max(0.001, max((ended for _, _, ended in spans), default=0.0) - first)
    rows = [(one, [(kind, began - first, ended - first) for kind, began, ended in one.phases_seconds]) for one in pairs]
    return [(one, bars(one.pair, phases, total)) for one, phases in rows if phases], ticks(total)


def evacuation_figures(story: Story) -> list[Figure]:
    states = [one.state for one in story.pairs]
    moved = sum(one.state == "done" and bool(one.run) for one in story.pairs)
    how = [f"{states.count(state)} {state}" for state in ORDER if state != "done" and state in states]
    if before := states.count("done") - moved:
        how.insert(0, f"{before} were done before")
    return [
        figure("Moved", f"{moved} of {len(states)}", ", ".join(how) or "all of them"),
        _lost(story),
        _outage(story),
        figure("Took", format_duration(story.seconds), "excluding the time at the question"),
    ]


def _lost(story: Story) -> Figure:
    lost = [one.bytes_not_replicated for one in story.pairs if one.bytes_not_replicated is not None]
    seconds = [one.estimated_loss_seconds for one in story.pairs if one.estimated_loss_seconds is not None]
    value, how = None, []
    if seconds:
        value = f"≈ {max(seconds):g} s"
        how = [f"failovers: the last {max(seconds):g} s of writes at worst, an estimate"]
    if lost:
        value = f"{sum(lost):.0f} bytes"
        how.insert(0, f"in all, of {len(lost)} pairs whose histories were compared; {max(lost):.0f} at worst")
    return figure("RPO", value, "; ".join(how) or "nothing was promoted, or it was not measured")


def _outage(story: Story) -> Figure:
    outages = sorted(one.outage_ms for one in story.pairs if one.outage_ms is not None)
    if not outages:
        return figure(
            "Write outage", None, "writes were not paused, or no pause was seen from its beginning to its end"
        )
    middle, high = (format_duration(outages[at] / 1000) for at in (len(outages) // 2, round(0.95 * (len(outages) - 1))))
    how = f"the longest; median {middle}, 95 % at most {high}, of {len(outages)} pairs"
    if story.result.outages_not_measured:
        how += f"; not measured of {story.result.outages_not_measured}"
    return figure("Write outage", format_duration(outages[-1] / 1000), how)
