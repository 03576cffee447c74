"""Compares large keys in pieces, so that neither a server nor this process holds a giant reply."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.valkey.compare.protocol import (
    ReplyStream,
    Template,
    TooLarge,
    bulk,
    bulks,
    field_expiries,
    pack,
    parsed,
    same_reply,
    shown,
)

if TYPE_CHECKING:
    from ccr_avn.valkey.compare.model import Kind, Pair
    from ccr_avn.valkey.compare.protocol import Wire


NO_FIELD = -2
MOST = 1000
"""Fields asked for at once."""


def same_expiries(one: Any, other: Any) -> bool:
    """Two answers to HPEXPIRETIME. A field that only one side still shows is not this rule's business."""
    if not (isinstance(one, list) and isinstance(other, list)) or len(one) != len(other):
        return False
    return all(mine == theirs or NO_FIELD in (mine, theirs) for mine, theirs in zip(one, other, strict=True))


def expire_alike(pair: "Pair", key: bytes, names: list[bytes]) -> bool:
    """Whether these fields expire at the same time on both sides."""
    for start in range(0, len(names), MOST):
        ask = field_expiries(key, names[start : start + MOST])
        (one,), (other,) = pair.both((ask,), (ask,), 1)
        if not same_expiries(parsed(one)[0], parsed(other)[0]):
            return False
    return True


def ran_out(pair: "Pair", key: bytes, names: list[bytes]) -> bool:
    """Whether each of these fields is gone, or is there on one side only and over by the other side's clock."""
    ask = (field_expiries(key, names), pack(b"TIME"))
    one, other = pair.both(ask, ask, 2)
    mine, theirs = (_Expiries(raw) for raw in (one, other))
    return len(mine.at) == len(theirs.at) == len(names) and all(
        _over(at, there, mine.now) or _over(there, at, theirs.now) for at, there in zip(mine.at, theirs.at, strict=True)
    )


class _Expiries:
    """One side's answer, and its clock, in milliseconds."""

    def __init__(self, raw: list[bytes]) -> None:
        at, clock = (parsed(each)[0] for each in raw)
        self.at: list[int] = at if isinstance(at, list) else []
        self.now = int(clock[0]) * 1000 + int(clock[1]) // 1000 + 1 if isinstance(clock, list) else 0


def _over(here: int, there: int, now: int) -> bool:
    """Hidden here, and by this side's clock rightly so."""
    return here == NO_FIELD and (there == NO_FIELD or 0 < there <= now)


PIECE_BYTES = 1024 * 1024
MOST_ELEMENTS = 1000
HELD_BYTES = 2 * 1024 * 1024
"""Bytes of elements held while the other side is asked for them."""

LATE = 200
"""Elements of one page that may have been written just now; more is a difference of the key."""
TRIES = 4


@dataclass(frozen=True, slots=True)
class Members:
    """A type whose elements are found by name: scanned on one side, looked up on the other."""

    scan: bytes
    look_up: bytes
    count: bytes
    paired: bool  # whether the scan gives a value or score with each

    def same(self, scanned: bytes | None, found: object) -> bool:
        if self.look_up == b"SISMEMBER":
            return found == 1
        if self.look_up == b"ZSCORE" and isinstance(found, bytes) and scanned is not None:
            return float(scanned) == float(found)  # releases print the same score differently
        return scanned == found


MEMBERS = {
    b"hash": Members(b"HSCAN", b"HGET", b"HLEN", paired=True),
    b"set": Members(b"SSCAN", b"SISMEMBER", b"SCARD", paired=False),
    b"zset": Members(b"ZSCAN", b"ZSCORE", b"ZCARD", paired=True),
}


def compare_members(pair: "Pair", key: bytes, of_type: bytes, size: int, *, expiries: bool) -> "Kind | None":
    """A hash, set or sorted set of about ``size`` bytes. ``expiries``: those of a hash's fields as well."""
    members = MEMBERS[of_type]
    search = _Search(pair, key, members, expiries=expiries and of_type == b"hash")
    lengths = search.lengths()
    if None in lengths:
        return "value"
    page = _page(size, max(lengths[0] or 0, 1))
    if found := search.one_way(pair.primary, pair.replica, page):
        return found
    if lengths[0] == lengths[1] == search.lengths()[1]:
        return None  # everything is there, and there is no more than that
    return search.one_way(pair.replica, pair.primary, page)


@dataclass(frozen=True, slots=True)
class _Page:
    cursor: bytes
    names: list[bytes]
    late: list[bytes]  # those of the elements that differ at first sight


class _Search:
    def __init__(self, pair: "Pair", key: bytes, members: Members, *, expiries: bool) -> None:
        self._pair = pair
        self._key = key
        self._members = members
        self._expiries = expiries
        self._look_up = Template(members.look_up, key, b"")

    def lengths(self) -> tuple[int | None, int | None]:
        ask = pack(self._members.count, self._key)
        return shown(self._pair.primary.ask(ask)[0]), shown(self._pair.replica.ask(ask)[0])

    def one_way(self, source: "Wire", other: "Wire", page: int) -> "Kind | None":
        """Whether every element of the source is on the other side, and equal."""
        cursor = b"0"
        while True:
            scan = pack(self._members.scan, self._key, cursor, b"COUNT", b"%d" % page)
            try:
                found = self._whole_page(source, other, scan)
            except TooLarge:
                found = self._streamed_page(source, other, scan)
            if found is None or (found.late and not self._settled(found.late)):
                return "value"
            if self._expiries and not self._expire_alike(found.names):
                return "expiry"
            if found.cursor == b"0":
                return None
            cursor = found.cursor

    def _whole_page(self, source: "Wire", other: "Wire", scan: bytes) -> "_Page | None":
        """Quick, for elements of usual size. None: the key is of another type now.

        Raises:
            TooLarge: some are giants.
        """
        reply = shown(source.ask(scan)[0])
        if reply is None:
            return None
        cursor, words = reply
        names: list[bytes] = words[::2] if self._members.paired else words
        values = words[1::2] if self._members.paired else [None] * len(names)
        late: list[bytes] = []
        for start in range(0, len(names), MOST_ELEMENTS):
            some = names[start : start + MOST_ELEMENTS]
            other.send(self._look_up.each(bulks(some)), commands=len(some))
            answers = parsed(other.receive()[0])
            expected = values[start : start + MOST_ELEMENTS]
            if answers != expected:
                both = zip(some, expected, answers, strict=True)
                late += [name for name, value, answer in both if not self._members.same(value, shown(answer))]
        return _Page(cursor, names, late)

    def _streamed_page(self, source: "Wire", other: "Wire", scan: bytes) -> "_Page | None":
        """The same with one element in memory at a time, or a few small ones."""
        source.send(scan)
        flow = ReplyStream(source)
        if (parts := flow.items()) != 2:
            flow.finish()
            shown(parts)  # raises where it is refused for good
            return None
        cursor = flow.reply()
        names: list[bytes] = []
        late: list[bytes] = []
        for batch in self._batches(flow):
            other.send(self._look_up.each(bulks(name for name, _ in batch)), commands=len(batch))
            answers = ReplyStream(other)
            late += [name for name, value in batch if not self._members.same(value, answers.reply())]
            answers.finish()
            if self._expiries:
                names += [name for name, _ in batch]
        flow.finish()
        return _Page(cursor, names, late)

    def _batches(self, flow: ReplyStream) -> Iterator[list[tuple[bytes, bytes | None]]]:
        batch: list[tuple[bytes, bytes | None]] = []
        held = 0
        words = flow.items()
        words = words if isinstance(words, int) else 0
        for _ in range(words // 2 if self._members.paired else words):
            name = flow.reply()
            value = flow.reply() if self._members.paired else None
            batch.append((name, value))
            held += len(name) + len(value or b"")
            if held > HELD_BYTES or len(batch) >= MOST_ELEMENTS:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch

    def _settled(self, late: list[bytes]) -> bool:
        """Whether elements that differed are equal once the replica has caught up: others may be writing here."""
        if len(late) > LATE:
            return False
        for _ in range(TRIES):
            proves = self._pair.catch_up().proves
            late = [name for name in late if not self._same_now(name)]
            if not late or (self._expiries and ran_out(self._pair, self._key, late)):
                return True
            if not proves:
                return False
        return False

    def _same_now(self, name: bytes) -> bool:
        one, other = _both_replies(self._pair, self._look_up.one(bulk(name)))
        if self._members.look_up == b"ZSCORE":
            return self._members.same(one, other) if one else one == other
        return bool(one == other)

    def _expire_alike(self, names: list[bytes]) -> bool:
        if expire_alike(self._pair, self._key, names):
            return True
        self._pair.catch_up()
        return expire_alike(self._pair, self._key, names)


def compare_list(pair: "Pair", key: bytes, size: int) -> bool:
    lengths = _both_replies(pair, pack(b"LLEN", key))
    if lengths[0] != lengths[1] or not isinstance(lengths[0], int):
        return False
    page = _page(size, max(lengths[0], 1))
    return all(
        _same(pair, pack(b"LRANGE", key, b"%d" % start, b"%d" % (start + page - 1)))
        for start in range(0, lengths[0], page)
    )


def compare_string(pair: "Pair", key: bytes) -> bool:
    lengths = _both_replies(pair, pack(b"STRLEN", key))
    if lengths[0] != lengths[1] or not isinstance(lengths[0], int):
        return False
    return all(
        _same(pair, pack(b"GETRANGE", key, b"%d" % start, b"%d" % (start + PIECE_BYTES - 1)))
        for start in range(0, lengths[0], PIECE_BYTES)
    )


def compare_dump(pair: "Pair", key: bytes) -> bool:
    """What only a module understands. The last ten bytes are the release's format and a checksum over it."""
    one, other = _both_replies(pair, pack(b"DUMP", key))
    return isinstance(one, bytes) and isinstance(other, bytes) and one[:-10] == other[:-10]


def _page(size: int, elements: int) -> int:
    """How many elements of the average size fit a piece."""
    return max(8, min(MOST_ELEMENTS, elements * PIECE_BYTES // max(size, 1)))


def _same(pair: "Pair", ask: bytes) -> bool:
    with pair.flows(ask) as (one, other):
        return same_reply(one, other)


def _both_replies(pair: "Pair", ask: bytes) -> tuple[Any, Any]:
    with pair.flows(ask) as (one, other):
        replies = one.reply(), other.reply()
        return shown(replies[0]), shown(replies[1])
