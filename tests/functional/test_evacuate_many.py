"""`evacuate` where there is much of everything: many pairs, odd ones among them, a slow platform, an impatient operator."""

import json
import signal
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.evacuations import GO, by_pair, lets_nobody_in, pairs, result, states
from tests.support.operator import EU, US, Make, Operator, ended
from tests.support.pairs import accepts, add_service, deletions, follows, missing, uri
from tests.support.wait import until
from tests.support.writers import Load

ANYHOW = ("--auto", "--allow-data-loss", "--stop-after", "9")


@pytest.mark.slow
def test_fifty_pairs_with_writers_on_ten_lose_nothing(operator: Operator) -> None:
    pairs(operator, 50)
    with ExitStack() as stack:
        load = {one: stack.enter_context(Load(uri(operator, f"p{one}"), pause=0.05)) for one in range(0, 50, 5)}
        done = operator.ccr(*GO)
    assert done.code == 0, done.err
    told = by_pair(done.out)
    assert result(done.out)["bytes_not_replicated"] == 0
    assert all(one["outage_ms"] > 0 for one in told.values())
    assert len(told) == 50
    for one, writers in load.items():
        assert missing(operator, writers.acknowledged, f"r{one}") == []
        assert lets_nobody_in(operator, f"p{one}")


@pytest.mark.slow
def test_odd_pairs_are_told_and_treated_each_as_it_is_and_the_rest_is_done(operator: Operator) -> None:
    pairs(operator, 20)
    for name in ("r4b", "r4c"):
        add_service(operator, name, "startup-4", US, source="p4")
        follows(operator, name)
    add_service(operator, "single", "startup-4", EU)
    operator.sandbox.servers.freeze("p1")
    operator.sandbox.servers.cut_replication("r2")
    promoted_by_hand(operator, "r3")
    rest = {f"p{one}": "done" for one in range(20)} | {"p3": "refused"}  # nothing records that r3 was promoted from it
    done = operator.ends(14, *GO)
    told = by_primary(done.out)
    assert states(told) == {**rest, "p1": "refused", "p2": "refused", "single": "refused"}
    assert "p1" in told["p1"]["reason"]
    assert "--allow-data-loss" in told["p1"]["hint"]
    assert told["p2"]["reason"] == "link down"
    assert "no replica" in told["p3"]["reason"]
    others = {other.partition(" ")[0] for other in told["p4"]["others"]}
    assert {told["p4"]["replica"], *others} == {"r4", "r4b", "r4c"}
    assert "no replica" in told["single"]["reason"]
    again = operator.ends(4, *GO, *ANYHOW)
    told = by_primary(again.out)
    assert states(told) == {**rest, "p1": "refused", "p2": "refused", "single": "refused"}
    assert "r1 is linked to it" in told["p1"]["reason"]
    forced = operator.ends(0, *GO, "--forced", "--allow-data-loss", "--only", "r1")
    assert by_primary(forced.out)["p1"]["action"] == "failover"
    assert accepts(operator, "r1")
    assert {"r2", *others} == {row.dest for row in operator.sandbox.platform.rows.values()}


def by_primary(out: str) -> dict[str, dict[str, Any]]:
    return {one["primary"]: one for one in by_pair(out).values()}


def promoted_by_hand(operator: Operator, replica: str) -> None:
    row = next(one for one in operator.sandbox.platform.rows.values() if one.dest == replica)
    operator.avn("service", "integration-delete", row.id)
    until(lambda: accepts(operator, replica), f"{replica} to be promoted")


@pytest.mark.slow
def test_one_that_freezes_on_the_way_costs_its_own_time_only(operator: Operator) -> None:
    """The others have ended before it has."""
    pairs(operator, 4)
    freeze = "sh -c 'test $CCR_OLD_PRIMARY != p0 || ccr-avn sandbox outage p0 --kind freeze'"
    done = operator.ccr(*GO, "--stop-after", "2", "--canary", "0", "--parallel", "2", "--before", freeze)
    assert done.code > 10, done.err
    assert states(by_pair(done.out)) == {"p0/r0": "failed", "p1/r1": "done", "p2/r2": "done", "p3/r3": "done"}
    ends = [one["pair"] for one in journal(operator, done.out) if one["event"] == "PairEnded"]
    assert ends[-1] == "p0/r0"
    assert by_pair(done.out)["p0/r0"]["next"][0][:4] == ["ccr-avn", "switchover", "p0", "r0"]


def journal(operator: Operator, out: str) -> list[dict[str, str]]:
    path = operator.sandbox.home / "state" / "runs" / f"{result(out)['run']}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_hook_can_refuse_one_and_hears_of_its_end(operator: Operator) -> None:
    pairs(operator, 3)
    before = "sh -c 'test $CCR_OLD_PRIMARY != p1'"
    wrong = "sh -c 'echo $CCR_OLD_PRIMARY $CCR_CHANGED >> wrong'"
    done = operator.ends(14, *GO, "--before", before, "--on-failure", wrong)
    assert states(by_pair(done.out)) == {"p0/r0": "done", "p1/r1": "refused", "p2/r2": "done"}
    assert (operator.home / "wrong").read_text() == "p1 no\n"
    assert len(deletions(operator)) == 2


@pytest.mark.slow
def test_only_what_was_asked_for_is_moved_and_old_primaries_can_be_powered_off(operator: Operator) -> None:
    pairs(operator, 4)
    for name in ("p0", "p1", "p3"):
        operator.avn("service", "tags", "update", name, "--add-tag", "wave=1")
    moves = ("evacuate", "google-*", *GO[2:], "--tag", "wave=1", "--except", "r3", "--old-primary", "power-off")
    done = operator.ends(0, *moves)
    assert states(by_pair(done.out)) == {"p0/r0": "done", "p1/r1": "done"}
    services = operator.sandbox.platform.services
    assert [services[f"p{one}"].powered for one in range(4)] == [False, False, True, True]
    operator.sandbox.servers.cut_replication("r3")
    refused = operator.ends(4, *GO, "--only", "r3")
    assert states(by_pair(refused.out)) == {"p3/r3": "refused"}
    assert len(deletions(operator)) == 2


@pytest.mark.slow
def test_ctrl_c_twice_ends_each_as_it_would_a_single_run(operator: Operator) -> None:
    """The change under way ends first; what goes on with a pair is said."""
    pairs(operator, 3)
    operator.sandbox.faults.add(kind="delay", seconds=2.0, method="DELETE", path="integration", times=2)
    child = operator.start("ccr-avn", *GO, "--canary", "0", "--parallel", "2")
    until(lambda: len(deletions(operator)) == 2, "two promotions to be sent")
    child.send_signal(signal.SIGINT)
    assert child.stderr
    until(lambda: "no more pairs are started" in child.stderr.readline(), "the first to be heard")  # type: ignore[union-attr]
    child.send_signal(signal.SIGINT)
    stopped = ended(child)
    assert stopped.code == 140, stopped.err
    told = by_pair(stopped.out)
    assert sorted(one["state"] for one in told.values()) == ["half-way", "half-way", "not begun"]
    for one in (one for one in told.values() if one["state"] == "half-way"):
        assert (one["changed"], one["exit_code"]) == (True, 130)
        assert one["half_way"]["writes_paused_until"] > datetime.now(UTC).isoformat()
        assert one["half_way"]["ways_to_close"]
        assert len(one["notes"]) >= 3
        assert one["next"][0][:4] == ["ccr-avn", "switchover", one["primary"], one["replica"]]
    done = operator.ends(0, *GO)
    assert set(states(by_pair(done.out)).values()) == {"done"}


@pytest.mark.slow
def test_a_platform_of_ten_requests_a_second_is_evacuated_and_nothing_is_lost(make: Make) -> None:
    operator = make(requests_per_second=10.0)
    pairs(operator, 20)
    with Load(uri(operator, "p1"), pause=0.01) as load:
        done = operator.ccr(*GO)
    assert done.code == 0, done.err
    assert result(done.out)["pairs_moved"] == 20
    assert result(done.out)["slowed_down"] > 0
    assert missing(operator, load.acknowledged, "r1") == []
    told = [one["status"] for one in operator.sandbox.requests]
    assert told.count(429) < len(told) / 2  # it does not ask again and again while it is told to wait
