"""The first pass over every key: skips batches that are equal byte by byte, collects suspects from the others."""

from typing import TYPE_CHECKING

from ccr_avn.valkey.compare import small_values
from ccr_avn.valkey.compare.protocol import NONE, SHORT, SHORT_STRING, TYPE, bulks, exists, parsed, refused
from ccr_avn.valkey.compare.small_values import Contents, Seen, Typed

if TYPE_CHECKING:
    from ccr_avn.valkey.compare.model import Level, Pair


STRING_LINE = b"+string\r\n"
LONG_STRING = b"$%d\r\n" % SHORT
ABSENT = -2
"""What PTTL and PEXPIRETIME say of a key that isn't there."""

LANE = 500
"""Keys that can't be read at once with all others, gathered until they are worth a message."""


class FirstPass:
    """Finds the suspects, one database after the other."""

    def __init__(self, pair: "Pair", level: "Level", seen: Seen) -> None:
        self._pair = pair
        self._level = level
        self._seen = seen
        self._database = 0
        self._lane: list[Typed] = []
        self._suspects: list[tuple[int, bytes]] = []

    def use(self, database: int) -> None:
        if database != self._database:
            self.finish()
        self._pair.use(database)
        self._database = database

    def take(self) -> list[tuple[int, bytes]]:
        """The suspects since the last time, each once."""
        taken, self._suspects = list(dict.fromkeys(self._suspects)), []
        return taken

    def primary_keys(self, keys: list[bytes]) -> None:
        """Compare these, which the primary has just named."""
        if self._level == "keys":
            self._existence(keys)
        else:
            self._values(keys)
        if len(self._lane) >= LANE:
            self.finish()

    def finish(self) -> None:
        """Compare what was gathered."""
        lane, self._lane = self._lane, []
        if lane:
            for key in Contents(self._pair, self._seen).differing(lane, self._database):
                self._suspect(key)

    def replica_keys(self, keys: list[bytes]) -> None:
        """Those of these, which the replica has just named, that the primary does not have."""
        (there,) = self._primary_only(exists(bulks(keys)), len(keys))
        if there == len(keys):
            return
        if isinstance(there, Exception):  # one key is off limits: find out which
            answers = [self._primary_only(exists([raw]), 1)[0] for raw in bulks(keys)]
        else:
            answers = [
                0 if answer == b"none" else 1 for answer in self._primary_only(TYPE.each(bulks(keys)), len(keys))
            ]
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, Exception):
                self._seen.note(answer)
            elif not answer:
                self._suspect(key)

    def _suspect(self, key: bytes) -> None:
        self._suspects.append((self._database, key))

    def _primary_only(self, ask: bytes, commands: int) -> list[object]:
        self._pair.primary.send(ask, commands=commands)
        return parsed(self._pair.primary.receive()[0])

    def _existence(self, keys: list[bytes]) -> None:
        raws = bulks(keys)
        ask = (TYPE.each(raws), self._pair.traits.expiry.each(raws))
        one, other = self._pair.both(ask, ask, 2 * len(keys))
        if one == other and not any(refused(raw) for raw in one):
            return
        types, other_types = parsed(one[0]), parsed(other[0])
        self._expiries(keys, one[1], other[1], types)
        for key, mine, theirs in zip(keys, types, other_types, strict=True):
            if mine not in (theirs, NONE) and not isinstance(mine, Exception):
                self._suspect(key)

    def _values(self, keys: list[bytes]) -> None:
        raws = bulks(keys)
        expiries = self._pair.traits.expiry.each(raws)
        (types, mine), (theirs,) = self._pair.both((TYPE.each(raws), expiries), (expiries,), 2 * len(keys))
        if types == STRING_LINE * len(keys):
            self._expiries(keys, mine, theirs, None)
            self._strings(keys, raws)
            return
        known = parsed(types)
        self._expiries(keys, mine, theirs, known)
        strings = [number for number, of_type in enumerate(known) if of_type == b"string"]
        self._strings([keys[number] for number in strings], [raws[number] for number in strings])
        self._lane += [
            Typed(key, of_type)
            for key, of_type in zip(keys, known, strict=True)
            if isinstance(of_type, bytes) and of_type not in (b"string", NONE)
        ]

    def _expiries(self, keys: list[bytes], one: bytes, other: bytes, types: list[object] | None) -> None:
        """``types``: of the primary's keys, or None when all are strings."""
        if one == other and not refused(one):
            if types:
                self._note_refusals(types)
            return
        for number, (key, mine, theirs) in enumerate(zip(keys, parsed(one), parsed(other), strict=True)):
            refusals = [answer for answer in (types[number] if types else None, mine, theirs) if _refusal(answer)]
            if refusals:
                self._seen.note(refusals[0])
            elif mine != ABSENT and not self._pair.traits.same_expiry(mine, theirs):
                self._suspect(key)

    def _note_refusals(self, types: list[object]) -> None:
        for answer in types:
            if _refusal(answer):
                self._seen.note(answer)

    def _strings(self, keys: list[bytes], raws: list[bytes]) -> None:
        if not keys:
            return
        ask = SHORT_STRING.each(raws)
        (one,), (other,) = self._pair.both((ask,), (ask,), len(keys))
        if one == other and LONG_STRING not in one and not refused(one):
            return
        for key, mine, theirs in zip(keys, parsed(one), parsed(other), strict=True):
            if isinstance(mine, Exception) and not str(mine).startswith("WRONGTYPE"):
                self._seen.note(mine)
            elif _both_count(mine, theirs):
                self._lane.append(Typed(key, b"string"))
            elif mine != theirs or isinstance(mine, Exception):
                self._suspect(key)
            elif len(mine) == SHORT:
                self._lane.append(Typed(key, b"string"))


def _both_count(mine: object, theirs: object) -> bool:
    """Two HyperLogLogs that differ in bytes may hold the same; this is but the beginning of what they are."""
    both = mine, theirs
    return mine != theirs and all(isinstance(one, bytes) and one.startswith(small_values.MAGIC) for one in both)


def _refusal(answer: object) -> bool:
    return isinstance(answer, Exception)
