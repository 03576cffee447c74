"""Output for Nagios, Icinga and compatible monitoring: one line with performance data, and an exit code."""

import re
import shlex

from ccr_avn.monitoring.health import overall
from ccr_avn.monitoring.status import CODES, WORSE, PairStatus
from ccr_avn.printable import printable

SHOWN = 5
"""Pairs whose trouble is shown; of the rest only the number."""


def line_of(found: tuple[PairStatus, ...], left_out: tuple[str, ...] = ()) -> tuple[str, int]:
    """The line and the exit code. Services that never were in a pair don't count. ``left_out``: what can't be read."""
    judged = tuple(one for one in found if one.pair.counts or one.health != "ok")
    forks = " and ".join(dict.fromkeys(one.pair.primary_name for one in found if one.related))
    notes = (*((f"{forks} share a history (fork or unrecorded promotion)",) if forks else ()), *left_out)
    if not judged:
        return failure("; ".join(("there is no pair", *notes))), CODES["unknown"]
    health = overall(judged)
    line = f"CCR {health.upper()} - {_plain('; '.join((_text(judged), *notes)))}"
    figures = " ".join(part for one in judged for part in _performance(one))
    return (f"{line} | {figures}" if figures else line), CODES[health]


def failure(why: str) -> str:
    """The line for a failure of ccr-avn itself."""
    return f"CCR UNKNOWN - {_plain(why)}"


def _text(found: tuple[PairStatus, ...]) -> str:
    bad = sorted((one for one in found if one.health != "ok"), key=lambda one: -WORSE.index(one.health))
    if bad:
        shown = (f"{one.pair.name}: {', '.join((*one.reasons, *_next(one)))}" for one in bad[:SHOWN])
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        return f"{len(bad)} of {len(found)} not OK: {'; '.join(shown)}{more}"
    pairs = sum(bool(one.pair.replica_name) for one in found)
    old = sum(one.standing == "old primary, closed" for one in found)
    parts = [f"{pairs} {'pair' if pairs == 1 else 'pairs'} OK"] if pairs else []
    parts += [f"{old} old {'primary' if old == 1 else 'primaries'} closed"] if old else []
    return ", ".join(parts)


def _next(one: PairStatus) -> tuple[str, ...]:
    return (f"next: {shlex.join(one.next[0])}",) if one.next else ()


def _performance(one: PairStatus) -> tuple[str, ...]:
    name = re.sub(r"[\s'=|]", "_", printable(one.pair.replica_name))  # in a label these mean something
    lag = () if one.lag_bytes is None else (f"{name}_lag={one.lag_bytes}B;{one.known.warn};{one.known.crit};0",)
    heard = () if one.last_io_seconds is None else (f"{name}_last_io={one.last_io_seconds}s;;;0",)
    return (*lag, *heard)


def _plain(text: str) -> str:
    """On one line, without the sign that begins the performance data, and without what steers a terminal."""
    return " ".join(printable(text).replace("|", "/").split())
