"""The types of a comparison: its request, its result, and the two connections it reads."""

import re
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ccr_avn.poll import poll
from ccr_avn.valkey.compare.protocol import ReplyStream, TooLarge, Unreadable, Wire, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccr_avn.valkey.compare.protocol import Template
    from ccr_avn.valkey.connect import Endpoint


Level = Literal["keys", "values"]
Verdict = Literal["equal", "different", "inconclusive"]
Kind = Literal["missing", "extra", "type", "expiry", "value"]
KINDS: tuple[Kind, ...] = ("missing", "extra", "type", "expiry", "value")
"""``missing``: only on the primary; ``extra``: only on the replica. A key has one kind: the gravest."""

EXAMPLES = 20
"""How many differences the result itself names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """What to compare, and how hard to try."""

    primary: "Endpoint"
    replica: "Endpoint"
    level: Level
    match: str | None = None
    sample: int | None = None  # that many keys of each side, at random
    databases: tuple[int, ...] | None = None  # None: all
    jobs: int = 1  # processes
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
class Counts:
    missing: int = 0
    extra: int = 0
    type: int = 0
    expiry: int = 0
    value: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The verdict and what it rests on."""

    verdict: Verdict
    level: Level
    keys: int  # of the primary, compared
    replica_keys: int  # of the replica, looked up on the primary
    counts: Counts
    examples: tuple[Difference, ...]
    reasons: tuple[str, ...]  # why equality is not claimed, and what a claim leaves out
    reread: int  # keys that differed at first sight
    in_flight: int  # of those: never stood still for long enough to be judged
    unreadable: int  # keys that a side refused to read
    compared_by_dump: tuple[str, ...]  # types that are known to modules only
    rate: float  # keys a second
    seconds: float
    peak_memory_bytes: tuple[int, ...]  # of each process


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    phase: Literal["scan", "round"]
    keys: int
    replica_keys: int
    expected_keys: int  # on the primary, as far as it knows; --match makes it an upper bound
    suspects: int
    rate: float  # keys a second
    seconds: float
    remaining_seconds: float | None
    trouble: str | None  # why equality can no longer be claimed


_ESCAPED = tuple(
    chr(byte) if 32 <= byte < 127 and byte not in b"\\" else f"\\x{byte:02x}" for byte in range(256)
)  # a backslash too, so that it can be read back


def escaped(key: bytes) -> str:
    """Printable ASCII that can be turned back: ``\\xNN`` for every other byte and for the backslash."""
    return "".join(_ESCAPED[byte] for byte in key)


def brief(key: str, most: int = 80) -> str:
    """An escaped key for a message: the names of keys may be megabytes long."""
    return key if len(key) <= most else f"{key[:most]}... ({len(key)} characters)"


CATCH_UP_LIMIT = 5.0
"""Seconds the replica gets to apply what the primary had when asked."""

POLL = 0.001


class Caught(Enum):
    """What a look at the replica now is worth."""

    UP = "it has applied all that the primary had"
    ALONE = "it does not follow this primary"
    DOWN = "its link is down"
    BEHIND = "it did not catch up in time"

    @property
    def proves(self) -> bool:
        """Whether a difference seen now is one, and not just late."""
        return self in (Caught.UP, Caught.ALONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What these two servers can do, and what they hold."""

    expiry: "Template"  # PEXPIRETIME, or PTTL where it is unknown
    expiry_slack: int  # milliseconds by which equal expiries may differ
    volatile_fields: frozenset[int]  # databases in which hash fields expire by themselves

    @property
    def relative(self) -> bool:
        """Whether expiries are told as a time left, which is never the same twice."""
        return self.expiry_slack > 0

    def same_expiry(self, one: Any, other: Any) -> bool:
        """Whether two answers to the expiry command agree. Negative: no expiry, or no such key."""
        if one == other:
            return True
        if not (isinstance(one, int) and isinstance(other, int)) or one < 0 or other < 0:
            return False
        return abs(one - other) <= self.expiry_slack


class Pair:
    """One connection to each side."""

    def __init__(self, primary: Wire, replica: Wire, traits: Traits) -> None:
        self.primary = primary
        self.replica = replica
        self.traits = traits

    def close(self) -> None:
        self.primary.close()
        self.replica.close()

    def use(self, database: int) -> None:
        self.primary.use(database)
        self.replica.use(database)

    def both(self, one: tuple[bytes, ...], other: tuple[bytes, ...], commands: int) -> tuple[list[bytes], list[bytes]]:
        """The primary's replies to ``one`` and the replica's to ``other``.

        Raises:
            TooLarge: on one of them; both are free again.
        """
        self.primary.send(*one, commands=commands)
        self.replica.send(*other)
        try:
            left = self.primary.receive()
        except TooLarge:
            _emptied(self.replica)
            raise
        return left, self.replica.receive()

    @contextmanager
    def flows(self, body: bytes, commands: int = 1) -> "Iterator[tuple[ReplyStream, ReplyStream]]":
        """The same question to both, answered as streams; both wires are free again after the one turn."""
        self.primary.send(body, commands=commands)
        self.replica.send(body)
        one, other = ReplyStream(self.primary), ReplyStream(self.replica)
        try:
            yield one, other
        except Unreadable:
            _finished(one, other)
            raise
        _finished(one, other)

    def catch_up(self, limit: float = CATCH_UP_LIMIT) -> Caught:
        """Wait until the replica has applied all that the primary has now."""
        mine = _replication(self.primary)
        return poll(
            lambda: _caught(mine, _replication(self.replica)),
            lambda found: found is not Caught.BEHIND,
            within=limit,
            first=POLL,
            longest=POLL,
        )


def _caught(mine: dict[str, str], theirs: dict[str, str]) -> Caught:
    if theirs.get("role") == "master" or theirs.get("master_replid") != mine.get("master_replid"):
        return Caught.ALONE
    if theirs.get("master_link_status") != "up":  # so also where INFO is refused
        return Caught.DOWN
    reached = int(theirs.get("slave_repl_offset", 0)) >= int(mine.get("master_repl_offset", 0))
    return Caught.UP if reached else Caught.BEHIND


def _finished(*flows: ReplyStream) -> None:
    for flow in flows:
        flow.finish()


def _emptied(wire: Wire) -> None:
    try:
        wire.receive()
    except TooLarge:
        return


def _replication(wire: Wire) -> dict[str, str]:
    (answer,) = wire.ask(pack(b"INFO", b"replication"))
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else ""
    return dict(re.findall(r"^(\w+):(.*?)\r?$", text, re.MULTILINE))
