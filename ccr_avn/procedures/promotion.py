"""Steps that every promotion has: promote, check the data and that writes are accepted, record it."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.models import Integration, Tag
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.options import Opt, Replica, Service, a_name, word
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Finding, Keep, Later, Poll, Probe, Step, go, todo, wait
from ccr_avn.procedures.gates.history import Expected, judge_carries
from ccr_avn.procedures.gates.pair import judge_gone
from ccr_avn.procedures.gates.pair_state import feeding
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.valkey.marker import accepts_write
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.writers import Snapshot

FAST = 0.005  # seconds between the first looks while applications wait


@gate("integration", fact="integration")
def look_at_integration(
    at: Setting,
    replica: Replica,
    *,
    primary: Annotated[
        str | None, Opt(names=("--from",), metavar="PRIMARY", help="From this primary.", rule=a_name)
    ] = None,
) -> Step[tuple[Integration, ...]]:
    """Find the read_replica integration of REPLICA; exit 4 if there is none. --print integration prints its ID.

    Examples:
      ccr-avn gate integration us
      ccr-avn gate integration us --from eu
    """

    def judge(rows: tuple[Integration, ...], _: Seen) -> Finding:
        row = feeding(rows, primary, replica)
        return go(
            f"integration {row.id}" if row else "no read_replica integration; checking for an earlier promotion",
            integration=row.id if row else None,
        )

    words = ("--from", primary) if primary else ()
    printed = (*at.gate("integration", replica, *words), "--print", "integration")
    return Step(
        slug="integration",
        purpose=f"find the read_replica integration of {replica}",
        read=avn.integration_list(at.project, replica),
        rule=f"the integration is found, or {replica} is already promoted",
        judge=judge,
        keeps=(Keep(variable="integration_id", argv=printed),),
    )


@gate("promoted", timeout=60, asks=("replica",))
def look_at_role(
    at: Setting, replica: Replica, *, limit: float, row: Callable[[Seen], Integration | None] = lambda seen: seen.row
) -> Step[ReplicationInfo]:
    """Wait until REPLICA is a primary: its role is master.

    Examples:
      ccr-avn gate promoted us
      ccr-avn gate promoted us --timeout 600
    """

    def judge(side: ReplicationInfo, seen: Seen) -> Finding:
        if side.role == "master":
            return go("its role is master")
        if row(seen) is None:
            return wait("still a replica; its integration is deleted, so Aiven is promoting it")
        return todo("still a replica")

    return Step(
        slug="promote-role",
        purpose=f"check whether {replica} is a master",
        read=at.info(replica),
        rule=f"the role of {replica} is master",
        judge=judge,
        poll=Poll(limit=limit, first=FAST, interval=0.1, hint=f"inspect it: avn service get {replica}"),
    )


def looks_at_promotion(
    at: Setting, replica: str, *, limit: float, row: Callable[[Seen], Integration | None] = lambda seen: seen.row
) -> tuple[Step[ReplicationInfo], Step[tuple[Integration, ...]]]:
    """Either of these shows that REPLICA was promoted: its role, or that its integration is gone. ``limit``: seconds."""
    gone = replace(integration_gone(at, replica, limit=0), slug="promote-doubt")
    return look_at_role(at, replica, limit=limit, row=row), gone


def promote(
    at: Setting,
    replica: str,
    *,
    limit: float,
    doubt_limit: float,
    fenced: str = "",
    guard: Callable[[Seen], None] | None = None,
    row: Callable[[Seen], Integration | None] = lambda seen: seen.row,
) -> Step[ReplicationInfo]:
    """Irreversible: a read_replica can only be made together with its service.

    ``doubt_limit``: seconds for which an unanswered deletion must show no effect until it counts as one that did not act;
    ``fenced``: the service on which writes are paused meanwhile; ``guard``: raises what forbids the deletion at the
    last moment; ``row``: the integration that may be deleted, as the checks judged it.
    """

    def integration_id(seen: Seen) -> str:
        found = row(seen)
        if found is None or found.id is None:
            raise Refused(f"{replica} has no integration to delete", hint="run the same command again")
        return found.id

    looks = looks_at_promotion(at, replica, limit=limit, row=row)
    row_id = Later(variable="integration_id", fill=integration_id)
    return replace(
        looks[0],
        slug="promote",
        purpose=f"promote {replica}: it stops following and accepts writes; this can't be undone",
        change=avn.integration_delete(at.project, row_id, hint=_hint(at, replica, fenced, limit)),
        final=True,
        guard=guard,
        doubts=looks,
        doubt_limit=doubt_limit,
    )


def carries_history(
    at: Setting,
    replica: str,
    primary: Callable[[Seen], str],
    expected: Callable[[Seen, ReplicationInfo | None], Expected],
    *,
    limit: float,
    variable: str,
) -> Step[ReplicationInfo]:
    """Before applications are redirected: the server may have come back without its data. ``limit``: seconds.

    ``expected``: given the promoted side, once it answers; ``variable``: in which a preview has put the token of what was
    there before.
    """

    def judge(side: ReplicationInfo, seen: Seen) -> Finding:
        if side.role != "master":
            return wait(f"its role is {side.role}")
        return judge_carries(side, expected(seen, side), primary(seen) or "its primary", replica)

    def filled(seen: Seen) -> str:
        before = seen.fenced.target or (seen.sides and seen.sides.replica)
        return Snapshot.of(before).token if before else "none"

    token = Later(variable=variable, fill=filled)
    argv = at.gate("history", replica, "--token", token, limit=limit, tight=True)
    return Step(
        slug="history",
        purpose=f"check that {replica} has the data of its primary",
        read=at.info(replica),
        command=argv,
        rule="it continues the replication history of its primary",
        judge=judge,
        poll=Poll(limit=limit, first=FAST, interval=0.1),
    )


@gate("accepts-writes", timeout=60, asks=("service",), tight=True)
def accepts_writes(
    at: Setting, service: Service, *, limit: float, history: Step[ReplicationInfo] | None = None
) -> Step[ReplicationInfo | str]:
    """Wait until SERVICE accepts writes: one succeeds and can be read back.

    Examples:
      ccr-avn gate accepts-writes us
      ccr-avn gate accepts-writes us --timeout 600
    """

    def read(seen: Seen) -> ReplicationInfo | str:
        """The server that does; or why it does not."""
        try:
            side = accepts_write(endpoint(seen.service(service), at))
        except Unreachable as trouble:
            if not trouble.passing:
                raise
            return trouble.what
        return side or "it does not accept writes yet"

    def judge(side: ReplicationInfo | str, seen: Seen) -> Finding:
        """The history must be that of the server that took the write, whichever its address leads to by then."""
        if isinstance(side, str):
            return wait(side)
        carries = history.judge(side, seen) if history else None
        return carries if carries and carries.verdict != "go" else go("a write succeeds and can be read back")

    return Step(
        slug="accepts-writes",
        purpose=f"write to {service} and read it back: the outage ends here",
        read=Probe(read, at.server(service, "SET, GET")),
        rule="a write succeeds and can be read back",
        judge=judge,
        poll=Poll(limit=limit, first=FAST, interval=0.1, hint=f"inspect it: avn service get {service}"),
        writes_keys=True,
    )


@gate("tagged", timeout=10)
def look_at_tags(
    at: Setting,
    service: Service,
    *,
    tag: Annotated[list[str], word("KEY=VALUE", "A tag that it must have; repeatable.")],
    limit: float,
    wanted: Callable[[Seen], tuple[str, ...]] | None = None,
) -> Step[tuple[Tag, ...]]:
    """Wait until SERVICE has these tags.

    Examples:
      ccr-avn gate tagged us --tag ccr_promoted_from=eu
      ccr-avn gate tagged us --tag ccr_promoted_from=eu --timeout 0
    """

    def judge(found: tuple[Tag, ...], seen: Seen) -> Finding:
        named = wanted(seen) if wanted else tuple(tag)
        if not named:
            return go("nothing to record: the old primary is unknown")
        there = {f"{one.key}={one.value}" for one in found}
        return go(f"tag {named[0]}") if set(named) <= there else todo("not tagged")

    return Step(
        slug="tagged",
        purpose=f"check the tags of {service}",
        read=avn.tags_list(at.project, service),
        rule="its tags name that primary",
        judge=judge,
        poll=Poll(limit=limit, first=0.2, interval=1),
    )


def remember_origin(
    at: Setting, replica: str, tags: Callable[[Seen], tuple[str, ...]], primary: str | None = None
) -> Step[tuple[Tag, ...]]:
    """What the platform forgets is left on the service as tags, where permissions allow.

    ``tags``: ``key=value`` words; two of them, the name and what distinguishes namesakes; ``primary``: its name, where a
    preview knows it.
    """
    late = Later(variable="origin_tag", fill=lambda seen: tags(seen)[0])
    name = f"{lineage.FROM}={primary}" if primary else late
    proof = Later(variable="lineage_tag", fill=lambda seen: tags(seen)[1])
    return replace(
        look_at_tags(at, replica, tag=[name, proof], limit=10, wanted=tags),  # type: ignore[list-item]  # filled when it is run
        slug="origin",
        purpose=f"record on {replica} which primary it was promoted from",
        change=avn.tags_update(at.project, replica, name, proof),
        optional=True,
    )


def keep_lineage(at: Setting, replica: str, *words: str) -> tuple[Keep, Keep, Keep]:
    """While it still follows, for a preview: the tag that distinguishes namesakes, the mark, and the tag with its primary's name."""
    argv = at.gate("lineage", replica, *words)
    more = (("promoting_tag", "--promoting"), ("origin_tag", "--origin"))
    promoting, origin = (Keep(variable=variable, argv=(*argv, option)) for variable, option in more)
    return Keep(variable="lineage_tag", argv=argv), promoting, origin


@gate("integration-gone", timeout=60)
def integration_gone(at: Setting, replica: Replica, *, limit: float) -> Step[tuple[Integration, ...]]:
    """Wait until REPLICA has no read_replica integration.

    Examples:
      ccr-avn gate integration-gone us
      ccr-avn gate integration-gone us --timeout 600
    """
    return Step(
        slug="integration-gone",
        purpose=f"check that {replica} no longer has a read_replica integration",
        read=avn.integration_list(at.project, replica),
        rule="the read_replica integration is gone",
        judge=lambda rows, _: judge_gone(rows, replica),
        poll=at.poll(limit),
    )


def passed(seen: Seen, replica: str) -> str:
    """How far the pair is, where all checks have passed."""
    said = {"promoted": f"{replica} was already promoted", "promoting": f"{replica} is being promoted"}
    return said.get(seen.state.state if seen.state else "", "all pre-checks passed")


def _hint(at: Setting, replica: str, fenced: str, limit: float) -> str:
    listed = f"`avn service integration-list {replica}` lists its integration"
    hint = f"run the same command again; {replica} is still a replica if {listed}"
    if not fenced:
        return hint
    lift = shlex.join(("ccr-avn", "unfence", fenced, *at.options, "--force"))
    return (
        f"{hint}. If writes on {fenced} are still paused, the pause expires within {limit:g} s; "
        f"`{lift}` ends it now; only do that if {replica} is still a replica"
    )
