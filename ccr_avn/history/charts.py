"""Geometry of the report's charts: the bars of the timeline and the lag over time. In percent of the width."""

from dataclasses import dataclass

from ccr_avn.history.summary import Kind, Span, StepTold, Story, number
from ccr_avn.units import format_duration

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds between two marks of the time axis: the first that needs at most six of them."""
MOST = 60
"""Marks on the time axis, whatever a damaged journal says of time."""
FEW = 3
"""Looks at the lag, below which there is nothing to draw."""
LEAST = 0.5
"""Percent: a bar is never narrower, so that a step of a millisecond can still be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Percent of the whole width."""

    kind: Kind
    left: float
    width: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    step: StepTold
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    left: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """The lag as a line: points in percent, from the top left; ``most`` in bytes."""

    points: tuple[tuple[float, float], ...]
    most: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """``held``: left and width of the time in which writes were held back; ``final``: the point of no return."""

    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    lag: Lag | None
    held: tuple[float, float] | None
    final: float | None


def draw(story: Story) -> Charts:
    total = (
        max(story.seconds, *(step.ended for step in story.steps), 0.001) if story.steps else max(story.seconds, 0.001)
    )
    reached = [step for step in story.steps if step.spans]
    return Charts(
        rows=tuple(Row(step=step, bars=_bars(step, total)) for step in reached),
        ticks=ticks(total),
        lag=_lag(story, total),
        held=_held(story, total),
        final=next((_percent(span.began, total) for span in _final_changes(reached)), None),
    )


def _bars(step: StepTold, total: float) -> tuple[Bar, ...]:
    """The parts that can be seen; of a step that is all too short the longest, as a sliver."""
    spans = [span for span in step.spans if (span.ended - span.began) / total * 100 >= LEAST / 2]
    spans = spans or [max(step.spans, key=lambda span: (span.kind == "change", span.ended - span.began))]
    return tuple(
        Bar(
            kind=span.kind,
            left=min(_percent(span.began, total), 100 - LEAST),
            width=max(LEAST, _percent(span.ended - span.began, total)),
            title=f"{step.slug}: {span.kind} {format_duration(span.ended - span.began)}",
        )
        for span in spans
    )


def _final_changes(steps: list[StepTold]) -> list[Span]:
    return [span for step in steps if step.final for span in step.spans if span.kind == "change"]


def ticks(total: float) -> tuple[Tick, ...]:
    step = next((one for one in TICKS if total / one <= 6), TICKS[-1])
    return tuple(
        Tick(left=_percent(mark * step, total), label=_label(mark * step))
        for mark in range(min(int(total / step), MOST) + 1)
    )


def _label(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if not rest else f"{minutes}:{rest:02}"


def _lag(story: Story, total: float) -> Lag | None:
    """A line needs several samples, and a replica that was behind; otherwise words say it better."""
    most = max((behind for _, behind in story.lag), default=0)
    if len(story.lag) < FEW or not most:
        return None
    points = tuple((_percent(at, total), round(100 - behind / most * 100, 3)) for at, behind in story.lag)
    return Lag(points=points, most=most, last=story.lag[-1][1])


def _held(story: Story, total: float) -> tuple[float, float] | None:
    fence = story.step("fence")
    opened = story.step("accepts-writes")
    outage = number(story.result.get("write_outage_ms"))
    if not fence or fence.outcome != "changed" or outage is None:
        return None
    began = max((span.ended for span in fence.spans if span.kind == "change"), default=fence.ended)
    ended = opened.ended if opened and opened.outcome == "proven" else began + outage / 1000
    return _percent(began, total), _percent(ended - began, total)


def _percent(seconds: float, total: float) -> float:
    return round(min(100.0, max(0.0, seconds / total * 100)), 3)
