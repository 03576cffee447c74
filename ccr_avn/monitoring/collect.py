"""Asks every server of the pairs at once for its replication state; and whether a service accepts clients."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ccr_avn import clock
from ccr_avn.aiven.models import Service
from ccr_avn.background import Task
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.procedures.gates.settings import DEFAULTS, NOBODY, lets_nobody_in, networks
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.valkey.diagnose import Admission, Answered, OutOfReach, TurnedAway
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.server_facts import fetch_replication

GRACE = 0.1
"""Seconds for a look that ended at the limit to be noted."""

SHUT = 1.5
"""Seconds within which a service that its ip_filter shuts would have answered if the filter were not in force."""

ENTRIES_SHOWN = 3
"""Entries of an ip_filter that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a service's data plane answered, or why nothing.

    ``ours``: the problem is on this machine, so that nothing is known of it. ``answered``: something there accepts clients,
    even if it refused this one. ``refused``: the connection was refused. ``hint``: what can help.
    """

    side: ReplicationInfo | None = None
    trouble: str = ""
    ours: bool = False
    answered: bool = False
    refused: bool = False
    hint: str = ""

    def trouble_of(self, name: str) -> str:
        """Why there is no answer, with the service's name in front, once."""
        why = self.trouble or "not asked"
        return why if why.startswith(name) else f"{name}: {why}"


NO_LOOK = Look()

Looks = dict[str, Look]


def look_at_all(services: Iterable[Service], setting: Setting, *, limit: float) -> Looks:
    """One look at each of these, by name, in at most ``limit`` seconds for all of them.

    Primaries are asked after the replicas, so that a lag may be overstated but not understated.
    """
    until = clock.monotonic() + limit
    known = {one.name: one for one in services}
    replicas = {name for one in known.values() for name in (one.name if one.row else "", *one.replicas)}
    primaries = {one.name for one in known.values() if one.replicas} - replicas
    tasks: dict[str, Task[Look]] = {}

    def start(names: Iterable[str]) -> None:
        for name in names:
            with suppress(Refused):  # a limit of processes: that one is not asked
                tasks[name] = Task(partial(_look, known[name], setting, until), name)

    def wait(names: Collection[str], latest: float) -> None:
        for name in filter(names.__contains__, tasks):
            tasks[name].ended(max(0.0, latest - clock.monotonic()))

    start(name for name in known if name not in primaries)
    wait(replicas, until - limit / 2)
    start(filter(primaries.__contains__, known))
    wait(known, until + GRACE)
    late = Look(trouble=f"no answer within {limit:g} s", ours=True)  # a name that is looked up for ever; a busy machine
    done = {name: task.result() for name, task in tasks.items() if task.ended(0)}
    return {name: done.get(name, late) for name in known}


def _look(service: Service, setting: Setting, until: float) -> Look:
    if service.state == "POWEROFF":
        return Look(trouble="powered off")
    if lets_nobody_in(service):
        until = min(until, clock.monotonic() + SHUT)
    try:
        where = replace(endpoint(service, setting), timeout=max(0.0, until - clock.monotonic()))
        return Look(side=fetch_replication(where, until=until))
    except Unreachable as error:
        ours, answered = isinstance(error, OutOfReach) or not error.passing, isinstance(error, Answered)
        refused = isinstance(error, TurnedAway)
        return Look(trouble=error.what, ours=ours, answered=answered, refused=refused, hint=error.hint)
    except ValueError:  # no address at all, in one of the many ways in which it may be none
        return Look(trouble=f"the address of {service.name} can't be used", ours=True)
    except Exception as bug:  # noqa: BLE001 (in a thread: it would be lost, and the service wrongly called silent)
        return Look(trouble=f"internal error: {type(bug).__name__}", ours=True)


def admission(service: Service, look: Look) -> Admission:
    """Whether it accepts clients. Only a refused connection together with the filter shows that it does not."""
    if service.state == "POWEROFF":
        return Admission(state="closed", why="it is powered off")
    if look.side is not None:
        return Admission(state="open", why=f"it answers as a {look.side.role}")
    if look.answered:
        return Admission(state="open", why="it answers")
    if lets_nobody_in(service):
        sure = look.refused or not look.trouble  # without a look the platform's word is all there is
        why = f"its ip_filter is {NOBODY}" + ("" if sure else f", but {look.trouble}")
        return Admission(state="closed" if sure else "unknown", why=why)
    entries = networks(service.user_config.get("ip_filter", DEFAULTS["ip_filter"]))
    if not entries:
        return Admission(state="open", why="nothing shows that it is closed")
    more = f" and {len(entries) - ENTRIES_SHOWN} more" if len(entries) > ENTRIES_SHOWN else ""
    return Admission(state="open", why=f"its ip_filter allows {', '.join(entries[:ENTRIES_SHOWN])}{more}")


def closed(service: Service, look: Look) -> str:
    """What shows that it accepts no client; empty if nothing does."""
    found = admission(service, look)
    return found.why if found.state == "closed" else ""
