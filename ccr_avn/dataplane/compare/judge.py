"""One look at some keys on both sides: which differ, and how."""

import time
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.compare.commands import NONE, TYPE, bulks, pack
from ccr_avn.dataplane.compare.whole import Contents, Seen, Typed
from ccr_avn.dataplane.compare.wire import parsed

if TYPE_CHECKING:
    from ccr_avn.dataplane.compare.model import Kind, Level
    from ccr_avn.dataplane.compare.pair import Pair, Traits


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
        if not same_expiry(pair.traits, mine.expiries[number], theirs.expiries[number]):
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


def same_expiry(traits: "Traits", one: Any, other: Any) -> bool:
    """Whether two answers to the pair's expiry command agree. Negative: no expiry, or no such key."""
    if one == other:
        return True
    if not (isinstance(one, int) and isinstance(other, int)) or one < 0 or other < 0:
        return False
    return abs(one - other) <= traits.expiry_slack
