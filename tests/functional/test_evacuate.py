"""`evacuate`: every pair of a cloud, each by its own plan; nothing is lost, and everything is told."""

import json
import signal
from contextlib import ExitStack
from typing import Any

from tests.support.operator import EU, US, Make, Operator, ended, ends
from tests.support.pairs import accepts, add_pairs, add_service, deletions, link_status, missing, origin, uri
from tests.support.wait import until
from tests.support.writers import Load

GO = ("evacuate", EU, "--yes", "--poll-interval", "0.5", "--json")


def pairs(operator: Operator, count: int) -> list[str]:
    """Pairs p0/r0, p1/r1, …, linked."""
    add_pairs(operator, count)
    return [f"p{number}/r{number}" for number in range(count)]


def result(out: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(out)["result"]
    return told


def by_pair(out: str) -> dict[str, dict[str, Any]]:
    return {one["pair"]: one for one in result(out)["pairs"]}


def lets_nobody_in(operator: Operator, name: str) -> bool:
    return bool(operator.sandbox.platform.services[name].user_config.get("ip_filter") == ["192.0.2.1/32"])


def test_every_pair_is_moved_and_nothing_is_lost(operator: Operator) -> None:
    names = pairs(operator, 4)
    (operator.home / "env").mkdir()
    hook = "sh -c 'echo $CCR_COMMAND $CCR_OLD_PRIMARY $CCR_NEW_PRIMARY >> moved'"
    with ExitStack() as stack:
        load = {one: stack.enter_context(Load(uri(operator, f"p{one}"), pause=0.01)) for one in (0, 2)}
        done = operator.ends(0, *GO, "--write-env-dir", "env", "--after", hook)
    told = result(done.out)
    assert told["pairs_moved"] == 4
    assert told["outages_ms"]["worst"] > 0
    assert told["bytes_not_replicated"] == 0
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
    its_own_journals(operator, json.loads(done.out))
    again = operator.ccr(*GO)
    assert (again.code, result(again.out)["counts"]["done"]) == (0, 4)


def its_own_journals(operator: Operator, told: dict[str, Any]) -> None:
    """Each pair has one, named with its head by that of the evacuation; the report is of them all, without secrets."""
    report = operator.ends(0, "runs", "report", told["run"])
    for one in told["result"]["pairs"]:
        operator.ends(0, "runs", "verify", one["run"], "--head", one["journal_head"])
        assert one["pair"] in report.out
    operator.ends(0, "runs", "verify", told["run"], "--head", told["journal"]["head"])
    passwords = [service.password for service in operator.sandbox.platform.services.values()]
    assert not any(password in report.out for password in passwords)


def test_each_is_told_and_treated_by_itself(make: Make) -> None:
    operator = make()
    pairs(operator, 3)
    add_service(operator, "single", "startup-4", EU)
    operator.sandbox.servers.cut_replication("r1")
    operator.sandbox.servers.kill("p2")
    operator.ends(4, "evacuate", EU, "--check", "--json")
    assert operator.sandbox.changes() == []
    done = operator.ends(14, *GO, "--auto", "--allow-data-loss")
    told = by_pair(done.out)
    assert {name: (one["action"], one["state"]) for name, one in told.items()} == {
        "p0/r0": ("switchover", "done"),
        "p1/r1": ("refuse", "refused"),
        "p2/r2": ("failover", "done"),
        "single": ("refuse", "refused"),
    }
    assert [one["service"] for one in result(done.out)["still_open"]] == ["p2"]
    for name in ("p1", "r1", "single"):
        assert name not in operator.sandbox.platform.services or not operator.sandbox.platform.services[name].tags


def test_a_preview_is_a_section_for_each_and_needs_no_answer(operator: Operator) -> None:
    pairs(operator, 2)
    shown = operator.ends(0, "evacuate", EU, "--dry-run")
    assert shown.out.count("( set -euo pipefail") == 2
    assert shown.out.count("integration-delete") == 2
    assert operator.sandbox.changes() == []
    operator.ends(2, "evacuate", EU)
    operator.ends(0, "evacuate", US, "--check")


def test_a_pair_that_was_only_checked_when_it_was_stopped_is_as_it_was(operator: Operator) -> None:
    pairs(operator, 2)
    operator.sandbox.faults.add(kind="delay", seconds=2.0, method="DELETE", path="integration")
    wrong = "sh -c 'echo $CCR_OLD_PRIMARY >> wrong'"
    child = operator.start("ccr-avn", *GO, "--canary", "0", "--parallel", "1", "--on-failure", wrong)
    until(operator.sandbox.changes, "the first promotion to be sent")
    runs = operator.sandbox.home / "state" / "runs"
    checked = '"event": "StepDone"', '"slug": "parity"'

    def both() -> bool:
        lines = [line for path in runs.glob("*.jsonl") for line in path.read_text().splitlines()]
        return sum(all(part in line for part in checked) for line in lines) == 2

    until(both, "both to be checked")
    child.send_signal(signal.SIGINT)
    stopped = ends(child, 140)
    assert sorted(one["state"] for one in by_pair(stopped.out).values()) == ["done", "not begun"]
    assert not (operator.home / "wrong").exists()
    assert len(deletions(operator)) == 1
    listed = json.loads(operator.ccr("runs", "list", "--json").out)["result"]["runs"]
    assert sorted(one["ended"] for one in listed) == ["done", "failed", "not confirmed"]
    operator.ends(0, *GO)


def test_killed_in_the_middle_the_same_command_finishes(operator: Operator) -> None:
    pairs(operator, 4)
    with ExitStack() as stack:
        load = {one: stack.enter_context(Load(uri(operator, f"p{one}"), pause=0.01)) for one in (0, 1, 2, 3)}
        for sent in (1, 3):
            child = operator.start("ccr-avn", *GO, "--canary", "0")
            until(lambda sent=sent: len(deletions(operator)) >= sent, "a promotion to be sent")  # type: ignore[misc]
            child.kill()
            ended(child)
        operator.ends(0, *GO)
    for one in range(4):
        assert missing(operator, load[one].acknowledged, f"r{one}") == []
        assert origin(operator, f"r{one}") == f"p{one}"
        assert lets_nobody_in(operator, f"p{one}")


def test_a_platform_that_says_slow_down_is_heard_and_nothing_is_lost(operator: Operator) -> None:
    """To half of the requests, for a while."""
    pairs(operator, 2)
    operator.sandbox.faults.add(kind="status", status=429, times=8, share=0.5, message="Rate limit exceeded")
    with Load(uri(operator, "p1"), pause=0.01) as load:
        done = operator.ends(0, *GO, "--data-timeout", "5")
    assert result(done.out)["slowed_down"] > 0
    assert missing(operator, load.acknowledged, "r1") == []


def test_auto_fails_over_no_primary_that_is_back_when_its_turn_comes(operator: Operator) -> None:
    """It was lost when all were looked at; while the first pair was moved it came back, with its replica."""
    pairs(operator, 2)
    operator.sandbox.servers.isolate("p1")
    until(lambda: link_status(operator, "r1") == "down", "r1 to lose its primary")
    back = "ccr-avn sandbox heal p1 && ccr-avn verify p1 r1 --level link --link-timeout 60"
    first = f"sh -c 'test $CCR_OLD_PRIMARY != p0 || ( {back} )'"
    done = operator.ends(0, *GO, "--auto", "--allow-data-loss", "--before", first, "--hook-timeout", "60")
    told = by_pair(done.out)
    assert {name: (one["action"], one["state"]) for name, one in told.items()} == {
        "p0/r0": ("switchover", "done"),
        "p1/r1": ("switchover", "done"),
    }
    assert operator.ccr("runs", "show", told["p1/r1"]["run"], "--json").out.count('"of": "switchover"') == 1
