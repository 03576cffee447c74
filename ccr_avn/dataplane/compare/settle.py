"""Reads suspects again until each is equal, proven different, or known never to stand still.

A proof is: the primary's key was not touched (WATCH) from before the replica was known to have applied everything
until after both were read. A difference seen in between can't be a write on its way.
"""

import time
from typing import TYPE_CHECKING

from ccr_avn.dataplane.compare.commands import pack
from ccr_avn.dataplane.compare.judge import differing
from ccr_avn.dataplane.compare.pair import CATCH_UP_LIMIT, Caught
from ccr_avn.dataplane.compare.spool import Spool, Suspect

if TYPE_CHECKING:
    from ccr_avn.dataplane.compare.model import Kind, Level
    from ccr_avn.dataplane.compare.pair import Pair
    from ccr_avn.dataplane.compare.whole import Seen

GROUP = 256
FEWER = 8
"""A group in which somebody wrote is split into that many."""

SHRUNK = 0.8
"""A group that lost more than a fifth of its keys at one look is worth another look as it is."""

IMPATIENT = 0.2
"""Seconds the replica gets to catch up, once it failed to in the same round."""

TRIES = 3
"""Looks at a single key in one round before it counts as being in flight."""


class Settle:
    """One round after the other, each over what the one before left."""

    def __init__(self, pair: "Pair", level: "Level", seen: "Seen", *, closer_seconds: float) -> None:
        """``closer_seconds``: how long one round may look closer at keys that somebody is writing to."""
        self._pair = pair
        self._level = level
        self._seen = seen
        self._closer_seconds = closer_seconds
        self._closer_until = 0.0
        self._patience = CATCH_UP_LIMIT
        self.hindrance: str | None = None  # why differences could not be proven in the last round

    def round(self, suspects: Spool) -> Spool:
        """The suspects that still differ, with how, where that is proven."""
        self.hindrance, self._patience = None, CATCH_UP_LIMIT
        self._closer_until = time.monotonic() + self._closer_seconds
        left = Spool()
        with suspects:
            for group in suspects.groups(GROUP):
                before = {suspect.key: suspect.proven for suspect in group}
                database = group[0].database
                for key, proven in self._look(database, list(before)).items():
                    left.add(Suspect(database, key, proven or before[key]))
        return left

    def _look(self, database: int, keys: list[bytes], tries: int = TRIES) -> "dict[bytes, Kind | None]":
        """Those that differ; the kind is None where somebody may have been writing."""
        self._pair.use(database)
        watching = self._watch(keys)
        caught = self._pair.catch_up(self._patience)
        found = differing(self._pair, self._level, database, keys, self._seen)
        quiet = self._untouched() if watching else False
        if not found:
            return {}
        if quiet and caught.proves:
            return dict(found)
        if not watching or not caught.proves:
            self.hindrance = f"the replica: {caught.value}" if not caught.proves else "the primary refuses WATCH"
            self._patience = IMPATIENT if caught is Caught.BEHIND else CATCH_UP_LIMIT
            return dict.fromkeys(found)
        return self._closer(database, list(found), tries, shrunk=len(found) < SHRUNK * len(keys))

    def _closer(self, database: int, keys: list[bytes], tries: int, *, shrunk: bool) -> "dict[bytes, Kind | None]":
        """Again: together while others keep turning out equal, else in smaller groups, with fewer writers in the way."""
        if time.monotonic() > self._closer_until or (len(keys) == 1 and tries == 1):
            return dict.fromkeys(keys)
        if len(keys) == 1:
            return self._look(database, keys, tries - 1)
        size = len(keys) if shrunk else max(1, len(keys) // FEWER)
        found: dict[bytes, Kind | None] = {}
        for start in range(0, len(keys), size):
            found |= self._look(database, keys[start : start + size], tries)
        return found

    def _watch(self, keys: list[bytes]) -> bool:
        (answer,) = self._pair.primary.ask(pack(b"WATCH", *keys))
        return not isinstance(answer, Exception)

    def _untouched(self) -> bool:
        """An empty transaction: it is carried out only if nobody wrote to what is watched."""
        _, answer = self._pair.primary.ask(pack(b"MULTI"), pack(b"EXEC"))
        return isinstance(answer, list)
