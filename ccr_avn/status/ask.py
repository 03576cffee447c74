"""The one question to avn: which services are there."""

from ccr_avn import avn
from ccr_avn.avn import Project
from ccr_avn.execute import Run, World
from ccr_avn.models import Service
from ccr_avn.plan import Gate, Plan, Step, go
from ccr_avn.process import find_avn


def ask_avn(given: str | None, project: str | None, call_timeout: float) -> tuple[Service, ...]:
    """All services of the project by one `avn service list`; misses are forgiven as in a run. ``call_timeout``: seconds.

    Raises:
        AvnError: avn failed.
        UsageError: there is no avn.
    """
    step = Step(
        slug="services",
        purpose="list them",
        look=avn.service_list(Project(project)),
        gate=Gate("they are listed", lambda found, _: go(f"{len(found)} services")),
    )
    run = Run(Plan("status", (step,), ()), World(avn=find_avn(given), call_timeout=call_timeout), lambda _: None)
    run.check()
    found: tuple[Service, ...] = run.seen.of(step)
    return found
