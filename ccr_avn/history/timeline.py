"""Charts of the reports: bars over an axis of time, and the lag as a line. Places are in percent of the width."""

from collections.abc import Sequence
from typing import NamedTuple

from ccr_avn.history.story import Span
from ccr_avn.units import format_duration

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds between two marks of the axis: the first that needs at most six of them."""
MOST = 60
"""Marks on the axis, whatever a damaged journal says of time."""
FEW = 3
"""Looks at the lag, below which there is nothing to draw."""
LEAST = 0.5
"""Percent: a bar is never narrower, so that a step of a millisecond can still be seen."""


class Bar(NamedTuple):
    kind: str
    left: float
    width: float
    title: str


class Tick(NamedTuple):
    left: float
    label: str


class Lag(NamedTuple):
    """Points from the top left; ``most`` and ``last`` in bytes."""

    points: tuple[tuple[float, float], ...]
    most: int
    last: int


def ticks(total: float) -> list[Tick]:
    """The marks of the axis. ``total``: seconds."""
    step = next((one for one in TICKS if total / one <= 6), TICKS[-1])
    marks = [mark * step for mark in range(min(int(total / step), MOST) + 1)]
    return [Tick(percent(mark, total), _label(mark)) for mark in marks]


def bars(name: str, spans: Sequence[Span], total: float) -> list[Bar]:
    """The parts of a row that can be seen; of one that is all too short the longest, as a sliver."""
    visible = [one for one in spans if one[2] - one[1] >= total * LEAST / 200]
    if spans and not visible:
        visible = [max(spans, key=lambda one: (one[0] == "change", one[2] - one[1]))]
    return [
        Bar(
            kind=kind,
            left=min(percent(began, total), 100 - LEAST),
            width=max(LEAST, min(percent(ended - began, total), 100 - percent(began, total))),
            title=f"{name}: {kind} {format_duration(max(0.0, ended - began))}",
        )
        for kind, began, ended in visible
    ]


def lag_line(lag: Sequence[tuple[float, int]], total: float) -> Lag | None:
    """A line needs several samples, and a replica that was behind; otherwise words say it better."""
    most = max((behind for _, behind in lag), default=0)
    if len(lag) < FEW or most <= 0:
        return None
    points = tuple((percent(at, total), round(100 - behind / most * 100, 3)) for at, behind in lag)
    return Lag(points=points, most=most, last=lag[-1][1])


def percent(seconds: float, total: float) -> float:
    return round(min(100.0, max(0.0, seconds / total * 100)), 3)


def _label(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if not rest else f"{minutes}:{rest:02}"
