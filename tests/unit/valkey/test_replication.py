"""What INFO says of a server, of the link, and of writes in between, whatever an application has put there."""

from dataclasses import replace
from typing import Any

import pytest

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.replication import NO_HISTORY, Link, ReplicationInfo, modules_in, parse_replication
from ccr_avn.valkey.writers import Snapshot
from tests.support import odd_server

INFO = {**odd_server.INFO, "valkey_version": "9.1.0", "master_replid2": NO_HISTORY, "maxmemory": "0", "loading": "0"}
INFO.pop("db1")
FOLLOWING = {
    **INFO,
    "role": "slave",
    "slave_repl_offset": "90",
    "master_link_status": "down",
    "master_sync_in_progress": "0",
    "master_last_io_seconds_ago": "-1",
    "master_link_down_since_seconds": "12",
}
NEEDED = sorted(set(FOLLOWING) - {"valkey_version", "maxmemory", "loading", "master_link_down_since_seconds"})


def answer_of(info: dict[str, str]) -> bytes:
    return b"# Server\r\n" + "".join(f"{key}:{value}\r\n" for key, value in info.items()).encode()


def side(**other: Any) -> ReplicationInfo:
    return replace(parse_replication(answer_of(INFO), "eu"), **other)


def test_what_evicts_nothing_is_no_data() -> None:
    buffers = {"mem_not_counted_for_evict": "300", "mem_clients_normal": "200", "maxmemory_policy": "allkeys-lru"}
    full = parse_replication(answer_of({**INFO, **buffers}), "eu")
    assert (full.data_memory, full.eviction) == (500, "allkeys-lru")
    assert parse_replication(answer_of(INFO), "eu").data_memory == 1000


def test_a_side() -> None:
    primary, replica = parse_replication(answer_of(INFO), "eu"), parse_replication(answer_of(FOLLOWING), "us")
    assert (primary.role, primary.offset, primary.version, primary.link_status) == ("master", 100, "9.1.0", None)
    assert (replica.offset, replica.last_io_seconds, replica.link_down_seconds) == (90, None, 12)
    assert Link(primary=primary, replica=replica).lag_bytes == 10
    assert Link(primary=replace(primary, offset=80), replica=replica).lag_bytes == 0
    assert not primary.was_promoted
    assert replace(primary, replid2="c" * 40).was_promoted


@pytest.mark.parametrize("missing", NEEDED)
def test_half_a_fact_is_none(missing: str) -> None:
    info = {key: value for key, value in FOLLOWING.items() if key != missing}
    if missing in ("master_repl_offset", "redis_version"):  # a replica's own offset counts; Valkey has its own version
        assert parse_replication(answer_of(info), "us").offset == 90
        return
    with pytest.raises(Unreachable) as caught:
        parse_replication(answer_of(info), "us")
    assert not caught.value.passing


@pytest.mark.parametrize("separator", ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_crlf_ends_a_line(separator: str) -> None:
    """Behind the others stands what an application's script wrote."""
    forged = f"errorstat_X{separator}role:slave{separator}db0:keys=7{separator}master_repl_offset:count=1\r\n"
    for answer in (answer_of(INFO) + forged.encode(), forged.encode() + answer_of(INFO)):
        assert parse_replication(answer, "eu") == side()


def test_the_first_of_a_field_counts() -> None:
    """What a server says of itself stands before what it repeats."""
    assert parse_replication(answer_of(INFO) + answer_of({"role": "slave", "run_id": "x"}), "eu") == side()


def test_the_keys_of_each_database() -> None:
    held = {"db0": "keys=3,expires=1,avg_ttl=0", "db15": "keys=4,expires=0", "dbx": "keys=9"}
    found = parse_replication(answer_of({**INFO, **held}), "eu")
    assert (found.keyspace, found.keys) == (((0, 3), (15, 4)), 7)


def test_the_version_of_each_module() -> None:
    """Their lines all begin alike."""
    answer = (
        b"# Modules\r\nmodule:name=json,ver=10002,api=1,filters=0,usedby=[search],using=[],options=[]\r\n"
        b"module:name=lua,ver=1,api=1\r\nmodule:name=odd\r\n\x0bmodule:name=no,ver=1\r\n"
    )
    assert (modules_in(answer), modules_in(b"# Modules\r\n"), modules_in(None)) == ({"json": 10002, "lua": 1}, {}, {})


@pytest.mark.parametrize(
    "answer", [None, 7, "role:master\r\n", [b"x"], b"", b"\xff\x00", b"role:master\r\n", b":\r\n" * 9]
)
def test_any_other_answer_is_an_explained_error(answer: object) -> None:
    with pytest.raises(Unreachable, match="INFO is incomplete"):
        parse_replication(answer, "eu")


@pytest.mark.parametrize(
    ("other", "nothing"),
    [
        ({}, True),
        ({"offset": 137}, True),  # WAIT asked for an acknowledgement
        ({"offset": 128, "changes": 6}, False),  # as long as two pings, and yet a write
        ({"offset": 90}, False),
        ({"run_id": "c" * 40}, False),
        ({"replid": "c" * 40}, False),
        ({"role": "slave"}, False),
        ({"changes": 0, "last_save": 1700000001}, True),  # saved meanwhile
        ({"offset": 114, "changes": 0, "last_save": 1700000001}, False),  # a ping is not worth an inference
        ({"offset": 184, "changes": 0, "last_save": 1700000001}, False),  # three times SADD k v: six pings, by length
    ],
)
def test_writing_nothing(other: dict[str, Any], nothing: bool) -> None:
    assert Snapshot.of(side()).no_writes_until(side(**other)) is nothing
