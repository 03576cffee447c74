"""The state of a pair, named alike in every command: following, promoting, promoted, hidden, unrelated."""

from dataclasses import dataclass
from typing import Literal

from ccr_avn.aiven.lineage import FROM, Recorded, is_origin, matches, origin_of
from ccr_avn.aiven.models import READ_REPLICA, Integration, Service
from ccr_avn.valkey.replication import ReplicationInfo

State = Literal["following", "promoting", "promoted", "hidden", "unrelated"]
"""following: a replica with its integration. promoting: the integration was deleted, and it is no master yet.
promoted: a master that is shown to come from this primary. hidden: it follows somebody, and no integration that
says whom is visible. unrelated: a master, and nothing shows that it ever followed this primary."""

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
    sent = [one for one in recorded if (matches(one, old, new) if old else one.origin.new_created == _created(new))]
    if replica.role == "master":
        return _of_a_master(row, old, new, sides, sent)
    if row:
        late = any(not one.proven and 0 <= now - one.sent_at < RECENT for one in sent)
        return PairState(state="following", row=row, doubt=late)
    if hints_at(rows, new.name):
        return PairState(state="hidden")
    proofs = ("the journal of this machine",) if sent else ()
    if primary and primary.paused_seconds and primary.replid == replica.replid:
        proofs = (*proofs, "the write pause on its primary")
    return PairState(state="promoting" if proofs else "hidden", proofs=proofs)


def _of_a_master(
    row: Integration | None,
    old: Service | None,
    new: Service,
    sides: tuple[ReplicationInfo | None, ReplicationInfo],
    sent: list[Recorded],
) -> PairState:
    """Any standalone service looks promoted: only proof of where it came from counts, and a name alone is none."""
    primary, replica = sides
    history = primary is not None and replica.has_foreign_history and replica.replid2 == primary.replid
    origin = origin_of(new)
    tagged = bool(origin and old and is_origin(origin, old, new))
    proofs = tuple(
        name
        for name, holds in (
            ("its replication history", history),
            (f"its tag {FROM}", tagged),
            ("the journal of this machine", bool(sent)),
        )
        if holds
    )
    if proofs:
        return PairState(state="promoted", proofs=proofs)
    return PairState(state="following" if row else "unrelated", row=row)


def _created(service: Service) -> int | None:
    return None if service.created is None else int(service.created.timestamp())
