"""What each side stores by itself is no difference: caches, encodings, statistics; what is in there is."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ccr_avn.procedures.gates.links import is_equal
from ccr_avn.valkey.compare.scan import BATCH_BYTES
from tests.functional.compare_pair import Pair, found, make_pair
from tests.support.servers import Server


@pytest.fixture(scope="module", params=["valkey", "redis"])
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Of the newest Valkey, and of the Redis that is installed."""
    binary = shutil.which("redis-server") if request.param == "redis" else None
    if request.param == "redis" and not binary:
        pytest.skip("no redis-server is installed")
    pair = make_pair(tmp_path_factory.mktemp(request.param), binary=binary)
    yield pair
    pair.stop()


@pytest.fixture
def pair(standing: Pair) -> Pair:
    standing.primary.admin.flushall()
    standing.link()
    return standing


def writable(server: Server, change: Callable[[], object]) -> None:
    server.admin.config_set("replica-read-only", "no")
    try:
        change()
    finally:
        server.admin.config_set("replica-read-only", "yes")


def count(client: Any, key: str, elements: int) -> None:
    for start in range(0, elements, 500):
        client.pfadd(key, *range(start, min(start + 500, elements)))


@pytest.mark.parametrize("elements", [50, 20_000], ids=["sparse", "dense"])
def test_the_count_that_a_replica_worked_out(pair: Pair, elements: int) -> None:
    count(pair.primary.admin, "visitors", elements)
    pair.settled()
    pair.replica.admin.pfcount("visitors")
    result = pair.compare()
    assert (result.verdict, result.differences, result.reread) == ("equal", 0, 0)
    writable(pair.replica, lambda: pair.replica.admin.pfadd("visitors", *(f"else-{n}" for n in range(2000))))
    assert found(pair.compare()) == [("value", 0, "visitors")]


def test_the_encoding_that_a_replica_chose(pair: Pair) -> None:
    client = pair.replica.admin
    usual = client.config_get("*max-*")
    client.config_set("hll-sparse-max-bytes", 0)
    client.config_set("set-max-intset-entries", 1)
    client.config_set("hash-max-listpack-entries", 1)
    client.config_set("zset-max-listpack-entries", 1)
    client.config_set("list-max-listpack-size", 1)
    try:
        count(pair.primary.admin, "visitors", 100)
        pair.primary.admin.sadd("set", *range(100))
        pair.primary.admin.hset("hash", mapping={f"f{n}": n for n in range(100)})
        pair.primary.admin.zadd("zset", {f"m{n}": n / 7 for n in range(100)})
        pair.primary.admin.rpush("list", *range(100))
        pair.settled()
        assert client.object("encoding", "set") != pair.primary.admin.object("encoding", "set")
        result = pair.compare()
        assert (result.verdict, result.differences) == ("equal", 0)
    finally:
        for name in usual:
            client.config_set(name, usual[name])


def readers(client: Any) -> None:
    for number in range(1, 10):
        client.xadd("stream", {"f": number}, id=f"{number}-1")
    client.xgroup_create("stream", "readers", "0")
    client.xreadgroup("readers", "alice", {"stream": ">"}, count=3)


@pytest.mark.parametrize(
    "change",
    [
        lambda client: client.xreadgroup("readers", "alice", {"stream": "0"}),
        lambda client: (client.xdel("stream", "1-1"), client.xreadgroup("readers", "alice", {"stream": "0"})),
        lambda client: [client.xreadgroup("readers", name, {"stream": ">"}) for name in ("bob", "carol")],
        lambda client: client.xreadgroup("readers", "dan", {"stream": ">"}, noack=True),
    ],
    ids=["own entries read again", "and one is deleted", "nothing left for one", "without acknowledgement"],
)
def test_streams_whose_readers_left_no_trace_on_the_replica(pair: Pair, change: Callable[[Any], object]) -> None:
    readers(pair.primary.admin)
    change(pair.primary.admin)
    pair.settled()
    result = pair.compare()
    assert (result.verdict, result.differences) == ("equal", 0)


@pytest.mark.parametrize(("consumer", "differs"), [("zoe", False), ("alice", True)])
def test_a_consumer_counts_by_what_it_holds(pair: Pair, consumer: str, differs: bool) -> None:
    client = pair.replica.admin
    readers(pair.primary.admin)
    pair.primary.admin.execute_command("XGROUP", "CREATECONSUMER", "stream", "readers", "zoe")
    pair.settled()
    writable(pair.replica, lambda: client.execute_command("XGROUP", "DELCONSUMER", "stream", "readers", consumer))
    assert found(pair.compare()) == ([("value", 0, "stream")] if differs else [])


def test_a_name_larger_than_a_batch_is_compared_as_well(pair: Pair) -> None:
    giant = "n" * 2 * BATCH_BYTES
    options: tuple[dict[str, Any], ...] = ({}, {"sample": 5}, {"sample": 1, "match": "*"})  # each scans in its own way
    pair.primary.admin.mset({giant: "v", "small": "v"})
    pair.settled()
    assert {pair.compare(**some).verdict for some in options} == {"equal"}
    writable(pair.replica, lambda: pair.replica.admin.mset({giant: "w", "small": "w"}))
    for some in options:
        result = pair.compare(**some)
        assert result.verdict == "different"
        assert {one.key for one in result.examples} <= {giant, "small"}
        assert len(is_equal(result).detail) < 300
