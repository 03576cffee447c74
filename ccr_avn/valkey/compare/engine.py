"""Runs one comparison from its preparation to the verdict."""

from collections.abc import Callable

from ccr_avn.valkey.compare.link_monitor import LinkMonitor
from ccr_avn.valkey.compare.model import CompareRequest, Comparison, Progress
from ccr_avn.valkey.compare.scan import Capabilities, capabilities
from ccr_avn.valkey.compare.summary import Summary
from ccr_avn.valkey.compare.workers import Report, Task, alone, peak_memory, together

SMALL = 30_000
"""Keys (of both sides) that one process has compared by the time others would have started."""


def run(request: CompareRequest, progress: Callable[[Progress], None]) -> Comparison:
    """Raises: Unreachable, UsageError."""
    found = capabilities(request)
    jobs = _jobs(request, found)
    task = Task(request=request, units=found.units, traits=found.traits, jobs=jobs)
    with Summary(request, found.units) as summary, LinkMonitor(request) as monitor:

        def read(*, now: bool = False) -> str | None:
            return monitor.read(now=now) if request.require_link else None

        def tick() -> None:
            progress(summary.progress(read()))

        def told(worker: int, report: Report) -> None:
            summary.add(worker, report)
            tick()

        read(now=True)
        if jobs == 1:
            alone(task, told)
        else:
            together(task, told, tick)
        trouble = read(now=True)
        return summary.result(trouble, (peak_memory(),) if jobs > 1 else ())


def _jobs(request: CompareRequest, found: Capabilities) -> int:
    if request.sample is not None or sum(unit.keys for unit in found.units) < SMALL:
        return 1
    return max(1, request.jobs)
