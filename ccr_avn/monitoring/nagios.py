"""Output for Nagios, Icinga and compatible monitoring: one line with performance data, and an exit code."""

import re
import shlex

from ccr_avn.monitoring.health import PairStatus, overall
from ccr_avn.monitoring.verdicts import CODES, WORSE, Limits
from ccr_avn.printable import printable

SHOWN = 5
"""Pairs whose trouble is shown; of the rest only the number."""


def line_of(found: tuple[PairStatus, ...], limits: Limits, left_out: tuple[str, ...] = ()) -> tuple[str, int]:
    """The line and the exit code. Services that never were in a pair don't count. ``left_out``: what can't be read."""
    judged = tuple(one for one in found if one.pair.counts or one.health != "ok")
    shared = " and ".join(dict.fromkeys(one.pair.primary_name for one in found if one.related))
    notes = (*((f"{shared} share a history (fork or unrecorded promotion)",) if shared else ()), *left_out)
    if not judged:
        return failure("; ".join(("there is no pair", *notes))), CODES["unknown"]
    health = overall(judged)
    told = f"CCR {health.upper()} - {_plain('; '.join((_text(judged), *notes)))}"
    figures = " ".join(part for one in judged for part in _performance(one, limits))
    return (f"{told} | {figures}" if figures else told), CODES[health]


def failure(why: str) -> str:
    """The line for a failure of ccr-avn itself."""
    return f"CCR UNKNOWN - {_plain(why)}"


def _text(found: tuple[PairStatus, ...]) -> str:
    bad = sorted((one for one in found if one.health != "ok"), key=lambda one: -WORSE.index(one.health))
    if not bad:
        return _fine(found)
    told = "; ".join(f"{one.pair.name}: {', '.join(one.reasons)}{_next(one)}" for one in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return f"{len(bad)} of {len(found)} not OK: {told}{more}"


def _next(one: PairStatus) -> str:
    return f", next: {shlex.join(one.next[0])}" if one.next else ""


def _fine(found: tuple[PairStatus, ...]) -> str:
    pairs = sum(bool(one.pair.replica_name) for one in found)
    old = sum(one.rank == "old primary, closed" for one in found)
    parts = [f"{pairs} {'pair' if pairs == 1 else 'pairs'} OK"] if pairs else []
    return ", ".join([*parts, *([f"{old} old {'primary' if old == 1 else 'primaries'} closed"] if old else [])])


def _performance(one: PairStatus, limits: Limits) -> tuple[str, ...]:
    name = _label(one.pair.replica_name)
    lag = () if one.lag_bytes is None else (f"{name}_lag={one.lag_bytes}B;{limits.warn};{limits.crit};0",)
    heard = () if one.last_io_seconds is None else (f"{name}_last_io={one.last_io_seconds}s;;;0",)
    return (*lag, *heard)


def _plain(text: str) -> str:
    """On one line, without the sign that begins the performance data, and without what steers a terminal."""
    return " ".join(printable(text).replace("|", "/").split())


def _label(name: str) -> str:
    """A name as a label of performance data, where blanks, quotes and equal signs mean something."""
    return re.sub(r"[\s'=|]", "_", printable(name))
