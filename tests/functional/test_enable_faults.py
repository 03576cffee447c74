"""Whatever goes wrong at a change, the run ends done or in a state from which the same command finishes."""

import json
import signal
from typing import Any

import pytest

from tests.support.matrix import matrix
from tests.support.operator import EU, US, Operator, ended
from tests.support.pairs import add_service
from tests.support.wait import until

ENABLE = ("enable", "eu", "us", "--primary-cloud", EU, "--replica-cloud", US)
FAULTS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "429": {"kind": "status", "status": 429, "message": "Rate limit 120 exceeded - try again in 28s"},
    "close-before": {"kind": "close-before"},
    "close-after": {"kind": "close-after"},
    "hang": {"kind": "hang", "seconds": 30},
}
NORMAL = {("replica", "close-before"), ("link", "KILL")}
"""One of each class is in the normal run: 500, a hang and Ctrl-C at a switchover, closed-after-acting at a failover."""
REQUESTS = {
    "pair": ("GET", "/service", 0),
    "primary": ("POST", "/service", 0),
    "primary-running": ("GET", "/service/eu", 0),
    "primary-backup": ("GET", "/backups", 0),
    "replica": ("POST", "/service", 1),
    "replica-running": ("GET", "/service/us", 0),
    "integration": ("GET", "/service/us/integration", 0),
    "link": ("", "", 0),
}
"""What a step asks Aiven; after how many of the same. The link asks the servers."""


def is_whole(operator: Operator) -> bool:
    platform = operator.sandbox.platform
    pairs = [(row.source, row.dest) for row in platform.rows.values()]
    return sorted(platform.services) == ["eu", "us"] and pairs == [("eu", "us")]


@pytest.mark.parametrize(("change", "fault"), matrix(("primary", "replica"), FAULTS, normal=NORMAL))
def test_a_fault_at_a_change_ends_done_or_is_finished_by_the_same_command(
    operator: Operator, change: str, fault: str
) -> None:
    if change == "replica":
        add_service(operator, "eu", "business-4", EU)
    operator.sandbox.faults.add(method="POST", path="/service$", **FAULTS[fault])
    first = operator.enable("--call-timeout", "6")
    assert first.code in ((0,) if fault == "close-after" else (0, 3, 13)), first.err
    again = operator.enable("--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["changed"] is (first.code != 0)
    assert is_whole(operator)


@pytest.mark.parametrize(
    "kind", ["html", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("cut-json", "close-before"))]
)
def test_a_few_misses_of_reads_are_forgiven(pair: Operator, kind: str) -> None:
    pair.sandbox.faults.add(kind=kind, method="GET", path="/service/eu$", times=2, status=502)
    done = pair.enable()
    assert done.code == 0, done.err
    assert kind == "close-before" or "retrying" in done.err  # avn itself repeats a GET whose connection broke


@pytest.mark.slow
def test_reads_that_keep_failing_end_the_run(operator: Operator) -> None:
    operator.sandbox.faults.add(kind="status", status=500, method="GET", path="/backups$", times=1000)
    done = operator.enable()
    assert done.code == 13
    assert "backup-list" in done.err


@pytest.mark.parametrize(("step", "name"), matrix(REQUESTS, ("INT", "KILL"), normal=NORMAL))
def test_killed_at_any_step_the_same_command_finishes(operator: Operator, step: str, name: str) -> None:
    method, path, skip = REQUESTS[step]
    requests = operator.sandbox.requests

    def asked(method: str, path: str, *, answered: bool) -> bool:
        here = [one for one in requests if one["method"] == method and one["path"].endswith(path)]
        return any(bool(one["status"]) is answered for one in here)

    if path:
        operator.sandbox.faults.add(kind="delay", seconds=1.0, method=method, path=f"{path}$", skip=skip)
    child = operator.start("ccr-avn", *ENABLE)
    if path:
        until(lambda: asked(method, path, answered=False), f"{step} to be under way")
    else:
        until(lambda: "us" in operator.sandbox.platform.services, "the replica to be made")
        operator.sandbox.servers.cut_replication("us")
        until(lambda: asked("GET", "us/integration", answered=True), "the integration to be seen")
    child.send_signal(signal.Signals[f"SIG{name}"])
    done = ended(child)
    if name == "KILL":
        assert done.code == -signal.SIGKILL
    else:
        assert done.code == (140 if operator.sandbox.changes() else 130), done.err
        assert "re-run the same command" in done.err
    operator.sandbox.faults.clear()
    until(lambda: all(one["status"] for one in requests), "what was asked to be answered")
    if "us" in operator.sandbox.platform.services:
        operator.sandbox.servers.heal("us")
    operator.ends(0, *ENABLE)
    assert is_whole(operator)
