"""A project's pairs as rows of a table."""

from ccr_avn.models import Service
from ccr_avn.status.standing import Standing, integration

HEAD = (
    "HEALTH",
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
NONE = "-"


def rows(found: tuple[Standing, ...]) -> list[tuple[str, ...]]:
    return [HEAD, *(_row(one) for one in found)]


def troubles(found: tuple[Standing, ...]) -> list[str]:
    """One line for each pair that is not fine."""
    return [f"{one.health}: {one.pair.name}: {'; '.join(one.reasons)}" for one in found if one.health != "ok"]


def bytes_told(count: float | None) -> str:
    """With a unit that keeps it short."""
    if count is None:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def age_told(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _row(one: Standing) -> tuple[str, ...]:
    pair = one.pair
    return (
        one.health,
        pair.primary_name,
        pair.replica_name or NONE,
        _both(pair.primary, pair.replica, "cloud"),
        _both(pair.primary, pair.replica, "plan"),
        _both(pair.primary, pair.replica, "state"),
        integration(pair) if pair.replica else NONE,
        one.link,
        bytes_told(one.lag_bytes),
        NONE if one.last_io_seconds is None else f"{one.last_io_seconds} s",
        age_told(one.backup_age),
        ", ".join(one.exposure) or NONE,
    )


def _both(primary: Service | None, replica: Service | None, what: str) -> str:
    """Both sides' word for it; one where they have the same, or there is one side only."""
    first = getattr(primary, what) if primary else "gone"
    if replica is None:
        return str(first)
    second = getattr(replica, what)
    return str(first) if first == second else f"{first} > {second}"
