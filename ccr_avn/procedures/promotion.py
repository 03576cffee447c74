"""Steps that switchover and failover share: promote, check the data and that writes are accepted, tag."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace

from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.models import Integration, Service, Tag
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.plan.model import Finding, Gate, Keep, Later, Poll, Probe, Step, go, todo, wait
from ccr_avn.procedures.gates import history, promotion
from ccr_avn.procedures.gates.pair_state import feeding
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import Find, Setting, endpoint, wait_running
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.diagnose import Answered
from ccr_avn.valkey.first_write import accepts_write
from ccr_avn.valkey.info import fetch_replication
from ccr_avn.valkey.replication import ReplicationInfo

FAST = 0.005
"""Seconds between the first looks while applications wait."""

DOUBT_TIMEOUT = 60.0
"""Seconds for which an unanswered deletion must show no effect until it counts as one that did not act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteWish:
    """Times are in seconds. ``row``: the integration that a promotion may delete, as the checks judged it.

    ``fenced``: the service on which writes are paused meanwhile; ``guard``: raises what forbids the deletion at the
    last moment.
    """

    replica: str
    setting: Setting
    find: Find
    row: Callable[[Seen], Integration | None]
    limit: float
    doubt_limit: float = DOUBT_TIMEOUT
    fenced: str = ""
    guard: Callable[[Seen], None] | None = None


def look_at_integration(setting: Setting, primary: str | None, replica: str) -> Step[tuple[Integration, ...]]:
    """Before the fence: each start of avn inside it would be outage."""
    words = ("--from", primary) if primary else ()
    alone = setting.gate("integration", replica, *words)

    def judge(rows: tuple[Integration, ...], _: Seen) -> Finding:
        row = feeding(rows, primary, replica)
        return go(
            f"integration {row.id}" if row else "no read_replica integration; checking for an earlier promotion",
            integration=row.id if row else None,
        )

    return Step(
        slug="integration",
        purpose=f"find the read_replica integration of {replica}",
        read=avn.integration_list(setting.project, replica),
        gate=Gate(f"the integration is found, or {replica} is already promoted", judge),
        alone=alone,
        keeps=(Keep(variable="integration_id", argv=(*alone, "--print", "integration")),),
    )


def promote(want: PromoteWish) -> Step[ReplicationInfo]:
    """Irreversible: a read_replica can only be made together with its service."""

    def integration_id(seen: Seen) -> str:
        row = want.row(seen)
        if row is None or row.id is None:
            raise Refused(f"there is no integration of {want.replica} to delete", hint="run the same command again")
        return row.id

    def judge(side: ReplicationInfo, seen: Seen) -> Finding:
        if side.role == "master":
            return go("its role is master")
        if want.row(seen) is None:
            return wait("still a replica; its integration is deleted, so Aiven is promoting it")
        return todo("still a replica")

    alone = want.setting.gate("promoted", want.replica, limit=want.limit)
    role = Step(
        slug="promote-role",
        purpose=f"check whether {want.replica} is a master",
        read=Probe(alone, lambda seen: _look(want, seen)),
        gate=Gate(f"the role of {want.replica} is master", judge),
    )
    return Step(
        slug="promote",
        purpose=f"promote {want.replica}: it stops following and accepts writes; this can't be undone",
        read=role.read,
        gate=role.gate,
        poll=Poll(limit=want.limit, first=FAST, interval=0.1, hint=f"look at it: avn service get {want.replica}"),
        change=avn.integration_delete(
            want.setting.project, Later(variable="integration_id", fill=integration_id), hint=_hint(want)
        ),
        final=True,
        alone=alone,
        by_hand=want.setting.server(want.replica, "INFO replication"),
        guard=want.guard,
        doubts=(role, _row_gone(want)),
        doubt_limit=want.doubt_limit,
    )


def promoted_meanwhile(want: PromoteWish) -> tuple[Step[ReplicationInfo], Step[tuple[Integration, ...]]]:
    """Before a fence is lifted: did somebody else promote it while we ran."""
    step = promote(want)
    return step.doubts  # type: ignore[return-value]  # the two of just above


def carries_history(
    want: PromoteWish,
    primary: str | Later,
    expected: Callable[[Seen], history.Expected],
    variable: str,
    gone_on_as: Callable[[Seen], tuple[str, ...]] = lambda _: (),
) -> Step[ReplicationInfo]:
    """Before applications are told: the server may have come back without its data.

    ``variable``: where a preview has put the token of what was there before. ``gone_on_as``: under which replication
    IDs the primary itself has gone on since; only asked where the one from before is not found.
    """

    def judge(side: ReplicationInfo, seen: Seen) -> Finding:
        if side.role != "master":
            return wait(f"its role is {side.role}")
        name = primary.fill(seen) if isinstance(primary, Later) else primary
        before = expected(seen)
        if before.ids and side.replid2 not in before.ids:
            before = replace(before, ids=(*before.ids, *gone_on_as(seen)))
        return history.judge_carries(side, before, name or "its primary", want.replica)

    token = Later(variable=variable, fill=lambda seen: _expected_token(expected(seen)))
    return Step(
        slug="history",
        purpose=f"check that {want.replica} has the data of its primary",
        read=Probe(
            want.setting.gate("history", want.replica, "--token", token, limit=want.limit, tight=True),
            lambda seen: _look(want, seen),
        ),
        by_hand=want.setting.server(want.replica, "INFO replication"),
        gate=Gate("it continues the replication history of its primary", judge),
        poll=Poll(limit=want.limit, first=FAST, interval=0.1),
    )


def accepts_writes(want: PromoteWish, history: Step[ReplicationInfo] | None = None) -> Step[ReplicationInfo | str]:
    """``history``: it must hold of the server that took the write, too, whichever its address leads to by then."""

    def read(seen: Seen) -> ReplicationInfo | str:
        """The server that does; or why it does not."""
        try:
            side = accepts_write(_at(want.setting, want.find, seen, want.replica))
        except Unreachable as trouble:
            if not trouble.passing:
                raise
            return trouble.what
        return side or "it does not accept writes yet"

    def judge(side: ReplicationInfo | str, seen: Seen) -> Finding:
        if isinstance(side, str):
            return wait(side)
        carries = history.gate.judge(side, seen) if history else None
        return carries if carries and carries.verdict != "go" else go("a write succeeds and can be read back")

    return Step(
        slug="accepts-writes",
        purpose=f"write to {want.replica} and read it back: the outage ends here",
        read=Probe(
            want.setting.gate("accepts-writes", want.replica, limit=want.limit, tight=True),
            read,
        ),
        by_hand=want.setting.server(want.replica, "SET, GET"),
        gate=Gate("a write succeeds and can be read back", judge),
        poll=Poll(limit=want.limit, first=FAST, interval=0.1, hint=f"look at it: avn service get {want.replica}"),
        writes_keys=True,
    )


def remember_origin(
    want: PromoteWish, primary: str | Later, tags: Callable[[Seen], tuple[str, ...]]
) -> Step[tuple[Tag, ...]]:
    """What the platform forgets is left on the service as tags, where permissions allow.

    ``tags``: ``key=value`` words; two of them, the name and what tells namesakes apart.
    """
    call = avn.tags_list(want.setting.project, want.replica)

    def judge(found: tuple[Tag, ...], seen: Seen) -> Finding:
        wanted = tags(seen)
        if not wanted:
            return go("nothing to record: the old primary is unknown")
        there = {f"{tag.key}={tag.value}" for tag in found}
        return go(f"tag {wanted[0]}") if set(wanted) <= there else todo("not tagged")

    name = (
        f"{lineage.FROM}={primary}"
        if isinstance(primary, str)
        else Later(variable="origin_tag", fill=lambda seen: tags(seen)[0])
    )
    proof = Later(variable="lineage_tag", fill=lambda seen: tags(seen)[1])
    return Step(
        slug="origin",
        purpose=f"record on {want.replica} which primary it was promoted from",
        read=call,
        gate=Gate("its tags name that primary", judge),
        poll=Poll(limit=10, first=0.2, interval=1),
        change=avn.tags_update(want.setting.project, want.replica, name, proof),
        optional=True,
        alone=want.setting.gate("tagged", want.replica, "--tag", name, "--tag", proof, limit=10),
    )


def keep_lineage(setting: Setting, replica: str, *words: str) -> Keep:
    """While it still follows: the word of the tag that tells namesakes apart."""
    return Keep(variable="lineage_tag", argv=setting.gate("lineage", replica, *words))


def keep_origin(setting: Setting, replica: str, *words: str) -> Keep:
    """The tag's other word: the primary's name, where only the replica's integration tells it."""
    return Keep(variable="origin_tag", argv=setting.gate("lineage", replica, *words, "--origin"))


def control_plane_agrees(
    setting: Setting, replica: str, limit: float
) -> tuple[Step[tuple[Integration, ...]], Step[Service]]:
    gone = Step(
        slug="integration-gone",
        purpose=f"check that {replica} has no read_replica integration any more",
        read=avn.integration_list(setting.project, replica),
        gate=promotion.is_gone(replica),
        poll=setting.poll(limit),
        alone=setting.gate("integration-gone", replica, limit=limit),
    )
    return gone, wait_running(setting, replica, "running", limit)


def health_of(setting: Setting, primary: Service, replica: ReplicationInfo) -> promotion.Health:
    """Both sides; the primary, or why it can't be asked."""
    try:
        return promotion.Health(primary=fetch_replication(endpoint(primary, setting)), replica=replica)
    except Unreachable as trouble:
        told = f"{trouble.what}: {trouble.detail}"
        lives = isinstance(trouble, Answered) or not trouble.passing
        return promotion.Health(
            primary=None, replica=replica, primary_trouble=told, primary_hint=trouble.hint if lives else ""
        )


def _row_gone(want: PromoteWish) -> Step[tuple[Integration, ...]]:
    return Step(
        slug="promote-doubt",
        purpose="check whether the integration is gone",
        read=avn.integration_list(want.setting.project, want.replica),
        gate=promotion.is_gone(want.replica),
    )


def _hint(want: PromoteWish) -> str:
    listed = f"`avn service integration-list {want.replica}` lists its integration"
    hint = f"run the same command again; {want.replica} is still a replica if {listed}"
    if not want.fenced:
        return hint
    lift = shlex.join(("ccr-avn", "unfence", want.fenced, *want.setting.options, "--force"))
    return (
        f"{hint}. If writes on {want.fenced} are still paused, the pause expires within {want.limit:g} s; "
        f"`{lift}` ends it now; only do that if {want.replica} is still a replica"
    )


def _expected_token(expected: history.Expected) -> str:
    return f"{expected.ids[0]}:{expected.offset or 0}" if expected.ids else "nothing-is-known"


def _look(want: PromoteWish, seen: Seen) -> ReplicationInfo:
    return fetch_replication(_at(want.setting, want.find, seen, want.replica))


def _at(setting: Setting, find: Find, seen: Seen, name: str) -> Endpoint:
    return endpoint(find(seen, name), setting)
