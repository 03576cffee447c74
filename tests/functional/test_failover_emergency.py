"""`failover` when more than the primary is ill: the list, the replica's readiness, the way to it."""

import json
from typing import Any

import pytest

from tests.support.operator import Make, Operator
from tests.support.pairs import FAIL_OVER, accepts, add_pair, is_promoted, origin, overlay_service, paired


def test_a_replica_that_must_not_serve_without_its_primary_is_promoted(make: Make) -> None:
    operator = paired(make(serve_stale_data=False))
    operator.sandbox.servers.kill("eu")
    operator.ends(0, *FAIL_OVER)
    assert accepts(operator, "us")


def test_a_replica_that_loads_is_promoted_by_force_only(pair: Operator) -> None:
    pair.sandbox.servers.kill("eu")
    pair.sandbox.servers.load("us")
    pair.ends(4, *FAIL_OVER, "--check", says=("is loading its data", "--force-partial"))
    pair.ends(0, *FAIL_OVER, "--check", "--force-partial")


def test_a_replica_that_never_had_a_copy_is_promoted_by_force_only(make: Make) -> None:
    operator = make(sync_delay=float("inf"))
    add_pair(operator, "eu", "us")
    operator.sandbox.servers.kill("eu")
    operator.ends(4, *FAIL_OVER, says=("never completed an initial sync", "0 keys"))
    operator.ends(0, *FAIL_OVER, "--force-partial")
    assert accepts(operator, "us")


def test_no_list_is_needed_and_no_stranger_matters(pair: Operator) -> None:
    add_pair(pair, "odd", "odder")
    odd: dict[str, Any] = {"state": None, "plan": None, "users": None, "service_integrations": [{"enabled": None}]}
    overlay_service(pair, "odd", odd)
    pair.sandbox.servers.kill("eu")
    pair.sandbox.faults.add(kind="status", status=500, method="GET", path="/service$", times=1000)
    pair.ends(0, *FAIL_OVER)
    assert accepts(pair, "us")
    assert origin(pair) == "eu"


def test_out_of_reach_it_is_promoted_on_the_word_of_the_control_plane(pair: Operator) -> None:
    pair.sandbox.servers.kill("eu")
    hidden = {"service_uri": "valkey://default:<redacted>@127.0.0.1:1", "components": []}
    overlay_service(pair, "us", hidden)
    pair.ends(6, *FAIL_OVER, says=f"avn service integration-delete {next(iter(pair.sandbox.platform.rows))}")
    assert not is_promoted(pair)
    pair.ends(4, "failover", "us", "--no-verify", "--yes")
    pair.sandbox.faults.add(kind="hang", method="DELETE", path="/integration/")
    doubt = pair.ends(13, *FAIL_OVER, "--no-verify", "--call-timeout", "2", "--doubt-timeout", "0.5")
    assert "the promotion of us was sent; its data plane was not checked" in doubt.err
    assert "master" not in doubt.err
    pair.sandbox.faults.clear()
    done = pair.ends(0, *FAIL_OVER, "--no-verify", "--json")
    told = json.loads(done.out)
    assert told["changed"] is True
    assert told["result"]["proven"] is False
    assert told["result"]["seconds_to_first_write"] is None
    assert "nothing is proven" in done.err
    assert is_promoted(pair)
    assert origin(pair) == "eu", "also without a look at any server it is recorded which services these are"
    again = pair.ends(0, *FAIL_OVER, "--no-verify")
    assert "ccr-avn gate accepts-writes us" in again.out
    assert "primary now" not in again.out


def test_a_rate_limit_is_waited_for_and_said(pair: Operator) -> None:
    pair.sandbox.servers.kill("eu")
    limit = "Rate limit 120 exceeded - try again in 1s"
    pair.sandbox.faults.add(kind="status", status=429, message=limit, method="GET", path="/service/us$", times=1)
    pair.ends(0, *FAIL_OVER, says="retrying in 1 s, as the API requested")


@pytest.mark.slow
def test_from_outside_a_vpc_the_public_route_is_used_by_every_command(pair: Operator) -> None:
    for name in ("eu", "us"):
        service = pair.sandbox.platform.find(name)
        public = {"component": "valkey", "host": "127.0.0.1", "port": service.port, "route": "public"}
        away = {
            "service_uri": f"valkey://default:{service.password}@127.0.0.1:1",
            "components": [{**public, "usage": "primary"}],
        }
        overlay_service(pair, name, away)
    pair.ends(0, "verify", "eu", "us", "--level", "marker")
    pair.ends(0, "gate", "last-known", "us")
    pair.ends(6, "gate", "last-known", "us", "--route", "privatelink")
    shown = json.loads(pair.ccr("status", "us", "--json").out)["result"]["pairs"]
    assert shown[0]["link"] == "up"
    assert f":{pair.sandbox.platform.find('us').port}" in pair.ccr("endpoint", "us", "--route", "public").out
    assert ":1" in pair.ccr("endpoint", "us", "--format", "uri").out
    pair.sandbox.servers.kill("eu")
    pair.ends(0, *FAIL_OVER)
    assert accepts(pair, "us")
