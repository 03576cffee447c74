"""Which service was promoted from which: by tags, or by a journal on this machine. A name or a shared history proves nothing."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service

FROM = "ccr_promoted_from"
"""The tag that names the old primary."""

LINEAGE = "ccr_promoted_lineage"
"""The tag that distinguishes namesakes: ``OLD-NEW-REPLID``, both creation times in seconds since 1970.

Tags hold 64 characters: twice ten digits, forty of the replication ID and two dashes are 62.
"""

PROMOTING = "ccr_promoting"
"""The tag of a replica whose promotion is about to be sent, for runs on other machines: ``SENT-OLD-NEW-DIGEST``.

When it was set and both creation times, in seconds since 1970, and a digest of the primary's name: 57 characters. It is
taken away when the run ends, and counts for a quarter of an hour; it never says which service is the primary.
"""
TAGGED, MARKED, JOURNALED = f"its tag {FROM}", f"its tag {PROMOTING}", "the journal on this machine"
"""What records a promotion, in words."""

UNKNOWN = "unknown"
"""In the tag's place where the creation times are not known: then the name proves nothing."""

_LINEAGE = re.compile(r"(\d+)-(\d+)-([0-9a-f]{40})")
_MARK = re.compile(r"(\d+)-(\d+)-(\d+)-([0-9a-f]{24})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The old primary. Creation times are in whole seconds since 1970; ``None``: tagged before these were kept."""

    name: str
    old_created: int | None = None
    new_created: int | None = None
    replication_id: str = ""  # of the old primary, which the promoted one followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A promotion in a journal on this machine, or in a mark: the same facts as a tag's, and how far it had come."""

    new: str  # the name of the promoted service
    origin: Origin
    proven: bool  # the role was seen to be master; else the deletion was sent, and no more is known
    sent_at: float = 0.0  # seconds since 1970
    without_data: bool = False  # it was promoted and did not have its primary's data: nothing took over from that
    shown_by: str = JOURNALED

    def is_of(self, old: "Service | None", new: "Service") -> bool:
        """Whether it is about the very services that are there now; ``old`` None: whatever ``new`` was promoted from."""
        if self.new != new.name:
            return False
        return is_origin(self.origin, old, new) if old else self.origin.new_created == created(new) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """A service that is recorded as promoted from another. ``proofs``: what records it, in words."""

    service: "Service"
    proofs: tuple[str, ...]
    seen: bool = True  # else its promotion was sent and it is no replica any more, as far as is listed

    @property
    def name(self) -> str:
        return self.service.name


def successors(old: "Service", services: Iterable["Service"], recorded: Iterable[Recorded]) -> tuple[Successor, ...]:
    """Which of ``services`` took over the role of ``old``: those whose promotion was seen first, then by name.

    Nothing else says so: a service that shares the history may be a fork, a copy made by hand, or what a drill left.

    ``recorded``: the promotions in this machine's journals.
    """
    recorded, found = [one for one in recorded if not one.without_data], []
    for new in services:
        proofs = proofs_of(old, new, recorded)
        seen = TAGGED in proofs or any(one.proven and one.is_of(old, new) for one in recorded)
        if proofs and (seen or not new.source):  # a deletion that did not act has left it a replica
            found.append(Successor(service=new, proofs=proofs, seen=seen))
    return tuple(sorted(found, key=lambda one: (not one.seen, one.name)))


def proofs_of(old: "Service | None", new: "Service", recorded: Iterable[Recorded]) -> tuple[str, ...]:
    """What records that ``new`` was promoted from ``old``, or that this was sent; ``old`` None: from anybody."""
    origin = origin_of(new)
    tagged = (TAGGED,) if origin and old and is_origin(origin, old, new) else ()
    return (*tagged, JOURNALED) if any(one.is_of(old, new) for one in recorded) else tagged


def mark(old: "Service", new: "Service", now: float) -> str:
    """The ``key=value`` word which says that the promotion of ``new`` is sent ``now``, in seconds since 1970."""
    born = created(old), created(new)
    return f"{PROMOTING}=" + (UNKNOWN if None in born else f"{now:.0f}-{born[0]}-{born[1]}-{_digest(old.name)}")


def mark_in(tags: Mapping[str, object], names: Iterable[str]) -> re.Match[str] | None:
    """What the tags of a service say of its promotion from one of these, if it was about to be sent."""
    found = _MARK.fullmatch(str(tags.get(PROMOTING)))
    return found if found and found[4] in map(_digest, names) else None


def marked(old: "Service", services: Iterable["Service"]) -> Iterator[Recorded]:
    """The promotions of ``services`` from ``old``, these very ones, that marks say were about to be sent."""
    for new in services:
        if found := mark_in(new.tags, (old.name,)):
            origin = Origin(name=old.name, old_created=int(found[2]), new_created=int(found[3]))
            sent = Recorded(new=new.name, origin=origin, proven=False, sent_at=int(found[1]), shown_by=MARKED)
            if sent.is_of(old, new):
                yield sent


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def was_promoted(new: "Service", recorded: Iterable[Recorded] = ()) -> bool:
    """Whether a switchover or failover promoted it, by tags that were not set on another service, or by a record."""
    origin = origin_of(new)
    tagged = origin is not None and origin.new_created in (None, created(new))
    return tagged or any(one.is_of(None, new) and (one.proven or not new.source) for one in recorded)


def followed(old: "Service | None", new: "Service", recorded: Iterable[Recorded]) -> tuple[str, ...]:
    """The replication IDs that ``new`` followed until its promotion, by its records; ``old`` None: from anybody."""
    tagged = origin_of(new)
    origins = [one.origin for one in recorded if one.is_of(old, new)]
    if tagged and (is_origin(tagged, old, new) if old else tagged.new_created == created(new) is not None):
        origins.append(tagged)
    return tuple(dict.fromkeys(one.replication_id for one in origins if one.replication_id))


def origin_of(service: "Service") -> Origin | None:
    """What the tags of a service say of the primary that it was promoted from."""
    name = service.tags.get(FROM)
    if not isinstance(name, str) or not name:
        return None
    found = _LINEAGE.fullmatch(str(service.tags.get(LINEAGE, "")))
    if not found:
        return Origin(name=name)
    old, new, replication_id = found.groups()
    return Origin(name=name, old_created=int(old), new_created=int(new), replication_id=replication_id)


def is_origin(origin: Origin, old: "Service", new: "Service") -> bool:
    """Whether both are the very services that the tags were written for, and not others of the same names."""
    born = (created(old), created(new))
    return origin.name == old.name != new.name and None not in born and (origin.old_created, origin.new_created) == born


def promoted_from(new: "Service", services: "tuple[Service, ...]") -> "Service | None":
    """The old primary of ``new`` among ``services``, if its tags are proven by the creation times of both."""
    origin = origin_of(new)
    return next((old for old in services if origin and is_origin(origin, old, new)), None)


def tags(old: "Service", new: "Service", replication_id: str) -> tuple[str, ...]:
    """``key=value`` words that remember on ``new`` what it was promoted from."""
    if created(old) is None or created(new) is None or not replication_id:
        return (f"{FROM}={old.name}", f"{LINEAGE}={UNKNOWN}")
    return (f"{FROM}={old.name}", f"{LINEAGE}={created(old)}-{created(new)}-{replication_id}")


def created(service: "Service") -> int | None:
    """Seconds since 1970."""
    return None if service.created is None else int(service.created.timestamp())
