"""One run as a page for an auditor or as markdown for a ticket. The same journal gives the same report, byte for byte."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn import resume
from ccr_avn.figures import Figures, draw
from ccr_avn.figures_of_many import many
from ccr_avn.printable import printable
from ccr_avn.runs import Verdict
from ccr_avn.sides import Side, pair_before, pair_now
from ccr_avn.story import StepTold, Story, number, took

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"

WORDS = {"found": "already so", "changed": "done", "proven": "ok", "failed": "left undone"}
"""Outcomes as a person says them; the others are words already."""

RTO_SWITCHOVER = "from holding writes back to the first write accepted"
RTO_FAILOVER = "from typing the command to the first write accepted"


def html(story: Story, verdict: Verdict) -> str:
    """The page: one file, nothing loaded from elsewhere, no script."""
    if story.command == "evacuate":
        return _of_many("evacuation.html.j2", story, verdict)
    return _rendered("report.html.j2", story, verdict, draw(story))


def markdown(story: Story, verdict: Verdict) -> str:
    """For a ticket."""
    if story.command == "evacuate":
        return _of_many("evacuation.md.j2", story, verdict)
    return _rendered("report.md.j2", story, verdict, draw(story))


def headline(story: Story) -> list[dict[str, str]]:
    """What to show in large type: each with a label, a value and how it was got."""
    shown = _objectives(story) if story.command in ("switchover", "failover") else _proof(story)
    reached = [step for step in story.steps if step.outcome != "not reached"]
    how = f"{len(reached)} steps, {_changing(story, reached)}"
    if story.asked:
        how += f"; {took(story.asked)} at the question are not counted"
    return [*shown, {"label": "Took", "value": took(story.seconds), "how": how}]


def _changing(story: Story, reached: list[StepTold]) -> str:
    changed = sum(step.outcome == "changed" for step in reached)
    doubtful = [step.slug for step in reached if step.sent and not step.shown]
    if doubtful and story.changed is not False:
        return f"{changed} of which changed something; whether {', '.join(doubtful)} did is unknown"
    return f"{changed or 'none'} of which changed something"


def exposure(story: Story) -> list[dict[str, str]]:
    """What is exposed after the run, each with what mends it."""
    found = story.result.get("exposure")
    items = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    told = [{"what": str(one.get("what", "")), "mend": str(one.get("mend", ""))} for one in items]
    restore = story.result.get("restore")
    commands = restore if isinstance(restore, list) else [restore] if restore else []
    closed = f"{story.primary} is closed to clients; to open it again"
    return [*told, *({"what": "then" if turn else closed, "mend": str(one)} for turn, one in enumerate(commands))]


def _objectives(story: Story) -> list[dict[str, str]]:
    """RPO and RTO, or why there is none."""
    promote = story.step("promote")
    outcome = promote.outcome if promote else "not reached"
    if outcome == "found":
        return _both("none", "it had been promoted before this run")
    if outcome != "changed":
        if promote is None or not promote.sent:
            return _both("none", "nothing was promoted")
        if story.changed is False:
            return _both("none", "nothing was promoted: the platform refused")
        return _both("unknown", "the promotion was sent; whether it took effect is not known")
    if story.command == "failover":
        return _forced(story)
    lost, outage = number(story.result.get("bytes_not_replicated")), number(story.result.get("write_outage_ms"))
    return [
        {
            "label": "RPO",
            "value": _bytes(int(lost)) if lost is not None else "not measured",
            "how": f"acknowledged by {story.primary} and not on {story.replica} when it was promoted",
        },
        {
            "label": "RTO",
            "value": took(outage / 1000) if outage is not None else "not measured",
            "how": RTO_SWITCHOVER,
        },
    ]


def _forced(story: Story) -> list[dict[str, str]]:
    told = story.result.get("rpo_estimate")
    estimate: dict[str, Any] = told if isinstance(told, dict) else {}
    seconds, outage = number(estimate.get("seconds")), number(story.result.get("seconds_to_first_write"))
    how = f"an estimate: {estimate['how']}" if estimate.get("how") else "nothing tells how much may be lost"
    return [
        {"label": "RPO", "value": f"≈ {seconds:g} s" if seconds is not None else "unknown", "how": how},
        {"label": "RTO", "value": took(outage) if outage is not None else "not measured", "how": RTO_FAILOVER},
    ]


def _both(value: str, why: str) -> list[dict[str, str]]:
    return [{"label": label, "value": value, "how": why} for label in ("RPO", "RTO")]


def _proof(story: Story) -> list[dict[str, str]]:
    """For `enable` and `verify`: what showed that data arrives."""
    marker = story.result.get("marker")
    link = story.result.get("link")
    shown = []
    if isinstance(marker, dict):
        value = f"{marker.get('arrived', '?')} of {marker.get('samples', '?')}"
        shown.append(
            {"label": "Markers arrived", "value": value, "how": "written to the primary, read from the replica"}
        )
        lag = number(marker.get("median_ms"))
        most = number(marker.get("maximum_ms"))
        if lag is not None and most is not None:
            shown.append({"label": "Lag", "value": f"{lag:g} ms", "how": f"median; the longest took {most:g} ms"})
    elif isinstance(link, dict):
        shown.append(
            {"label": "Lag", "value": f"{link.get('lag_bytes', '?')} bytes", "how": "as both sides' offsets tell"}
        )
    if not shown:
        shown.append({"label": "Replication", "value": "not proven", "how": "no marker and no link was looked at"})
    return shown


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
    words = {"took": took, "cell": _cell, "bytes": _bytes, "sentence": _sentence}
    environment.filters |= {**words, "outcome": lambda one: WORDS.get(one, one)}
    return environment.get_template(name)


def _of_many(template: str, story: Story, verdict: Verdict) -> str:
    text = _template(template).render(
        story=story,
        verdict=verdict,
        many=many(story),
        known=resume.last_known(story),
        again=resume.next_command(story),
        when=f"{story.began[:10]} {story.began[11:19]} UTC" if story.began else "not known",
    )
    return re.sub(r"\n{3,}", "\n\n", printable(text))


def _rendered(template: str, story: Story, verdict: Verdict, figures: Figures) -> str:
    before, now = pair_before(story), pair_now(story)
    text = _template(template).render(
        story=story,
        verdict=verdict,
        figures=figures,
        headline=headline(story),
        before=before,
        now=now,
        replicating=_replicating,
        exposure=exposure(story),
        known=resume.last_known(story),
        again=resume.next_command(story),
        when=f"{story.began[:10]} {story.began[11:19]} UTC" if story.began else "not known",
    )
    return re.sub(r"\n{3,}", "\n\n", printable(text))


def _replicating(sides: tuple[Side, ...]) -> bool:
    return [side.role for side in sides] == ["primary", "replica"]


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _cell(words: str) -> str:
    """Text within a markdown table, where a bar or a line's end would break the row and HTML would be taken for such."""
    return re.sub(r"\s+", " ", words).replace("|", "\\|").replace("<", "&lt;")


def _bytes(count: int) -> str:
    return f"{count:,} byte{'' if count == 1 else 's'}".replace(",", "\N{NO-BREAK SPACE}")
