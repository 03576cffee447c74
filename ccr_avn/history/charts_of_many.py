"""Charts of an evacuation's report: key figures, and one row of bars for each pair."""

from dataclasses import dataclass
from typing import Any

from ccr_avn.history.charts import Tick, ticks
from ccr_avn.history.summary import Story, listing, mappings, number, string
from ccr_avn.units import format_duration

ORDER = ("half-way", "failed", "refused", "under way", "not begun", "skipped", "done")
"""What needs attention comes first."""

LEAST = 0.4
"""Percent: a bar is never narrower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Percent of the whole width; ``kind``: checking, fenced, promoting, promoted or closing."""

    kind: str
    left: float
    width: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    name: str
    state: str
    action: str
    text: str
    outage: str
    run: str
    head: str
    on: str
    others: tuple[str, ...]  # what else there is to say of it
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    headline: tuple[dict[str, str], ...]
    rows: tuple[PairRow, ...]
    ticks: tuple[Tick, ...]
    enable: tuple[str, ...]
    still_open: tuple[str, ...]
    replicas_here: tuple[str, ...]


def many(story: Story) -> Many:
    spans = [span for one in story.pairs for span in _spans(one)]
    first = min((began for _, began, _ in spans), default=0.0)
    total = max((ended for _, _, ended in spans), default=0.0) - first
    rows = [_row(one, first, max(total, 0.001)) for one in story.pairs]
    return Many(
        headline=tuple(_headline(story)),
        rows=tuple(sorted(rows, key=lambda row: (_place(row.state), row.name))),
        ticks=ticks(max(total, 0.001)) if spans else (),
        enable=tuple(map(string, listing(story.result.get("enable")))),
        still_open=tuple(string(one.get("close")) for one in mappings(story.result.get("still_open"))),
        replicas_here=tuple(map(string, listing(story.result.get("replicas_in_cloud")))),
    )


def _place(state: str) -> int:
    return ORDER.index(state) if state in ORDER else len(ORDER)


def _headline(story: Story) -> list[dict[str, str]]:
    states = [string(one.get("state")) or "not begun" for one in story.pairs]
    moved = sum(state == "done" and bool(one.get("run")) for state, one in zip(states, story.pairs, strict=True))
    rest = {state: states.count(state) for state in ORDER if state != "done" and state in states}
    before = states.count("done") - moved
    how = [f"{before} were done before"] * bool(before) + [f"{count} {state}" for state, count in rest.items()]
    return [
        {"label": "Moved", "value": f"{moved} of {len(states)}", "how": ", ".join(how) or "all there were"},
        _lost(story),
        _outage(story),
        {"label": "Took", "value": format_duration(story.seconds), "how": "without the time at the question"},
    ]


def _lost(story: Story) -> dict[str, str]:
    told = [lost for one in story.pairs if (lost := number(one.get("bytes_not_replicated"))) is not None]
    seconds = [loss for one in story.pairs if (loss := number(one.get("estimated_loss_seconds"))) is not None]
    how = []
    if told:
        how.append(f"in all, of {len(told)} pairs whose histories were compared; {max(told):.0f} at worst")
    if seconds:
        how.append(f"failovers: the last {max(seconds):g} s of writes at worst, an estimate")
    value = f"{sum(told):.0f} bytes" if told else f"≈ {max(seconds):g} s" if seconds else "not measured"
    return {"label": "RPO", "value": value, "how": "; ".join(how) or "nothing was promoted, or it was not measured"}


def _outage(story: Story) -> dict[str, str]:
    told = sorted(ms for one in story.pairs if (ms := number(one.get("outage_ms"))) is not None)
    if not told:
        how = "writes were not paused, or no pause was seen from its beginning to its end"
        return {"label": "Write outage", "value": "not measured", "how": how}
    middle, high = told[len(told) // 2], told[round(0.95 * (len(told) - 1))]
    how = f"the longest; median {format_duration(middle / 1000)}, 95 % at most {format_duration(high / 1000)}, of {len(told)} pairs"
    if missing := int(number(story.result.get("outage_not_measured")) or 0):
        how += f"; not measured of {missing}"
    return {"label": "Write outage", "value": format_duration(told[-1] / 1000), "how": how}


def _row(one: dict[str, Any], first: float, total: float) -> PairRow:
    outage = number(one.get("outage_ms"))
    return PairRow(
        name=string(one.get("pair")),
        state=string(one.get("state")) or "not begun",
        action=string(one.get("action")),
        text=string(one.get("summary") or one.get("reason")),
        outage=format_duration(outage / 1000) if outage is not None else "",
        run=string(one.get("run")),
        head=string(one.get("journal_head")),
        on=string(one.get("goes_on_with") or one.get("hint")),
        others=tuple(map(string, (*listing(one.get("notes")), *listing(one.get("others"))))),
        bars=tuple(_bar(*span, first, total) for span in _spans(one)),
    )


def _bar(kind: str, began: float, ended: float, first: float, total: float) -> Bar:
    left = max(0.0, min(100 - LEAST, (began - first) / total * 100))
    width = max(LEAST, min(100 - left, (ended - began) / total * 100))
    return Bar(
        kind=kind,
        left=round(left, 3),
        width=round(width, 3),
        title=f"{kind}: {format_duration(max(0.0, ended - began))}",
    )


def _spans(one: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Phases as the journal has them; odd ones are passed over."""
    found = []
    for span in listing(one.get("phases")):
        if not isinstance(span, list) or len(span) != 3:
            continue
        began, ended = number(span[1]), number(span[2])
        if began is not None and ended is not None and isinstance(span[0], str):
            found.append((span[0], began, max(began, ended)))
    return found
