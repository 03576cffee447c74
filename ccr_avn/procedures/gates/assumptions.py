"""What ccr-avn assumes about Aiven and only the real service can show. Pure data; docs/promises.md has the same rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ccr_avn.plan.model import Finding, Gate, Results, go
from ccr_avn.valkey.trials import Held, Tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """``otherwise``: what ccr-avn does where it does not hold; ``untried``: why a drill can't try it.

    ``critical``: where it does not hold, a switchover does not come to a good end; ``unless``: what another one must
    have come to for that to be no matter.
    """

    name: str
    what: str
    otherwise: str
    untried: str = ""
    critical: bool = False
    unless: tuple[str, Held] | None = None


ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption(
        name="client-commands",
        what="the default user may use CLIENT PAUSE, UNPAUSE, LIST and KILL",
        otherwise="switchover falls back to --fence observe: stop the writers first",
    ),
    Assumption(
        name="pause-holds-writes",
        what="CLIENT PAUSE holds writes and serves reads",
        otherwise="writes that were made despite the pause are found: nothing is promoted (exit 4), or the result reports them (exit 16)",
        critical=True,
        unless=("client-commands", "does not hold"),
    ),
    Assumption(
        name="no-platform-clients",
        what="Aiven itself does not connect as one of the service's users",
        otherwise="where the filter does not cut it off, a closed old primary never appears to be without clients: exit 15",
        critical=True,
        unless=("filter-cuts", "holds"),
    ),
    Assumption(
        name="client-list-is-whole",
        what="CLIENT LIST shows all clients with address and user",
        otherwise="where the filter does not cut it off, a closed old primary never appears to be without clients: exit 15",
        critical=True,
        unless=("filter-cuts", "holds"),
    ),
    Assumption(
        name="info-shows-the-pause",
        what="INFO shows a write pause",
        otherwise="a promotion in progress is recognised only on the machine that started it",
    ),
    Assumption(
        name="history-is-kept",
        what="a promoted service keeps the replication ID of its primary as its secondary ID (master_replid2)",
        otherwise="switchover and failover end with exit 14 and leave the old primary open",
        critical=True,
    ),
    Assumption(
        name="platform-does-not-write",
        what="Aiven itself does not write to a primary",
        otherwise="--fence observe never sees its offset unchanged; --fence client-pause is not affected",
    ),
    Assumption(
        name="info-shows-history",
        what="INFO shows run_id, replication IDs and offsets to the default user",
        otherwise="nothing can be proven: verify and switchover refuse",
        critical=True,
    ),
    Assumption(
        name="deletion-promotes",
        what="deleting the integration promotes the replica",
        otherwise="switchover waits for --promote-timeout, writes are paused as long: exit 15",
        critical=True,
    ),
    Assumption(
        name="password-is-kept",
        what="user and password stay the same when a replica is promoted",
        otherwise="the run ends with an error after the promotion; the same command, run again, reads the new ones",
        critical=True,
    ),
    Assumption(
        name="no-promotion-by-itself",
        what="Aiven does not promote a replica on its own",
        otherwise="failover treats it as promoted; --wait-automatic waits for that first",
        untried="only the real loss of a primary can show this",
    ),
    Assumption(
        name="filter-refuses",
        what="a new IP filter refuses new connections within seconds",
        otherwise="switchover ends with exit 15: the old primary is not closed, its writes stay paused for as long as possible",
        critical=True,
    ),
    Assumption(
        name="filter-cuts",
        what="a new IP filter cuts existing connections",
        otherwise="switchover disconnects them itself",
    ),
    Assumption(
        name="filter-opens",
        what="a closed IP filter can be opened again",
        otherwise="a closed old primary can't be opened for inspection: power it off instead",
    ),
    Assumption(
        name="filter-spares-replication",
        what="an IP filter on a primary does not cut replication to its other replicas",
        otherwise="the other replicas of a closed old primary stop receiving data",
        untried="a throw-away service has no replica of its own",
    ),
    Assumption(
        name="first-backup",
        what="a promoted service soon gets a backup of its own",
        otherwise="enable waits for it (--backup-timeout) before it creates the next replica",
    ),
    Assumption(
        name="routes",
        what="the addresses of a service are its components with usage primary",
        otherwise="only the service_uri is used",
    ),
    Assumption(
        name="seeded-history",
        what="a replica seeded from a backup shows its primary's replication ID before it first links",
        otherwise="it counts as never synced until it links",
        untried="the moment before its first link is too short to observe reliably",
    ),
    Assumption(
        name="users-on-a-replica",
        what="users can be created on a service while it is a replica",
        otherwise="create them on the new primary after a switchover",
        untried="a drill creates no users",
    ),
    Assumption(
        name="plan-names",
        what="a plan that `avn service plans` lists is accepted by a creation",
        otherwise="--allow-any-plan lets Aiven decide",
    ),
    Assumption(
        name="startup-plans",
        what="replicas run on startup plans only, 5 for a primary",
        otherwise="--allow-any-plan lets Aiven decide",
        untried="a drill creates a single replica, on the given plan",
    ),
    Assumption(
        name="token-rights",
        what="the token may create services, delete integrations and terminate services",
        otherwise="the command that is refused names the missing permission",
    ),
    Assumption(
        name="tags-are-kept",
        what="the token may set tags, and they are read back",
        otherwise="switchover warns; which primary a service was promoted from is then known on this machine only",
    ),
    Assumption(
        name="replicas-are-offered",
        what="read replicas are offered to the project",
        otherwise="enable ends with 403",
    ),
    Assumption(
        name="redis-services",
        what="services of type redis can still be created",
        otherwise="use --service-type valkey",
        untried="a drill creates a service of its primary's type",
    ),
    Assumption(
        name="certificate",
        what="the certificate is signed by a public CA, or by the project's CA",
        otherwise="no connection is made: give the right --ca-file",
    ),
    Assumption(
        name="carried-over",
        what="a replica takes over the IP filter, users and settings of its primary",
        otherwise="switchover --check reports each difference with the command that removes it",
    ),
    Assumption(
        name="names-again",
        what="a name can be used again after its service was terminated",
        otherwise="use a new name to fail back",
        untried="a drill creates a single service",
    ),
)

UNTRIED: Held = "not tested"

BY_NAME: Mapping[str, Assumption] = {one.name: one for one in ASSUMPTIONS}


def is_tried(name: str) -> Gate[Tried]:
    """Goes on whatever was seen; what does not hold is a warning with what ccr-avn does then."""
    assumption = BY_NAME[name]

    def judge(found: Tried, _: Results) -> Finding:
        told = () if found.outcome != "does not hold" else (f"{assumption.what}: does not hold: {found.saw}",)
        return go(f"{found.outcome}: {found.saw}", warnings=told, assumption=name, outcome=found.outcome, saw=found.saw)

    return Gate(f"tested whether {assumption.what}", judge)


def table(facts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every assumption with what came of it; ``facts``: those of the findings of the steps that tried one."""
    found = {
        str(one["assumption"]): one
        for one in facts
        if one.get("assumption") in BY_NAME and {"outcome", "saw"} <= set(one)
    }
    outcomes = {name: str(one["outcome"]) for name, one in found.items()}
    return [
        {
            "name": one.name,
            "what": one.what,
            "outcome": outcomes.get(one.name, UNTRIED),
            "saw": str(found[one.name]["saw"])
            if one.name in found
            else one.untried or "the drill did not get this far",
            "otherwise": one.otherwise,
            "critical": one.critical and not (one.unless and outcomes.get(one.unless[0]) == one.unless[1]),
        }
        for one in ASSUMPTIONS
    ]
