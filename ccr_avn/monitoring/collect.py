"""Collects what status shows: services and pairs from Aiven, the replication state from each server."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import origin_of
from ccr_avn.aiven.models import Service
from ccr_avn.aiven.reading import Rows
from ccr_avn.errors import Unreachable
from ccr_avn.monitoring.pairs import Pair
from ccr_avn.plan.execute import World
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.procedures.lookup import ask_each
from ccr_avn.procedures.steps import Setting, endpoint
from ccr_avn.valkey.diagnose import Answered, OutOfReach, TurnedAway
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.replication import ReplicationInfo

if TYPE_CHECKING:
    from ccr_avn.procedures.lookup import Note


def ask_by_name(world: World, project: Project, names: tuple[str, ...], note: "Note") -> "tuple[Service, ...]":
    """These, the other sides of their pairs, and what they were promoted from."""
    found = ask_each(world, project, names, note, all_of_them=False)
    origins = [origin.name for one in found if (origin := origin_of(one))]
    others = [other for one in found for other in (one.source, *one.replicas)] + origins
    more = tuple(dict.fromkeys(other for other in others if other and other not in names))
    rest = ask_each(world, project, more, note, all_of_them=False)
    return Rows((*found, *rest), (*found.left_out, *rest.left_out))


GRACE = 0.1
"""Seconds for a look that ended at the limit to be noted."""

SHUT = 1.5
"""Seconds within which a service that its ip_filter shuts would have answered if the filter were not in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a service's data plane answered, or why nothing.

    ``ours``: it is we who can't ask, so that nothing is known of it. ``answered``: something is there that lets clients in,
    be it with a refusal. ``refused``: the connection was refused. ``hint``: what can help.
    """

    side: ReplicationInfo | None = None
    trouble: str = ""
    ours: bool = False
    answered: bool = False
    refused: bool = False
    hint: str = ""

    def trouble_of(self, name: str) -> str:
        """Why there is no answer, with the service's name in front, once."""
        told = self.trouble or "not asked"
        return told if told.startswith(name) else f"{name}: {told}"


Looks = dict[str, Look]


def look_at_all(
    pairs: tuple[Pair, ...],
    *,
    limit: float,
    ca_file: Path | None = None,
    route: str | None = None,
    more: tuple[Service, ...] = (),
) -> Looks:
    """One look at every service of ``pairs`` and of ``more``, in at most ``limit`` seconds for all of them.

    Primaries are asked once their replicas have answered, so that a lag may be overstated but not understated.
    """
    began = time.monotonic()
    until = began + limit
    services = {one.name: one for one in (*more, *(side for pair in pairs for side in pair.services))}
    answered = {pair.replica.name: threading.Event() for pair in pairs if pair.replica}
    followers: dict[str, list[threading.Event]] = defaultdict(list)
    for pair in pairs:
        if pair.replica:
            followers[pair.primary_name].append(answered[pair.replica.name])
    looks: Looks = {}
    setting = Setting(ca_file=ca_file, route=route)

    def read(service: Service) -> None:
        def hold() -> None:
            for event in followers[service.name]:
                event.wait(max(0.0, until - limit / 2 - time.monotonic()))

        try:
            latest = min(until, began + SHUT) if lets_nobody_in(service) else until
            looks[service.name] = _look(service, setting, latest, hold)
        finally:
            if service.name in answered:
                answered[service.name].set()

    # Daemons: a name that is looked up for ever must not keep the command from ending.
    threads = [threading.Thread(target=read, args=(one,), daemon=True) for one in services.values()]
    for thread in threads:
        with suppress(RuntimeError):  # a limit of processes: that one is not asked
            thread.start()
    for thread in filter(threading.Thread.is_alive, threads):
        thread.join(max(0.0, until + GRACE - time.monotonic()))
    late = Look(trouble=f"no answer within {limit:g} s", ours=True)  # a name that is looked up for ever; a busy machine
    return {name: looks.get(name, late) for name in services}


def _look(service: Service, setting: Setting, until: float, hold: Callable[[], None]) -> Look:
    if service.state == "POWEROFF":
        return Look(trouble="powered off")
    try:
        where = replace(endpoint(service, setting), timeout=max(0.0, until - time.monotonic()))
        return Look(side=fetch_replication(where, until=until, hold=hold))
    except Unreachable as error:
        ours, answered = isinstance(error, OutOfReach) or not error.passing, isinstance(error, Answered)
        refused = isinstance(error, TurnedAway)
        return Look(trouble=error.what, ours=ours, answered=answered, refused=refused, hint=error.hint)
    except ValueError:  # no address at all, in one of the many ways in which it may be none
        return Look(trouble=f"the address of {service.name} can't be used", ours=True)
    except Exception as bug:  # noqa: BLE001 (in a thread: it would be lost, and the service wrongly called silent)
        return Look(trouble=f"internal error: {type(bug).__name__}", ours=True)
