"""Equal is equal for all types and encodings; one key made wrong is found, and nothing else."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.valkey.compare import engine
from tests.functional.compare_corpus import BINARY, CORRUPTIONS, EVERYTHING
from tests.functional.compare_pair import Pair, fill, found, make_pair


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair for all tests of this module, with the whole corpus in it."""
    pair = make_pair(tmp_path_factory.mktemp("compare"))
    fill(pair.primary.admin, EVERYTHING)
    yield pair
    pair.stop()


@pytest.fixture
def pair(standing: Pair) -> Pair:
    """As it was: everything there, the replica following."""
    standing.link()
    return standing


@pytest.mark.parametrize("level", ["keys", "values"])
def test_equal_is_equal(pair: Pair, level: str) -> None:
    result = pair.compare(level=level)
    assert (result.verdict, result.differences, result.reasons) == ("equal", 0, ())
    assert result.keys == result.replica_keys == pair.primary.admin.dbsize()
    assert result.reread == 0


def test_the_corpus_has_every_encoding(pair: Pair) -> None:
    client = pair.primary.admin
    encodings = {client.object("encoding", key).decode() for key in client.keys("*")}
    assert encodings >= {"int", "embstr", "raw", "listpack", "hashtable", "intset", "skiplist", "quicklist", "stream"}


@pytest.fixture
def detached(standing: Pair) -> Pair:
    """Two servers with the same data, that know nothing of each other."""
    standing.detach()
    return standing


@pytest.mark.parametrize(("kind", "key", "commands"), CORRUPTIONS, ids=lambda word: str(word)[:40])
def test_one_wrong_key_is_found_and_nothing_else(
    detached: Pair, kind: str, key: str, commands: tuple[tuple[Any, ...], ...]
) -> None:
    client, primary = detached.replica.admin, detached.primary.admin
    for words in commands:
        client.execute_command(*words)
    try:
        result = detached.compare(rounds=1)
        assert result.verdict == "different"
        assert found(result) == [(kind, 0, key)]
        seen_by_keys = detached.compare(rounds=1, level="keys")
        assert found(seen_by_keys) == ([] if kind == "value" else [(kind, 0, key)])
    finally:
        restore(primary, client, key)


def restore(primary: Any, client: Any, key: str) -> None:
    client.delete(key)
    dump = primary.dump(key)
    if dump:
        at = max(0, primary.pexpiretime(key))
        client.execute_command("RESTORE", key, at, dump, "ABSTTL", "REPLACE")


def test_a_binary_key_is_escaped_and_can_be_read_back(detached: Pair) -> None:
    detached.replica.admin.delete(BINARY)
    try:
        (difference,) = detached.compare(rounds=1).examples
    finally:
        restore(detached.primary.admin, detached.replica.admin, BINARY)  # type: ignore[arg-type]  # bytes will do
    assert difference.key.isascii()
    assert difference.key.isprintable()
    assert difference.key.encode().decode("unicode_escape").encode("latin-1") == BINARY


@pytest.mark.parametrize(
    ("denied", "least"),
    [
        (("-xinfo",), 3),
        (("-xpending", "-memory"), 1),
        (("-hscan", "-llen", "-strlen", "-sscan"), 4),
        (("-mget", "-get", "-hmget", "-lrange", "-getrange", "-zmscore", "-xrange"), 15),
        (("-memory", "-hlen", "-zscan", "-smismember"), 9),
        (("-pexpiretime", "-pttl"), 25),
        (("-exists",), 25),
    ],
)
def test_commands_that_are_refused_prove_nothing(pair: Pair, denied: tuple[str, ...], least: int) -> None:
    pair.allow("half", "~*", "+@all", *denied)
    result = pair.compare(rounds=1, user="half")
    assert (result.verdict, result.differences) == ("inconclusive", 0)
    assert result.unreadable >= least
    assert "NOPERM" in result.reasons[-1]


def test_what_the_replica_alone_holds_past_its_time_is_no_difference(pair: Pair) -> None:
    pair.detach()
    client = pair.replica.admin
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        client.set("late", "v", px=1)
        result = pair.compare(match="late", require_link=False)
    finally:
        client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    assert result.verdict == "equal"


def test_fields_of_hashes_that_expire(pair: Pair) -> None:
    pair.primary.admin.execute_command("HPEXPIRE", "hash:listpack", 10_000_000, "FIELDS", 1, "f")
    pair.primary.admin.execute_command("HPEXPIRE", "hash:big", 10_000_000, "FIELDS", 1, "field-7")
    try:
        pair.settled()
        assert pair.compare().verdict == "equal"
        pair.detach()
        client = pair.replica.admin
        client.execute_command("HPEXPIRE", "hash:listpack", 20_000_000, "FIELDS", 1, "f")
        client.execute_command("HPERSIST", "hash:big", "FIELDS", 1, "field-7")
        assert found(pair.compare()) == [("expiry", 0, "hash:big"), ("expiry", 0, "hash:listpack")]
        assert found(pair.compare(level="keys")) == []
    finally:
        for key, name in (("hash:listpack", "f"), ("hash:big", "field-7")):
            pair.primary.admin.execute_command("HPERSIST", key, "FIELDS", 1, name)


@pytest.mark.slow
def test_fields_that_run_out_while_they_are_compared(pair: Pair) -> None:
    """The replica's own clock decides what it hides, and nothing is deleted there until the primary says so."""
    client = pair.primary.admin
    for key, many in (("passing", 300), ("passing:big", 20_000)):
        for start in range(0, many, 5000):
            names = [f"f{number}" for number in range(start, min(start + 5000, many))]
            client.hset(key, mapping=dict.fromkeys(names, "v" * 20))
            client.execute_command("HPEXPIRE", key, 200 + start // 50, "FIELDS", len(names), *names)
        client.hset(key, "stays", "v")
    some = True
    while some:
        some = client.hlen("passing:big") > 1
        result = pair.compare(match="passing*", round_interval=0.05)
        assert result.differences == 0, result
    client.delete("passing", "passing:big")


def test_the_whole_corpus_through_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an older Redis where one is installed: it has no NO-TOUCH, and no expiries of fields."""
    monkeypatch.setattr(engine, "FEW_KEYS", 0)
    pair = make_pair(tmp_path, binary=shutil.which("redis-server"), tls=True)
    try:
        assert pair.ends()["primary"].tls
        fill(pair.primary.admin, EVERYTHING)
        pair.settled()
        assert pair.compare(jobs=2, rounds=1).verdict == "equal"
        pair.detach()
        pair.replica.admin.hdel("hash:big", "field-7")
        assert found(pair.compare(jobs=2, rounds=1)) == [("value", 0, "hash:big")]
    finally:
        pair.stop()
