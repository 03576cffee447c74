"""Choosing what is compared and how hard the primary may be asked; what is claimed if the link fails, or nobody answers."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ccr_avn.errors import Unreachable, UsageError
from ccr_avn.valkey.compare import Progress, engine
from ccr_avn.valkey.compare.sides import Pace
from tests.functional.compare_pair import Pair, fill, found, make_pair
from tests.support.servers import PASSWORD
from tests.support.wait import until


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = make_pair(tmp_path_factory.mktemp("options"))
    for number in range(16):
        fill(made.primary.database(number), (("SET", f"key:{each}", each) for each in range(500)))
    fill(made.primary.admin, (("HSET", f"hash:{each}", "f", each) for each in range(500)))
    yield made
    made.stop()


@pytest.fixture
def pair(standing: Pair) -> Pair:
    standing.link()
    return standing


@pytest.fixture
def detached(standing: Pair) -> Pair:
    standing.detach()
    return standing


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few keys are worth several connections."""
    monkeypatch.setattr(engine, "FEW_KEYS", 0)


@pytest.mark.usefixtures("several")
def test_all_databases_or_some_or_only_keys_that_match(detached: Pair) -> None:
    for number in (0, 9, 15):
        detached.replica.database(number).delete("key:7")
    detached.replica.database(15).set("key:8", "changed")
    detached.replica.database(14).set("extra", "v")
    try:
        result = detached.compare(jobs=2)
        expected = [("extra", 14, "extra"), *(("missing", number, "key:7") for number in (0, 9, 15))]
        assert found(result) == [*expected, ("value", 15, "key:8")]
        assert (result.counts["missing"], result.counts["extra"], result.counts["value"]) == (3, 1, 1)
        some = detached.compare(databases=(14,))
        assert (found(some), some.keys) == ([("extra", 14, "extra")], 500)
        assert detached.compare(databases=(99,)).keys == 0
        detached.replica.admin.delete("hash:7")
        only = detached.compare(match="hash:*")
        assert (found(only), only.keys) == ([("missing", 0, "hash:7")], 500)
    finally:
        detached.link()


@pytest.mark.usefixtures("several")
def test_interrupted_it_waits_for_no_server_and_leaves_nothing_behind(pair: Pair) -> None:
    """The replica is stopped, and the limit for an answer is minutes."""
    before = threading.active_count()

    def freeze(progress: Progress) -> None:
        if progress.keys:
            pair.replica.freeze()
            raise KeyboardInterrupt

    ended = threading.Event()

    def run() -> None:
        with suppress(KeyboardInterrupt):
            pair.compare(timeout=600.0, jobs=4, max_operations=3000, progress=freeze)
        ended.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        until(ended.is_set, "the comparison to end")
    finally:
        pair.replica.thaw()
        thread.join()
    assert threading.active_count() == before
    until(lambda: "ccr-avn:verify" not in str(pair.primary.clients()), "the connections to be closed")


@pytest.mark.usefixtures("several")
def test_trouble_on_one_of_several_connections_reaches_the_caller(pair: Pair) -> None:
    pair.allow("half", "~*", "+@all", "-scan")
    with pytest.raises(Unreachable, match="SCAN is refused") as caught:
        pair.compare(jobs=2, user="half")
    assert "NOPERM" in caught.value.detail


def test_the_primary_is_spared(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent to it is paid for before: the pace (whose own test has the time) knows of every command but a few."""
    paid: list[int] = []
    monkeypatch.setattr(Pace, "take", lambda _, commands: paid.append(commands))
    info = pair.primary.admin.info
    before = info("stats")["total_commands_processed"]
    result = pair.compare(level="keys", databases=(3, 4), max_operations=3000)
    commands = info("stats")["total_commands_processed"] - before
    assert result.keys == 1000
    assert 2000 <= commands <= sum(paid) + 100, "2000 for TYPE and expiry; connections and INFO are not counted"


def test_reading_does_not_make_keys_look_used(pair: Pair) -> None:
    client = pair.primary.admin
    client.execute_command("DEBUG", "SLEEP", "0")
    until(lambda: client.object("idletime", "key:7") >= 1, "a key to be idle")
    pair.compare()
    assert client.object("idletime", "key:7") >= 1


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
    pair.primary.admin.delete("key:9")
    result = pair.compare()
    pair.replica.promote()
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
    assert result.counts["extra"] == result.replica_keys >= 8000
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
