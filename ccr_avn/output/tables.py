"""A project's pairs as lines of text and as plain data."""

import shlex
from collections.abc import Mapping
from typing import Any

from ccr_avn import clock
from ccr_avn.history.journals import Drilled, not_for_long
from ccr_avn.monitoring.status import PairStatus, overall
from ccr_avn.output.console import table
from ccr_avn.printable import printable_line
from ccr_avn.units import NONE, format_age, format_bytes

HEAD = (
    "HEALTH",
    "STANDING",
    "PRIMARY",
    "REPLICA",
    "CLOUDS",
    "PLANS",
    "STATES",
    "INTEGRATION",
    "LINK",
    "LAG",
    "LAST IO",
    "BACKUP",
    "EXPOSURE",
)


NAMED = 3
"""Primaries without a drill that are named."""

Drills = Mapping[str, Drilled]
"""The last drill of each primary."""


def as_dict(found: tuple[PairStatus, ...], drills: Drills) -> dict[str, Any]:
    now = clock.now()
    last = (drills.get(one.pair.primary_name) for one in found)
    pairs = [
        {**one.as_dict(), "last_drill": drill.as_dict(now) if drill else None}
        for one, drill in zip(found, last, strict=True)
    ]
    return {"health": overall(found), "pairs": pairs}


def lines(found: tuple[PairStatus, ...], drills: Drills) -> list[str]:
    """The table, and one line for whatever there is more to say of."""
    if not found:
        return ["no Valkey or Redis services in this project"]
    more = [*troubles(found)]
    if not any(one.pair.counts or one.health != "ok" for one in found):
        more.append("unknown: there is no pair; name a pair that must exist with --expect PRIMARY:REPLICA")
    return [table(rows(found), indent=""), *more, *_not_drilled(found, drills)]


def _not_drilled(found: tuple[PairStatus, ...], drills: Drills) -> list[str]:
    """Hints, no part of the health: whether a switchover would work here is best known by trying."""
    names = list(dict.fromkeys(one.pair.primary_name for one in found if one.standing == "pair" and one.pair.primary))
    now = clock.now()
    due = not_for_long(names, drills, now)
    hints = [
        f"last drill of {name}: {drills[name].describe(now)}"
        for name in names
        if name not in due and not drills[name].ok
    ]
    if due:
        some = ", ".join(due[:NAMED]) + (f" and {len(due) - NAMED} more" if len(due) > NAMED else "")
        hints.append(f"no drill in 90 days from this machine: {some}; ccr-avn drill {due[0]} --replica-cloud CLOUD")
    return hints


def rows(found: tuple[PairStatus, ...]) -> list[tuple[str, ...]]:
    """What the platform says is not to be trusted: a cell is one line, without what steers a terminal."""
    return [HEAD, *(tuple(printable_line(cell) for cell in _row(one)) for one in found)]


def troubles(found: tuple[PairStatus, ...]) -> list[str]:
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


def _row(one: PairStatus) -> tuple[str, ...]:
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
    first, second = (str(getattr(side, what)) if side else absent for side in (one.pair.primary, one.pair.replica))
    return first if not one.pair.replica_name or first == second else f"{first} > {second}"
