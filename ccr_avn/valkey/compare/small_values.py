"""Compares small values: by DUMP, and by type where a DUMP may differ."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ccr_avn.valkey.compare import large_values
from ccr_avn.valkey.compare.large_values import ran_out, same_expiries
from ccr_avn.valkey.compare.protocol import (
    DUMP,
    MEMORY,
    STREAM,
    WHOLE,
    TooLarge,
    Unreadable,
    bulk,
    bulks,
    field_expiries,
    parsed,
    refused,
)
from ccr_avn.valkey.compare.streams import compare_stream, differing_streams

if TYPE_CHECKING:
    from ccr_avn.valkey.compare.model import Kind, Pair


MODERATE = 512 * 1024
"""Bytes up to which a key is read whole."""

TOGETHER_BYTES = 2 * 1024 * 1024
TOGETHER_KEYS = 500


@dataclass(frozen=True, slots=True)
class Typed:
    """A key and its type on the primary."""

    key: bytes
    type: bytes


@dataclass(slots=True)
class Seen:
    """What was found on the way and has to be reported."""

    unreadable: int = 0
    refusal: str = ""  # one of them
    dumped: set[str] = field(default_factory=set)  # types that only modules know

    def note(self, refusal: object) -> None:
        self.unreadable += 1
        self.refusal = self.refusal or str(refusal)


class Contents:
    """Compares values in the database that the pair uses."""

    def __init__(self, pair: "Pair", seen: Seen) -> None:
        self._pair = pair
        self._seen = seen

    def differing(self, items: list[Typed], database: int) -> "dict[bytes, Kind]":
        """Those that differ, and how. A key that is gone from the primary counts as no difference here."""
        found: dict[bytes, Kind] = {}
        volatile = database in self._pair.traits.volatile_fields
        lanes: dict[bool, list[Typed]] = {False: [], True: []}
        room = dict.fromkeys(lanes, TOGETHER_BYTES)
        for item, size in self._sizes(items):
            lane = item.type == STREAM
            if size > MODERATE:
                found |= self._in_pieces(item, size, volatile=volatile)
                continue
            if size > room[lane] or len(lanes[lane]) >= TOGETHER_KEYS:
                found |= self._lane(lanes[lane], volatile=volatile)
                lanes[lane], room[lane] = [], TOGETHER_BYTES
            lanes[lane].append(item)
            room[lane] -= size
        return found | self._lane(lanes[False], volatile=volatile) | self._lane(lanes[True], volatile=volatile)

    def _sizes(self, items: list[Typed]) -> Iterator[tuple[Typed, int]]:
        """In bytes of the primary's memory, by samples; where that is refused, every key is read in large_values."""
        for start in range(0, len(items), TOGETHER_KEYS):
            some = items[start : start + TOGETHER_KEYS]
            self._pair.primary.send(MEMORY.each(bulks(item.key for item in some)), commands=len(some))
            sizes = parsed(self._pair.primary.receive()[0])
            for item, size in zip(some, sizes, strict=True):
                if size is not None:
                    yield item, size if isinstance(size, int) else MODERATE + 1

    def _lane(self, items: list[Typed], *, volatile: bool) -> "dict[bytes, Kind]":
        if not items:
            return {}
        try:
            if items[0].type == STREAM:
                return dict.fromkeys(differing_streams(self._pair, [item.key for item in items]), "value")
            return self._together(items, volatile=volatile)
        except (TooLarge, Unreadable):
            found: dict[bytes, Kind] = {}
            for item in items:
                found |= self._in_pieces(item, large_values.PIECE_BYTES * large_values.MOST_ELEMENTS, volatile=volatile)
            return found

    def _together(self, items: list[Typed], *, volatile: bool) -> "dict[bytes, Kind]":
        """Raises: TooLarge."""
        self._seen.dumped |= {item.type.decode(errors="replace") for item in items if item.type not in WHOLE}
        ask = b"".join(WHOLE.get(item.type, DUMP).one(bulk(item.key)) for item in items)
        (one,), (other,) = self._pair.both((ask,), (ask,), len(items))
        hashes = volatile and any(item.type == b"hash" for item in items)
        if one == other and not refused(one) and not hashes:
            return {}
        replies = list(zip(items, parsed(one), parsed(other), strict=True))
        differing = [(item, *pair) for item, *pair in replies if not self._same(item, *pair)]
        if volatile:
            differing = [each for each in differing if not self._only_ran_out(*each)]
        found: dict[bytes, Kind] = {item.key: "value" for item, *_ in differing}
        fields = {
            item.key: reply[::2]
            for item, reply, _ in replies
            if volatile and item.type == b"hash" and isinstance(reply, list) and reply and item.key not in found
        }
        return self._field_expiries(fields) | found

    def _same(self, item: Typed, one: Any, other: Any) -> bool:
        for reply in (one, other):
            if isinstance(reply, Exception):
                if str(reply).startswith("WRONGTYPE"):  # it changed just now, or is another type over there
                    return False
                self._seen.note(reply)
                return True  # neither equal nor different: it is counted, and no equality claimed
        return equal(item.type, one, other)

    def _only_ran_out(self, item: Typed, one: Any, other: Any) -> bool:
        """Whether two hashes differ only in fields that are over for one side's clock."""
        if item.type != b"hash" or not (isinstance(one, list) and isinstance(other, list)):
            return False
        mine, theirs = (dict(zip(reply[::2], reply[1::2], strict=True)) for reply in (one, other))
        changed = [name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]]
        return not changed and ran_out(self._pair, item.key, list(mine.keys() ^ theirs.keys()))

    def _field_expiries(self, hashes: dict[bytes, list[bytes]]) -> "dict[bytes, Kind]":
        if not hashes:
            return {}
        ask = b"".join(field_expiries(key, names) for key, names in hashes.items())
        (one,), (other,) = self._pair.both((ask,), (ask,), len(hashes))
        both = zip(hashes, parsed(one), parsed(other), strict=True)
        return {key: "expiry" for key, mine, theirs in both if not same_expiries(mine, theirs)}

    def _in_pieces(self, item: Typed, size: int, *, volatile: bool) -> "dict[bytes, Kind]":
        try:
            found = self._piecewise(item, size, volatile=volatile)
        except Unreadable as refusal:
            self._seen.note(refusal)
            return {}
        return {item.key: found} if found else {}

    def _piecewise(self, item: Typed, size: int, *, volatile: bool) -> "Kind | None":
        """Raises: Unreadable."""
        if item.type in large_values.MEMBERS:
            return large_values.compare_members(self._pair, item.key, item.type, size, expiries=volatile)
        if item.type == STREAM:
            same = compare_stream(self._pair, item.key, size)
        elif item.type == b"list":
            same = large_values.compare_list(self._pair, item.key, size)
        elif item.type == b"string":
            same = large_values.compare_string(self._pair, item.key)
        else:
            self._seen.dumped.add(item.type.decode(errors="replace"))
            same = large_values.compare_dump(self._pair, item.key)
        return None if same else "value"


def equal(of_type: bytes, one: Any, other: Any) -> bool:
    """Whether two whole values hold the same, whatever each side stores by itself."""
    if one == other:
        return True
    if of_type == b"string" and one is not None and other is not None:
        return same(one, other)
    return bool(canonical(of_type, one) == canonical(of_type, other))


def canonical(of_type: bytes, reply: Any) -> Any:
    """The value without what may differ between equal ones: order, notation of scores, format of a dump."""
    if reply is None:
        return None
    if of_type == b"hash":
        return dict(zip(reply[::2], reply[1::2], strict=True))
    if of_type == b"set":
        return set(reply)
    if of_type == b"zset":
        return {member: float(score) for member, score in zip(reply[::2], reply[1::2], strict=True)}
    return reply if of_type in WHOLE else reply[:-10]


MAGIC = b"HYLL"
HEAD = 16
COUNT = slice(8, HEAD)
"""The bytes of the cached count; the highest bit of the last one says that it is out of date."""

REGISTERS = 16_384
DENSE, SPARSE = 0, 1
DENSE_SIZE = HEAD + REGISTERS * 6 // 8


def same(one: bytes, other: bytes) -> bool:
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
