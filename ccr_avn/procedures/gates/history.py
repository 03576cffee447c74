"""Rules on replication history: does the new primary have the old one's data, and does the old one have more."""

from dataclasses import dataclass
from typing import Any

from ccr_avn.plan.model import Finding, go, stop
from ccr_avn.valkey.replication import NOT_LINKED, ReplicationInfo

ONE_PING = 14  # bytes of the ping that a primary may send before it notices the promotion. No write is as short


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a promoted service must carry: one of these replication IDs, and all up to ``offset`` of it.

    ``ids`` empty: nothing is known to compare with. ``offset`` None: an earlier run promoted it. ``old_server``: the
    run ID of the old primary's server.
    """

    ids: tuple[str, ...] = ()
    offset: int | None = None
    old_server: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What only the old primary has: bytes of its replication stream, and writes where they can be counted; None: unknown.

    ``lapsed``: it is unknown because there was a time in which nothing held writes back, so it may well be something.
    """

    ahead_bytes: int | None
    ahead_writes: int | None = None
    why: str = ""
    lapsed: bool = False


def judge_carries(new: ReplicationInfo, expected: Expected, primary: str, replica: str) -> Finding:
    """The replica's server may have come back empty, or with an old dump, while it was promoted."""
    before = new.second_offset - 1
    facts: dict[str, Any] = {"replication_id_before": new.replid2, "offset_before": before, "keys": new.keys}
    known = new.has_foreign_history and new.replid2 in expected.ids
    if new.run_id == expected.old_server:
        return stop(
            NOT_LINKED["same server"],
            detail=f"run_id {new.run_id}; nothing was changed on {primary}",
            hint=f"check the addresses: avn service get {replica} --json, avn service get {primary} --json",
        )
    if known and (expected.offset is None or new.second_offset > expected.offset):
        return go(f"it has the history of {primary} up to offset {before}", **facts)
    if not known and not expected.ids:
        return go("nothing to compare with", warnings=(f"it can't be shown that {replica} has its data",), **facts)
    seen = f"replication ID before its promotion {new.replid2[:8]}, expected {expected.ids[0][:8]}"
    if known:
        seen = f"its history ends at offset {before}, before {expected.offset}"
    if expected.offset is None and new.has_foreign_history:
        return stop(
            f"nothing shows that the server at the address of {replica} has the data of {primary}",
            detail=f"{seen}: it has been restarted or has failed over since, or it belongs to another service",
            hint=f"do not terminate {primary}; to see what {replica} has: "
            f"ccr-avn verify {primary} {replica} --unlinked --level values",
        )
    return stop(
        f"{replica} does not have the data of {primary}: only {primary} has it",
        detail=f"{seen}; {replica} holds {new.keys} keys. {primary} is not touched: it was neither closed nor powered off",
        hint=f"do not terminate {primary}. Keep applications on it, and create a new replica: "
        f"ccr-avn enable {primary} NAME --replica-cloud CLOUD",
    )


def lacks(side: ReplicationInfo, replication_id: str, offset: int, replica: str) -> str:
    """Why a replica must not be promoted now; empty when nothing is missing."""
    if side.role != "slave":
        return f"{replica} is not a replica: its role is {side.role}"
    if side.loading or side.sync_in_progress:
        return f"{replica} is loading or resyncing its data"
    if side.link_status != "up":
        return f"the link of {replica} is {side.link_status}"
    if side.replid != replication_id:
        return f"{replica} has a different replication ID than its primary"
    if side.offset < offset:
        return f"{replica} is {offset - side.offset} bytes behind"
    return ""


def audit(old: ReplicationInfo, new: ReplicationInfo, noted: ReplicationInfo | None) -> Audit:
    """``noted``: the old primary when writes were paused on it for good, if this run did that."""
    counted = noted is not None and (noted.run_id, noted.last_save) == (old.run_id, old.last_save)
    writes = max(0, old.changes - noted.changes) if noted and counted else None
    if writes == 0:
        return Audit(ahead_bytes=0, ahead_writes=0)
    if not new.has_foreign_history or new.replid2 not in (old.replid, old.replid2):
        why = "their replication histories no longer share an ID: a server has been restarted since"
        return Audit(ahead_bytes=None, ahead_writes=writes, why=why, lapsed=True)
    ahead = max(0, old.offset - (new.second_offset - 1))
    if writes is not None:
        return Audit(ahead_bytes=ahead, ahead_writes=writes if ahead else 0)
    return Audit(ahead_bytes=ahead if ahead > ONE_PING else 0)  # whatever it is: more than one ping may be data


def judge_audit(found: Audit, primary: str) -> Finding:
    """Never stops: what is found is reported at the end, once the old primary is closed."""
    facts: dict[str, Any] = {name: getattr(found, name) for name in ("ahead_bytes", "ahead_writes", "lapsed")}
    if found.ahead_bytes is None:
        unknown = f"whether {primary} has writes of its own is unknown: {found.why}"
        return go(f"not comparable: {found.why}", warnings=(unknown,), **facts)
    if not found.ahead_bytes:
        return go(f"{primary} has no writes that the new primary lacks", **facts)
    counted = "" if found.ahead_writes is None else f" ({found.ahead_writes} writes)"
    lost = f"{found.ahead_bytes} bytes{counted} are on {primary} only"
    return go(lost, warnings=(f"{lost}: do not terminate it",), **facts)
