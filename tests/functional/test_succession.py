"""Which service took over from which is recorded, never inferred; and one replica of a primary is promoted, never two."""

import pytest

from tests.support.operator import EU, US, Operator, ended
from tests.support.pairs import accepts, add_service, deletions, follows, missing, uri
from tests.support.writers import Load

REPLICAS = ("us1", "us2")


@pytest.fixture
def three(operator: Operator) -> Operator:
    """A primary with two replicas."""
    add_service(operator, "eu", "business-4", EU)
    for name in REPLICAS:
        add_service(operator, name, "startup-4", US, source="eu")
        follows(operator, name)
    return operator


def go(replica: str, *more: str) -> tuple[str, ...]:
    return ("switchover", "eu", replica, "--yes", *more)


@pytest.mark.parametrize(
    "round_number", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 10))]
)
def test_two_operators_promote_one_of_two_replicas(three: Operator, round_number: int) -> None:
    with Load(uri(three, "eu")) as load:
        both = {name: three.start("ccr-avn", *go(name)) for name in REPLICAS}
        ends = {name: ended(one) for name, one in both.items()}
    promoted = [name for name, end in ends.items() if end.code == 0]
    assert len(deletions(three)) == len(promoted) <= 1
    for name in set(REPLICAS) - set(promoted):
        assert ends[name].code == 4, ends[name].err
        assert three.sandbox.platform.services[name].tags == {}
    if promoted:
        assert missing(three, load.acknowledged, promoted[0]) == []
    else:
        assert accepts(three, "eu"), "nothing of them is left"
