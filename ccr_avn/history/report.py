"""Reports of runs: figures, the pair before and after, risks, every command; as HTML and Markdown."""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ccr_avn.history import pages, resume
from ccr_avn.history.pages import Figure, bars, figure, lag_line, percent, ticks
from ccr_avn.history.records import Record, Risk, Side, verify
from ccr_avn.history.story import StepStory, Story, summarize
from ccr_avn.printable import printable
from ccr_avn.units import exact_bytes, format_duration

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"

WORDS = {"found": "already so", "changed": "done", "proven": "ok", "failed": "left undone"}
"""Outcomes as a person says them; the others are words already."""

UNFINISHED = {"open": "Incomplete: it was killed, or is still running", "not confirmed": "Not confirmed"}

RTO_SWITCHOVER = "from pausing writes to the first accepted write"
RTO_FAILOVER = "from typing the command to the first accepted write"


def render(record: Record, form: Literal["html", "md"]) -> str:
    """html: one self-contained page, nothing loaded from elsewhere, no script; md: for a ticket."""
    story, verdict = summarize(record), verify(record)
    of_many = story.command == "evacuate"
    cut_off = story.state == "open" and len(verdict.findings) == 1  # which is said anyway
    text = _template(f"{'evacuation' if of_many else 'run'}.{form}.j2").render(
        story=story,
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
    pairs = pages.in_order(story)
    rows, axis = pages.over_time(pairs)
    return {"figures": pages.evacuation_figures(story), "pairs": pairs, "rows": rows, "ticks": axis}


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
        "drill": pages.drill_page(story),
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
            measured = pages.drill_figures(story)
        case "switchover" | "failover":
            measured = _objectives(story)
        case _:
            measured = _proof(story)
    reached = [step for step in story.steps if step.outcome != "not reached"]
    how = f"{len(reached)} steps, {_changing(story, reached)}"
    if story.asked:
        how += f"; {format_duration(story.asked)} at the question not counted"
    return [*measured, figure("Took", format_duration(story.seconds), how)]


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
