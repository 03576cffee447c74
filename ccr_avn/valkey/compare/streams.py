"""Compares streams: entries in pages, then consumer groups and pending entries."""

from typing import TYPE_CHECKING, Any

from ccr_avn.valkey.compare.protocol import Template, bulks, pack, parsed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccr_avn.valkey.compare.model import Pair
    from ccr_avn.valkey.compare.protocol import ReplyStream

PAGE_BYTES = 1024 * 1024
PENDING_PAGE = 1000

FACTS = Template(b"XINFO", b"STREAM", b"")
GROUPS = Template(b"XINFO", b"GROUPS", b"")
ENTRIES = Template(b"XRANGE", b"", b"-", b"+")

STREAM_FACTS = (b"length", b"last-generated-id")
GROUP_FACTS = (b"name", b"pending", b"last-delivered-id")
"""The rest is about memory and statistics, or isn't replicated (measured): consumers that hold nothing pending,
when a consumer was seen, how often an entry was delivered (reading one's own pending entries counts as that)."""


def differing_streams(pair: "Pair", keys: list[bytes]) -> list[bytes]:
    """Those of these small streams that differ.

    Raises:
        TooLarge: they are not small.
        Unreadable: one of them is.
    """
    raws = bulks(keys)
    ask = (FACTS.each(raws), GROUPS.each(raws), ENTRIES.each(raws))
    one, other = pair.both(ask, ask, 3 * len(keys))
    mine, theirs = (zip(*(map(shown, parsed(raw)) for raw in side), strict=True) for side in (one, other))
    return [
        key
        for key, here, there in zip(keys, mine, theirs, strict=True)
        if not (_same_whole(here, there) and _same_groups(pair, key, here[1]))
    ]


def _same_whole(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Facts, groups and entries."""
    facts, others = _facts(one[0], STREAM_FACTS), _facts(other[0], STREAM_FACTS)
    groups, other_groups = _table(one[1], GROUP_FACTS), _table(other[1], GROUP_FACTS)
    return bool(facts) and _agree(facts, others) and groups == other_groups and one[2] == other[2]


def compare_stream(pair: "Pair", key: bytes, size: int) -> bool:
    """A stream of about ``size`` bytes."""
    with pair.flows(pack(b"XINFO", b"STREAM", key) + pack(b"XINFO", b"GROUPS", key), 2) as (one, other):
        facts, others = (_facts(shown(side.reply()), STREAM_FACTS) for side in (one, other))
        groups, other_groups = (_table(shown(side.reply()), GROUP_FACTS) for side in (one, other))
    if not facts or not _agree(facts, others) or groups != other_groups:
        return False
    page = max(1, min(1000, int(facts[b"length"]) * PAGE_BYTES // max(size, 1)))
    return _same_entries(pair, key, page) and all(_same_group(pair, key, group[b"name"]) for group in groups)


def _same_groups(pair: "Pair", key: bytes, groups: Any) -> bool:
    return all(_same_group(pair, key, group[b"name"]) for group in _table(groups, GROUP_FACTS))


def _same_entries(pair: "Pair", key: bytes, page: int) -> bool:
    start, count = b"-", b"%d" % page
    while True:
        with pair.flows(pack(b"XRANGE", key, start, b"+", b"COUNT", count)) as (one, other):
            entries, others = one.items(), other.items()
            if not isinstance(entries, int) or entries != others:
                shown(entries), shown(others)  # raises where one is refused for good
                return False
            last = _same_run(one, other, entries)
        if entries and last is None:
            return False
        if entries < page or last is None:
            return True
        start = _after(last)


def _same_run(one: "ReplyStream", other: "ReplyStream", entries: int) -> bytes | None:
    """The last entry's id, or None when one of them differs."""
    last = None
    for _ in range(entries):
        entry = one.reply()
        if entry != other.reply():
            return None
        last = entry[0]
    return last


def _same_group(pair: "Pair", key: bytes, group: bytes) -> bool:
    start = b"-"
    while True:
        with pair.flows(pack(b"XPENDING", key, group, start, b"+", b"%d" % PENDING_PAGE)) as (one, other):
            pending, its = (list(_pending(shown(side.reply()))) for side in (one, other))
        if pending != its:
            return False
        if len(pending) < PENDING_PAGE:
            return True
        start = _after(pending[-1][0])


def _pending(reply: Any) -> "Iterator[tuple[bytes, bytes]]":
    """Entry and consumer; not how long ago and how often delivered, which each side counts for itself."""
    for entry, consumer, *_ in reply if isinstance(reply, list) else ():
        yield entry, consumer


def _facts(reply: Any, wanted: tuple[bytes, ...]) -> dict[bytes, Any]:
    pairs = dict(zip(reply[::2], reply[1::2], strict=True)) if isinstance(reply, list) else {}
    return {name: pairs[name] for name in wanted if name in pairs}


def _table(reply: Any, wanted: tuple[bytes, ...]) -> list[dict[bytes, Any]]:
    rows = (_facts(row, wanted) for row in (reply if isinstance(reply, list) else ()))
    return sorted(rows, key=lambda row: bytes(row[b"name"]))


def _agree(one: dict[bytes, Any], other: dict[bytes, Any]) -> bool:
    """Equal in all that both releases know."""
    return bool(other) and all(one[name] == other[name] for name in one.keys() & other.keys())


def _after(entry: bytes) -> bytes:
    milliseconds, sequence = entry.split(b"-")
    return b"%b-%d" % (milliseconds, int(sequence) + 1)
