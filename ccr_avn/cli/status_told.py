"""Judges the pairs and prints their status in the requested format."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from ccr_avn.aiven.models import Service
from ccr_avn.aiven.program import default_project
from ccr_avn.cli.status import Format
from ccr_avn.errors import UsageError
from ccr_avn.files import PUBLIC, replace_file
from ccr_avn.history import drills
from ccr_avn.history.promotions import promotions
from ccr_avn.history.resume import unfinished
from ccr_avn.monitoring.collect import look_at_all
from ccr_avn.monitoring.health import PairStatus, overall, pair_statuses
from ccr_avn.monitoring.nagios import line_of
from ccr_avn.monitoring.pairs import chosen, pairs_of, with_expected
from ccr_avn.monitoring.prometheus import text_of
from ccr_avn.monitoring.verdicts import CODES, Known, Limits
from ccr_avn.output import console
from ccr_avn.output.tables import rows, troubles
from ccr_avn.procedures.steps import Setting

NAMED = 3
"""Primaries without a drill that are named."""


def look_and_tell(
    services: tuple[Service, ...],
    form: Format,
    output: Path | None,
    *,
    names: tuple[str, ...],
    expected: tuple[tuple[str, str], ...],
    setting: Setting,
    data_timeout: float | None,
    limits: Limits,
) -> int:
    """Gives the exit code that the health has. ``data_timeout``: seconds for all servers, None: they are not asked."""
    project = setting.project.name
    judged = {name for pair in expected for name in pair}
    made = {name: run for name, run in drills.drills_of(services, project).items() if name not in judged}
    every = pairs_of(services, promotions(project), made)
    pairs = with_expected(chosen(every, names), every, expected)
    alone = any(not one.replica_name and one.drill is None for one in pairs)
    among = tuple(one for one in every if one.drill is None and one.primary) if alone else ()  # who shares its history
    looks = None
    if data_timeout is not None:
        more = tuple(one.primary for one in among if one.primary)
        looks = look_at_all(pairs, limit=data_timeout, ca_file=setting.ca_file, route=setting.route, more=more)
    known = Known(
        project=setting.project,
        unfinished=unfinished(project, time.time()),
        compared=setting.rejections.compared,
    )
    found = pair_statuses(pairs, looks, limits=limits, now=datetime.now(UTC), known=known, among=among)
    _show(found, form, output, limits, getattr(services, "left_out", ()), project)
    return CODES[overall(found)]


def _show(
    found: tuple[PairStatus, ...],
    form: Format,
    output: Path | None,
    limits: Limits,
    left_out: tuple[str, ...],
    project: str | None,
) -> None:
    """``left_out``: what avn said that can't be read."""
    if form != "nagios":
        for note in left_out:
            console.warn(note)
    match form:
        case "nagios":
            line, code = line_of(found, limits, left_out)
            console.say(line)
            raise typer.Exit(code)
        case "prometheus":
            _show_metrics(text_of(found, project or default_project()), output)
        case "json":
            pairs = [{**one.told(), **last} for one, last in zip(found, _last_drills(found, project), strict=True)]
            result = {"health": overall(found), "pairs": pairs, "warnings": list(left_out)}
            console.envelope("status", ok=True, changed=False, result=result)
        case "table":
            console.say(
                console.table(rows(found), indent="") if found else "no Valkey or Redis services in this project"
            )
            for line in troubles(found):
                console.say(line)
            if found and not any(one.pair.counts or one.health != "ok" for one in found):
                console.say("unknown: there is no pair; name a pair that must exist with --expect PRIMARY:REPLICA")
            for line in _not_drilled(found, project):
                console.say(line)


def _last_drills(found: tuple[PairStatus, ...], project: str | None) -> list[dict[str, Any]]:
    newest, now = drills.newest(project), time.time()
    told = (newest.get(one.pair.primary_name) for one in found)
    return [{"last_drill": one.data(now) if one else None} for one in told]


def _not_drilled(found: tuple[PairStatus, ...], project: str | None) -> list[str]:
    """Hints, no part of the health: whether a switchover would work here is best known by trying."""
    names = [one.pair.primary_name for one in found if one.rank == "pair" and one.pair.primary]
    last, now = drills.newest(project) if names else {}, time.time()
    due = drills.not_for_long(names, last, now)
    told = [
        f"last drill of {name}: {last[name].told(now)}"
        for name in dict.fromkeys(names)
        if name not in due and not last[name].ok
    ]
    if due:
        some = ", ".join(due[:NAMED]) + (f" and {len(due) - NAMED} more" if len(due) > NAMED else "")
        told.append(f"no drill in 90 days from this machine: {some}; ccr-avn drill {due[0]} --replica-cloud CLOUD")
    return told


def _show_metrics(text: str, output: Path | None) -> None:
    if output is None:
        console.say(text.rstrip("\n"))
        return
    try:
        replace_file(output, text, PUBLIC)  # the collector is another user
    except OSError as error:
        raise UsageError(
            f"--output: {output} can't be written",
            detail=error.strerror or str(error),
            hint="choose a file in an existing, writable directory",
        ) from None
