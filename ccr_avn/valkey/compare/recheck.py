"""What differs now; and what still does when nobody has written to it: the proof.

A proof is: the primary's key was not touched (WATCH) from before the replica was known to have applied everything
until after both were read. A difference seen in between can't be a write on its way.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ccr_avn import clock
from ccr_avn.valkey.compare import Kind, Level
from ccr_avn.valkey.compare.sides import CATCH_UP_LIMIT, Caught, Command, Sides
from ccr_avn.valkey.compare.values import Notes, differing_values, size_of

SLACK = 2000  # milliseconds by which two PTTL of equal keys may differ: they are read one after the other
GROUP, FEWER = 256, 8  # keys looked at together; a group in which keys were written is split into that many
SHORT_WAIT = 0.2  # seconds the replica gets to catch up, once it failed to in the same round
TRIES = 3  # looks at a single key in one round before it counts as being in flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is compared, and what both servers can do."""

    level: Level
    exact: bool  # whether both know PEXPIRETIME
    volatile: frozenset[int]  # databases in which hash fields expire by themselves

    def facts_of(self, keys: list[bytes]) -> list[Command]:
        """The types of these keys, then when they expire."""
        expiry = "PEXPIRETIME" if self.exact else "PTTL"
        return [*(("TYPE", key) for key in keys), *((expiry, key) for key in keys)]

    def same_expiry(self, one: int, other: int) -> bool:
        """Negative: no expiry, or no such key."""
        return one == other or (not self.exact and min(one, other) >= 0 and abs(one - other) <= SLACK)


def differing(sides: Sides, traits: Traits, database: int, keys: list[bytes], notes: Notes) -> dict[bytes, Kind]:
    """The keys that differ now. What has run out by the other side's clock is no difference.

    How large a key is, the replica is asked: the primary has its clients to serve.
    """
    sides.use(database)
    also = [size_of(key) for key in keys] if traits.level == "values" else []
    mine, theirs, sizes = sides.both(*traits.facts_of(keys), also=also)
    found: dict[bytes, Kind] = {}
    late: list[bytes] = []
    there: dict[bytes, bytes] = {}
    asked = zip(keys, mine, theirs, mine[len(keys) :], theirs[len(keys) :], strict=False)
    for key, one, other, ends, others_end in asked:
        if refusal := next((each for each in (one, other, ends, others_end) if isinstance(each, Exception)), None):
            notes.refused(refusal)
        elif one == other:
            there |= {key: one} if one != b"none" else {}
            late += [] if traits.same_expiry(ends, others_end) else [key]
        else:
            found[key] = "extra" if one == b"none" else "missing" if other == b"none" else "type"
    if traits.level == "values":
        known = dict(zip(keys, sizes, strict=True))
        found |= differing_values(sides, there, known, notes, volatile=database in traits.volatile)
    over = _ran_out(sides, traits, found)
    found = {key: kind for key, kind in found.items() if key not in over}
    return {**dict.fromkeys(late, "expiry"), **found}


def _ran_out(sides: Sides, traits: Traits, found: dict[bytes, Kind]) -> set[bytes]:
    """Those that are gone by the clock of one side, which deletes them at a moment of its own."""
    if not found:
        return set()
    keys = list(found)
    mine, theirs, _ = sides.both(*traits.facts_of(keys), ("TIME",))
    here, there = (
        int(reply[-1][0]) * 1000 if traits.exact and isinstance(reply[-1], list) else SLACK for reply in (mine, theirs)
    )
    over = set()
    for place, (key, kind) in enumerate(found.items()):
        one, other = mine[place] == b"none", theirs[place] == b"none"
        mine_ended, theirs_ended = (
            isinstance(at, int) and 0 < at <= now
            for at, now in ((mine[len(keys) + place], there), (theirs[len(keys) + place], here))
        )
        gone = {
            "missing": one or mine_ended,
            "extra": other or theirs_ended,
            "value": (one and other) or mine_ended or theirs_ended,
        }
        if gone.get(kind):
            over.add(key)
    return over


class Recheck:
    """One round after the other, each over what the one before left."""

    def __init__(self, sides: Sides, traits: Traits, notes: Notes, *, split_seconds: float) -> None:
        """``split_seconds``: how long one round may look closer at keys that are being written."""
        self._sides, self._traits, self._notes = sides, traits, notes
        self._split_seconds, self._split_until = split_seconds, 0.0
        self._wait = CATCH_UP_LIMIT
        self.unproven_because = ""  # in the last round

    def begin_round(self) -> None:
        self.unproven_because, self._wait = "", CATCH_UP_LIMIT
        self._split_until = clock.monotonic() + self._split_seconds

    def look(self, database: int, keys: list[bytes], tries: int = TRIES) -> Iterator[tuple[bytes, Kind | None]]:
        """Those that differ; the kind is None if it may have been written meanwhile."""
        self._sides.use(database)
        primary = self._sides.primary
        watching = not isinstance(primary.ask(("WATCH", *keys))[0], Exception)
        caught = self._sides.catch_up(self._wait)
        found = differing(self._sides, self._traits, database, keys, self._notes)
        untouched = watching and isinstance(primary.ask(("MULTI",), ("EXEC",))[1], list)
        if untouched and caught.proves:
            yield from found.items()
        elif found and not (watching and caught.proves):
            refusal = "the primary refuses WATCH"
            self.unproven_because = refusal if caught.proves else f"the replica: {caught.value}"
            self._wait = SHORT_WAIT if caught is Caught.BEHIND else CATCH_UP_LIMIT
            yield from dict.fromkeys(found).items()
        elif found:
            yield from self._split(database, list(found), tries, shrunk=len(found) < 0.8 * len(keys))

    def _split(
        self, database: int, keys: list[bytes], tries: int, *, shrunk: bool
    ) -> Iterator[tuple[bytes, Kind | None]]:
        """Again: together while others keep turning out equal, else in smaller groups, with fewer writers in the way."""
        if clock.monotonic() > self._split_until or (len(keys) == 1 and tries == 1):
            yield from dict.fromkeys(keys).items()
            return
        size = len(keys) if shrunk and len(keys) > 1 else max(1, len(keys) // FEWER)
        for start in range(0, len(keys), size):
            yield from self.look(database, keys[start : start + size], tries - (len(keys) == 1))
