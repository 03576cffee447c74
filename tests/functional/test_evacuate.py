"""`evacuate`: every pair of a cloud, each by its own plan; nothing is lost, and everything is told."""

import json
from contextlib import ExitStack
from typing import Any

from tests.support.operator import EU, US, Make, Operator
from tests.support.pairs import accepts, add_pair, add_service, follows, missing, uri
from tests.support.writers import Load

GO = ("evacuate", EU, "--yes", "--poll-interval", "0.5", "--json")


def pairs(operator: Operator, count: int) -> list[str]:
    """Pairs p0/r0, p1/r1, …, linked."""
    for number in range(count):
        add_pair(operator, f"p{number}", f"r{number}")
    for number in range(count):
        follows(operator, f"r{number}")
    return [f"p{number}/r{number}" for number in range(count)]


def result(out: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(out)["result"]
    return told


def by_pair(out: str) -> dict[str, dict[str, Any]]:
    return {one["pair"]: one for one in result(out)["pairs"]}


def test_every_pair_is_moved_and_nothing_is_lost(operator: Operator) -> None:
    names = pairs(operator, 4)
    (operator.home / "env").mkdir()
    hook = "sh -c 'echo $CCR_COMMAND $CCR_OLD_PRIMARY $CCR_NEW_PRIMARY >> moved'"
    with ExitStack() as stack:
        load = {one: stack.enter_context(Load(uri(operator, f"p{one}"), pause=0.01)) for one in (0, 2)}
        done = operator.ccr(*GO, "--write-env-dir", "env", "--after", hook)
    assert done.code == 0, done.err
    told = result(done.out)
    assert told["moved"] == 4
    assert told["outage_ms"]["worst"] > 0
    assert told["bytes_not_replicated"] == {"sum": 0, "worst": 0}
    assert [one["pair"] for one in told["pairs"]] == names
    assert len(told["enable"]) == 4
    for one in (0, 2):
        assert missing(operator, load[one].acknowledged, f"r{one}") == []
    for number in range(4):
        assert accepts(operator, f"r{number}")
        env = operator.home / "env" / f"r{number}.env"
        assert env.stat().st_mode & 0o777 == 0o600
    hooked = sorted((operator.home / "moved").read_text().splitlines())
    assert hooked == [f"switchover p{number} r{number}" for number in range(4)]
    again = operator.ccr(*GO)
    assert (again.code, result(again.out)["counts"]["done"]) == (0, 4)


def test_each_is_told_and_treated_by_itself(make: Make) -> None:
    operator = make()
    pairs(operator, 3)
    add_service(operator, "single", "startup-4", EU)
    operator.sandbox.servers.cut_replication("r1")
    operator.sandbox.servers.kill("p2")
    checked = operator.ccr("evacuate", EU, "--check", "--json")
    assert checked.code == 4
    assert operator.sandbox.changes() == []
    done = operator.ccr(*GO, "--auto", "--allow-data-loss")
    assert done.code == 14, done.err
    told = by_pair(done.out)
    assert {name: (one["action"], one["state"]) for name, one in told.items()} == {
        "p0/r0": ("switchover", "done"),
        "p1/r1": ("refuse", "refused"),
        "p2/r2": ("failover", "done"),
        "single": ("refuse", "refused"),
    }
    for name in ("p1", "r1", "single"):
        assert name not in operator.sandbox.platform.services or not operator.sandbox.platform.services[name].tags


def test_a_preview_is_a_section_for_each_and_needs_no_answer(operator: Operator) -> None:
    pairs(operator, 2)
    shown = operator.ccr("evacuate", EU, "--dry-run")
    assert shown.code == 0, shown.err
    assert shown.out.count("( set -euo pipefail") == 2
    assert shown.out.count("integration-delete") == 2
    assert operator.sandbox.changes() == []
    assert operator.ccr("evacuate", EU).code == 2
    assert operator.ccr("evacuate", US, "--check").code == 0
