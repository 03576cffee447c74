"""Compares every key of a primary with its replica: existence, type, expiry and, if requested, contents."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ccr_avn.valkey.connect import Endpoint

Level = Literal["keys", "values"]
Verdict = Literal["equal", "different", "inconclusive"]
Kind = Literal["missing", "extra", "type", "expiry", "value"]
"""``missing``: only on the primary; ``extra``: only on the replica. A key has one kind: the gravest."""

JOBS = 8  # connections to each side: what costs is the round trip between regions, not the processor


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    primary: "Endpoint"
    replica: "Endpoint"
    level: Level
    match: str | None = None
    sample: int | None = None  # that many keys of each side, at random
    databases: tuple[int, ...] | None = None  # None: all
    jobs: int = 1  # connections to each side
    max_operations: int = 0  # commands a second on the primary; 0: no limit
    rounds: int = 3
    round_interval: float = 2.0  # seconds
    differences_file: Path | None = None
    require_link: bool = True  # False: two servers that need not follow each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One key that differs. ``key`` is escaped: printable ASCII, ``\\xNN`` for the rest."""

    kind: Kind
    database: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    verdict: Verdict
    level: Level
    keys: int  # of the primary, compared
    replica_keys: int  # of the replica, looked up on the primary
    counts: dict[Kind, int]  # of each kind, also of those that no key has
    examples: tuple[Difference, ...]
    reasons: tuple[str, ...]  # why equality is not claimed, and what a claim leaves out
    reread: int  # keys that differed at first sight
    in_flight: int  # of those: never stood still for long enough to be judged
    unreadable: int  # keys that a side refused to read
    compared_by_dump: tuple[str, ...]  # types that are known to modules only
    rate: float  # keys a second
    seconds: float
    peak_memory_bytes: tuple[int, ...]  # of each process

    @property
    def differences(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a comparison is. Before the first key ``rate`` and ``remaining_seconds`` are what is expected."""

    phase: Literal["scan", "round"]
    keys: int
    expected_keys: int  # on the primary, as far as it knows; --match makes it an upper bound
    rate: float  # keys a second
    remaining_seconds: float


def escaped(key: bytes) -> str:
    """Printable ASCII that can be turned back: ``\\xNN`` for every other byte and for the backslash."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte != ord("\\") else f"\\x{byte:02x}" for byte in key)


def brief(key: str) -> str:
    """An escaped key for a message: the names of keys may be megabytes long."""
    return key if len(key) <= 80 else f"{key[:80]}... ({len(key)} characters)"
