"""Reads suspects again until each is equal, proven different, or known to change all the time.

A proof is: the primary's key was not touched (WATCH) from before the replica was known to have applied everything
until after both were read. A difference seen in between can't be a write on its way.
"""

import struct
import tempfile
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ccr_avn.valkey.compare.model import CATCH_UP_LIMIT, KINDS, Caught
from ccr_avn.valkey.compare.protocol import NONE, TYPE, bulks, pack, parsed
from ccr_avn.valkey.compare.small_values import Contents, Seen, Typed

if TYPE_CHECKING:
    from ccr_avn.valkey.compare.model import Kind, Level, Pair, Traits


_HEAD = struct.Struct("<IbI")


@dataclass(frozen=True, slots=True)
class Suspect:
    database: int
    key: bytes
    proven: "Kind | None" = None  # how it differed, at a moment when it was proven to


class SuspectFile:
    """Written once, then read once. The file has no name, so nothing stays behind whatever happens."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="ccr-avn-")  # noqa: SIM115 - lives as long as this
        weakref.finalize(self, self._file.close)  # also when an error ends the comparison
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, suspect: Suspect) -> None:
        proven = KINDS.index(suspect.proven) if suspect.proven else -1
        self._file.write(_HEAD.pack(suspect.database, proven, len(suspect.key)) + suspect.key)
        self.count += 1

    def __iter__(self) -> Iterator[Suspect]:
        self._file.seek(0)
        while head := self._file.read(_HEAD.size):
            database, proven, size = _HEAD.unpack(head)
            yield Suspect(database, self._file.read(size), KINDS[proven] if proven >= 0 else None)

    def groups(self, most: int) -> Iterator[list[Suspect]]:
        """At most that many at a time, of one database each."""
        group: list[Suspect] = []
        for suspect in self:
            if group and (len(group) >= most or suspect.database != group[0].database):
                yield group
                group = []
            group.append(suspect)
        if group:
            yield group


def differing(pair: "Pair", level: "Level", database: int, keys: list[bytes], seen: Seen) -> "dict[bytes, Kind]":
    """The keys that differ now. What has run out by the other side's clock is no difference."""
    pair.use(database)
    mine, theirs = _facts(pair, keys)
    found: dict[bytes, Kind] = {}
    on_both: list[tuple[int, Typed]] = []
    for number, key in enumerate(keys):
        if refusal := mine.refusal(number) or theirs.refusal(number):
            seen.note(refusal)
        elif kind := _by_existence(mine, theirs, number):
            found[key] = kind
        elif mine.types[number] == theirs.types[number] != NONE:
            on_both.append((number, Typed(key, mine.types[number])))
    if level == "values":
        found |= _lasting(pair, Contents(pair, seen).differing([item for _, item in on_both], database))
    for number, item in on_both:
        if not pair.traits.same_expiry(mine.expiries[number], theirs.expiries[number]):
            found.setdefault(item.key, "expiry")
    return found


def _lasting(pair: "Pair", found: "dict[bytes, Kind]") -> "dict[bytes, Kind]":
    """Without the keys that ran out, by either clock, between the look at their types and the one at their contents."""
    if not found:
        return found
    mine, theirs = _facts(pair, list(found))
    return {
        key: kind
        for number, (key, kind) in enumerate(found.items())
        if not (mine.runs_out(number, theirs.now) or theirs.runs_out(number, mine.now))
    }


def _facts(pair: "Pair", keys: list[bytes]) -> "tuple[_Facts, _Facts]":
    raws = bulks(keys)
    ask = (TYPE.each(raws), pair.traits.expiry.each(raws), pack(b"TIME"))
    one, other = pair.both(ask, ask, 2 * len(keys) + 1)
    return _Facts(one, pair.traits), _Facts(other, pair.traits)


class _Facts:
    """One side's answers for all keys, and its clock in milliseconds."""

    def __init__(self, raw: list[bytes], traits: "Traits") -> None:
        types, self.expiries, clock = (parsed(each) for each in raw)
        self.types: list[Any] = types
        if traits.relative:
            self.now = traits.expiry_slack
        else:
            self.now = int(clock[0][0]) * 1000 if isinstance(clock[0], list) else int(time.time() * 1000)

    def refusal(self, number: int) -> Exception | None:
        answers = (self.types[number], self.expiries[number])
        return next((answer for answer in answers if isinstance(answer, Exception)), None)

    def runs_out(self, number: int, now: int) -> bool:
        """Whether that clock says the key has expired."""
        at = self.expiries[number]
        return isinstance(at, int) and 0 < at <= now


def _by_existence(mine: _Facts, theirs: _Facts, number: int) -> "Kind | None":
    one, other = mine.types[number], theirs.types[number]
    if one == other:
        return None
    if other == NONE:
        return None if mine.runs_out(number, theirs.now) else "missing"
    if one == NONE:
        return None if theirs.runs_out(number, mine.now) else "extra"
    return "type"


GROUP = 256
FEWER = 8
"""A group in which keys were written is split into that many."""

SHRUNK = 0.8
"""A group that lost more than a fifth of its keys at one look is worth another look as it is."""

IMPATIENT = 0.2
"""Seconds the replica gets to catch up, once it failed to in the same round."""

TRIES = 3
"""Looks at a single key in one round before it counts as being in flight."""


class Recheck:
    """One round after the other, each over what the one before left."""

    def __init__(self, pair: "Pair", level: "Level", seen: "Seen", *, closer_seconds: float) -> None:
        """``closer_seconds``: how long one round may look closer at keys that are being written."""
        self._pair = pair
        self._level = level
        self._seen = seen
        self._closer_seconds = closer_seconds
        self._closer_until = 0.0
        self._patience = CATCH_UP_LIMIT
        self.hindrance: str | None = None  # why differences could not be proven in the last round

    def round(self, suspects: SuspectFile) -> SuspectFile:
        """The suspects that still differ, with how, where that is proven."""
        self.hindrance, self._patience = None, CATCH_UP_LIMIT
        self._closer_until = time.monotonic() + self._closer_seconds
        left = SuspectFile()
        with suspects:
            for group in suspects.groups(GROUP):
                before = {suspect.key: suspect.proven for suspect in group}
                database = group[0].database
                for key, proven in self._look(database, list(before)).items():
                    left.add(Suspect(database, key, proven or before[key]))
        return left

    def _look(self, database: int, keys: list[bytes], tries: int = TRIES) -> "dict[bytes, Kind | None]":
        """Those that differ; the kind is None if it may have been written meanwhile."""
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
        """An empty transaction: it is executed only if the watched keys were not written."""
        _, answer = self._pair.primary.ask(pack(b"MULTI"), pack(b"EXEC"))
        return isinstance(answer, list)
