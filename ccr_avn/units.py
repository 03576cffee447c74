"""Amounts for people: bytes, durations, ages, moments. What is not known is a dash."""

import time
from datetime import UTC, datetime

from ccr_avn import clock

NONE = "-"


def format_bytes(count: float | None) -> str:
    """With a unit that keeps it short."""
    if count is None:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def exact_bytes(count: int) -> str:
    """Every digit, for what is evidence."""
    return f"{count:,} byte{'' if count == 1 else 's'}".replace(",", "\N{NO-BREAK SPACE}")


def format_age(seconds: float | None) -> str:
    """In the largest unit of which there are two."""
    if seconds is None:
        return NONE
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def format_duration(seconds: float) -> str:
    if seconds < 0.001:
        return "< 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def format_lag(milliseconds: float | None) -> str:
    """As a live line has it: always one digit behind the point."""
    if milliseconds is None:
        return NONE
    return f"{milliseconds:.1f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def local_time(epoch: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(epoch))


def iso(epoch: float, digits: str = "seconds") -> str:
    """In UTC. ``epoch``: seconds since 1970; ``digits``: the smallest unit."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec=digits).replace("+00:00", "Z")


def clock_time(epoch: float) -> str:
    """In local time, with how far away it is. ``epoch``: seconds since 1970."""
    return f"{local_time(epoch)} ({max(0.0, epoch - clock.now()):.0f} s from now)"


def cents(usd: float) -> str:
    return "less than 0.01 USD" if usd < 0.005 else f"about {usd:.2f} USD"
