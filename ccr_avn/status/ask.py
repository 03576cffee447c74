"""The one question to avn: which services are there. It is begun before what takes time to load."""

from typing import TYPE_CHECKING

from ccr_avn import avn
from ccr_avn.avn import AVN, Project
from ccr_avn.execute import Run, World
from ccr_avn.plan import Gate, Plan, Step, go
from ccr_avn.process import Ahead, find_avn
from ccr_avn.program import known

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccr_avn.models import Service


def begin(given: str | None, project: str | None, call_timeout: float) -> "Callable[[], tuple[Service, ...]]":
    """Start one `avn service list`. The function given back waits for its answer; misses are forgiven as in a run.

    ``call_timeout``: seconds. What is given back raises AvnError when avn failed, Refused when it is too old.

    Raises:
        UsageError: there is no avn.
    """
    call, path = avn.service_list(Project(project)), find_avn(given)
    ahead = Ahead(tuple(path if word == AVN else str(word) for word in call.argv), deadline=call_timeout)
    step = Step(
        slug="services",
        purpose="list them",
        look=call,
        gate=Gate("they are listed", lambda found, _: go(f"{len(found)} services")),
    )
    run = Run(Plan("status", (step,), ()), World(avn=path, call_timeout=call_timeout, run=ahead.run), lambda _: None)

    def answer() -> "tuple[Service, ...]":
        known(path)
        run.check()
        found: tuple[Service, ...] = run.seen.of(step)
        return found

    return answer
