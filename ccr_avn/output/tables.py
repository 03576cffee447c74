"""A project's pairs as rows of a table."""

from ccr_avn.monitoring.health import PairStatus, integration
from ccr_avn.printable import printable_line
from ccr_avn.procedures.gates.settings import NOBODY
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


def troubles(found: tuple[PairStatus, ...], project: str | None = None) -> list[str]:
    """One line for each pair that is not fine; another with what closes an old primary that is open."""
    bad = (one for one in found if one.health != "ok")
    told = [printable_line(f"{one.health}: {one.pair.name}: {'; '.join(one.reasons)}") for one in bad]
    left_open = (one.pair.primary_name for one in found if one.rank == "old primary, still open")
    closing = f"""{f"--project {project} " if project else ""}-c 'ip_filter=["{NOBODY}"]'"""
    return [*told, *(printable_line(f"to close {name}: avn service update {name} {closing}") for name in left_open)]


def _row(one: PairStatus) -> tuple[str, ...]:
    pair = one.pair
    return (
        one.health,
        one.rank,
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
