"""A project's pairs as rows of a table."""

import shlex

from ccr_avn.monitoring.health import PairStatus, integration
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
        one.rank if one.age is None else f"{one.rank}, {format_age(one.age)} old",
        pair.primary_name,
        pair.replica_name or NONE,
        _both(one, "cloud"),
        _both(one, "plan"),
        _both(one, "state"),
        integration(pair) if pair.replica_name else NONE,
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
