"""Rules for promoting a replica: is it the right one, is it whole, may it happen now."""

import shlex
from dataclasses import dataclass

from ccr_avn import avn
from ccr_avn.avn import Project
from ccr_avn.dataplane.link import NO_HISTORY, Link, Side
from ccr_avn.gates.links import judge_link
from ccr_avn.gates.room import judge_room
from ccr_avn.gates.services import by_name, judge_power, together
from ccr_avn.models import Integration, Service
from ccr_avn.plan import Finding, Gate, Seen, Step, go, stop, wait

TAG = "ccr_promoted_from"
"""The service tag that remembers which primary a promoted service came from: the platform forgets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Both data planes, as far as they could be asked; ``primary_trouble`` says why not."""

    primary: Side | None
    replica: Side
    primary_trouble: str = ""


def feeding(rows: tuple[Integration, ...], primary: str | None, replica: str) -> Integration | None:
    """The enabled row that makes ``replica`` follow ``primary`` (``None``: anybody)."""
    return next((row for row in rows if row.feeds(replica) and primary in (None, row.source)), None)


def both_are_there(project: Project, primary: str, replica: str, *, power_off: bool) -> Gate[tuple[Service, ...]]:
    def judge(services: tuple[Service, ...], _: Seen) -> Finding:
        old, new = by_name(services, primary), by_name(services, replica)
        missing = [name for name, one in ((primary, old), (replica, new)) if one is None]
        if old is None or new is None:
            hint = "check the names: avn service list; when PRIMARY is gone: ccr-avn failover REPLICA --allow-data-loss"
            return stop(f"{' and '.join(missing)} does not exist", hint=hint)
        findings = [judge_serves(project, new)]
        if new.source not in (None, primary):
            hint = f"ccr-avn switchover {new.source} {replica}"
            findings.append(stop(f"{replica} replicates {new.source}, not {primary}", hint=hint))
        if new.source:
            findings.append(judge_serves(project, old))
        if old.source:
            findings.append(stop(f"{primary} is itself a replica of {old.source}", hint="check which is which"))
        if power_off and old.protected:
            words = avn.service_update(project, primary, "--disable-termination-protection").argv
            hint = shlex.join(str(word) for word in words)
            findings.append(stop(f"{primary} is protected against powering off", hint=hint))
        return together(findings)

    return Gate(f"both exist and serve, and {replica} follows {primary} or followed it", judge)


def judge_serves(project: Project, service: Service) -> Finding:
    if service.serving or service.state == "POWEROFF":
        return judge_power(project, service)
    return stop(f"{service.name} is {service.state}", hint=f"wait for it: avn service wait {service.name}")


def may_be_promoted(
    rows: Step[tuple[Integration, ...]],
    services: Step[tuple[Service, ...]],
    primary: str,
    replica: str,
    *,
    max_lag: int,
    journal: bool,
    allow_smaller: bool = False,
) -> Gate[Health | None]:
    """Healthy and following; or promoted already, and that from PRIMARY."""

    def judge(health: Health | None, seen: Seen) -> Finding:
        if health is None:
            return go("not looked at: a service is missing")
        if feeding(seen.of(rows), primary, replica):
            return _judge_healthy(health, primary, replica, max_lag, allow_smaller=allow_smaller)
        tagged = by_name(seen.of(services), replica)
        by_tag = tagged is not None and tagged.tags.get(TAG) == primary
        return judge_lineage(health, primary, replica, by_tag=by_tag, by_journal=journal)

    return Gate(f"the link is up and at most {max_lag} bytes behind", judge)


def _judge_healthy(health: Health, primary: str, replica: str, max_lag: int, *, allow_smaller: bool) -> Finding:
    if health.primary is None:
        return stop(
            f"the data plane of {primary} can't be asked",
            detail=health.primary_trouble,
            hint=f"if it is lost: ccr-avn failover {replica} --allow-data-loss",
        )
    link = Link(primary=health.primary, replica=health.replica)
    linked = judge_link(link)
    findings = []
    if linked.verdict != "go":
        hint = f"wait for it: ccr-avn verify {primary} {replica} --level link --link-timeout 300"
        findings.append(stop(linked.reason, hint=hint))
    elif link.lag_bytes > max_lag:
        hint = f"wait until it has caught up, or allow more: --max-lag-bytes {link.lag_bytes}"
        findings.append(stop(f"{replica} is {link.lag_bytes} bytes behind, more than {max_lag}", hint=hint))
    fits = judge_room(health.primary, health.replica, primary, replica, allow_smaller=allow_smaller)
    return together([*(findings or [linked]), *((fits,) if fits else ())])


def judge_lineage(health: Health, primary: str, replica: str, *, by_tag: bool, by_journal: bool) -> Finding:
    """Any standalone service looks promoted: only proof of where it came from counts."""
    side = health.replica
    history = health.primary is not None and health.primary.replid in (side.replid2, side.replid)
    proofs = [
        name
        for name, holds in (
            ("its replication history", history),
            (f"its tag {TAG}", by_tag),
            ("the journal", by_journal),
        )
        if holds
    ]
    if not proofs:
        return stop(
            f"{replica} is no replica of {primary}, and nothing shows that it was promoted from it",
            detail=f"role {side.role}; neither history, tag nor journal name {primary}",
            hint=f"check the names; to make a replica of {primary}: ccr-avn enable {primary} NAME --replica-cloud CLOUD",
        )
    return go(f"{replica} was promoted from {primary} already: shown by {' and '.join(proofs)}")


def judge_caught_up(replica: Side, target: int) -> Finding:
    if replica.role == "master":
        return go("promoted meanwhile")
    missing = target - replica.offset
    if missing > 0:
        return wait(f"{missing} bytes behind")
    return go(f"all of the primary's {target} bytes applied")


def is_gone(replica: str) -> Gate[tuple[Integration, ...]]:
    def judge(rows: tuple[Integration, ...], _: Seen) -> Finding:
        row = feeding(rows, None, replica)
        return wait(f"integration {row.id} is still listed") if row else go("no read_replica integration is listed")

    return Gate("the read_replica integration is gone", judge)


def had_a_primary(side: Side) -> bool:
    return side.role == "slave" or side.replid2 != NO_HISTORY
