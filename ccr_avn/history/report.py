"""Reports of runs: figures, the pair before and after, risks, every command; as HTML and Markdown."""

import re
import shlex
import statistics
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ccr_avn.history import resume
from ccr_avn.history.records import Assumption, Pair, Record, Risk, Side, verify
from ccr_avn.history.story import Span, StepStory, Story, summarize
from ccr_avn.printable import printable
from ccr_avn.procedures.drill import assumptions
from ccr_avn.procedures.drill.ours import CREATE
from ccr_avn.units import cents, exact_bytes, format_duration

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"

WORDS = {"found": "already so", "changed": "done", "proven": "ok", "failed": "left undone"}
"""Outcomes as a person says them; the others are words already."""

UNFINISHED = {"open": "Incomplete: it was killed, or is still running", "not confirmed": "Not confirmed"}

RTO_SWITCHOVER = "from pausing writes to the first accepted write"
RTO_FAILOVER = "from typing the command to the first accepted write"


Figure = dict[str, str]
"""What is shown in large type: a label, a value, and how it was got."""

Ticks = list[tuple[float, str]]
"""The marks of the axis: how far from the left, in percent, and what stands there."""


class Bar(NamedTuple):
    kind: str
    left: float
    width: float
    title: str


def render(record: Record, form: Literal["html", "md"]) -> str:
    """html: one self-contained page, nothing loaded from elsewhere, no script; md: for a ticket."""
    story, verdict = summarize(record), verify(record)
    of_many = story.command == "evacuate"
    cut_off = story.state == "open" and len(verdict.findings) == 1  # which is said anyway
    text = _template(f"{'evacuation' if of_many else 'run'}.{form}.j2").render(
        story=story,
        record=record,
        verdict=verdict,
        damage=() if cut_off else verdict.findings,
        known=resume.last_known(story),
        unfinished=UNFINISHED.get(story.state, "Not everything is done" if of_many else "It failed"),
        next=resume.next_command(story),
        when=f"{story.began[:10]} {story.began[11:19]} UTC" if story.began else "not known",
        **(_of_many(story) if of_many else _of_one(story)),
    )
    return re.sub(r"\n{3,}", "\n\n", printable(text))


def _of_many(story: Story) -> dict[str, Any]:
    pairs = in_order(story)
    rows, axis = over_time(pairs)
    return {"figures": evacuation_figures(story), "pairs": pairs, "rows": rows, "ticks": axis}


def _of_one(story: Story) -> dict[str, Any]:
    total = max(story.seconds, 0.001)
    steps = [step for step in story.steps if step.spans]
    final = next((step.sent for step in steps if step.final and step.sent is not None), None)
    before, after = sides(story)
    return {
        "figures": headline(story),
        "before": before,
        "after": after,
        "exposure": exposure(story),
        "drill": drill_page(story),
        "rows": [(step, bars(step.slug, step.spans, total)) for step in steps],
        "ticks": ticks(total),
        "paused": paused(story, total),
        "final": None if final is None else percent(final, total),
        "lag": lag_line(story.lag, total),
    }


def sides(story: Story) -> tuple[tuple[Side, ...], tuple[Side, ...]]:
    """The services before and after the run, as its result describes them; who came later was missing before."""
    there = {side.name for side in story.result.before}
    missing = (Side(name=side.name, role="missing") for side in story.result.after if side.name not in there)
    return (*story.result.before, *missing), story.result.after


def paused(story: Story, total: float) -> tuple[float, float] | None:
    """Left and width of the time in which writes were paused."""
    fence, opened, outage = story.step("fence"), story.step("accepts-writes"), story.result.write_outage_ms
    if not fence or fence.outcome != "changed" or outage is None:
        return None
    began = fence.ended if fence.answered is None else fence.answered
    ended = opened.ended if opened and opened.outcome == "proven" else began + outage / 1000
    return percent(began, total), percent(ended - began, total)


def exposure(story: Story) -> list[Risk]:
    """What is exposed after the run, each with what fixes it."""
    closed = f"{story.primary} is closed to clients; to open it again"
    again = [Risk(what="then" if turn else closed, fix=one) for turn, one in enumerate(story.result.restore)]
    return [*story.result.risks, *again]


def headline(story: Story) -> list[Figure]:
    match story.command:
        case "drill":
            measured = drill_figures(story)
        case "switchover" | "failover":
            measured = _objectives(story)
        case _:
            measured = _proof(story)
    reached = [step for step in story.steps if step.outcome != "not reached"]
    how = f"{len(reached)} steps, {_changing(story, reached)}"
    if story.asked:
        how += f"; {format_duration(story.asked)} at the question not counted"
    return [*measured, figure("Took", format_duration(story.seconds), how)]


def figure(label: str, value: str | None, how: str) -> Figure:
    return {"label": label, "value": "not measured" if value is None else value, "how": how}


def _changing(story: Story, reached: list[StepStory]) -> str:
    changed = sum(step.outcome == "changed" for step in reached)
    doubtful = [step.slug for step in reached if step.sent is not None and not step.shown]
    if doubtful and story.changed is not False:
        return f"{changed} of which changed something; whether {', '.join(doubtful)} did is unknown"
    return f"{changed or 'none'} of which changed something"


def _objectives(story: Story) -> list[Figure]:
    """RPO and RTO of a promotion, or why there is none."""
    promote, result = story.step("promote"), story.result
    outcome = promote.outcome if promote else "not reached"
    value, why = "not measured", ""
    if outcome == "found":
        why = "it had been promoted before this run"
    elif outcome != "changed" and (promote is None or promote.sent is None):
        why = "nothing was promoted"
    elif outcome != "changed" and story.changed is False:
        why = "nothing was promoted: Aiven refused"
    elif outcome != "changed":
        value, why = "unknown", "the promotion was sent; whether it took effect is not known"
    if why:
        return [figure(label, value, why) for label in ("RPO", "RTO")]
    if story.command == "failover":
        seconds, first = result.loss_seconds, result.seconds_to_first_write
        how = f"an estimate: {result.loss_how}" if result.loss_how else "how much may be lost is unknown"
        return [
            figure("RPO", "unknown" if seconds is None else f"≈ {seconds:g} s", how),
            figure("RTO", None if first is None else format_duration(first), RTO_FAILOVER),
        ]
    lost, outage = result.bytes_not_replicated, result.write_outage_ms
    how = f"acknowledged by {story.primary} and not on {story.replica} when it was promoted"
    return [
        figure("RPO", None if lost is None else exact_bytes(int(lost)), how),
        figure("RTO", None if outage is None else format_duration(outage / 1000), RTO_SWITCHOVER),
    ]


def _proof(story: Story) -> list[Figure]:
    """For `enable` and `verify`: what showed that data arrives."""
    result = story.result
    if result.arrived is not None:
        arrived = f"{result.arrived} of {result.samples or '?'}"
        shown = [figure("Markers arrived", arrived, "written to the primary, read from the replica")]
        if result.median_ms is not None and result.maximum_ms is not None:
            how = f"median; the longest took {result.maximum_ms:g} ms"
            shown.append(figure("Lag", f"{result.median_ms:g} ms", how))
        return shown
    if result.lag_bytes is not None:
        return [figure("Lag", f"{result.lag_bytes} bytes", "from the offsets of both sides")]
    return [figure("Replication", "not proven", "neither markers nor the link were checked")]


# -- of a drill

RTO = "from the deletion of the integration to the first accepted write"
BOUND = "of the writes the primary acknowledged before the promotion was seen: an upper bound, measured by markers"

SEVERAL = {"holds": "hold", "does not hold": "do not hold"}


def drill_page(story: Story) -> dict[str, Any] | None:
    """Every assumption, how many of them held, what was made and what it cost; None: no drill, or one that made nothing."""
    made = story.step(CREATE)
    if story.command != "drill" or made is None or made.sent is None:
        return None
    so_far = assumptions.table(step.found.facts for step in story.steps)  # of a drill that was killed
    every = story.result.assumptions or tuple(map(Assumption.model_validate, so_far))
    rows = [one for outcome in assumptions.ORDER for one in every if one.outcome == outcome]
    counts = (
        f"{count} {SEVERAL.get(outcome, outcome) if count > 1 else outcome}"
        for outcome, count in Counter(one.outcome for one in rows).items()
    )
    return {"rows": rows, "counts": ", ".join(counts), "facts": [one for one in _drill_facts(story) if one[1]]}


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


# -- of an evacuation

ORDER = ("half-way", "failed", "refused", "under way", "not begun", "skipped", "done")
"""What needs attention comes first."""


def in_order(story: Story) -> list[Pair]:
    return sorted(story.pairs, key=lambda one: (ORDER.index(one.state) if one.state in ORDER else len(ORDER), one.pair))


def over_time(pairs: list[Pair]) -> tuple[list[tuple[Pair, list[Bar]]], Ticks]:
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
    label, outages = "Write outage", sorted(one.outage_ms for one in story.pairs if one.outage_ms is not None)
    if not (found := spread(outages)):
        return figure(label, None, "writes were not paused, or no pause was seen from its beginning to its end")
    middle, high, worst = (format_duration(found[key] / 1000) for key in ("median", "p95", "worst"))
    how = f"the longest; median {middle}, 95 % at most {high}, of {len(outages)} pairs"
    if story.result.outages_not_measured:
        how += f"; not measured of {story.result.outages_not_measured}"
    return figure(label, worst, how)


def spread(outages: list[float]) -> dict[str, float] | None:
    """Median, 95th percentile and worst, in milliseconds, of outages in order."""
    if not outages:
        return None
    return {
        "median": round(statistics.median(outages), 1),
        "p95": outages[round(0.95 * (len(outages) - 1))],
        "worst": outages[-1],
    }


# -- charts

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds between two marks of the axis: the first that needs at most six of them."""
MOST = 60
"""Marks on the axis, whatever a damaged journal says of time."""
FEW = 3
"""Looks at the lag, below which there is nothing to draw."""
LEAST = 0.5
"""Percent: a bar is never narrower, so that a step of a millisecond can still be seen."""


def ticks(total: float) -> Ticks:
    """``total``: seconds."""
    step = next((one for one in TICKS if total / one <= 6), TICKS[-1])
    marks = [mark * step for mark in range(min(int(total / step), MOST) + 1)]
    return [(percent(mark, total), _label(mark)) for mark in marks]


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


def lag_line(lag: Sequence[tuple[float, int]], total: float) -> dict[str, Any] | None:
    """Points from the top left, ``most`` and ``last`` in bytes. None: words say it better.

    A line needs several samples, and a replica that was behind.
    """
    most = max((behind for _, behind in lag), default=0)
    if len(lag) < FEW or most <= 0:
        return None
    points = tuple((percent(at, total), round(100 - behind / most * 100, 3)) for at, behind in lag)
    return {"points": points, "most": most, "last": lag[-1][1]}


def percent(seconds: float, total: float) -> float:
    return round(min(100.0, max(0.0, seconds / total * 100)), 3)


def _label(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if not rest else f"{minutes}:{rest:02}"


@cache
def _template(name: str) -> "Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "took": format_duration,
        # In a Markdown table a bar or a line's end would break the row, and HTML would be taken for such.
        "cell": lambda words: re.sub(r"\s+", " ", words).replace("|", "\\|").replace("<", "&lt;"),
        "bytes": exact_bytes,
        "sentence": lambda words: words[:1].upper() + words[1:],
        "outcome": lambda one: WORDS.get(one, one),
        "command": shlex.join,
    }
    environment.tests["replicating"] = lambda pair: [side.role for side in pair] == ["primary", "replica"]
    return environment.get_template(name)
