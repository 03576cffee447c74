"""A project's pairs as lines of text and as plain data."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ccr_avn.history.journals import Drilled, not_for_long
from ccr_avn.monitoring.status import WORSE, PairStatus, overall
from ccr_avn.output.console import emitted
from ccr_avn.output.tables import Column, prose, text
from ccr_avn.printable import printable_line
from ccr_avn.units import NONE, format_age, format_bytes

COLUMNS = (
    Column(head="HEALTH", styles={"ok": "green", "warning": "yellow", "unknown": "magenta", "critical": "bold red"}),
    Column(head="STANDING", rank=2),
    Column(head="PRIMARY", kind="name"),
    Column(head="REPLICA", kind="name"),
    Column(head="CLOUDS", rank=4),
    Column(head="PLANS", rank=7),
    Column(head="STATES", rank=1),
    Column(head="INTEGRATION", rank=6),
    Column(head="LINK", styles={"up": "", "-": "", "": "red"}),
    Column(head="LAG"),
    Column(head="LAST IO", rank=5),
    Column(head="BACKUP", rank=3),
    Column(head="EXPOSURE", rank=8, kind="prose"),
)

NAMED = 3
"""Primaries without a drill that are named."""

Drills = Mapping[str, Drilled]
"""The last drill of each primary."""


def as_dict(found: tuple[PairStatus, ...], drills: Drills) -> dict[str, Any]:
    last = {name: drill.as_dict() for name, drill in drills.items()}
    pairs = [{**one.as_dict(), "last_drill": last.get(one.pair.primary_name)} for one in found]
    return {"health": overall(found), "pairs": pairs}


def shown(found: tuple[PairStatus, ...], drills: Drills, warnings: Iterable[str] = ()) -> str:
    """The table, the worst first, and what there is to say below it; ready to be put out. No command is wrapped."""
    if not found:
        return "no Valkey or Redis services in this project"
    ordered = sorted(found, key=lambda one: (-WORSE.index(one.health), not one.pair.counts))
    more = troubles(ordered)
    if not any(one.pair.counts or one.health != "ok" for one in found):
        more.append("unknown: there is no pair; name a pair that must exist with --expect PRIMARY:REPLICA")
    more += [*_not_drilled(found, drills), *(f"warning: {one}" for one in warnings)]
    lines = [one for line in more for one in ([line] if line.startswith("next: ") else prose(line, "stdout"))]
    return "\n".join([text([row(one) for one in ordered], COLUMNS, indent=0), *map(emitted, lines)])


def _not_drilled(found: tuple[PairStatus, ...], drills: Drills) -> list[str]:
    """Hints, no part of the health: whether a switchover would work here is best known by trying."""
    names = list(dict.fromkeys(one.pair.primary_name for one in found if one.standing == "pair" and one.pair.primary))
    due = not_for_long(names, drills)
    hints = [
        f"last drill of {name}: {drills[name].describe()}" for name in names if name not in due and not drills[name].ok
    ]
    if due:
        some = ", ".join(due[:NAMED]) + (f" and {len(due) - NAMED} more" if len(due) > NAMED else "")
        hints.append(f"no drill in 90 days from this machine: {some}; ccr-avn drill {due[0]} --replica-cloud CLOUD")
    return hints


def troubles(found: Iterable[PairStatus]) -> list[str]:
    """One line for each pair of which there is more to say, and one for each command that can help."""
    return [
        printable_line(line)
        for one in found
        if one.reasons
        for line in (
            f"{one.health}: {one.pair.name}: {'; '.join(one.reasons)}",
            *(f"next: {shlex.join(words)}" for words in one.next),
        )
    ]


def row(one: PairStatus) -> tuple[str, ...]:
    pair = one.pair
    return (
        one.health,
        one.standing if one.age is None else f"{one.standing}, {format_age(one.age)} old",
        pair.primary_name,
        pair.replica_name or NONE,
        _both(one, "cloud"),
        _both(one, "plan"),
        _both(one, "state"),
        pair.integration if pair.replica_name else NONE,
        one.link,
        format_bytes(one.lag_bytes),
        NONE if one.last_io_seconds is None else f"{one.last_io_seconds} s",
        format_age(one.backup_age),
        ", ".join(one.exposure) or NONE,
    )


def _both(one: PairStatus, what: str) -> str:
    """Both sides' word for it; one where they have the same, or there is one side only."""
    absent = "elsewhere" if one.pair.elsewhere else "gone"
    return " > ".join(dict.fromkeys(str(getattr(side, what)) if side else absent for _, _, side, _ in one.sides))
