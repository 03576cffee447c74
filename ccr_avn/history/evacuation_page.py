"""What the report of an evacuation shows: figures over all pairs, and one row of bars for each."""

from ccr_avn.history.facts import Pair
from ccr_avn.history.story import Story
from ccr_avn.history.timeline import Bar, Tick, bars, ticks
from ccr_avn.units import format_duration

ORDER = ("half-way", "failed", "refused", "under way", "not begun", "skipped", "done")
"""What needs attention comes first."""


def in_order(story: Story) -> list[Pair]:
    return sorted(story.pairs, key=lambda one: (ORDER.index(one.state) if one.state in ORDER else len(ORDER), one.pair))


def over_time(pairs: list[Pair]) -> tuple[list[tuple[Pair, list[Bar]]], list[Tick]]:
    """The bars of every pair that was begun, and the axis below."""
    spans = [span for one in pairs for span in one.phases]
    first = min((began for _, began, _ in spans), default=0.0)
    total = max(0.001, max((ended for _, _, ended in spans), default=0.0) - first)
    rows = [(one, [(kind, began - first, ended - first) for kind, began, ended in one.phases]) for one in pairs]
    return [(one, bars(one.pair, phases, total)) for one, phases in rows if phases], ticks(total)


def figures(story: Story) -> list[dict[str, str]]:
    states = [one.state for one in story.pairs]
    moved = sum(one.state == "done" and bool(one.run) for one in story.pairs)
    how = [f"{states.count(state)} {state}" for state in ORDER if state != "done" and state in states]
    if before := states.count("done") - moved:
        how.insert(0, f"{before} were done before")
    return [
        {"label": "Moved", "value": f"{moved} of {len(states)}", "how": ", ".join(how) or "all there were"},
        _lost(story),
        _outage(story),
        {"label": "Took", "value": format_duration(story.seconds), "how": "without the time at the question"},
    ]


def _lost(story: Story) -> dict[str, str]:
    lost = [one.bytes_not_replicated for one in story.pairs if one.bytes_not_replicated is not None]
    seconds = [one.estimated_loss_seconds for one in story.pairs if one.estimated_loss_seconds is not None]
    value, how = "not measured", []
    if seconds:
        value = f"≈ {max(seconds):g} s"
        how = [f"failovers: the last {max(seconds):g} s of writes at worst, an estimate"]
    if lost:
        value = f"{sum(lost):.0f} bytes"
        how.insert(0, f"in all, of {len(lost)} pairs whose histories were compared; {max(lost):.0f} at worst")
    return {"label": "RPO", "value": value, "how": "; ".join(how) or "nothing was promoted, or it was not measured"}


def _outage(story: Story) -> dict[str, str]:
    outages = sorted(one.outage_ms for one in story.pairs if one.outage_ms is not None)
    if not outages:
        how = "writes were not paused, or no pause was seen from its beginning to its end"
        return {"label": "Write outage", "value": "not measured", "how": how}
    middle, high = (format_duration(outages[at] / 1000) for at in (len(outages) // 2, round(0.95 * (len(outages) - 1))))
    how = f"the longest; median {middle}, 95 % at most {high}, of {len(outages)} pairs"
    if story.result.outage_not_measured:
        how += f"; not measured of {story.result.outage_not_measured}"
    return {"label": "Write outage", "value": format_duration(outages[-1] / 1000), "how": how}
