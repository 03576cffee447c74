"""Choosing what is compared, by how many processes, and how hard the primary may be asked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.compare import Progress
from ccr_avn.valkey.compare import engine as run_room
from ccr_avn.valkey.compare.protocol import RateLimit
from tests.functional.compare_pair import PASSWORD, Pair, fill, found, make_pair, until


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = make_pair(tmp_path_factory.mktemp("options"))
    for number in range(16):
        fill(made.primary.database(number), (("SET", f"key:{each}", each) for each in range(500)))
    fill(made.primary.client, (("HSET", f"hash:{each}", "f", each) for each in range(500)))
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
    """Few keys are worth several processes."""
    monkeypatch.setattr(run_room, "SMALL", 0)


def children() -> set[int]:
    mine = str(os.getpid())
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = status.read_text().rsplit(")", 1)
        except OSError:
            continue
        if rest.split()[1] == mine and rest.split()[0] != "Z" and "server" not in name:
            found.add(int(status.parent.name))
    return found


def command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text() + Path(f"/proc/{process}/environ").read_text()
    except OSError:
        return ""


def test_all_databases_or_some(pair: Pair) -> None:
    assert pair.compare().keys == 16 * 500 + 500
    assert pair.compare(databases=(3, 5)).keys == 1000
    assert pair.compare(databases=(99,)).keys == 0


def test_a_difference_in_each_database(detached: Pair) -> None:
    for number in (0, 9, 15):
        detached.replica.database(number).delete("key:7")
    detached.replica.database(15).set("key:8", "changed")
    detached.replica.database(14).set("extra", "v")
    try:
        result = detached.compare()
        expected = [("extra", 14, "extra"), *(("missing", number, "key:7") for number in (0, 9, 15))]
        assert found(result) == [*expected, ("value", 15, "key:8")]
        assert (result.counts.missing, result.counts.extra, result.counts.value) == (3, 1, 1)
        assert found(detached.compare(databases=(14,))) == [("extra", 14, "extra")]
    finally:
        detached.link()


def test_only_keys_that_match(detached: Pair) -> None:
    detached.replica.client.delete("key:7", "hash:7")
    try:
        result = detached.compare(match="hash:*")
        assert found(result) == [("missing", 0, "hash:7")]
        assert result.keys == 500
    finally:
        detached.link()


@pytest.mark.parametrize("match", [None, "key:*"])
def test_a_sample(detached: Pair, match: str | None) -> None:
    result = detached.compare(sample=100, match=match, require_link=False)
    assert result.verdict == "equal"
    assert 80 <= result.keys <= 130
    detached.replica.client.flushall()
    assert detached.compare(sample=100, match=match).counts.missing == result.keys if match else True
    detached.link()


def test_every_difference_goes_to_the_file(detached: Pair, tmp_path: Path) -> None:
    file = tmp_path / "differences.jsonl"
    detached.replica.client.flushall()
    try:
        result = detached.compare(rounds=1, differences_file=file)
    finally:
        detached.link()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert result.counts.missing == result.counts.total == len(rows) == 16 * 500 + 500
    assert len({(row["database"], row["key"]) for row in rows}) == len(rows)
    assert len(result.examples) == 20
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(rows[0]) == {"kind", "database", "key"}


@pytest.mark.usefixtures("several")
def test_several_processes_find_the_same(detached: Pair) -> None:
    detached.replica.client.delete("key:7")
    detached.replica.database(15).set("extra", "v")
    secrets: list[str] = []

    def read(progress: Progress) -> None:
        secrets.extend(line for line in map(command_line, children()) if PASSWORD in line)

    before = children()
    try:
        result = detached.compare(jobs=2, progress=read)
    finally:
        detached.link()
    assert found(result) == [("extra", 15, "extra"), ("missing", 0, "key:7")]
    assert result.keys == 16 * 500 + 500
    assert len(result.peak_memory_bytes) == 3
    assert not secrets
    assert len(children() - before) <= 1  # multiprocessing's own tracker lives as long as this process


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_behind(pair: Pair, error: type[BaseException]) -> None:
    before = children()

    def interrupt(progress: Progress) -> None:
        assert len(children() - before) >= 2
        raise error

    with pytest.raises(error):
        pair.compare(jobs=2, progress=interrupt, max_operations=2000)
    assert len(children() - before) <= 1


@pytest.mark.usefixtures("several")
def test_a_process_that_dies_is_explained(pair: Pair) -> None:
    before = children()

    def kill(progress: Progress) -> None:
        for process in children() - before:
            if "spawn_main" in command_line(process):
                os.kill(process, signal.SIGKILL)

    with pytest.raises(Unreachable, match="died"):
        pair.compare(jobs=2, progress=kill, max_operations=2000)


@pytest.mark.usefixtures("several")
def test_trouble_in_a_process_reaches_the_caller(pair: Pair) -> None:
    for server in (pair.primary, pair.replica):
        server.client.execute_command("ACL", "SETUSER", "default", "-scan")
    try:
        with pytest.raises(Unreachable, match="SCAN is refused") as caught:
            pair.compare(jobs=2)
    finally:
        for server in (pair.primary, pair.replica):
            server.client.execute_command("ACL", "SETUSER", "default", "+scan")
    assert "NOPERM" in caught.value.detail


SCRIPT = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in what a shell runs behind &
from ccr_avn.valkey.compare import CompareRequest, compare, engine
from ccr_avn.valkey.compare.protocol import RateLimit
from ccr_avn.valkey.connect import Endpoint
engine.SMALL = 0
if __name__ == "__main__":
    ends = [Endpoint(service=name, uri=sys.stdin.readline().strip()) for name in ("eu", "us")]
    request = CompareRequest(primary=ends[0], replica=ends[1], level="values", jobs=2, max_operations=500)
    compare(request, lambda _: print("going", flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_end_with_their_parent(pair: Pair, tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "comparing.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        assert parent.stderr
        parent.stdin.write(f"{pair.primary.endpoint.uri}\n{pair.replica.endpoint.uri}\n")
        parent.stdin.close()
        assert parent.stdout.readline() == "going\n"
        if number == signal.SIGKILL:
            parent.kill()
        else:
            os.killpg(parent.pid, number)  # as a terminal does
        parent.wait(60)
        until(lambda: not group(parent.pid), "the children to end")
        assert parent.stderr.read().count("Traceback") == (1 if number == signal.SIGINT else 0)


def group(leader: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[2] == str(leader) and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def test_the_primary_is_spared(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent to it is paid for before: the pace (whose own test has the time) knows of every command but a few."""
    paid: list[int] = []
    monkeypatch.setattr(RateLimit, "take", lambda _, commands: paid.append(commands))
    info = pair.primary.client.info
    before = info("stats")["total_commands_processed"]
    result = pair.compare(level="keys", databases=(3, 4), max_operations=3000)
    commands = info("stats")["total_commands_processed"] - before
    assert result.keys == 1000
    assert 2000 <= commands <= sum(paid) + 100, "2000 for TYPE and expiry; connections and INFO are not counted"


def test_progress_is_told(pair: Pair) -> None:
    told: list[Progress] = []
    pair.compare(progress=told.append)
    last = told[-1]
    assert (last.keys, last.replica_keys, last.expected_keys) == (8500, 8500, 8500)
    assert last.remaining_seconds == 0
    assert last.trouble is None
    assert last.rate > 0


def test_reading_does_not_make_keys_look_used(pair: Pair) -> None:
    client = pair.primary.client
    client.execute_command("DEBUG", "SLEEP", "0")
    until(lambda: client.object("idletime", "key:7") >= 1, "a key to be idle")
    pair.compare()
    assert client.object("idletime", "key:7") >= 1
