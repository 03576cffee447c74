"""Asks avn for the list of services; started before slow imports, so that both run at the same time."""

from typing import TYPE_CHECKING

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.program import known, world_of
from ccr_avn.errors import AvnError
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.plan.model import Plan, Step, go
from ccr_avn.process import Ahead, find_avn

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccr_avn.aiven.models import Service
    from ccr_avn.procedures.lookup import Note


def begin(
    given: str | None,
    project: str | None,
    call_timeout: float,
    names: tuple[str, ...] = (),
    note: "Note" = lambda _: None,
) -> "Callable[[], tuple[Service, ...]]":
    """Start one `avn service list`. The function given back waits for its answer; misses are forgiven as in a run.

    Where the list can't be had, those of ``names`` are asked for by name, and what they replicate or feed.
    ``call_timeout``: seconds. What is given back raises AvnError when avn failed, Refused when it is too old.

    Raises:
        UsageError: there is no avn.
    """
    call, path = avn.service_list(Project(project)), find_avn(given)
    ahead = Ahead((path, *map(str, call.argv[1:])), deadline=call_timeout)
    step = Step(
        slug="services",
        purpose="list them",
        read=call,
        rule="they are listed",
        judge=lambda found, _: go(f"{len(found)} services"),
        brief=bool(names),
    )
    world = world_of(path, call_timeout=call_timeout, run=ahead.run)
    run = Run(Plan("status", (step,), ()), world, events.long_waits(note))

    def answer() -> "tuple[Service, ...]":
        known(path)
        try:
            run.check()
        except AvnError as error:
            if not names:
                raise
            note(f"warning: the list of services is not available, so each is looked up by name: {error.detail}")
            from ccr_avn.monitoring.collect import ask_by_name

            return ask_by_name(world, Project(project), names, note)
        found: tuple[Service, ...] = run.seen.of(step)
        return found

    return answer
