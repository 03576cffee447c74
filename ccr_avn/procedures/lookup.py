"""Looks up services without a plan: with one avn, ahead of what takes long to load; by name, where a list can't be had."""

import fnmatch
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.errors import AvnError, Refused, near
from ccr_avn.plan.events import long_waits
from ccr_avn.plan.model import Answers, Call, Step, T, go
from ccr_avn.plan.reads import Reader, World
from ccr_avn.process import Ahead

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.aiven.reading import Rows

Note = Callable[[str], object]
"""Receives what is worth a line meanwhile."""


def answers(world: World, note: Note, *calls: Call[T], brief: bool = False) -> list[T]:
    """What avn answers to each; misses are forgiven as in a run. Raises: AvnError: avn failed."""
    reader = Reader(world, long_waits(note))
    steps = (
        Step(slug="look", purpose="ask avn", read=one, rule="it answers", judge=lambda *_: go("answered"), brief=brief)
        for one in calls
    )
    return [reader.answer(step, Answers(), changed=False) for step in steps]


def look_up(
    world: World, project: Project, names: tuple[str, ...], note: Note = lambda _: None
) -> "tuple[Service, ...]":
    """The services in the order of their names.

    Raises: Refused: one does not exist; AvnError: avn failed.
    """
    try:
        [found] = answers(world, note, avn.service_list(project, *names), brief=True)
        by_list = True
    except AvnError:
        found, by_list = by_name(world, project, names, note), False
    for said in getattr(found, "left_out", ()):
        note(f"warning: {said}")
    services = {one.name: one for one in found}
    if missing := [name for name in names if name not in services]:
        known: list[str] = []
        if by_list:
            with suppress(AvnError):  # only for a guess
                known = [one.name for one in answers(world, lambda _: None, avn.service_list(project))[0]]
        guesses = "".join(near(name, known) for name in sorted(missing))
        hint = f"check the name{guesses} and the project: avn service list"
        raise Refused("; ".join(f"{name} does not exist" for name in missing), hint=hint)
    return tuple(services[name] for name in names)


def begin(world: World, project: Project, names: tuple[str, ...], note: Note) -> "Callable[[], tuple[Service, ...]]":
    """Start one `avn service list`. The function given back waits for its answer, or raises AvnError.

    Where the list can't be had, those of ``names`` are asked for by name, and what they replicate or feed.
    """
    call = avn.service_list(project)
    ahead = replace(world, run=Ahead((world.avn, *map(str, call.argv[1:])), deadline=world.call_timeout).run)

    def answer() -> "tuple[Service, ...]":
        try:
            [found] = answers(ahead, note, call, brief=bool(names))
        except AvnError as error:
            if not names:
                raise
            note(f"warning: the list of services is not available, so each is looked up by name: {error.detail}")
            return with_their_pairs(world, project, names, note)
        return found

    return answer


def with_their_pairs(world: World, project: Project, names: tuple[str, ...], note: Note) -> "Rows[Service]":
    """These, the other sides of their pairs, and what they were promoted from, each by its name."""
    from ccr_avn.aiven.lineage import origin_of

    found = by_name(world, project, names, note)
    origins = [origin.name for one in found if (origin := origin_of(one))]
    others = [other for one in found for other in (one.source, *one.replicas)] + origins
    more = tuple(one for one in others if one and one not in names and "/" not in one)  # of this project
    rest = by_name(world, project, more, note)
    return type(found)((*found, *rest), (*found.left_out, *rest.left_out))


def by_name(world: World, project: Project, names: tuple[str, ...], note: Note) -> "Rows[Service]":
    """Those that exist, each by its name: it works where the list does not."""
    from ccr_avn.aiven.reading import Rows

    found = answers(world, note, *(avn.service_named(project, name) for name in dict.fromkeys(names)))
    left_out = (said for answer in found for said in getattr(answer, "left_out", ()))
    return Rows((service for answer in found for service in answer), left_out)


def must_be_clouds(world: World, project: Project, clouds: tuple[str, ...], note: Note) -> None:
    """Each is the name of a cloud, or with a star at its end the beginning of one.

    Raises: Refused: one is not; AvnError: avn failed.
    """
    [known] = answers(world, note, avn.cloud_list(project))
    names = {str(one.get("cloud_name")) for one in known}
    if wrong := [one for one in clouds if not fnmatch.filter(names, one)]:
        guesses = "".join(near(one, names) for one in wrong)
        what = f"{' and '.join(wrong)}: no such cloud, and no service is there"
        raise Refused(what, hint=f"list them{guesses}: avn cloud list")
