"""Choosing what is compared, over how many connections, and how hard the primary may be asked."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.compare import Progress, engine
from ccr_avn.valkey.compare.sides import Pace
from tests.functional.compare_pair import Pair, fill, found, make_pair
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


def test_all_databases_or_some_or_only_keys_that_match(detached: Pair) -> None:
    for number in (0, 9, 15):
        detached.replica.database(number).delete("key:7")
    detached.replica.database(15).set("key:8", "changed")
    detached.replica.database(14).set("extra", "v")
    try:
        result = detached.compare()
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


def test_a_sample(detached: Pair) -> None:
    result = detached.compare(sample=100, match="key:*", require_link=False)
    assert result.verdict == "equal"
    assert 80 <= result.keys <= 130
    detached.replica.admin.flushall()
    assert detached.compare(sample=100, match="key:*").counts["missing"] == result.keys
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
