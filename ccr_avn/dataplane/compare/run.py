"""One comparison from the first look to the verdict."""

from collections.abc import Callable

from ccr_avn.dataplane.compare.crew import alone, together
from ccr_avn.dataplane.compare.memory import peak_memory
from ccr_avn.dataplane.compare.model import CompareRequest, Comparison, Progress
from ccr_avn.dataplane.compare.survey import Survey, survey
from ccr_avn.dataplane.compare.tally import Tally
from ccr_avn.dataplane.compare.tether import Tether
from ccr_avn.dataplane.compare.worker import Report, Task

SMALL = 30_000
"""Keys (of both sides) that one process has compared by the time others would have started."""


def run(request: CompareRequest, progress: Callable[[Progress], None]) -> Comparison:
    """Raises: Unreachable, UsageError."""
    found = survey(request)
    jobs = _jobs(request, found)
    task = Task(request=request, units=found.units, traits=found.traits, jobs=jobs)
    with Tally(request, found.units) as tally, Tether(request) as tether:

        def look(*, now: bool = False) -> str | None:
            return tether.look(now=now) if request.require_link else None

        def tick() -> None:
            progress(tally.progress(look()))

        def told(worker: int, report: Report) -> None:
            tally.add(worker, report)
            tick()

        look(now=True)
        if jobs == 1:
            alone(task, told)
        else:
            together(task, told, tick)
        trouble = look(now=True)
        return tally.result(trouble, (peak_memory(),) if jobs > 1 else ())


def _jobs(request: CompareRequest, found: Survey) -> int:
    if request.sample is not None or sum(unit.keys for unit in found.units) < SMALL:
        return 1
    return max(1, request.jobs)
