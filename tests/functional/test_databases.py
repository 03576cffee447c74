"""A primary with more databases than its replica, on real servers: what can be seen of that, and by whom."""

import pytest

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.server_facts import read_databases
from tests.functional.compare_pair import Pair
from tests.support.servers import Serve


@pytest.fixture
def pair(serve: Serve) -> Pair:
    made = Pair(serve("eu", "--databases", "200"), serve("us", "--databases", "16"))
    made.link()
    return made


def test_what_a_replica_lacks_is_seen_and_can_not_be_compared(pair: Pair) -> None:
    """What can't pass by waiting is told at once."""
    pair.primary.database(15).set("key", "v")
    pair.settled()
    found = read_databases(*pair.ends().values())
    assert (found.used, found.refused, found.primary, found.replica) == ((15,), (), 200, 16)
    pair.primary.database(100).set("key", "v")
    pair.settled()
    found = read_databases(*pair.ends().values())
    assert (found.used, [number for number, _ in found.refused]) == ((15, 100), [100])
    with pytest.raises(Unreachable, match="database 100") as caught:
        pair.compare(level="keys")
    assert not caught.value.passing


@pytest.mark.parametrize(("database", "refused"), [(0, []), (3, [3])])
def test_a_user_that_may_not_select_shows_nothing_unless_only_the_first_is_used(
    pair: Pair, database: int, refused: list[int]
) -> None:
    pair.primary.database(database).set("key", "v")
    pair.settled()
    hidden = pair.replica.user("hidden", "~*", "+@all", "-select")
    found = read_databases(pair.primary.endpoint(), hidden)
    assert ([number for number, _ in found.refused], found.replica) == (refused, 0)
