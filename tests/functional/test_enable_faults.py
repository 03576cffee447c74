"""Whatever goes wrong at a change, the run ends done or in a state from which the same command finishes."""

import json
import signal

import pytest

from tests.support.operator import EU, US, Operator, ended
from tests.support.pairs import add_service
from tests.support.wait import until

ENABLE = ("enable", "eu", "us", "--primary-cloud", EU, "--replica-cloud", US)


def is_whole(operator: Operator) -> bool:
    platform = operator.sandbox.platform
    pairs = [(row.source, row.dest) for row in platform.rows.values()]
    return sorted(platform.services) == ["eu", "us"] and pairs == [("eu", "us")]


@pytest.mark.parametrize(
    ("change", "fault"), [("replica", "close-before"), pytest.param("primary", "hang", marks=pytest.mark.slow)]
)
def test_a_fault_at_a_change_ends_done_or_is_finished_by_the_same_command(
    operator: Operator, change: str, fault: str
) -> None:
    if change == "replica":
        add_service(operator, "eu", "business-4", EU)
    operator.sandbox.faults.add(method="POST", path="/service$", kind=fault, seconds=30)
    first = operator.enable("--call-timeout", "6")
    assert first.code in (3, 13), first.err
    again = operator.enable("--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["changed"] is True
    assert is_whole(operator)


def test_a_few_misses_of_reads_are_forgiven(pair: Operator) -> None:
    pair.sandbox.faults.add(kind="html", method="GET", path="/service/eu$", times=2, status=502)
    done = pair.enable()
    assert done.code == 0, done.err
    assert "retrying" in done.err


@pytest.mark.slow
def test_reads_that_keep_failing_end_the_run(operator: Operator) -> None:
    operator.sandbox.faults.add(kind="status", status=500, method="GET", path="/backups$", times=1000)
    done = operator.enable()
    assert done.code == 13
    assert "backup-list" in done.err


@pytest.mark.slow
def test_ended_while_its_primary_is_made_the_same_command_finishes(operator: Operator) -> None:
    operator.sandbox.faults.add(kind="delay", seconds=1.0, method="POST", path="/service$")
    child = operator.start("ccr-avn", *ENABLE)
    until(operator.sandbox.changes, "the creation to be under way")
    child.send_signal(signal.SIGINT)
    done = ended(child)
    assert (done.code, "re-run the same command" in done.err) == (140, True), done.err
    operator.ends(0, *ENABLE)
    assert is_whole(operator)


def test_killed_while_it_waits_for_the_link_the_same_command_finishes(operator: Operator) -> None:
    child = operator.start("ccr-avn", *ENABLE)
    until(lambda: "us" in operator.sandbox.platform.services, "the replica to be made")
    operator.sandbox.servers.cut_replication("us")
    child.tells("link: waiting")
    child.kill()
    assert ended(child).code == -signal.SIGKILL
    operator.sandbox.servers.heal("us")
    operator.ends(0, *ENABLE)
    assert is_whole(operator)
