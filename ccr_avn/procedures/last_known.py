"""Looks at what is still known of a pair whose primary is lost: the replica's data, and what may be missing."""

import shlex
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter

from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.models import Service
from ccr_avn.errors import Unreachable
from ccr_avn.options import FailoverOptions
from ccr_avn.plan.model import Finding, Keep, Later, Probe, Step, Word, go, stop
from ccr_avn.procedures.gates import pair
from ccr_avn.procedures.gates.pair_state import PairState, pair_state, superseded
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.promotion import keep_lineage
from ccr_avn.procedures.seen import Seen, Sides
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.valkey.diagnose import Answered, Unresolved
from ccr_avn.valkey.fence import must_be_unlocked
from ccr_avn.valkey.marker import marker_age
from ccr_avn.valkey.replication import ReplicationInfo, link_of
from ccr_avn.valkey.server_facts import fetch_replication

BRIEFLY = 0.5  # seconds given to a primary that is thought dead, to say that it is not


def look_at_primary(at: Setting, want: FailoverOptions) -> tuple[Step[tuple[Service, ...]], Step[tuple[Service, ...]]]:
    """Whether it is there, where it would answer, and who else follows it or took over: asked once, and not needed.

    The second step is for where the list can't be had: by its name.
    """

    def judge(answer: tuple[Service, ...], seen: Seen) -> Finding:
        new = seen.checked.get(want.replica)
        source = new.source if new else None
        if new is None or source is None:
            return go("it follows no primary")
        if new.source_project:
            return go(f"{source} is in another project: it was not checked", source=source)
        old = by_name(answer, source)
        if old is None:
            return go(f"{source} is not listed", source=source)
        other = superseded(at.project, old, new, answer, at.journals.promotions, now=at.now)
        return other or go(f"{source} is {old.state}", source=source)

    def its_name(seen: Seen) -> str:
        new = seen.checked.get(want.replica)
        return (new.source if new and new.source_project is None else None) or want.replica

    listing = Step(
        slug="primary",
        purpose="look up its primary, that one's other replicas, and what was promoted from it",
        read=avn.service_family(at.project, want.replica, recorded=at.journals.promotions),
        rule="nothing else was promoted from its primary",
        judge=judge,
        brief=True,
        advisory=True,
    )
    by_its_name = replace(
        listing,
        slug="primary-alone",
        purpose="look up its primary by name if the services can't be listed",
        read=avn.service_named(at.project, Later(variable="source", fill=its_name)),
        rule="the primary was looked up",
        unneeded=lambda seen: "it is known" if seen.has(listing) else "",
        rare=True,
    )
    return listing, by_its_name


def look_at_last_known(at: Setting, want: FailoverOptions) -> Step[Sides]:
    def unneeded(seen: Seen) -> str:
        service = seen.checked.get(want.replica)
        is_refused = service is None or (service.source is None and service.replicas)
        return "not checked: it does not exist, or is not a replica" if is_refused else ""

    def read(seen: Seen) -> Sides:
        service = seen.service(want.replica)
        try:
            here = endpoint(service, at)
            side, age = fetch_replication(here), None
            with suppress(Answered):  # how old the last marker of `watch` is, it may not tell without its primary
                age = marker_age(here)
        except Unreachable as trouble:
            raise out_of_reach(at, service, trouble) from None
        old = seen.checked.get(service.source or "")
        primary = _primary_after_all(at, old, side)
        state = pair_state(service.integrations, old, service, (primary, side), at.journals.promotions, now=at.now)
        return Sides(primary=primary, replica=side, state=state, marker_age=age)

    def judge(known: Sides, seen: Seen) -> Finding:
        service = seen.service(want.replica)
        old = seen.checked.get(service.source or "")
        facts = {
            "follows": service.source,
            "created": {one.name: lineage.created(one) for one in (service, old) if one},
            "replication_id": known.followed,
        }
        finding = _judge_known(at, want, known, service, old)
        return replace(finding, facts={**finding.facts, **facts})

    command = at.gate("last-known", want.replica)
    return Step(
        slug="last-known",
        purpose="read what the replica last knew of its primary",
        read=Probe(read, at.server(want.replica, "INFO replication")),
        command=command,
        rule="its data is complete, and the possible loss is accepted",
        judge=judge,
        keeps=(*keep_lineage(at, want.replica), Keep(variable="known_token", argv=(*command, "--token"))),
        unneeded=unneeded,
    )


def look_again_at_primary(at: Setting, want: FailoverOptions, check: tuple[Word, ...]) -> Step[None]:
    """Has a switchover begun since: its write pause is placed before it looks for marks, and ours is set before this look."""

    def read(seen: Seen) -> None:
        if (known := seen.sides) and known.primary:
            _primary_after_all(at, seen.checked.get(seen.service(want.replica).source or ""), known.replica)

    def unneeded(seen: Seen) -> str:
        to_ask = seen.row and seen.sides and seen.sides.primary
        return "" if to_ask else "its primary did not answer, or there is nothing to promote"

    rule = "no run holds a write pause on its primary"
    return Step(
        slug="unlocked",
        purpose="check that no switchover from its primary has begun meanwhile",
        read=Probe(read, at.server("PRIMARY", "CLIENT LIST")),
        command=check,
        rule=rule,
        judge=lambda _, __: go(rule),
        unneeded=unneeded,
        rare=True,
    )


def _judge_known(at: Setting, want: FailoverOptions, known: Sides, service: Service, old: Service | None) -> Finding:
    found = known.state
    if found.state == "unrelated" or (found.state == "promoted" and not service.source):
        return _judge_promoted(known, service, found)
    if found.state == "hidden":
        return pair.is_hidden(want.replica, service.source)
    if found.state == "promoting":
        shown = " and ".join(found.proofs)
        being = f"{want.replica} is being promoted: its integration is deleted, and it is not a master yet"
        return go(f"{being}; shown by {shown}")
    if known.replica.role == "master":
        return pair.is_master_already(want.replica, found)
    return judge_loss(at, want, known, service.source, old)


def out_of_reach(at: Setting, service: Service, trouble: Unreachable) -> Unreachable:
    """Nothing can be proven from here; what can be done is said in any case."""
    passing, hint = trouble.passing and not (isinstance(trouble, Unresolved) and service.serving), trouble.hint
    if service.row and service.row.id:
        by_hand = avn.integration_delete(at.project, service.row.id).text
        here = shlex.join(("ccr-avn", "failover", service.name, "--allow-data-loss", "--no-verify", *at.options))
        hint += f"; to promote {service.name} with nothing proven, integration {service.row.id}: `{here}`, or by hand "
        hint += f"`{by_hand}`"
    return type(trouble)(trouble.what, detail=trouble.detail, hint=hint, passing=passing)


def _judge_promoted(known: Sides, service: Service, found: PairState) -> Finding:
    """Any standalone service is a master: a history taken over is the least that is asked for."""
    origin, name = lineage.origin_of(service), service.name
    if not known.replica.has_foreign_history and origin is None:
        if found.state == "promoted":  # in an earlier run from here: its server has come back without its data
            return stop(
                f"{name} was already promoted, and does not have the data of its primary",
                detail=f"it has no earlier replication ID (master_replid2), and holds {known.replica.keys} keys",
                hint="do not terminate the old primary: only it has the data. Restore it, then create a new replica: "
                "ccr-avn enable PRIMARY NAME --replica-cloud CLOUD",
            )
        return stop(
            f"{name} is not a replica, and has never been one",
            detail=f"role {known.replica.role}, no read_replica integration, no earlier replication ID (master_replid2)",
            hint="check the name: avn service list",
        )
    if found.state == "promoted":
        return go(f"{name} was already promoted: shown by {' and '.join(found.proofs)}")
    if origin and origin.new_created is not None and origin.new_created == lineage.created(service):
        return go(f"{name} was promoted from {origin.name} already")
    return stop(
        f"{name} is a master already, and nothing records from which primary it was promoted",
        detail="it has another server's history (master_replid2), as a promoted service would, and so would a fork",
        hint=f"there is nothing left to promote; to see what can be proven: ccr-avn switchover PRIMARY {name} "
        f"--check; to connect to it: ccr-avn endpoint {name}",
    )


def judge_loss(
    at: Setting, want: FailoverOptions, known: Sides, source: str | None, old: Service | None = None
) -> Finding:
    side = known.replica
    partial, better = _partial(at, side, source or "PRIMARY", want.replica)
    held = f"it holds {side.keys} keys; {source or 'its primary'}: {_held(known.primary, old)}"
    if partial and not want.force_partial:
        return stop(partial, detail=held, hint=f"{better}; --force-partial promotes it with the data it has")
    seconds, how = known.estimate
    loss = "unknown" if seconds is None else f"about the last {seconds:g} s of writes"
    text = f"possible loss: {loss} ({how}); applied up to offset {side.offset}, link {side.link_status}"
    alive: tuple[str, ...] = ()
    state = link_of(known.primary, side) if known.primary else None
    if state:
        switch = f"`ccr-avn switchover {source} {want.replica}` loses nothing"
        down = f", and its link is {state}" + (f": if that comes up, {switch}" if state in ("down", "syncing") else "")
        alive = (f"{source} does answer" + (f": {switch}" if state == "up" else down),)
    if not want.allow_data_loss:
        better = f"; better: ccr-avn switchover {source} {want.replica}" if state == "up" else ""
        hint = f"if that is acceptable: --allow-data-loss{better}"
        return stop("a failover may lose acknowledged writes", detail=text, hint=hint)
    lost = (f"{partial}; {held}",) if partial else ()
    return go(text, warnings=(*lost, *alive), keys=side.keys, partial=bool(partial))


def _held(primary: ReplicationInfo | None, old: Service | None) -> str:
    """What a primary that may be lost has, or had."""
    if primary:
        return f"{primary.keys} keys now"
    if old is None or not old.backups:
        return "what it held is unknown"
    newest = max(old.backups, key=attrgetter("taken"))
    size = "" if newest.size is None else f", {newest.size} bytes"
    return f"its newest backup is {newest.name} of {newest.taken:%F %T}{size}"


def _partial(at: Setting, side: ReplicationInfo, source: str, replica: str) -> tuple[str, str]:
    """Why its data is incomplete, and what is better than to promote it so; empty: it is whole.

    Whole means: it has had all of its primary once, has it in memory, and has executed what came since.
    """
    if side.loading:
        return f"{replica} is loading its data: it is incomplete", "wait until it has finished loading"
    if side.sync_in_progress:
        return f"{replica} is still syncing from its primary: its data is incomplete", "wait if the primary is alive"
    look = at.command("avn", "service", "get", "NAME")
    restore = f"restore the primary, from its backup if necessary ({look})"
    if not side.has_a_copy:
        return f"{replica} has never completed an initial sync from its primary", restore
    applied = at.rejections.judge(side, source, replica)
    return (applied.reason, restore) if side.rejected and applied.verdict == "stop" else ("", "")


def _primary_after_all(at: Setting, service: Service | None, replica: ReplicationInfo) -> ReplicationInfo | None:
    """None also where its address leads to a replica.

    Raises:
        Locked: it answers, and a run that is promoting one of its replicas has paused its writes.
    """
    if service is None or not service.serving:
        return None
    try:
        where = replace(endpoint(service, at), timeout=BRIEFLY)
        side = fetch_replication(where)
    except Unreachable:
        return None
    if link_of(side, replica) in ("same server", "not a primary"):
        return None
    if side.paused_seconds != 0:
        with suppress(Unreachable):
            must_be_unlocked(where)
    return side
