"""What ccr-avn assumes about Aiven and only the real service can show. Pure data; docs/promises.md has the same rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ccr_avn.plan.model import Finding, go
from ccr_avn.valkey.drill_trials import Outcome, TrialResult


@dataclass(frozen=True, slots=True)
class Assumption:
    critical: bool  # whether a switchover does not come to a good end if it does not hold
    name: str
    what: str
    otherwise: str  # what ccr-avn does where it does not hold
    untried: str = ""  # why a drill can't try it


TABLE = """\
client-commands | the default user may use CLIENT PAUSE, UNPAUSE, LIST and KILL | switchover falls back to --fence observe: stop the writers first
! pause-holds-writes | CLIENT PAUSE holds back writes and still serves reads | writes that were made despite the pause are found: nothing is promoted (exit 4), or the result reports them (exit 16)
! no-platform-clients | Aiven itself does not connect as one of the service's users | if the filter does not cut it off, it can't be shown that a closed old primary has no clients: exit 15
! client-list-is-whole | CLIENT LIST shows all clients with address and user | if the filter does not cut it off, it can't be shown that a closed old primary has no clients: exit 15
info-shows-the-pause | INFO shows a write pause | a promotion in progress is recognised only on the machine that started it
! history-is-kept | a promoted service keeps the replication ID of its primary as its secondary ID (master_replid2) | switchover and failover end with exit 14 and leave the old primary open
platform-does-not-write | Aiven itself does not write to a primary | --fence observe never sees its offset unchanged; --fence client-pause is not affected
! info-shows-history | INFO shows run_id, replication IDs and offsets to the default user | nothing can be proven: verify and switchover refuse
! deletion-promotes | deleting the integration promotes the replica | switchover waits until --promote-timeout, with writes paused: exit 15
! password-is-kept | user and password stay the same when a replica is promoted | the run ends with an error after the promotion; the same command, run again, reads the new ones
no-promotion-by-itself | Aiven does not promote a replica on its own | failover treats it as promoted; --wait-automatic waits for that first | only the real loss of a primary can show this
! filter-refuses | a new IP filter refuses new connections within seconds | switchover ends with exit 15: the old primary is not closed, its writes stay paused for as long as possible
filter-cuts | a new IP filter cuts existing connections | switchover disconnects them itself
filter-opens | a closed IP filter can be opened again | a closed old primary can't be opened for inspection: power it off instead
filter-spares-replication | an IP filter on a primary does not cut replication to its other replicas | the other replicas of a closed old primary stop receiving data | a temporary replica has no replica of its own
first-backup | a promoted service soon gets a backup of its own | enable waits for it (--backup-timeout) before it creates the next replica
routes | the addresses of a service are its components with usage primary | only the service_uri is used
seeded-history | a replica seeded from a backup shows its primary's replication ID before it first links | it counts as never synced until it links | the moment before its first link is too short to observe reliably
users-on-a-replica | users can be created on a service while it is a replica | create them on the new primary after a switchover | a drill creates no users
plan-names | a plan that `avn service plans` lists can be used to create a service | --allow-any-plan lets Aiven decide
startup-plans | replicas run on startup plans only, 5 for a primary | --allow-any-plan lets Aiven decide | a drill creates a single replica, on the given plan
token-rights | the token may create services, delete integrations and terminate services | the command that is refused names the missing permission
tags-are-kept | the token may set tags, and they can be read back | switchover warns; which primary a service was promoted from is then known on this machine only
replicas-are-offered | read replicas are offered to the project | enable ends with 403
redis-services | services of type redis can still be created | use --service-type valkey | a drill creates a service of its primary's type
certificate | the certificate is signed by a public CA, or by the project's CA | no connection is made: give the right --ca-file
carried-over | a replica takes over the IP filter, users and settings of its primary | switchover --check reports each difference with the command that removes it
names-again | a name can be used again after its service was terminated | use a new name to fail back | a drill creates a single service
"""
"""Name, with ! where it is critical; what; what ccr-avn does otherwise; why a drill can't test it."""

ASSUMPTIONS = tuple(
    Assumption(row.startswith("! "), *row.removeprefix("! ").split(" | ")) for row in TABLE.splitlines()
)

BY_NAME: Mapping[str, Assumption] = {one.name: one for one in ASSUMPTIONS}

UNLESS = {
    "pause-holds-writes": ("client-commands", "does not hold"),
    "no-platform-clients": ("filter-cuts", "holds"),
    "client-list-is-whole": ("filter-cuts", "holds"),
}
"""What another one must have come to for a critical one to be no matter."""

UNTRIED: Outcome = "not tested"
ORDER: tuple[Outcome, ...] = ("does not hold", "holds", UNTRIED)  # what needs attention comes first


def is_tried(name: str, found: TrialResult) -> Finding:
    """Goes on whatever was seen; what does not hold is a warning with what ccr-avn does then."""
    what = BY_NAME[name].what
    warnings = (f"{what}: does not hold: {found.saw}",) if found.outcome == "does not hold" else ()
    return go(f"{found.outcome}: {found.saw}", warnings=warnings, assumption=name, outcome=found.outcome, saw=found.saw)


def table(facts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every assumption with its outcome; ``facts``: those of the findings of the steps that tried one."""
    found = {one["assumption"]: one for one in facts if {"assumption", "outcome", "saw"} <= set(one)}
    rows = []
    for one in ASSUMPTIONS:
        tried = found.get(one.name, {"outcome": UNTRIED, "saw": one.untried or "the drill did not get this far"})
        other, makes_it_harmless = UNLESS.get(one.name, ("", ""))
        harmless = other in found and found[other]["outcome"] == makes_it_harmless
        rows.append(
            {
                "name": one.name,
                "what": one.what,
                "outcome": str(tried["outcome"]),
                "saw": str(tried["saw"]),
                "otherwise": one.otherwise,
                "critical": one.critical and not harmless,
            }
        )
    return rows
