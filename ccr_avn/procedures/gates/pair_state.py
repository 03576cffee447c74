"""The state of a pair, named alike in every command: following, promoting, promoted, divided, hidden, unrelated."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ccr_avn.aiven.lineage import JOURNALED, Recorded, proofs_of
from ccr_avn.aiven.models import READ_REPLICA, Integration, Service
from ccr_avn.valkey.replication import ReplicationInfo

State = Literal["following", "promoting", "promoted", "divided", "hidden", "unrelated"]
"""following: a replica with its integration. promoting: the integration was deleted, and it is no master yet.
promoted: a master that is recorded as promoted from this primary, or is shown to be by both servers. divided: a master
with this primary's history, which has gone on writing since, and no record says whether the one took over from the
other. hidden: it follows somebody, and no integration that says whom is visible. unrelated: a master, and nothing shows
that it ever followed this primary."""

RECENT = 900.0
"""Seconds for which a deletion that was sent, and of which nothing more is known, may still be under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairState:
    """``row``: what a promotion deletes. ``proofs``: what shows a promotion. ``doubt``: one may be under way all the same."""

    state: State
    row: Integration | None = None
    proofs: tuple[str, ...] = ()
    doubt: bool = False

    @property
    def promoted(self) -> bool:
        """Whether a promotion was seen: then there is nothing left to wait for."""
        return self.state in ("promoting", "promoted")

    @property
    def may_be_promoting(self) -> bool:
        """Whether one may be under way: then no fence is ever lifted by undoing, and nothing is skipped."""
        return self.promoted or self.doubt


def feeding(rows: tuple[Integration, ...], primary: str | None, replica: str) -> Integration | None:
    """The enabled row that makes ``replica`` follow ``primary`` (``None``: anybody, by name); only one with an id counts."""
    for row in rows:
        if row.feeds(replica) and row.source and row.id and primary in (None, row.source):
            return row
    return None


def hints_at(rows: tuple[Integration, ...], replica: str) -> bool:
    """Whether a read_replica row is listed for it, be it that the row does not say whom it follows, or whether it is on."""
    return any(row.type == READ_REPLICA and row.dest == replica and (row.enabled or row.id) for row in rows)


def still_sent(
    old: Service, services: Iterable[Service], recorded: Iterable[Recorded], *, now: float
) -> tuple[Recorded, ...]:
    """The promotions of replicas of ``old`` that were sent, of which no more is known, and that may still happen."""
    return tuple(one for one in recorded if _is_recent(one, now) and any(one.is_of(old, new) for new in services))


def _is_recent(sent: Recorded, now: float) -> bool:
    return not sent.proven and 0 <= now - sent.sent_at < RECENT


def pair_state(
    rows: tuple[Integration, ...],
    old: Service | None,
    new: Service,
    sides: tuple[ReplicationInfo | None, ReplicationInfo],
    recorded: tuple[Recorded, ...],
    *,
    now: float,
) -> PairState:
    """``old`` None: nobody says who the primary is; ``sides``: the primary's, if it answers, and the replica's."""
    primary, replica = sides
    row = feeding(rows, old.name if old else None, new.name)
    sent = [one for one in recorded if one.is_of(old, new)]
    if replica.role == "master":
        return _of_a_master(row, primary, replica, proofs_of(old, new, sent))
    if row:
        return PairState(state="following", row=row, doubt=any(_is_recent(one, now) for one in sent))
    if hints_at(rows, new.name):
        return PairState(state="hidden")
    proofs = (JOURNALED,) if sent else ()
    if primary and primary.paused_seconds and primary.replid == replica.replid:
        proofs = (*proofs, "the write pause on its primary")
    return PairState(state="promoting" if proofs else "hidden", proofs=proofs)


def _of_a_master(
    row: Integration | None, primary: ReplicationInfo | None, replica: ReplicationInfo, recorded: tuple[str, ...]
) -> PairState:
    """Any standalone service looks promoted, and a fork shares its origin's history: what is recorded counts.

    Without a record the servers show it only where no write can be stranded: the primary has none that the other lacks,
    or its writes are paused, and what it is ahead by are pings to its other replicas.
    """
    if recorded:
        return PairState(state="promoted", proofs=recorded)
    if primary and replica.has_foreign_history and replica.replid2 == primary.replid:
        ahead = primary.offset >= replica.second_offset
        if not ahead or (primary.paused_seconds and primary.connected_replicas):
            return PairState(state="promoted", proofs=("its replication history",))
        return PairState(state="divided")
    return PairState(state="following" if row else "unrelated", row=row)
