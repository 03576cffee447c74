"""`ccr-avn fence`, which pauses writes on a primary, and `unfence`, but not where another service was promoted from it."""

import shlex
from typing import Annotated

from ccr_avn import clock, options, typed
from ccr_avn.aiven.lineage import Recorded, successors
from ccr_avn.aiven.models import Service
from ccr_avn.cli.options import ActOptions
from ccr_avn.errors import Refused
from ccr_avn.monitoring.collect import look_at_all
from ccr_avn.options import Primary
from ccr_avn.procedures.gates.pair import is_primary
from ccr_avn.procedures.gates.pair_state import may_still_happen, pair_state, still_sent
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.units import clock_time
from ccr_avn.valkey.fence import lift, pause_for
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.server_facts import fetch_replication
from ccr_avn.valkey.writers import Snapshot

LIMIT = 2.0
"""Seconds for the servers that may have been promoted to answer: applications may be waiting for their writes."""


def fence(
    *,
    primary: Primary,
    ttl: Annotated[float, options.seconds("Length of the pause; it is not renewed.", options.at_least_one)] = 600,
    token: Annotated[bool, options.flag("Print only a token, for `gate fence-held` and `gate history`.")] = False,
    given: ActOptions,
) -> None:
    """Pause writes on PRIMARY for a limited time. A switchover does this itself.

    Examples:
      ccr-avn fence eu --ttl 60
      token="$(ccr-avn fence eu --token)"
    """
    [service] = given.services(primary)
    where = endpoint(service, given.setting())
    _must_be_primary(fetch_replication(where), primary)
    noted = Snapshot.of(pause_for(where, ttl))
    result = {"ttl_seconds": ttl, "offset": noted.offset, "token": noted.token}
    given.show(noted.token if token else f"writes on {primary} are paused for {ttl:g} s", result)


def unfence(
    *,
    primary: Primary,
    disconnect: Annotated[bool, options.flag("Disconnect all clients first.")] = False,
    force: Annotated[bool, options.flag("Even if another service was promoted from PRIMARY.")] = False,
    given: ActOptions,
) -> None:
    """Resume writes on PRIMARY. Exit 4 while a switchover holds a write pause there, and after a promotion from it.

    Examples:
      ccr-avn unfence eu
      ccr-avn unfence eu --disconnect
    """
    setting = given.setting()
    services = given.begin(primary)()
    old = by_name(services, primary)
    if old is None:
        raise Refused(f"{primary} does not exist", hint="check the name and the project: avn service list")
    recorded = setting.journals.promotions
    later = {one.name: one.proofs for one in successors(old, services, recorded)}
    if not force and (later or (later := _seen_on_servers(old, services, recorded, setting))):
        new, again = next(iter(later)), typed.again("--force")
        closing = shlex.join(("ccr-avn", "switchover", primary, new, *setting.options))
        raise Refused(
            f"{new} was promoted from {primary}, or is being promoted",
            detail=f"shown by {' and '.join(later[new])}; writes on {primary} stay paused: {new} would not have them",
            hint=f"`{closing}` closes {primary}; if {new} is a fork or a copy, or to resume writes there anyway: {again}",
        )
    side = fetch_replication(endpoint(old, setting))
    _must_be_primary(side, primary)
    if not force and (sent := still_sent(old, services, recorded, now=clock.now())):
        found, paused = may_still_happen(setting.project, primary, sent[0]), side.paused_seconds
        held = f"the write pause lasts until {clock_time(clock.now() + paused)}" if paused else ""
        raise Refused(
            found.reason,
            detail="; ".join(filter(None, (found.detail, held))),
            hint=f"{found.hint}; to resume writes anyway: {typed.again('--force')}",
        )
    lift(endpoint(old, setting), disconnect=disconnect)
    given.show(f"writes on {primary} resumed", {"disconnected": disconnect})


def _seen_on_servers(
    old: Service, services: tuple[Service, ...], recorded: tuple[Recorded, ...], setting: Setting
) -> dict[str, tuple[str, ...]]:
    """Which services their servers show to have taken over under this pause, or to be doing so, and how."""
    others = tuple(one for one in services if one.name != old.name and one.source in (None, old.name))
    looks = look_at_all((old, *others), setting, limit=LIMIT)
    states = {
        new.name: pair_state(new.integrations, old, new, (looks[old.name].side, side), recorded, now=clock.now())
        for new in others
        if (side := looks[new.name].side)
    }
    return {name: found.proofs for name, found in states.items() if found.promoted}


def _must_be_primary(side: ReplicationInfo, service: str) -> None:
    """Raises:
    Refused: it is not, so that the answer would be about something else.
    """
    if (found := is_primary(side, service)).verdict == "stop":
        raise Refused(found.reason, hint=found.hint)
