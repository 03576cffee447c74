"""Nagios, Icinga and what speaks like them: one line with performance data, and an exit code."""

from ccr_avn.status.standing import WORSE, Health, Limits, Standing, worst

CODES: dict[Health, int] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
SHOWN = 5
"""Pairs whose trouble is told; of more, only the number."""


def line_of(found: tuple[Standing, ...], limits: Limits) -> tuple[str, int]:
    """The line and the exit code. Services without a replica count only where they were named."""
    judged = tuple(one for one in found if one.pair.replica or one.health != "ok")
    if not judged:
        return failure("there is no pair"), CODES["unknown"]
    health = worst(judged)
    told = f"CCR {health.upper()} - {_text(judged)}"
    figures = " ".join(part for one in judged for part in _performance(one, limits))
    return (f"{told} | {figures}" if figures else told), CODES[health]


def failure(why: str) -> str:
    """The line for a failure of ours."""
    return f"CCR UNKNOWN - {_plain(why)}"


def _text(found: tuple[Standing, ...]) -> str:
    bad = sorted((one for one in found if one.health != "ok"), key=lambda one: -WORSE.index(one.health))
    if not bad:
        return f"{len(found)} {'pair' if len(found) == 1 else 'pairs'} fine"
    told = "; ".join(f"{one.pair.name}: {', '.join(one.reasons)}" for one in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return _plain(f"{len(bad)} of {len(found)} not fine: {told}{more}")


def _performance(one: Standing, limits: Limits) -> tuple[str, ...]:
    name = one.pair.replica_name
    lag = () if one.lag_bytes is None else (f"{name}_lag={one.lag_bytes}B;{limits.warn};{limits.crit};0",)
    heard = () if one.last_io_seconds is None else (f"{name}_last_io={one.last_io_seconds}s;;;0",)
    return (*lag, *heard)


def _plain(text: str) -> str:
    """On one line and without the sign that begins the performance data."""
    return " ".join(text.replace("|", "/").split())
