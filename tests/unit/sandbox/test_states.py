"""The sandbox's platform alone, with time of its own."""

from typing import Any

import pytest

from ccr_avn.sandbox.faults import Faults, RateLimit
from ccr_avn.sandbox.records import ApiError
from tests.support.stage import Stage


def test_a_service_builds_then_runs_then_has_a_backup() -> None:
    stage = Stage()
    eu = stage.create("eu")
    assert stage.platform.state(eu) == "REBUILDING"
    stage.passes(10)
    assert stage.platform.state(eu) == "RUNNING"
    assert stage.platform.backups(eu) == []
    stage.passes(5)
    assert len(stage.platform.backups(eu)) == 1


@pytest.mark.parametrize("more", [{"user_config": {"valkey_persistence": "off"}}, {"plan": "free-1"}])
def test_no_backup_without_persistence_or_in_the_free_tier(more: dict[str, Any]) -> None:
    stage = Stage()
    eu = stage.create("eu", **more)
    stage.passes(100)
    assert stage.platform.backups(eu) == []


def test_a_replica_needs_a_backup_a_startup_plan_and_room() -> None:
    stage = Stage()
    stage.create("eu")
    with pytest.raises(ApiError, match="not allowed under current plan"):
        stage.create("us", "startup-4", "eu")
    stage.passes(20)
    with pytest.raises(ApiError):
        stage.create("us", "business-4", "eu")
    for number in range(5):
        stage.create(f"r{number}", "startup-4", "eu")
    with pytest.raises(ApiError):
        stage.create("r5", "startup-4", "eu")
    assert stage.platform.backups(stage.platform.services["r0"]) == []


def test_a_replica_of_another_type_or_of_nobody_is_refused() -> None:
    stage = Stage()
    with pytest.raises(ApiError) as caught:
        stage.create("us", "startup-4", "nobody")
    assert caught.value.status == 404
    stage.create("eu")
    stage.passes(20)
    with pytest.raises(ApiError):
        stage.create("us", "startup-4", "eu", service_type="redis")


def test_deleting_the_integration_promotes_after_a_while() -> None:
    stage = Stage()
    row = stage.pair()
    stage.platform.delete_integration(row)
    assert stage.platform.source_of("us") is None
    assert ("promote", "us") not in stage.servers.log
    stage.passes(3)
    assert ("promote", "us") in stage.servers.log
    with pytest.raises(ApiError):
        stage.platform.delete_integration(row)


def test_after_an_outage_it_promotes_by_itself_if_so_set() -> None:
    stage = Stage(auto_promote=20.0)
    stage.pair()
    stage.platform.outage_began(["us"])
    stage.passes(30)
    assert stage.platform.rows
    stage.platform.outage_began(["eu"])
    stage.platform.outage_began(["eu"])
    stage.passes(20)
    stage.passes(3)
    assert not stage.platform.rows
    assert stage.servers.log.count(("promote", "us")) == 1
    Stage().platform.outage_began(["eu"])


def test_power_and_protection() -> None:
    stage = Stage()
    eu = stage.create("eu", termination_protection=True)
    for act in (lambda: stage.platform.delete("eu"), lambda: stage.platform.update("eu", {"powered": False})):
        with pytest.raises(ApiError, match="protected"):
            act()
    stage.platform.update("eu", {"termination_protection": False})
    stage.platform.update("eu", {"powered": False})
    assert stage.platform.state(eu) == "POWEROFF"
    stage.platform.update("eu", {"powered": True})
    assert stage.platform.state(eu) == "REBUILDING"
    stage.platform.delete("eu")
    with pytest.raises(ApiError):
        stage.platform.find("eu")


def test_plan_cloud_and_config_can_be_changed_to_what_exists() -> None:
    stage = Stage()
    eu = stage.create("eu")
    stage.passes(10)
    stage.platform.update("eu", {"plan": "business-8", "cloud": "aws-eu-west-1", "user_config": {"valkey_timeout": 5}})
    assert (eu.plan, stage.platform.state(eu)) == ("business-8", "REBALANCING")
    stage.platform.update("eu", {"user_config": {"valkey_timeout": None}})
    assert "valkey_timeout" not in eu.user_config
    for body in ({"plan": "huge"}, {"cloud": "moon"}):
        with pytest.raises(ApiError):
            stage.platform.update("eu", body)


@pytest.mark.parametrize(
    ("networks", "shut"),
    [(["0.0.0.0/0"], False), ([{"network": "127.0.0.1/32"}], False), (["192.0.2.1/32"], True), ([], True)],
)
def test_a_filter_without_the_loopback_address_shuts_everybody_out(networks: list[Any], shut: bool) -> None:
    stage = Stage()
    stage.create("eu", user_config={"ip_filter": networks})
    assert stage.servers.log[-1] == ("change", "eu", {"filtered": shut})


def test_a_stalled_build_never_ends() -> None:
    stage = Stage()
    stage.platform.stall_builds = 1
    eu = stage.create("eu")
    stage.passes(10_000)
    assert stage.platform.state(eu) == "REBUILDING"


def test_faults_are_used_up() -> None:
    faults = Faults()
    faults.add(kind="status", method="changing", path="/service", skip=1, times=2)
    taken = [faults.take(*one) for one in [("GET", "/service"), ("POST", "/x"), *[("POST", "/service")] * 5]]
    assert [bool(one) for one in taken] == [False, False, False, True, True, False, False]
    faults.add(kind="html")
    faults.clear()
    assert faults.take("GET", "/") is None


def test_more_requests_than_a_second_may_have_are_refused_until_the_next() -> None:
    now = [5.2]
    rate = RateLimit(2, clock=lambda: now[0])
    rate.count()
    rate.count()
    with pytest.raises(ApiError, match="Rate limit 2 exceeded - try again in 1s"):
        rate.count()
    now[0] = 6.0
    rate.count()
    unlimited = RateLimit(0, clock=lambda: 0.0)
    for _ in range(9):
        unlimited.count()
