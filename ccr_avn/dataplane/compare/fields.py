"""Fields of a hash that expire by themselves: each side hides them by its own clock, before they are deleted."""

from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.compare.commands import field_expiries, pack
from ccr_avn.dataplane.compare.wire import parsed

if TYPE_CHECKING:
    from ccr_avn.dataplane.compare.pair import Pair

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
