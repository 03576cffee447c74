"""Both sides, asked at the same time; and whether the replica has applied what the primary had."""

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.compare.protocol import ReplyStream, TooLarge, Unreadable, Wire, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccr_avn.dataplane.compare.protocol import Template

CATCH_UP_LIMIT = 5.0
"""Seconds the replica gets to apply what the primary had when asked."""

POLL = 0.001


class Caught(Enum):
    """What a look at the replica now is worth."""

    UP = "it has applied all that the primary had"
    ALONE = "it follows nobody, or another primary: nothing is on its way to it"
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
        deadline = time.monotonic() + limit
        while True:
            theirs = _replication(self.replica)
            if theirs.get("role") == "master" or theirs.get("master_replid") != mine.get("master_replid"):
                return Caught.ALONE
            if theirs.get("master_link_status") != "up":  # so also where INFO is refused
                return Caught.DOWN
            if int(theirs.get("slave_repl_offset", 0)) >= int(mine.get("master_repl_offset", 0)):
                return Caught.UP
            if time.monotonic() > deadline:
                return Caught.BEHIND
            time.sleep(POLL)


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
