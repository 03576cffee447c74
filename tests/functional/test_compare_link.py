"""What is claimed when the replica does not follow, stops following, or can't be asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccr_avn.errors import Unreachable, UsageError
from ccr_avn.valkey.compare import Progress
from tests.functional.compare_pair import Pair, fill, found, make_pair
from tests.support.servers import PASSWORD
from tests.support.wait import until


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = make_pair(tmp_path_factory.mktemp("link"))
    fill(made.primary.admin, (("SET", f"key:{number}", number) for number in range(3000)))
    made.settled()
    yield made
    made.stop()


@pytest.fixture
def pair(standing: Pair) -> Pair:
    """Linked, whatever the test before did to it."""
    standing.replica.promote()
    standing.link()
    return standing


def test_two_equal_servers_without_a_link(pair: Pair) -> None:
    pair.detach()
    assert pair.compare().verdict == "inconclusive"
    assert pair.compare(require_link=False).verdict == "equal"
    pair.replica.admin.delete("key:7")
    result = pair.compare()
    assert (result.verdict, found(result)) == ("different", [("missing", 0, "key:7")])


def test_a_link_that_is_down_leaves_differences_unproven(pair: Pair) -> None:
    pair.replica.admin.execute_command("REPLICAOF", "127.0.0.1", 1)
    until(lambda: pair.replica.admin.info("replication")["master_link_status"] == "down", "the link to go down")
    pair.primary.admin.delete("key:7")
    result = pair.compare()
    assert result.verdict == "inconclusive"
    assert "link from eu to us was down" in result.reasons[0]
    assert "1 keys differ, but the replica may only be behind" in result.reasons[1]
    assert result.in_flight == 1


def test_a_link_that_drops_and_comes_back_is_noticed(pair: Pair) -> None:
    seen: list[Progress] = []

    def cut(progress: Progress) -> None:
        if not seen:
            pair.primary.admin.execute_command("CLIENT", "KILL", "TYPE", "replica")
            pair.settled()
        seen.append(progress)

    result = pair.compare(progress=cut)
    assert result.verdict == "inconclusive"
    assert result.differences == 0
    assert "dropped" in result.reasons[0] or "down" in result.reasons[0]


def test_a_replica_of_another_primary(pair: Pair, tmp_path: Path) -> None:
    stranger = make_pair(tmp_path / "other")
    try:
        result = Pair(stranger.primary, pair.replica).compare(level="keys", rounds=1)
    finally:
        stranger.stop()
    assert result.verdict == "different"
    assert result.counts["extra"] == pair.replica.admin.dbsize() >= 2999
    assert len(result.examples) == 20
    assert "another primary" in result.reasons[0]


def test_a_frozen_replica_is_unreachable(pair: Pair) -> None:
    def freeze(progress: Progress) -> None:
        pair.replica.freeze()

    try:
        with pytest.raises(Unreachable, match="us") as caught:
            pair.compare(timeout=0.5, progress=freeze)
    finally:
        pair.replica.thaw()
    assert PASSWORD not in f"{caught.value} {caught.value.detail} {caught.value.hint}"


def test_differences_that_can_not_be_written_are_refused_first(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        pair.compare(differences_file=tmp_path / "nowhere" / "file")


def test_an_older_server_without_exact_expiries(pair: Pair) -> None:
    """Told by a user who may not PEXPIRETIME: PTTL is compared instead, with some slack."""
    client = pair.primary.admin
    fill(client, (("SET", f"passing:{number}", "v", "PX", 100_000 + number) for number in range(1000)))
    pair.allow("old", "+@all", "-pexpiretime", "-watch", "~*")
    pair.settled()
    for level in ("keys", "values"):
        assert pair.compare(level=level, rounds=1, user="old").verdict == "equal"
    pair.detach()
    pair.replica.admin.persist("passing:5")
    result = pair.compare(rounds=1, user="old")
    assert result.verdict == "inconclusive"  # without WATCH nothing is proven
    assert result.in_flight == 1
    assert "refuses WATCH" in result.reasons[1]
    pair.allow("old", "+@all", "-pexpiretime", "~*")
    assert found(pair.compare(rounds=1, user="old")) == [("expiry", 0, "passing:5")]
