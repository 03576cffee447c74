"""The one question to avn: which services are there. It is begun before what takes time to load."""

from typing import TYPE_CHECKING

from ccr_avn import avn, events
from ccr_avn.avn import AVN, Project
from ccr_avn.errors import AvnError
from ccr_avn.execute import Run, World
from ccr_avn.plan import Gate, Plan, Step, go
from ccr_avn.process import Ahead, find_avn
from ccr_avn.program import known

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccr_avn.lookup import Note
    from ccr_avn.models import Service


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
    ahead = Ahead(tuple(path if word == AVN else str(word) for word in call.argv), deadline=call_timeout)
    step = Step(
        slug="services",
        purpose="list them",
        look=call,
        gate=Gate("they are listed", lambda found, _: go(f"{len(found)} services")),
        brief=bool(names),
    )
    world = World(avn=path, call_timeout=call_timeout, run=ahead.run)
    run = Run(Plan("status", (step,), ()), world, events.long_waits(note))

    def answer() -> "tuple[Service, ...]":
        known(path)
        try:
            run.check()
        except AvnError as error:
            if not names:
                raise
            note(f"warning: the list of services can't be had, so each is asked for by name: {error.detail}")
            return _by_name(world, Project(project), names, note)
        found: tuple[Service, ...] = run.seen.of(step)
        return found

    return answer


def _by_name(world: World, project: Project, names: tuple[str, ...], note: "Note") -> "tuple[Service, ...]":
    """These, the other sides of their pairs, and what they were promoted from."""
    from ccr_avn.lineage import origin_of
    from ccr_avn.lookup import ask_each
    from ccr_avn.reading import Rows

    found = ask_each(world, project, names, note, all_of_them=False)
    origins = [origin.name for one in found if (origin := origin_of(one))]
    others = [other for one in found for other in (one.source, *one.replicas)] + origins
    more = tuple(dict.fromkeys(other for other in others if other and other not in names))
    rest = ask_each(world, project, more, note, all_of_them=False)
    return Rows((*found, *rest), (*found.left_out, *rest.left_out))
