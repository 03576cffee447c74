"""Looks up services by name, with one avn where possible, for commands without a plan."""

import fnmatch
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import Service
from ccr_avn.aiven.program import known, world_of
from ccr_avn.aiven.reading import Rows
from ccr_avn.errors import AvnError, Refused, near
from ccr_avn.plan.events import Event, long_waits
from ccr_avn.plan.execute import Run
from ccr_avn.plan.model import Call, Finding, Plan, Step, T, go
from ccr_avn.plan.reads import World
from ccr_avn.process import find_avn

Note = Callable[[str], object]


def look_up(
    given: str | None, project: Project, names: tuple[str, ...], call_timeout: float, note: Note = lambda _: None
) -> tuple[Service, ...]:
    """The services in the order of their names; misses of avn are forgiven as in a run. ``call_timeout``: seconds.

    ``note`` receives what is worth a line meanwhile.

    Raises: Refused: one does not exist; AvnError: avn failed.
    """
    world, by_list = world_of(known(find_avn(given)).path, call_timeout=call_timeout), True
    try:
        found = answer_of(world, avn.service_list(project, *names), note, brief=True)
    except AvnError:
        found, by_list = ask_each(world, project, names, long_waits(note, warnings=True)), False
    services = {one.name: one for one in found}
    if missing := [name for name in names if name not in services]:
        others: tuple[Service, ...] = ()
        with suppress(AvnError):  # only for a guess
            others = answer_of(world, avn.service_list(project), lambda _: None) if by_list else ()
        guesses = "".join(near(name, [one.name for one in others]) for name in sorted(missing))
        hint = f"check the name{guesses} and the project: avn service list"
        raise Refused(f"{' and '.join(missing)} does not exist", hint=hint)
    return tuple(services[name] for name in names)


def answer_of(world: World, call: Call[T], note: Note, *, brief: bool = False) -> T:
    """What avn answers, whatever it is. Raises: AvnError: avn failed."""
    step = Step(slug="look", purpose="ask avn", read=call, rule=_RULE, judge=_any, brief=brief)
    run = Run(Plan("look up", (step,), ()), world, long_waits(note, warnings=True))
    run.check()
    found: T = run.seen.of(step)
    return found


def must_be_clouds(world: World, project: Project, clouds: tuple[str, ...], note: Note) -> None:
    """Each is the name of a cloud, or with a star at its end the beginning of one.

    Raises: Refused: one is not; AvnError: avn failed.
    """
    names = {str(one.get("cloud_name")) for one in answer_of(world, avn.cloud_list(project), note)}
    if wrong := [one for one in clouds if not fnmatch.filter(names, one)]:
        guesses = "".join(near(one, names) for one in wrong)
        what = f"{' and '.join(wrong)}: no such cloud, and no service is there"
        raise Refused(what, hint=f"list them{guesses}: avn cloud list")


def ask_each(world: World, project: Project, names: tuple[str, ...], emit: Callable[[Event], None]) -> Rows[Service]:
    """Those that exist, each by its name: it works where the list does not."""
    steps = tuple(
        Step(slug=name, purpose=f"find {name}", read=avn.service_named(project, name), rule=_RULE, judge=_any)
        for name in dict.fromkeys(names)
    )
    run = Run(Plan("look up by name", steps, ()), world, emit)
    run.check()
    found = tuple(service for one in steps for service in run.seen.of(one))
    return Rows(found, (said for service in found for said in service.left_out))


_RULE = "it is answered"


def _any(_: Any, __: Any) -> Finding:
    return go("answered")
