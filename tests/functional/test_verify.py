"""`verify --level keys|values` on a pair: equal, different, and what can't be claimed."""

import json
from typing import Any

import pytest

from tests.support.operator import Operator
from tests.support.pairs import client, follows, paired


@pytest.fixture
def pair(operator: Operator) -> Operator:
    paired(operator)
    with client(operator, "eu") as old:
        for number in range(500):
            old.set(f"key:{number}", "x", ex=3600)
        old.hset("hash", mapping={f"f{number}": "v" for number in range(300)})
        old.wait(1, 2000)
    return operator


def test_differences_are_counted_named_and_written(pair: Operator) -> None:
    with pair.sandbox.servers.admin("us") as admin:
        admin.config_set("replica-read-only", "no")
        admin.delete("key:1")
        admin.set("key:2", "y", keepttl=True)
        admin.set("mine", "x")
    words = ("verify", "eu", "us", "--rounds", "1", "--round-interval", "0.1")
    done = pair.ends(6, *words, "--level", "values", "--differences", "all.jsonl", "--json")
    compared: Any = json.loads(done.out)["result"]["compare"]
    assert compared["verdict"] == "different"
    assert compared["counts"] == {"missing": 1, "extra": 1, "type": 0, "expiry": 0, "value": 1}
    file = pair.home / "all.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["key"] for line in lines) == ["key:1", "key:2", "mine"]
    pair.ends(0, *words, "--level", "keys", "--match", "key:3*")
    pair.ends(6, *words, "--level", "keys", says="1 missing, 1 extra")


def test_quiet_says_nothing_but_what_is_wrong(pair: Operator) -> None:
    done = pair.ends(0, "verify", "eu", "us", "--level", "keys", "--quiet")
    assert done.out + done.err == ""
    with pair.sandbox.servers.admin("us") as admin:
        admin.config_set("replica-read-only", "no")
        admin.delete("key:1")
    words = ("--level", "keys", "--rounds", "1", "--round-interval", "0.1", "--quiet")
    done = pair.ends(6, "verify", "eu", "us", *words, says="error: ")
    assert done.out == ""
    assert {line.split(":")[0] for line in done.err.splitlines()} <= {"error", "detail", "hint", "note"}


def test_only_some_databases_or_a_sample(pair: Operator) -> None:
    done = pair.ccr("verify", "eu", "us", "--level", "keys", "--db", "3", "--jobs", "1", "--max-ops", "0", "--json")
    assert json.loads(done.out)["result"]["compare"]["keys"] == 0
    pair.ends(6, "verify", "eu", "us", "--level", "values", "--match", "nothing:*", says="no key matches")
    some = pair.ends(0, "verify", "eu", "us", "--level", "keys", "--sample", "50", "--json")
    assert 0 < json.loads(some.out)["result"]["compare"]["keys"] <= 60


def test_a_database_that_the_replica_lacks_stops_verify_and_switchover(pair: Operator) -> None:
    pair.avn("service", "update", "eu", "-c", "valkey_number_of_databases=120")
    follows(pair, "us")
    with client(pair, "eu") as old:
        old.execute_command("SELECT", 100)
        old.set("key:1", "of 100")
        old.wait(1, 2000)
    for words, code in ((("verify", "--level", "values"), 6), (("switchover", "--yes"), 4)):
        done = pair.ccr(words[0], "eu", "us", *words[1:], "--json")
        told = json.loads(done.out)
        assert (done.code, told["changed"]) == (code, False), done.err
        assert "us lacks databases that eu uses: 100" in done.err
        assert "valkey_number_of_databases=120" in done.err
        assert "us rejected 1 command from its primary" in done.err  # SELECT 100
