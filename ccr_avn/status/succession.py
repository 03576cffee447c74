"""Who was promoted from whom, as tags and creation times prove it. Pure."""

from collections import defaultdict
from dataclasses import dataclass

from ccr_avn.gates.settings import NOBODY, networks
from ccr_avn.lineage import Origin, created, is_origin, origin_of
from ccr_avn.models import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """A service's past. ``origin``: the name of the service that it was promoted from, be it there or not.

    ``successors``: the services that were promoted from it. ``claimants``: those whose tags give only its name, which
    proves nothing.
    """

    origin: str = ""
    successors: tuple[str, ...] = ()
    claimants: tuple[str, ...] = ()

    @property
    def is_old(self) -> bool:
        return bool(self.successors)


NO_PAST = Succession()


def successions(services: tuple[Service, ...]) -> dict[str, Succession]:
    """The past of every service that has one, by name."""
    successors: dict[str, list[str]] = defaultdict(list)
    claimants: dict[str, list[str]] = defaultdict(list)
    origins: dict[str, str] = {}
    for new in services:
        origin = origin_of(new)
        if origin is None or origin.name == new.name or _is_anothers(origin, new):
            continue
        origins[new.name] = origin.name
        for old in services:
            if is_origin(origin, old, new):
                successors[old.name].append(new.name)
            elif old.name == origin.name and _may_be(origin, old, new):
                claimants[old.name].append(new.name)
    return {
        name: Succession(
            origin=origins.get(name, ""),
            successors=tuple(sorted(successors.get(name, ()))),
            claimants=tuple(sorted(claimants.get(name, ()))),
        )
        for name in {*origins, *successors, *claimants}
    }


def lets_nobody_in(service: Service) -> bool:
    """Whether its ip_filter names nobody who exists, be it in force or not."""
    entries = service.user_config.get("ip_filter")
    return isinstance(entries, list) and len(entries) == 1 and networks(entries) == [NOBODY]  # it may have thousands


def _is_anothers(origin: Origin, new: Service) -> bool:
    """Whether the tags were written for another service: copied, or made anew under the same name with its tags."""
    return origin.new_created is not None and origin.new_created != created(new)


def _may_be(origin: Origin, old: Service, new: Service) -> bool:
    """Whether a tag that has a name only may mean this service: it is not younger than what came from it."""
    if origin.old_created is not None:
        return False
    made, then = created(old), created(new)
    return made is None or then is None or made <= then
