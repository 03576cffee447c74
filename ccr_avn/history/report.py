"""Reports of runs: figures, who is what now, risks; as HTML and Markdown."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn.history import drill_page, resume
from ccr_avn.history.charts import Charts, draw
from ccr_avn.history.charts_of_many import many
from ccr_avn.history.runs import Verdict
from ccr_avn.history.summary import StepTold, Story, mapping, mappings, number, string
from ccr_avn.printable import printable
from ccr_avn.units import exact_bytes, format_duration

if TYPE_CHECKING:
    from jinja2 import Template


CLOSED = {
    "close": "closed to client connections",
    "power-off": "powered off",
    "hold": "held until the run ended",
    "open": "open: still accepts writes",
}
"""What a switchover leaves the old primary as, by what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One service. ``role``: primary, replica, or what else it is; ``details``: plan, cloud, state as far as known."""

    name: str
    role: str
    details: tuple[str, ...] = ()

    @property
    def serves(self) -> bool:
        return self.role in ("primary", "replica")


def pair_before(story: Story) -> tuple[Side, ...]:
    if given := _given(story, "before"):
        return given
    if story.command == "enable":
        return _enabled(story, before=True)
    if story.command == "drill":
        return _drilled(story, "missing")
    if story.command in ("switchover", "failover") and _outcome(story, "promote") == "found":
        return _promoted(story)
    return _following(story)


def pair_now(story: Story) -> tuple[Side, ...]:
    if given := _given(story, "after"):
        return given
    if story.command == "enable":
        return _enabled(story, before=False)
    if story.command == "drill":
        return _drilled(story, drill_page.fate(story))
    if story.command not in ("switchover", "failover"):
        return _following(story)
    promote = story.step("promote")
    if promote and promote.outcome in ("changed", "found"):
        return _promoted(story)
    if promote and promote.sent and story.changed is not False:
        return tuple(Side(name=side.name, role="not known", details=side.details) for side in _following(story))
    return _following(story)


def _enabled(story: Story, *, before: bool) -> tuple[Side, ...]:
    """Both sides of `enable`: what the first look saw, or what the steps have made of it."""
    sides = []
    first = story.step("pair")
    for role, name in (("primary", story.primary), ("replica", story.replica)):
        outcome = _outcome(story, role)
        looked = first is not None and first.outcome == "proven"
        absent = first is not None and first.facts.get(f"{role}_exists") is False
        if outcome in ("changed", "found", "proven") and not (before and outcome == "changed"):
            sides.append(Side(name=name, role=role, details=_details(story.result.get(role))))
        elif looked and absent and (before or outcome == "not reached"):
            sides.append(Side(name=name, role="missing"))
        else:
            there = looked and outcome in ("not reached", "changed")
            sides.append(Side(name=name, role=role if there else "not known"))
    return tuple(sides)


def _drilled(story: Story, fate: str) -> tuple[Side, ...]:
    """The primary is what it was."""
    name = string(story.facts.get("temporary_replica"))
    return (*_following(story), *([Side(name=name, role=fate)] if name else ()))


def _following(story: Story) -> tuple[Side, ...]:
    names = (("primary", story.primary), ("replica", story.replica))
    return tuple(Side(name=name, role=role, details=_details(story.result.get(role))) for role, name in names if name)


def _promoted(story: Story) -> tuple[Side, ...]:
    old = [Side(name=story.primary, role=_fate(story))] if story.primary else []
    return (*old, Side(name=story.replica, role="primary"))


def _fate(story: Story) -> str:
    """The fate of the old primary."""
    if story.command == "failover":
        return "not fenced: may be alive"
    asked = string(story.facts.get("old_primary")) or "close"
    steps = {"close": "closed", "power-off": "power-off", "hold": "hold", "open": "open"}
    done = _outcome(story, steps.get(asked, "")) in ("found", "changed", "proven")
    return CLOSED.get(asked, asked) if done else "not confirmed closed"


def _outcome(story: Story, slug: str) -> str:
    step = story.step(slug)
    return step.outcome if step else "not reached"


def _given(story: Story, when: str) -> tuple[Side, ...]:
    """Where the result itself describes the pair: a list of services with a role each."""
    services = [one for one in mappings(story.result.get(when)) if one.get("name")]
    return tuple(
        Side(name=string(one["name"]), role=string(one.get("role")) or "service", details=_details(one))
        for one in services
    )


def _details(service: Any) -> tuple[str, ...]:
    if not isinstance(service, dict):
        return ()
    plan = " ".join(string(service.get(key)) for key in ("type", "plan") if service.get(key))
    return tuple(one for one in (plan, string(service.get("cloud")), string(service.get("state"))) if one)


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
    shown = _measured(story)
    reached = [step for step in story.steps if step.outcome != "not reached"]
    how = f"{len(reached)} steps, {_changing(story, reached)}"
    if story.asked:
        how += f"; {format_duration(story.asked)} at the question are not counted"
    return [*shown, {"label": "Took", "value": format_duration(story.seconds), "how": how}]


def _measured(story: Story) -> list[dict[str, str]]:
    if story.command == "drill":
        return drill_page.figures(story)
    return _objectives(story) if story.command in ("switchover", "failover") else _proof(story)


def _changing(story: Story, reached: list[StepTold]) -> str:
    changed = sum(step.outcome == "changed" for step in reached)
    doubtful = [step.slug for step in reached if step.sent and not step.shown]
    if doubtful and story.changed is not False:
        return f"{changed} of which changed something; whether {', '.join(doubtful)} did is unknown"
    return f"{changed or 'none'} of which changed something"


def exposure(story: Story) -> list[dict[str, str]]:
    """What is exposed after the run, each with what mends it."""
    items = mappings(story.result.get("exposure"))
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
            return _both("none", "nothing was promoted: Aiven refused")
        return _both("unknown", "the promotion was sent; whether it took effect is not known")
    if story.command == "failover":
        return _forced(story)
    lost, outage = number(story.result.get("bytes_not_replicated")), number(story.result.get("write_outage_ms"))
    return [
        {
            "label": "RPO",
            "value": exact_bytes(int(lost)) if lost is not None else "not measured",
            "how": f"acknowledged by {story.primary} and not on {story.replica} when it was promoted",
        },
        {
            "label": "RTO",
            "value": format_duration(outage / 1000) if outage is not None else "not measured",
            "how": RTO_SWITCHOVER,
        },
    ]


def _forced(story: Story) -> list[dict[str, str]]:
    estimate = mapping(story.result.get("rpo_estimate"))
    seconds, outage = number(estimate.get("seconds")), number(story.result.get("seconds_to_first_write"))
    how = f"an estimate: {estimate['how']}" if estimate.get("how") else "how much may be lost is unknown"
    return [
        {"label": "RPO", "value": f"≈ {seconds:g} s" if seconds is not None else "unknown", "how": how},
        {
            "label": "RTO",
            "value": format_duration(outage) if outage is not None else "not measured",
            "how": RTO_FAILOVER,
        },
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
            {"label": "Lag", "value": f"{link.get('lag_bytes', '?')} bytes", "how": "from the offsets of both sides"}
        )
    if not shown:
        shown.append(
            {"label": "Replication", "value": "not proven", "how": "neither markers nor the link were checked"}
        )
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
    words = {"took": format_duration, "cell": _cell, "bytes": exact_bytes, "sentence": _sentence}
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


def _rendered(template: str, story: Story, verdict: Verdict, figures: Charts) -> str:
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
        drill=drill_page.page(story),
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
