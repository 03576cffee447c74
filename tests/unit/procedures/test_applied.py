"""The last look at a replica: what it received must have been executed."""

import pytest

from ccr_avn.errors import Refused
from ccr_avn.procedures.gates.links import Rejections
from ccr_avn.valkey.replication import ReplicationInfo
from tests.support.factories import side

Both = tuple[ReplicationInfo, ReplicationInfo]


def both(before: int, after: int, held: int = 3) -> Both:
    return side(offset=before, keys=3), side("slave", offset=after, keys=held)


def applied(*looks: Both) -> tuple[str, int]:
    """What is said, and how many looks were not needed for that."""
    left = [*looks]
    again = lambda: left.pop(0) if left else looks[-1]  # noqa: E731
    found = Rejections().of_promotion(left.pop(0), again, "eu", "us")
    return found.reason, len(left)


def test_with_equal_offsets_one_look_is_enough() -> None:
    assert applied(both(100, 100), both(200, 200)) == ("no command was rejected; both hold 3 keys", 1)


def test_keys_are_counted_where_the_offsets_are_equal_only() -> None:
    """Where nothing is paused keys expire in between, and their removal is replicated as well."""
    assert applied(both(100, 114, held=2), both(128, 142, held=1), both(150, 150)) == (
        "no command was rejected; both hold 3 keys",
        0,
    )


def test_offsets_that_are_never_equal_prove_nothing() -> None:
    with pytest.raises(Refused, match="us must not be promoted now") as caught:
        applied(both(100, 114))
    assert "never seen at the same offset" in caught.value.detail
    assert caught.value.hint
