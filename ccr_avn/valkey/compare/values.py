"""Compares the contents of keys: what is small is read whole, many at once; what is large in pieces."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ccr_avn.valkey.compare import Kind
from ccr_avn.valkey.compare.sides import Command, Side, Sides, Unreadable, shown

SMALL = 512 * 1024  # bytes of memory up to which a key is read whole
CHUNK = 2 * 1024 * 1024  # bytes of memory of the keys that are read whole at once
PIECE, PAGE = 1024 * 1024, 1000
"""Bytes and elements of a large key that are read at once, at most, where its elements are of about the same size."""

LATE, TRIES = 200, 4  # elements of a page that may have been written just now, and looks at them


@dataclass(slots=True)
class Notes:
    """What was found on the way and has to be reported."""

    unreadable: int = 0
    refusal: str = ""  # one of them
    dumped: set[str] = field(default_factory=set)  # types that only modules know

    def refused(self, refusal: object) -> None:
        self.unreadable += 1
        self.refusal = self.refusal or str(refusal)

    def add(self, other: "Notes") -> None:
        self.unreadable += other.unreadable
        self.refusal = self.refusal or other.refusal
        self.dumped |= other.dumped


def size_of(key: bytes) -> Command:
    """How many bytes a key takes: exact up to this many elements, an estimate beyond."""
    return ("MEMORY", "USAGE", key, "SAMPLES", str(PAGE))


def differing_values(
    sides: Sides, types: dict[bytes, bytes], sizes: dict[bytes, Any], notes: Notes, *, volatile: bool
) -> dict[bytes, Kind]:
    """Those that differ, and how.

    ``types``: of keys that are on both sides; ``sizes``: what the replica said, also why it won't; ``volatile``: fields
    of hashes may expire.
    """
    found: dict[bytes, Kind] = {}
    small = {key: sizes[key] for key in types if isinstance(sizes[key], int) and sizes[key] <= SMALL}
    for chunk in _chunks(small):
        found |= _whole(sides, {key: types[key] for key in chunk}, notes, volatile=volatile)
    for key in types.keys() - small.keys():
        size = sizes[key] if isinstance(sizes[key], int) else PIECE * PAGE
        try:
            if kind := _in_pieces(sides, key, types[key], size, notes, volatile=volatile):
                found[key] = kind
        except Unreadable as refusal:
            notes.refused(refusal)
    return found


def _chunks(sizes: dict[bytes, int]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    room = CHUNK
    for key, size in sizes.items():
        if chunk and size > room:
            yield chunk
            chunk, room = [], CHUNK
        chunk.append(key)
        room -= size
    if chunk:
        yield chunk


# -- whole

WHOLE: dict[bytes, tuple[Command, ...]] = {  # the empty word stands for the key
    b"hash": (("HGETALL", b""),),
    b"set": (("SMEMBERS", b""),),
    b"zset": (("ZRANGE", b"", "0", "-1", "WITHSCORES"),),
    b"list": (("LRANGE", b"", "0", "-1"),),
    b"stream": (("XINFO", "STREAM", b""), ("XINFO", "GROUPS", b""), ("XRANGE", b"", "-", "+")),
}
DUMP: tuple[Command, ...] = (("DUMP", b""),)
Read = tuple[bytes, list[Any], list[Any]]  # a key, the primary's replies about it, and the replica's


def _whole(sides: Sides, types: dict[bytes, bytes], notes: Notes, *, volatile: bool) -> dict[bytes, Kind]:
    strings = [key for key, of_type in types.items() if of_type == b"string"]
    together: list[Command] = [("MGET", *strings)] if strings else []
    asks = [
        (key, [tuple(word or key for word in words) for words in WHOLE.get(of_type, DUMP)])
        for key, of_type in types.items()
        if of_type != b"string"
    ]
    notes.dumped |= {types[key].decode(errors="replace") for key, _ in asks if types[key] not in WHOLE}
    mine, theirs, _ = sides.both(*together, *(command for _, commands in asks for command in commands))
    read = _strings(sides, strings, mine[0], theirs[0]) if strings else []
    at = len(together)
    for key, commands in asks:
        read.append((key, mine[at : at + len(commands)], theirs[at : at + len(commands)]))
        at += len(commands)
    found: dict[bytes, Kind] = {}
    for key, one, other in read:
        try:
            if kind := _differ(sides, key, types[key], [*map(shown, one)], [*map(shown, other)], volatile=volatile):
                found[key] = kind
        except Unreadable as refusal:
            notes.refused(refusal)
    return found


def _strings(sides: Sides, keys: list[bytes], one: Any, other: Any) -> list[Read]:
    """Those that are not equal to the byte. MGET is refused as a whole where one of its keys may not be read."""
    if not (isinstance(one, list) and isinstance(other, list)):
        one, other, _ = sides.both(*(("GET", key) for key in keys))
    elif one is other:
        return []
    return [(key, [mine], [theirs]) for key, mine, theirs in zip(keys, one, other, strict=True)]


def _differ(
    sides: Sides, key: bytes, of_type: bytes, one: list[Any], other: list[Any], *, volatile: bool
) -> Kind | None:
    if None in one or None in other:
        return "value" if one != other else None
    if of_type == b"string":
        return None if one == other or same_hyperloglog(one[0], other[0]) else "value"
    volatile = volatile and of_type == b"hash"
    if one != other and canonical(of_type, one) != canonical(of_type, other):
        ran_out = volatile and _only_ran_out(sides, key, dict(_pairs(one[0])), dict(_pairs(other[0])))
        return None if ran_out else "value"
    if of_type == b"stream":
        return None if _same_pending(sides, key, one[1]) else "value"
    return "expiry" if volatile and not _expire_alike(sides, key, one[0][::2]) else None


def canonical(of_type: bytes, replies: list[Any]) -> Any:
    """The value without what may differ between equal ones: order, notation of scores, format of a dump, statistics."""
    reply = replies[0]
    match of_type:
        case b"hash":
            return dict(_pairs(reply))
        case b"set":
            return set(reply)
        case b"zset":
            return {member: float(score) for member, score in _pairs(reply)}
        case b"list":
            return reply
        case b"stream":
            return (*_stream(replies), *replies[2:])
    return reply[:-10]  # a DUMP ends with the release's format and a checksum


def _pairs(flat: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _stream(replies: list[Any]) -> tuple[Any, ...]:
    """Of XINFO STREAM and XINFO GROUPS: the rest is about memory and statistics, or isn't replicated (measured)."""
    facts, names = dict(_pairs(replies[0])), (b"name", b"pending", b"last-delivered-id")
    groups = sorted([dict(_pairs(row))[name] for name in names] for row in replies[1])
    return facts[b"length"], facts[b"last-generated-id"], groups


def _only_ran_out(sides: Sides, key: bytes, mine: dict[bytes, bytes], theirs: dict[bytes, bytes]) -> bool:
    """Whether two hashes differ only in fields that are over for one side's clock."""
    same = all(mine[name] == theirs[name] for name in mine.keys() & theirs.keys())
    return same and _ran_out(sides, key, list(mine.keys() ^ theirs.keys()))


GONE = -2  # what HPEXPIRETIME says of a field that isn't there


def _expiries(key: bytes, names: list[bytes]) -> Command:
    return ("HPEXPIRETIME", key, "FIELDS", str(len(names)), *names)


def _ran_out(sides: Sides, key: bytes, names: list[bytes]) -> bool:
    """Whether each of these fields is gone, or is there on one side only and over by the other side's clock."""
    mine, theirs = sides.shown(_expiries(key, names), ("TIME",))
    here, there = (int(seconds) * 1000 + int(micros) // 1000 + 1 for _, (seconds, micros) in (mine, theirs))
    both = zip(mine[0] or (), theirs[0] or (), strict=True)
    return bool(mine[0]) and all(
        (a == GONE and (b == GONE or 0 < b <= here)) or (b == GONE and 0 < a <= there) for a, b in both
    )


def _expire_alike(sides: Sides, key: bytes, names: list[bytes]) -> bool:
    """Whether these fields expire at the same time on both sides. What only one side still shows is not its business."""
    for start in range(0, len(names), PAGE):
        (one,), (other,) = sides.shown(_expiries(key, names[start : start + PAGE]))
        if one is None or other is None:
            return False
        if any(mine != theirs and GONE not in (mine, theirs) for mine, theirs in zip(one, other, strict=True)):
            return False
    return True


# -- in pieces


def _in_pieces(sides: Sides, key: bytes, of_type: bytes, size: int, notes: Notes, *, volatile: bool) -> Kind | None:
    if of_type in MEMBERS:
        return _members(sides, key, of_type, size, volatile=volatile)
    if of_type == b"stream":
        return None if _same_stream(sides, key, size) else "value"
    if of_type == b"list":
        return None if _same_pages(sides, key, "LLEN", "LRANGE", size) else "value"
    if of_type == b"string":
        return None if _same_pages(sides, key, "STRLEN", "GETRANGE", 0) else "value"
    notes.dumped.add(of_type.decode(errors="replace"))
    (one,), (other,) = sides.shown(("DUMP", key))
    return None if one and other and one[:-10] == other[:-10] else "value"


def _page(size: int, elements: int) -> int:
    """How many elements of the average size fit a piece."""
    return max(1, min(PAGE, elements * PIECE // max(size, 1)))


def _same_pages(sides: Sides, key: bytes, length: str, read: str, size: int) -> bool:
    (one,), (other,) = sides.shown((length, key))
    if one is None or one != other:
        return False
    page = _page(size, one) if size else PIECE
    for start in range(0, one, page):
        mine, theirs = sides.shown((read, key, str(start), str(start + page - 1)))
        if mine != theirs:
            return False
    return True


def _same_stream(sides: Sides, key: bytes, size: int) -> bool:
    mine, theirs = sides.shown(("XINFO", "STREAM", key), ("XINFO", "GROUPS", key))
    if None in mine or None in theirs or _stream(mine) != _stream(theirs):
        return False
    page, start = _page(size, _stream(mine)[0]), b"-"
    while True:
        (one,), (other,) = sides.shown(("XRANGE", key, start, "+", "COUNT", str(page)))
        if one != other or one is None:
            return False
        if len(one) < page:
            return _same_pending(sides, key, mine[1])
        start = _after(one[-1][0])


def _same_pending(sides: Sides, key: bytes, groups: list[Any]) -> bool:
    """Who holds which entry; not how long ago and how often delivered, which each side counts for itself."""
    for group in (dict(_pairs(row)) for row in groups):
        start, more = b"-", bool(group[b"pending"])
        while more:
            (one,), (other,) = sides.shown(("XPENDING", key, group[b"name"], start, "+", str(PAGE)))
            if one is None or other is None or [row[:2] for row in one] != [row[:2] for row in other]:
                return False
            more = len(one) == PAGE
            start = _after(one[-1][0]) if more else start
    return True


def _after(entry: bytes) -> bytes:
    milliseconds, sequence = entry.split(b"-")
    return b"%b-%d" % (milliseconds, int(sequence) + 1)


MEMBERS = {
    b"hash": ("HLEN", "HSCAN", "HMGET"),
    b"set": ("SCARD", "SSCAN", "SMISMEMBER"),
    b"zset": ("ZCARD", "ZSCAN", "ZMSCORE"),
}
"""How many elements; scanned on one side; looked up by name on the other."""


def _members(sides: Sides, key: bytes, of_type: bytes, size: int, *, volatile: bool) -> Kind | None:
    count = MEMBERS[of_type][0]
    (mine,), (theirs,) = sides.shown((count, key))
    if mine is None or theirs is None:
        return "value"
    search = _Search(sides, key, of_type, _page(size, max(mine, 1)), volatile and of_type == b"hash")
    if kind := search.one_way(sides.primary, sides.replica):
        return kind
    if mine == theirs == sides.replica.ask((count, key))[0]:
        return None  # everything is there, and there is no more than that
    return search.one_way(sides.replica, sides.primary)


@dataclass(frozen=True, slots=True)
class _Search:
    sides: Sides
    key: bytes
    of_type: bytes
    page: int
    expiries: bool

    def one_way(self, source: Side, other: Side) -> Kind | None:
        """Whether every element of the source is on the other side, and equal."""
        cursor = b"0"
        while True:
            reply = shown(source.ask((MEMBERS[self.of_type][1], self.key, cursor, "COUNT", str(self.page)))[0])
            if reply is None:
                return "value"
            cursor, words = reply
            names = words if self.of_type == b"set" else words[::2]
            values = [1] * len(names) if self.of_type == b"set" else words[1::2]
            found = shown(other.ask(self._look_up(names))[0]) if names else []
            if found is None or not self._settled(
                [name for name, *both in zip(names, values, found, strict=True) if not self._same(*both)]
            ):
                return "value"
            if self.expiries and not _expire_alike(self.sides, self.key, names):
                self.sides.catch_up()
                if not _expire_alike(self.sides, self.key, names):
                    return "expiry"
            if cursor == b"0":
                return None

    def _settled(self, late: list[bytes]) -> bool:
        """Whether elements that differed are equal once the replica has caught up: others may be writing here."""
        for _ in range(TRIES if len(late) <= LATE else 0):
            if not late:
                return True
            proves = self.sides.catch_up().proves
            (one,), (other,) = self.sides.shown(self._look_up(late))
            late = [name for name, *both in zip(late, one or (), other or (), strict=False) if not self._same(*both)]
            if late and self.expiries and _ran_out(self.sides, self.key, late):
                return True
            if not proves:
                break
        return not late

    def _look_up(self, names: list[bytes]) -> Command:
        return (MEMBERS[self.of_type][2], self.key, *names)

    def _same(self, one: Any, other: Any) -> bool:
        """Releases print the same score differently."""
        return one == other or (self.of_type == b"zset" and None not in (one, other) and float(one) == float(other))


MAGIC = b"HYLL"
HEAD = 16
COUNT = slice(8, HEAD)  # the bytes of the cached count; the highest bit of the last one says that it is out of date
REGISTERS = 16_384
DENSE, SPARSE = 0, 1
DENSE_SIZE = HEAD + REGISTERS * 6 // 8


def same_hyperloglog(one: bytes, other: bytes) -> bool:
    """Whether both are HyperLogLogs of the same registers: their encoding and an out-of-date count may differ."""
    if not (one.startswith(MAGIC) and other.startswith(MAGIC)) or min(len(one), len(other)) < HEAD:
        return False
    if one[COUNT] != other[COUNT] and not (_outdated(one) or _outdated(other)):
        return False
    mine = _registers(one)
    return mine is not None and mine == _registers(other)


def _outdated(value: bytes) -> bool:
    return bool(value[HEAD - 1] & 0x80)


def _registers(value: bytes) -> bytes | None:
    """One byte for each, or None when it is no HyperLogLog."""
    if value[4] == SPARSE:
        return _sparse(value[HEAD:])
    return _dense(value[HEAD:]) if value[4] == DENSE and len(value) == DENSE_SIZE else None


def _dense(body: bytes) -> bytes:
    """Four registers of six bits in each three bytes, the lowest bits first."""
    found = bytearray()
    for at in range(0, len(body), 3):
        bits = body[at] | body[at + 1] << 8 | body[at + 2] << 16
        found += bytes((bits & 63, bits >> 6 & 63, bits >> 12 & 63, bits >> 18))
    return bytes(found)


def _sparse(body: bytes) -> bytes | None:
    """Runs: 00nnnnnn and 01nnnnnn nnnnnnnn of zeros, 1vvvvvnn of a value; each number is one less than meant."""
    found = bytearray()
    at = 0
    while at < len(body) and len(found) <= REGISTERS:
        code = body[at]
        at += 1
        if code & 0x80:
            found += bytes(((code >> 2 & 31) + 1,)) * ((code & 3) + 1)
        elif code & 0x40:
            low = body[at : at + 1]
            found += bytes(((code & 63) << 8 | low[0]) + 1 if low else 1)
            at += 1
        else:
            found += bytes((code & 63) + 1)
    return bytes(found) if len(found) == REGISTERS else None
