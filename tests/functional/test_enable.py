"""`enable` with the real avn and real servers: what it makes, what it leaves alone, what it refuses."""

import json
import signal
from dataclasses import replace

import pytest

from tests.support.operator import EU, US, Make, Operator, ends
from tests.support.wait import until

CREATE = ("POST", "/v1/project/sandbox/service")
ENABLE = ("enable", "eu", "us", "--primary-cloud", EU, "--replica-cloud", US)


def both(operator: Operator) -> tuple[list[str], list[tuple[str, str]]]:
    platform = operator.sandbox.platform
    return sorted(platform.services), sorted((row.source, row.dest) for row in platform.rows.values())


def create(operator: Operator, name: str, kind: str = "valkey", **config: object) -> None:
    """A service that was there before; not asked for by a request, so `changes` does not have it."""
    body = {"service_name": name, "service_type": kind, "plan": "business-4", "cloud": EU, "user_config": config}
    operator.sandbox.platform.create(body)


def test_a_new_pair_is_made_and_proven_and_the_same_command_again_only_reads(operator: Operator) -> None:
    done = operator.enable("--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["schema"] == "ccr-avn/1"
    assert told["changed"] is True
    assert told["result"]["proven"] is True
    assert told["result"]["marker"]["arrived"] == 20
    assert told["result"]["after"][0]["plan"] == "business-4"
    assert set(told["result"]["evidence"]) >= {"primary", "primary-backup", "replica", "link", "marker"}
    assert both(operator) == (["eu", "us"], [("eu", "us")])
    assert operator.sandbox.changes() == [CREATE, CREATE]
    again = operator.enable("--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["changed"] is False
    assert operator.sandbox.changes() == [CREATE, CREATE]
    elsewhere = operator.ccr("enable", "eu", "us", "--replica-cloud", EU, "--replica-plan", "startup-8", "--json")
    assert elsewhere.code == 4, "it is no success that the replica is somewhere else than it was asked to be"
    assert f"requested startup-8, it has startup-4; cloud: requested {EU}, it has {US}" in elsewhere.out


def test_an_existing_primary_is_adopted_as_it_is_and_decides_the_type(operator: Operator) -> None:
    """In one cloud, which is warned of; and without proof, which the result says."""
    create(operator, "eu", "redis", redis_timeout=0)
    done = operator.ends(0, "enable", "eu", "us", "--replica-cloud", EU, "--no-verify")
    assert operator.sandbox.changes() == [CREATE]
    assert operator.sandbox.platform.services["eu"].user_config["redis_timeout"] == 0
    assert operator.sandbox.platform.services["us"].type == "redis"
    assert "one outage takes down both" in done.err
    assert "NOT proven" in done.out
    refused = operator.enable("--service-type", "valkey")
    assert refused.code == 4
    assert "redis" in refused.err


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a cloud that is not sold": (("--replica-cloud", "aws-us-est-1"), ("(aws-us-east-1",)),
    "a plan that is not sold": (("--replica-plan", "startup-5"), ("--replica-plan PLAN",)),
    "a VPC to choose": ((), ("--replica-arg=--no-project-vpc", "--replica-arg=--project-vpc-id=vpc-0")),
    "a flag that avn lacks": (("--replica-flag", "service-integration"), ("--service-integration",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_work_is_seen_before_any_change(make: Make, name: str) -> None:
    """And where a preview is pasted, by the words of a run: it is the same check."""
    words, says = REFUSED[name]
    operator = make(vpc_clouds=(US,) if "VPC" in name else ())
    operator.ends(4, *ENABLE, *words, says=says)
    if "cloud" in name:
        pasted = operator.pastes(operator.ccr(*ENABLE, *words, "--dry-run").out)
        assert (pasted.code, says[0] in pasted.err) == (4, True), pasted.err
    assert operator.sandbox.changes() == []


def test_a_taken_replica_name_is_found_before_the_primary_is_made(operator: Operator) -> None:
    create(operator, "us")
    operator.ends(4, *ENABLE, says="us is taken")
    assert both(operator)[0] == ["us"]


def test_a_slow_backup_is_waited_for(make: Make) -> None:
    operator = make(backup_seconds=3600)
    child = operator.start("ccr-avn", *ENABLE)
    requests = operator.sandbox.requests
    until(lambda: any(one["path"].endswith("/backups") and one["status"] for one in requests), "the backups to be read")
    platform = operator.sandbox.platform
    platform.options = replace(platform.options, backup_seconds=0.0)
    ends(child, 0, says="no backup yet")


def test_a_check_tells_what_would_be_made_and_makes_nothing(operator: Operator) -> None:
    told = json.loads(operator.enable("--check", "--json").out)
    assert (told["ok"], told["changed"], told["result"]["to_create"]) == (True, False, ["eu", "us"])
    assert "all pre-checks passed; eu and us would be created" in operator.enable("--check").out
    assert operator.enable("--check", "--replica-plan", "startup-5").code == 4
    assert operator.enable("--check", "--project", "elsewhere").code == 3
    assert operator.sandbox.changes() == []


def test_a_token_that_may_not_see_offers_and_vpcs_is_warned_not_refused(operator: Operator) -> None:
    for path in ("/service_types$", "/vpcs$"):
        operator.sandbox.faults.add(kind="status", status=403, method="GET", path=path, times=1)
    done = operator.enable("--no-verify")
    assert done.code == 0, done.err
    assert "warning: offers:" in done.err
    assert "warning: vpc:" in done.err
    before = len(operator.sandbox.requests)
    again = operator.enable("--no-verify")
    assert again.code == 0
    asked = [one["path"] for one in operator.sandbox.requests[before:]]
    assert not any(path.endswith("/service_types") for path in asked), "nothing is to be made: nothing is looked up"


def test_killed_while_it_waits_for_the_link_the_same_command_finishes(operator: Operator) -> None:
    child = operator.start("ccr-avn", *ENABLE)
    until(lambda: "us" in operator.sandbox.platform.services, "the replica to be made")
    operator.sandbox.servers.cut_replication("us")
    child.tells("link: waiting")
    child.kill()
    ends(child, -signal.SIGKILL)
    operator.sandbox.servers.heal("us")
    operator.ends(0, *ENABLE)
    assert both(operator) == (["eu", "us"], [("eu", "us")])
