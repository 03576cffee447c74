"""No false difference while others write at full speed, and the large corpora."""

import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import valkey

from ccr_avn.valkey.compare import CompareRequest, Comparison
from ccr_avn.valkey.compare.engine import compare
from tests.functional.compare_pair import Pair, fill, found, make_pair
from tests.support.servers import PASSWORD
from tests.support.wait import until

MIB = 2**20
MOST_MEMORY = 150 * MIB
GIANT = MIB
"""Bytes of the largest element for which the memory is promised."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = make_pair(tmp_path)
    yield made
    made.stop()


def write(port: int, seed: int, names: int) -> None:
    """All kinds of writes, to few keys, as fast as it goes."""
    client: Any = valkey.Valkey(port=port, password=PASSWORD)
    chance = random.Random(seed)
    while True:
        batch = client.pipeline(transaction=False)
        for _ in range(20):
            number = chance.randrange(names)
            one_write(batch, f"busy:{number}", number % 8, chance)
        batch.execute(raise_on_error=False)


def one_write(batch: Any, key: str, what: int, chance: random.Random) -> None:
    value, small = chance.random(), chance.randrange(50)
    kinds: tuple[Callable[[], object], ...] = (
        lambda: batch.set(key, value, px=chance.randrange(1, 1000)),
        lambda: batch.hset(key, str(small), value),
        lambda: batch.zadd(key, {str(small): value}),
        lambda: (batch.lpush(key, value), batch.ltrim(key, 0, 50)),
        lambda: batch.incr(key),
        lambda: batch.delete(key) if small < 25 else batch.sadd(key, small),
        lambda: batch.xadd(key, {"f": value}, maxlen=100, approximate=False),
        lambda: batch.delete(key) if small < 5 else batch.hset("busy:big", str(chance.randrange(30_000)), value),
    )
    kinds[what]()


@contextmanager
def writers(pair: Pair, names: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    port = pair.primary.port
    processes = [context.Process(target=write, args=(port, seed, names), daemon=True) for seed in range(4)]
    for process in processes:
        process.start()
    try:
        until(lambda: pair.primary.admin.exists("busy:0", "busy:1", "busy:2") == 3, "the writers to write")
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()


def busy(pair: Pair) -> None:
    fill(pair.primary.admin, (("SET", f"quiet:{number}", number) for number in range(5_000)))
    words = [word for number in range(30_000) for word in (str(number), number)]
    fill(pair.primary.admin, (("HSET", "busy:big", *words[start : start + 5000]) for start in range(0, 60_000, 5000)))
    pair.settled()


@pytest.mark.parametrize("runs", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_no_false_difference_with_four_writers(pair: Pair, runs: int) -> None:
    """And the true ones are found."""
    busy(pair)
    reread = run = 0
    with writers(pair, 2000):
        while run < runs or not reread:  # something there must be to be mistaken about
            run += 1
            result = pair.compare(rounds=3, round_interval=0.1, level=("values", "keys")[run % 5 == 4], jobs=1)
            assert result.differences == 0, result
            reread += result.reread
        pair.replica.admin.config_set("replica-read-only", "no")
        pair.replica.admin.delete("quiet:7")
        pair.replica.admin.set("quiet:8", "changed")
        true = [("missing", 0, "quiet:7"), ("value", 0, "quiet:8")]
        assert found(pair.compare(rounds=3, round_interval=0.1)) == true
    pair.settled()
    assert found(pair.compare()) == true


def measured(pair: Pair, **options: Any) -> Comparison:
    """In a process of its own, whose memory can be told from that of the tests."""
    settings = {"level": "values", "rounds": 2, "round_interval": 0.01, **options}
    request = CompareRequest(**pair.ends(), **settings)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(compare, request).result()


@pytest.mark.slow
def test_a_million_small_keys(pair: Pair) -> None:
    fill(pair.primary.admin, (("SET", f"key:{number}", number) for number in range(1_000_000)))
    pair.settled()
    result = measured(pair, jobs=8)
    assert (result.verdict, result.keys, result.replica_keys) == ("equal", 1_000_000, 1_000_000)
    assert max(result.peak_memory_bytes) < MOST_MEMORY
    pair.detach()
    pair.replica.admin.flushall()
    result = measured(pair, jobs=8, rounds=1, level="keys")
    assert result.counts["missing"] == result.differences == 1_000_000
    assert max(result.peak_memory_bytes) < MOST_MEMORY


@pytest.mark.slow
def test_a_hash_of_200_mib(pair: Pair) -> None:
    value = "v" * 80
    for start in range(0, 2_000_000, 20_000):
        words = [word for number in range(start, start + 20_000) for word in (f"field:{number}", f"{number}{value}")]
        pair.primary.admin.execute_command("HSET", "big", *words)
    pair.settled()
    assert pair.primary.admin.memory_usage("big") > 200 * MIB
    with_one_more = measured(pair, jobs=8)
    assert with_one_more.verdict == "equal"
    assert max(with_one_more.peak_memory_bytes) < MOST_MEMORY
    pair.detach()
    pair.replica.admin.hset("big", "field:1234567", "x")
    result = measured(pair, jobs=8, rounds=1)
    assert found(result) == [("value", 0, "big")]
    assert max(result.peak_memory_bytes) < MOST_MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["string", "hash", "set", "zset", "list", "stream", "names"])
def test_giant_elements(pair: Pair, kind: str) -> None:
    client = pair.primary.admin
    for number in range(1 if kind == "string" else 9):
        giant = bytes([number]) * GIANT
        words = {
            "string": ("SET", "giant", giant * 3),
            "hash": ("HSET", "giant", f"f{number}", giant),
            "names": ("HSET", "giant", giant, f"{number}"),
            "set": ("SADD", "giant", giant),
            "zset": ("ZADD", "giant", number, giant),
            "list": ("RPUSH", "giant", giant),
            "stream": ("XADD", "giant", "*", "f", giant),
        }[kind]
        client.execute_command(*words)
    pair.settled()
    equal = measured(pair, jobs=8)
    assert equal.verdict == "equal"
    pair.detach()
    other = pair.replica.admin
    change: dict[str, Callable[[], object]] = {
        "string": lambda: other.setrange("giant", 3 * GIANT - 1, "x"),
        "hash": lambda: other.hset("giant", "f5", b"\5" * (GIANT - 1) + b"x"),
        "names": lambda: other.hset("giant", b"\5" * GIANT, "x"),
        "set": lambda: (other.srem("giant", b"\5" * GIANT), other.sadd("giant", "x")),
        "zset": lambda: other.zincrby("giant", 1, b"\5" * GIANT),
        "list": lambda: other.lset("giant", 8, b"\5" * GIANT),
        "stream": lambda: other.xtrim("giant", maxlen=8, approximate=False),
    }
    change[kind]()
    different = measured(pair, jobs=8, rounds=1)
    assert found(different) == [("value", 0, "giant")]
    assert max(*equal.peak_memory_bytes, *different.peak_memory_bytes) < MOST_MEMORY
