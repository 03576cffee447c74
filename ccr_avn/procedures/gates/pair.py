"""Rules for promoting a replica: is it the right one, is its data complete, may it happen now."""

from collections.abc import Mapping
from dataclasses import replace

from ccr_avn import clock
from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import Recorded, created, promoted_from, tags
from ccr_avn.aiven.models import Integration, Service
from ccr_avn.plan.model import Finding, go, stop, wait
from ccr_avn.procedures.drill.ours import temporary
from ccr_avn.procedures.gates.links import judge_link, too_far_behind
from ccr_avn.procedures.gates.pair_state import PairState, feeding, superseded
from ccr_avn.procedures.gates.services import judge_power, paired_otherwise, together
from ccr_avn.procedures.gates.settings import judge_room
from ccr_avn.procedures.seen import Sides
from ccr_avn.procedures.verb import SwitchoverOptions
from ccr_avn.units import clock_time, local_time
from ccr_avn.valkey.replication import NO_HISTORY, Link, ReplicationInfo, link_of


def judge_pair(want: SwitchoverOptions, found: Mapping[str, Service]) -> Finding:
    """Both are there, and named the right way round."""
    at, primary, replica = want.at, want.primary, want.replica
    old, new, project = found.get(primary), found.get(replica), at.project
    services, recorded = tuple(found.values()), at.journals.promotions
    if old is None or new is None:
        missing = "; ".join(f"{name} does not exist" for name in (primary, replica) if name not in found)
        hint = "check the names: avn service list; when PRIMARY is gone: ccr-avn failover REPLICA --allow-data-loss"
        return stop(missing, hint=hint)
    if promoted_from(old, services) == new:
        back = f"ccr-avn enable {primary} NEW --replica-cloud CLOUD, then ccr-avn switchover {primary} NEW"
        return stop(
            f"{replica} is the old primary of {primary}, which was promoted from it",
            detail="an old primary can't become a replica, and is not reopened",
            hint=f"to move back: {back}",
        )
    findings = [judge_serves(project, new, services, recorded)]
    if otherwise := paired_otherwise("switchover", old, new):
        findings.append(otherwise)
    if old.source not in (None, replica):
        findings.append(stop(f"{primary} is itself a replica of {old.source}", hint=f"ccr-avn status {primary}"))
    if new.source:
        findings.append(judge_serves(project, old, services, recorded))
    promote = f"to promote it anyway: ccr-avn switchover {primary} {replica} --drill-service {replica}"
    if want.drill_service != replica and (other := temporary(new, at.journals.drills, recorded, promote)):
        findings.append(other)
    if other := superseded(project, old, new, services, recorded, now=at.now):
        findings.append(other)
    if want.old_primary == "power-off" and old.protected:
        allow = avn.service_update(project, primary, "--disable-termination-protection").text
        findings.append(stop(f"{primary} is protected against powering off", hint=allow))
    known = {one.name: created(one) for one in (old, new)}
    return replace(together(findings), facts={"created": known, "ip_filter": old.user_config.get("ip_filter")})


def judge_serves(
    project: Project, service: Service, services: tuple[Service, ...] = (), recorded: tuple[Recorded, ...] = ()
) -> Finding:
    if service.serving or service.state == "POWEROFF":
        return judge_power(project, service, services, recorded)
    return stop(f"{service.name} is {service.state}", hint=f"wait for it: avn service wait {service.name}")


def judge_health(want: SwitchoverOptions, old: Service, new: Service, sides: Sides) -> Finding:
    """Healthy and following; or promoted already, and that from PRIMARY."""
    finding, replid = _judge_state(want, old, new, sides), (sides.primary or sides.replica).replid
    noted = {"state": sides.state.state, "follows": old.name, "replication_id": replid}
    return replace(finding, facts={**finding.facts, **noted})


def _judge_state(want: SwitchoverOptions, old: Service, new: Service, sides: Sides) -> Finding:
    found, link = sides.state, link_of(sides.primary, sides.replica)
    if found.state == "following" or link in ("same server", "not a primary"):
        return _judge_healthy(want, sides)
    if found.state == "hidden":
        return is_hidden(new.name, old.name)
    if found.state in ("unrelated", "divided"):
        return _without_record(old, new, sides, want.at.project)
    what = f"{new.name} was already promoted from {old.name},"
    if found.state == "promoting":
        what = f"{new.name} is being promoted: its integration is deleted, and it is not a master yet,"
    return go(f"{what} shown by {' and '.join(found.proofs)}", warnings=_unfinished(sides.primary, old.name))


def _without_record(old: Service, new: Service, sides: Sides, project: Project) -> Finding:
    """What was seen, and the commands for either case: nothing is inferred from a history that forks share, too."""
    primary, side, replica = sides.primary, sides.replica, new.name
    none = f"neither a tag of {replica} nor a journal on this machine records that it was promoted from this {old.name}"
    what = f"{replica} is not a replica of {old.name}, and nothing records that it was promoted from it"
    seen = f"role {side.role}"
    if sides.state.state == "divided" and primary:
        what = f"both {old.name} and {replica} accept writes, and nothing records that one was promoted from the other"
        seen = (
            f"{replica} has the history of {old.name} up to offset {side.second_offset - 1}, as a promoted service would, "
            f"and so would a fork; {old.name} is at {primary.offset}"
        )
    elif primary is None:
        seen = f"{seen}; {old.name}: {sides.primary_trouble}"
    ways: list[str] = []
    if side.role == "master":
        recording = avn.tags_update(project, replica, *tags(old, new, side.replid2 or NO_HISTORY)).text
        ways = [f"if {replica} was promoted from {old.name}, record it, then run the same command again: {recording}"]
    if primary:
        another = project.command("ccr-avn", "enable", old.name, "NAME", "--replica-cloud", "CLOUD")
        ways.append(f"if not, leave both as they are; to create a replica of {old.name}: {another}")
    return stop(what, detail=f"{seen}; {none}", hint="; ".join(ways) or "check the names: avn service list")


def _unfinished(side: ReplicationInfo | None, primary: str) -> tuple[str, ...]:
    if side is None:
        return ()
    paused = side.paused_seconds
    until = paused and f": writes on it are paused until {local_time(clock.now() + paused)} ({paused:.0f} s)"
    return (f"{primary} is not closed yet" + (until or ("" if paused is None else " and accepts writes now")),)


def is_master_already(replica: str, found: PairState) -> Finding:
    if found.state == "promoted":
        return go("it accepts writes already; its integration is still listed")
    return stop(
        f"the server at the address of {replica} is a master, though its integration is still listed",
        detail="Aiven is promoting it, or its address leads to another service; nothing records its promotion",
        hint=f"wait until it is gone, then run the same command again: ccr-avn gate integration-gone {replica} --timeout 600",
    )


def is_hidden(replica: str, primary: str | None) -> Finding:
    """A slave is never "promoted already"."""
    return stop(
        f"{replica} follows {primary or 'a primary'}, but no integration that shows this is visible",
        detail="role slave, and no enabled read_replica integration with its source is listed for it",
        hint=f"give the token the permission project:integrations:read (`ccr-avn doctor`); if a promotion is under way, "
        f"wait for it: ccr-avn gate accepts-writes {replica} --timeout 600",
    )


def _judge_healthy(want: SwitchoverOptions, sides: Sides) -> Finding:
    at, primary, replica = want.at, want.primary, want.replica
    if sides.primary is None:
        return stop(
            f"cannot connect to {primary}",
            detail=sides.primary_trouble,
            hint=sides.primary_hint or f"if it is lost: ccr-avn failover {replica} --allow-data-loss",
        )
    link = Link(primary=sides.primary, replica=sides.replica)
    linked = judge_link(link)
    findings = []
    if linked.verdict != "go":
        hint = f"wait for it: ccr-avn verify {primary} {replica} --level link --link-timeout 300"
        findings.append(stop(linked.reason, detail=linked.detail, hint=linked.hint or hint))
    elif why := too_far_behind(link.lag_bytes, want.max_lag_bytes):
        hint = f"wait until it has caught up, or allow more: --max-lag-bytes {link.lag_bytes}"
        findings.append(stop(f"{replica} is {why}", hint=hint))
    if (paused := sides.primary.paused_seconds) and not at.journals.may_have_paused(primary, replica):
        until = f"{clock_time(clock.now() + paused)}, but not by a run for this pair on this machine"
        findings.append(
            stop(
                f"writes on {primary} are paused until {until}",
                detail="another promotion from it may be under way, or may have been interrupted after its deletion was sent",
                hint="let it finish, or run its command again on the machine where it was started; if no promotion is under way, "
                f"writes then resume automatically, or with: ccr-avn unfence {primary}",
            )
        )
    fits = judge_room(sides.primary, sides.replica, primary, replica, allow_smaller=want.allow_smaller)
    applied = at.rejections.judge(sides.replica, primary, replica)
    return together([*(findings or [linked]), *((fits,) if fits else ()), applied])


def is_primary(side: ReplicationInfo, service: str) -> Finding:
    if side.role == "master":
        return go(f"{service} is at offset {side.offset}")
    what = f"{service} is a replica: it accepts no writes"
    return stop(what, hint=f"to see which service is the primary: ccr-avn status {service}")


def judge_caught_up(replica: ReplicationInfo, target: int) -> Finding:
    if replica.role == "master":
        return go("promoted in the meantime")
    missing = target - replica.offset
    if missing > 0:
        return wait(f"{missing} bytes behind", lag_bytes=missing)
    return go(f"replica offset equals primary offset ({target})", lag_bytes=0)


def judge_gone(rows: tuple[Integration, ...], replica: str) -> Finding:
    row = feeding(rows, None, replica)
    return wait(f"integration {row.id} is still listed") if row else go("no read_replica integration is listed")
