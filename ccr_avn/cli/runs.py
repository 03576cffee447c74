"""`ccr-avn runs`: shows earlier runs from their journals."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ccr_avn import clock, options
from ccr_avn.cli.commands import command, group
from ccr_avn.errors import UsageError, outcome_of
from ccr_avn.history import journal, resume
from ccr_avn.history.journal import LATEST, RECENT, directory
from ccr_avn.history.records import read
from ccr_avn.history.records import verify as check_chain
from ccr_avn.history.report import WORDS, render
from ccr_avn.history.story import Story, summarize
from ccr_avn.options import Json
from ccr_avn.output import console, tables
from ccr_avn.output.tables import Column
from ccr_avn.printable import DEGRADED, clipped
from ccr_avn.units import format_duration

app = group(
    """Show earlier runs, from their journals on this machine: in CCR_AVN_STATE_DIR, else the system's state directory.

    Examples:
      ccr-avn runs list
      ccr-avn runs show latest
      ccr-avn runs report latest -o report.html
    """
)

ENDED = {"done": "green", "failed": "red", "not": "yellow", "": "yellow"}
LISTED = (
    Column(head="run"),
    Column(head="command", rank=2),
    Column(head="primary", rank=1, kind="name"),
    Column(head="replica", rank=3, kind="name"),
    Column(head="took", rank=4),
    Column(head="ended", kind="prose", styles=ENDED),
)
STEPS = (Column(head="step"), Column(head="outcome"), Column(head="took", rank=1), Column(head="finding", kind="prose"))
PAIRS = (
    Column(head="pair", kind="name"),
    Column(head="ended"),
    Column(head="action", rank=2),
    Column(head="run", rank=1),
    Column(head="summary", kind="prose"),
)

HASH = re.compile(r"[0-9a-fA-F]{64}")


def _names(incomplete: str) -> list[str]:
    names = [LATEST, *(path.stem for path in journal.paths()[:RECENT])]
    return [name for name in names if name.startswith(incomplete)]


RunName = Annotated[
    str, options.argument("RUN", "A run's name or the start of it, `latest`, or a journal file.", completes=_names)
]


@command(app, "list")
def list_(
    limit: Annotated[int, options.count("Show at most N runs.")] = 20,
    json: Json = False,
) -> None:
    """List the runs of this machine, newest first.

    Examples:
      ccr-avn runs list
      ccr-avn runs list --limit 5 --json
    """
    stories = []
    for path in journal.paths()[:limit]:
        try:
            stories.append((path.stem, summarize(read(path))))
        except UsageError as problem:  # one that can't be read hides none of the others
            console.warn(f"{problem.what}: {problem.detail}")
    if json:
        listed = [{"run": name, **_summary(story)} for name, story in stories]
        console.envelope("runs list", {"runs": listed})
    elif not stories:
        console.say(f"no runs yet in {directory()}")
    else:
        rows = [
            (run, one.command, one.primary or "-", one.replica or "-", format_duration(one.seconds), one.ended_as)
            for run, one in stories
        ]
        console.hand_over(tables.text(rows, LISTED, indent=0))


@command(app)
def show(run: RunName, json: Json = False) -> None:
    """Show what one run did, step by step; if it was interrupted, its last known state and how to resume it.

    Examples:
      ccr-avn runs show latest
      ccr-avn runs show 20260102T030405Z-1ff96c --json
    """
    record = read(journal.find(run))
    story = summarize(record)
    known, again = resume.last_known(story, clock.now()), resume.next_command(story)
    reopening = resume.reopening(story)
    if json:
        steps = [
            {"slug": one.slug, "outcome": one.outcome, "finding": one.finding, "seconds": round(one.seconds, 3)}
            for one in story.steps
        ]
        found = dict(record.ended.result) if record.ended else {}
        error = {"what": found.pop("error", ""), **{key: found.pop(key, "") for key in ("kind", "detail", "hint")}}
        result = {
            "run": story.run,
            **_summary(story),
            "steps": steps,
            "result": found,
            "error": {**error, "notes": []} if error["what"] else None,
            "last_known": known,
            "half_way": resume.standing(story) or None,
            "reopening": reopening or None,
            "pairs": [pair.model_dump() for pair in story.pairs],
        }
        console.envelope("runs show", result, next_commands=[again] if again else [])
        return
    lines = [f"{story.run}: {story.title}: {story.ended_as}"]
    if about := ", ".join(one for one in (story.began, story.who, *story.versions) if one):
        lines.append(f"  {about}")
    if rows := _rows(story):
        lines.append(tables.text(rows, PAIRS if story.pairs else STEPS))
    if record.half or len(record.events) < len(record.lines):
        lines.append(f"the journal is damaged: see ccr-avn runs verify {story.run}")
    lines += [f"  {line}" for line in known]
    if again:
        lines.append(f"resume with: {shlex.join(again)}")
    if reopening:
        filter_ = reopening["ip_filter"]
        before = "not set: open to all" if filter_ is None else clipped(str(filter_), 400)
        lines += [f"ip_filter of {reopening['service']} before this run: {before}", "to restore it:"]
        lines += [f"  {command}" for command in reopening["restore"]]
    for line in lines:
        console.say(line)


@command(app)
def verify(
    run: RunName,
    head: Annotated[
        str | None, options.word("HASH", "The hash that the run printed at its end; detects a truncated journal.")
    ] = None,
    json: Json = False,
) -> None:
    """Check that a journal is intact: no line changed, removed or moved. Exit 6 if not.

    Examples:
      ccr-avn runs verify latest
      ccr-avn runs verify latest --head "$head"
    """
    if head is not None and not HASH.fullmatch(head):
        raise UsageError(
            f"--head is not a hash: {head!r}",
            detail="64 hexadecimal digits, as printed at the end of the run and in the report",
            hint=f"without it everything but the last line is checked: ccr-avn runs verify {shlex.quote(run)}",
        )
    path = journal.find(run)
    record = read(path)
    lines, verdict = len(record.lines), check_chain(record, head)
    whole = not verdict.findings
    if json:
        shown = {"lines": lines, "head": record.head, "findings": verdict.findings, "notes": verdict.notes}
        console.envelope("runs verify", {"run": path.stem, **shown}, code=0 if whole else 6)
    else:
        what = "intact" if whole else f"NOT intact: {len(verdict.findings)} finding(s)"
        console.say(f"{path.stem}: {what}; {lines} lines, head {record.head or 'none'}")
        for line in (*verdict.findings, *(f"note: {note}" for note in verdict.notes)):
            console.say(f"  {line}")
    if not whole:
        raise typer.Exit(6)


@command(app)
def report(
    run: RunName,
    format: Annotated[  # noqa: A002  the option's name is --format
        Literal["html", "markdown"], options.choice("html: one self-contained page; markdown: for a ticket.")
    ] = "html",
    output: Annotated[
        Path | None, options.word("FILE", "Write to FILE instead of stdout.", options.a_file_to_write, "--output", "-o")
    ] = None,
) -> None:
    """Write a report of one run, to keep for an audit. It contains no credentials.

    Examples:
      ccr-avn runs report latest --output report.html
      ccr-avn runs report latest --format markdown
    """
    record = read(journal.find(run))
    text = render(record, "html" if format == "html" else "md")
    if output is None:
        console.hand_over(text.rstrip("\n"))  # it was cleaned when it was read: HTML must not be cut into
        return
    try:
        output.write_text(text, encoding="utf-8", errors=DEGRADED)
    except OSError as error:
        raise UsageError(
            f"{output} can't be written",
            detail=str(error.strerror),
            hint=f"ccr-avn runs report {shlex.quote(run)} > FILE",
        ) from None
    console.note(f"{output}: the report of {record.run}")


def _summary(story: Story) -> dict[str, Any]:
    return {
        "of": story.command,
        "title": story.title,
        "began": story.began or None,
        "primary": story.primary or None,
        "replica": story.replica or None,
        "ended": story.state,
        "ended_as": story.ended_as,
        "exit_code": story.code,
        "run_changed": bool(story.changed),
        "run_outcome": outcome_of(story.changed),
        "seconds": round(story.seconds, 3),
    }


def _rows(story: Story) -> list[tuple[str, ...]]:
    """Of an evacuation each pair with its own journal, of any other run its steps."""
    if story.pairs:
        cells = ((one.pair, one.state, one.action, one.run, one.summary or one.reason) for one in story.pairs)
        return [tuple(cell or "-" for cell in row) for row in cells]
    return [
        (one.slug, WORDS.get(one.outcome, one.outcome), format_duration(one.seconds) if one.spans else "", one.finding)
        for one in story.steps
    ]
