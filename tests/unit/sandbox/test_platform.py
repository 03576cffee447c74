"""The platform alone, with time of its own: its states and rules, what it shows and what it asks of the servers."""

from datetime import datetime
from typing import Any

import pytest

from ccr_avn.sandbox import api
from ccr_avn.sandbox.records import ApiError, User
from ccr_avn.sandbox.web import Faults, RateLimit
from tests.support.stage import Stage


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({}, {"user_config": {"valkey_persistence": "off"}}),
        ({}, {"plan": "free-1"}),
        ({"backup_seconds": float("inf")}, {}),
    ],
)
def test_no_backup_without_persistence_or_in_the_free_tier(options: dict[str, Any], more: dict[str, Any]) -> None:
    stage = Stage(**options)
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
    stage = Stage(auto_promote_seconds=20.0)
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


def statuses(stage: Stage, name: str, **body: Any) -> int:
    with pytest.raises(ApiError) as caught:
        stage.platform.update(name, body)
    return caught.value.status


def test_a_promoted_service_has_no_backup_until_one_is_taken() -> None:
    stage = Stage()
    row = stage.pair()
    stage.passes(100)
    us = stage.platform.find("us")
    stage.platform.delete_integration(row)
    assert stage.platform.backups(us) == []
    stage.passes(7)  # promoted after 3, backed up 5 later
    assert stage.platform.backups(us) == []
    stage.passes(1)
    assert len(stage.platform.backups(us)) == 1


def test_persistence_off_deletes_the_backups_and_on_begins_anew() -> None:
    stage = Stage()
    eu = stage.create("eu")
    stage.passes(15)
    stage.platform.update("eu", {"user_config": {"valkey_persistence": "off"}})
    assert stage.platform.backups(eu) == []
    stage.passes(100)
    stage.platform.update("eu", {"user_config": {"valkey_persistence": "rdb"}})
    assert stage.platform.backups(eu) == []
    stage.passes(5)
    assert len(stage.platform.backups(eu)) == 1


def test_backups_come_every_twelve_hours_and_keep_their_time() -> None:
    stage = Stage()
    eu = stage.create("eu")
    stage.passes(15)
    first = stage.platform.backups(eu)
    stage.passes(3600)
    assert stage.platform.backups(eu) == first
    stage.passes(12 * 3600)
    second = stage.platform.backups(eu)
    assert second[0] == first[0]
    taken = [datetime.fromisoformat(one["backup_time"]) for one in second]
    assert (taken[1] - taken[0]).total_seconds() == 12 * 3600
    stage.passes(30 * 12 * 3600)
    assert len(stage.platform.backups(eu)) == 14  # what business-4 keeps


def test_a_terminated_primary_leaves_a_service_that_stands_alone() -> None:
    stage = Stage()
    stage.pair()
    stage.platform.delete("eu")
    assert not stage.platform.rows
    stage.passes(3)
    assert stage.servers.log[-1] == ("promote", "us")


def test_orphans_keep_their_integration_if_so_set() -> None:
    stage = Stage(keep_orphans=True)
    row = stage.pair()
    stage.platform.delete("eu")
    assert list(stage.platform.rows) == [row]
    shown = api.integrations_json(stage.platform, "us")[0]
    assert (shown["service_integration_id"], shown["source_service"]) == (row, "eu")
    stage.platform.delete_integration(row)
    stage.passes(3)
    assert stage.servers.log[-1] == ("promote", "us")


def test_a_terminated_replica_promotes_nobody() -> None:
    stage = Stage()
    stage.pair()
    stage.platform.delete("us")
    stage.passes(3)
    assert not stage.platform.rows
    assert not [one for one in stage.servers.log if one[0] == "promote"]


def test_it_has_an_address_during_a_change_of_plan_but_not_while_it_is_built() -> None:
    stage = Stage()
    eu = stage.create("eu")
    assert api.service_json(stage.platform, eu)["service_uri"] is None
    stage.passes(10)
    stage.platform.update("eu", {"plan": "business-8"})
    shown = api.service_json(stage.platform, eu)
    assert shown["state"] == "REBUILDING"
    assert shown["service_uri"]
    assert ("change", "eu", {"memory_mb": 8192}) in stage.servers.log
    stage.passes(10)
    assert api.service_json(stage.platform, eu)["state"] == "RUNNING"


def test_an_update_that_is_refused_changes_nothing() -> None:
    stage = Stage()
    eu = stage.create("eu", termination_protection=True)
    before = (eu.plan, eu.cloud, dict(eu.user_config), eu.powered)
    assert statuses(stage, "eu", plan="huge", user_config={"valkey_timeout": 1}) == 400
    assert statuses(stage, "eu", plan="business-8", cloud="moon-1") == 400
    assert statuses(stage, "eu", plan="business-8", user_config={"ip_filter": ["nowhere"]}) == 400
    assert statuses(stage, "eu", plan="business-8", powered=False) == 403
    assert (eu.plan, eu.cloud, eu.user_config, eu.powered) == before


@pytest.mark.parametrize(
    ("ip_filter", "inside"),
    [
        (["0.0.0.0/0"], True),
        (["127.0.0.1"], True),
        (["10.0.0.0/8", {"network": "127.0.0.0/8", "description": "here"}], True),
        (["::/0"], False),
        (["0.0.0.0/32"], False),
        ([], False),
        (["127.0.0.2/32"], False),
        (["192.0.2.1/32"], False),
    ],
)
def test_a_filter_accepts_everybody_if_it_holds_the_loopback_address_else_nobody(
    ip_filter: list[Any], inside: bool
) -> None:
    stage = Stage()
    stage.create("eu", user_config={"ip_filter": ip_filter})
    assert stage.servers.log[-1] == ("change", "eu", {"filtered": not inside})


def test_without_persistence_power_off_keeps_nothing() -> None:
    stage = Stage()
    stage.create("eu", user_config={"valkey_persistence": "off"})
    stage.platform.update("eu", {"powered": False})
    assert stage.servers.log[-1] == ("forget", "eu")


def test_nothing_replicates_from_a_service_that_is_off() -> None:
    stage = Stage()
    stage.create("eu")
    stage.passes(15)
    stage.platform.update("eu", {"powered": False})
    with pytest.raises(ApiError) as caught:
        stage.create("us", "startup-4", "eu")
    assert (caught.value.status, caught.value.code) == (409, "not_powered")


def test_what_is_well_again_is_not_replaced() -> None:
    stage = Stage(auto_promote_seconds=20.0)
    stage.pair()
    stage.platform.outage_began(["eu"])
    eu = stage.platform.find("eu")
    assert {one["state"] for one in api.service_json(stage.platform, eu)["node_states"]} == {"timing_out"}
    stage.platform.outage_ended(["eu"])
    stage.passes(30)
    assert stage.platform.rows


def test_a_first_link_may_come_late() -> None:
    stage = Stage(sync_delay=4.0)
    stage.pair()
    assert ("change", "us", {"awaits_link": False}) not in stage.servers.log
    stage.passes(4)
    assert ("change", "us", {"awaits_link": False}) in stage.servers.log


def test_users_have_the_rights_they_were_given() -> None:
    stage = Stage()
    eu = stage.create("eu")
    stage.platform.set_user(
        "eu", "app", User(password="pw", access={"valkey_acl_keys": ["a*"], "valkey_acl_categories": ["+@read"]})
    )
    assert stage.servers.log[-1] == ("change", "eu", {"users": {"app": ("pw", "~a* &* +@read")}})
    assert [one["username"] for one in api.users_json(stage.platform, eu)] == ["default", "app"]
    assert User(password="pw", access={}).rules == "~* &* +@all"
    stage.platform.set_user("eu", "app", None)
    assert not eu.users
    with pytest.raises(ApiError):
        stage.platform.set_user("eu", "app", None)
    stage.platform.update("eu", {"powered": False})
    with pytest.raises(ApiError) as caught:
        stage.platform.set_user("eu", "app", User(password="pw", access={}))
    assert caught.value.status == 409


def test_person_and_project_have_what_the_published_schema_requires() -> None:
    assert api.person_json("p").keys() >= {
        "auth", "features", "invitations", "project_membership", "project_memberships", "projects", "real_name", "state",
        "tenant", "user", "user_id",
    }  # fmt: skip
    assert api.project_json("p").keys() >= {
        "account_id", "available_credits", "billing_address", "billing_currency", "billing_emails", "billing_extra_text",
        "billing_group_id", "billing_group_name", "country", "country_code", "default_cloud", "estimated_balance",
        "organization_id", "payment_method", "project_name", "vat_id",
    }  # fmt: skip


def test_a_stale_list_forgets_a_deleted_row_in_the_end() -> None:
    stage = Stage(stale_rows=5.0)
    row = stage.pair()
    stage.platform.delete_integration(row)
    shown = [one["service_integration_id"] for one in api.integrations_json(stage.platform, "us")]
    stage.passes(5)
    assert row in shown
    assert row not in [one["service_integration_id"] for one in api.integrations_json(stage.platform, "us")]
