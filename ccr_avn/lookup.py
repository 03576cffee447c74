"""Services by name, by one avn: for the commands that do a single thing."""

from ccr_avn import avn
from ccr_avn.avn import Project
from ccr_avn.execute import Run, World
from ccr_avn.gates.services import by_name
from ccr_avn.models import Service
from ccr_avn.plan import Finding, Gate, Plan, Seen, Step, go, stop
from ccr_avn.process import find_avn
from ccr_avn.program import known


def look_up(given: str | None, project: Project, names: tuple[str, ...], call_timeout: float) -> tuple[Service, ...]:
    """The services in the order of their names; misses of avn are forgiven as in a run. ``call_timeout``: seconds.

    Raises:
        Refused: one does not exist.
        AvnError: avn failed.
    """

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        missing = [name for name in names if by_name(found, name) is None]
        if missing:
            return stop(
                f"{' and '.join(missing)} does not exist", hint="check the name and the project: avn service list"
            )
        return go("found")

    step = Step(
        slug="lookup", purpose="find them", look=avn.service_list(project, *names), gate=Gate("they exist", judge)
    )
    world = World(avn=known(find_avn(given)).path, call_timeout=call_timeout)
    run = Run(Plan("look up", (step,), ()), world, lambda _: None)
    run.check()
    services = {one.name: one for one in run.seen.of(step)}
    return tuple(services[name] for name in names)
