"""Looks up services by name, with one avn where possible, for commands without a plan."""

import fnmatch
from collections.abc import Callable
from contextlib import suppress

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import Service
from ccr_avn.aiven.program import known, world_of
from ccr_avn.aiven.reading import Rows
from ccr_avn.errors import AvnError, Refused, TooOld, near
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.plan.model import Call, Finding, Gate, Plan, Step, T, go, stop
from ccr_avn.plan.reads import World
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.process import find_avn

Note = Callable[[str], object]


def look_up(
    given: str | None, project: Project, names: tuple[str, ...], call_timeout: float, note: Note = lambda _: None
) -> tuple[Service, ...]:
    """The services in the order of their names; misses of avn are forgiven as in a run. ``call_timeout``: seconds.

    ``note`` is told what is worth a line meanwhile.

    Raises:
        Refused: one does not exist.
        AvnError: avn failed.
    """
    world = world_of(known(find_avn(given)).path, call_timeout=call_timeout)
    step = Step(
        slug="lookup",
        purpose="find them",
        read=avn.service_list(project, *names),
        gate=Gate("they exist", lambda found, _: _judge_there(found, names)),
        brief=True,
    )
    run = Run(Plan("look up", (step,), ()), world, telling(note))
    found: tuple[Service, ...]
    try:
        run.check()
        found = run.seen.of(step)
    except TooOld:
        raise
    except Refused as refusal:
        listed: tuple[Service, ...] = ()
        with suppress(AvnError):  # only for a guess
            listed = answer_of(world, avn.service_list(project), lambda _: None)
        missing = {*names} - {one.name for one in run.seen.of(step)}
        guesses = "".join(near(name, [one.name for one in listed]) for name in sorted(missing))
        refusal.hint = f"check the name{guesses} and the project: avn service list"
        raise
    except AvnError:
        found = ask_each(world, project, names, note)
    services = {one.name: one for one in found}
    return tuple(services[name] for name in names)


def answer_of(world: World, call: Call[T], note: Note) -> T:
    """What avn answers, whatever it is.

    Raises:
        AvnError: avn failed.
    """
    gate: Gate[T] = Gate("it is answered", lambda _, __: go("answered"))
    step = Step(slug="look", purpose="ask avn", read=call, gate=gate)
    run = Run(Plan("look", (step,), ()), world, telling(note))
    run.check()
    found: T = run.seen.of(step)
    return found


def must_be_clouds(world: World, project: Project, clouds: tuple[str, ...], note: Note) -> None:
    """Each is the name of a cloud, or with a star at its end the beginning of one.

    Raises:
        Refused: one is not.
        AvnError: avn failed.
    """

    def judge(found: tuple[dict[str, object], ...], _: object) -> Finding:
        names = {str(one.get("cloud_name")) for one in found}
        wrong = [one for one in clouds if not fnmatch.filter(names, one)]
        if not wrong:
            return go("they are clouds")
        guesses = "".join(near(one, names) for one in wrong)
        return stop(
            f"{' and '.join(wrong)}: no such cloud, and no service is there", hint=f"list them{guesses}: avn cloud list"
        )

    step = Step(slug="clouds", purpose="list the clouds", read=avn.cloud_list(project), gate=Gate("they exist", judge))
    Run(Plan("look up clouds", (step,), ()), world, telling(note)).check()


def ask_each(
    world: World, project: Project, names: tuple[str, ...], note: Note, *, all_of_them: bool = True
) -> Rows[Service]:
    """Each by its name: it works where the list does not. ``all_of_them``: one that does not exist is refused."""

    def step(name: str) -> Step[tuple[Service, ...]]:
        needed = (name,) if all_of_them else ()
        gate: Gate[tuple[Service, ...]] = Gate("it exists", lambda found, _: _judge_there(found, needed))
        return Step(slug=name, purpose=f"find {name}", read=avn.service_named(project, name), gate=gate)

    steps = tuple(step(name) for name in dict.fromkeys(names))
    run = Run(Plan("look up by name", steps, ()), world, telling(note) if all_of_them else events.long_waits(note))
    run.check()
    found = tuple(service for one in steps for service in run.seen.of(one))
    return Rows(found, (said for service in found for said in service.left_out))


def telling(note: Note) -> Callable[[events.Event], None]:
    """A sink for what has no progress of its own: long waits and what could not be read."""

    def emit(event: events.Event) -> None:
        events.long_waits(note)(event)
        if isinstance(event, events.StepDone):
            for warning in event.finding.warnings:
                note(f"warning: {warning}")

    return emit


def _judge_there(found: tuple[Service, ...], names: tuple[str, ...]) -> Finding:
    missing = [name for name in names if by_name(found, name) is None]
    if missing:
        return stop(f"{' and '.join(missing)} does not exist", hint="check the name and the project: avn service list")
    return go("found")
