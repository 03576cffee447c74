"""What the sandbox can be told to do otherwise: promotions, filters, settings, odd answers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import valkey

from tests.support.odd_answers import add_row, overlay_row, overlay_service
from tests.support.operator import EU, Make, Operator
from tests.support.rig import CLOSED, Rig, answers, client, create, is_master, link, pair_of
from tests.support.wait import until


@pytest.fixture
def rig(make: Make, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Linked, in a sandbox with the options that a test is parametrized with."""
    with pair_of(make(build_seconds=0, backup_seconds=0, **getattr(request, "param", {}))) as pair:
        until(lambda: link(pair[2]) == "up")
        yield pair


def options(**more: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rig", [more], indirect=True)


def promote(operator: Operator) -> None:
    operator.sandbox.platform.delete_integration(next(iter(operator.sandbox.platform.rows)))


def put(rig: Rig) -> None:
    _, eu, us = rig
    eu.set("a", "b")
    until(lambda: us.get("a") == "b")


@options(promote_restart=True)
def test_a_promotion_with_a_restart_drops_connections_and_keeps_data_and_history(rig: Rig) -> None:
    operator, eu, us = rig
    put(rig)
    before: Any = us.info("server")
    promote(operator)
    until(lambda: is_master(us))
    after: Any = us.info()
    assert after["run_id"] != before["run_id"]
    assert us.get("a") == "b"
    assert after["master_replid2"] == eu.info("replication")["master_replid"]


@options(promote_empty=True)
def test_a_promotion_that_comes_back_empty(rig: Rig) -> None:
    operator, eu, us = rig
    put(rig)
    promote(operator)
    until(lambda: is_master(us))
    assert us.dbsize() == 0
    assert us.info("replication")["master_replid2"] != eu.info("replication")["master_replid"]


@options(promote_seconds=3600)
def test_a_promotion_may_take_long_its_row_gone_its_role_slave(rig: Rig) -> None:
    operator, _, us = rig
    promote(operator)
    assert link(us) == "up"
    assert "read_replica" not in operator.avn("service", "get", "us", "--json").out


@options(promote_password=True)
def test_a_promotion_that_changes_the_password(rig: Rig) -> None:
    operator, _, us = rig
    before = operator.sandbox.platform.find("us").password
    promote(operator)
    until(lambda: operator.sandbox.platform.find("us").password != before)
    with client(operator, "us") as again:
        assert again.ping()
    us.connection_pool.disconnect()
    with pytest.raises(valkey.ValkeyError):
        us.ping()


def test_a_replica_whose_first_copy_never_begins(make: Make) -> None:
    stale = {"serve_stale_data": False, "sync_delay": float("inf")}
    with pair_of(make(build_seconds=0, backup_seconds=0, **stale)) as (_, _eu, us):
        told: Any = us.info("replication")
        assert (told["role"], told["master_link_status"], told["master_sync_in_progress"]) == ("slave", "down", 0)
        with pytest.raises(valkey.ValkeyError, match="MASTERDOWN"):
            us.get("a")


def test_a_first_copy_that_never_ends_looks_like_none_when_its_primary_is_gone(make: Make) -> None:
    operator = make(build_seconds=0, backup_seconds=0)
    create(operator, "eu", "business-4", EU)
    with client(operator, "eu") as eu:
        eu.mset({f"k{number}": number for number in range(1000)})
    operator.sandbox.servers.set_settings("eu", {"rdb-key-save-delay": "1000000"})
    create(operator, "us", "startup-4", EU, "eu")

    def seen() -> tuple[Any, ...]:
        with operator.sandbox.servers.admin("us") as us:
            told: Any = us.info("replication")
            return told["role"], told["master_link_status"], told["master_sync_in_progress"], us.dbsize()

    until(lambda: seen() == ("slave", "down", 1, 0), "the copy to begin")
    operator.sandbox.servers.kill("eu")
    until(lambda: seen() == ("slave", "down", 0, 0), "the copy to be given up")


@options(filter_cuts="new-only")
def test_a_filter_that_turns_away_new_clients_only(rig: Rig) -> None:
    operator, _, _ = rig
    with client(operator, "eu") as other:
        assert other.ping()
        operator.avn("service", "update", "eu", *CLOSED)
        assert other.set("a", "b")
    with client(operator, "eu") as newcomer:
        assert not answers(newcomer)


@options(filter_cuts="never")
def test_a_filter_that_is_not_obeyed(rig: Rig) -> None:
    operator, _, _ = rig
    operator.avn("service", "update", "eu", *CLOSED)
    with client(operator, "eu") as newcomer:
        assert answers(newcomer)


def test_a_service_has_the_settings_that_it_was_given(rig: Rig) -> None:
    operator, _, us = rig
    words = ("valkey_number_of_databases=100", "valkey_maxmemory_policy=allkeys-lru", "valkey_timeout=7")
    operator.avn("service", "update", "eu", *(part for word in words for part in ("-c", word)))
    with client(operator, "eu", db=99) as eu:
        assert eu.set("a", "b")
    with operator.sandbox.servers.admin("eu") as admin:
        seen = admin.config_get("databases", "maxmemory-policy", "timeout")
    assert seen == {"databases": "100", "maxmemory-policy": "allkeys-lru", "timeout": "7"}
    until(lambda: link(us) == "up")
    operator.sandbox.servers.set_settings("eu", {"maxmemory": "3mb"})
    operator.sandbox.servers.restart("eu")
    with client(operator, "eu") as eu:
        assert eu.info("memory")["maxmemory"] == 3 << 20


def test_a_server_that_loads_answers_info_only_and_is_as_before_when_healed(rig: Rig) -> None:
    operator, _, us = rig
    put(rig)
    assert operator.ccr("sandbox", "outage", "us", "--kind", "loading").code == 0
    connection = us.connection_pool.get_connection("PING")
    with pytest.raises(valkey.BusyLoadingError):
        ping_over(connection)
    connection.disconnect()
    promote(operator)
    with operator.sandbox.servers.admin("us") as admin:
        assert admin.info()["loading"] == 1
    assert operator.ccr("sandbox", "heal", "us").code == 0
    assert (us.dbsize(), link(us)) == (1, "master")


def ping_over(connection: Any) -> None:
    connection.send_command("PING")
    connection.read_response()


@options(refuse_commands=("client|list",))
def test_commands_can_be_refused_to_the_users(rig: Rig) -> None:
    _, eu, _ = rig
    with pytest.raises(valkey.exceptions.NoPermissionError):
        eu.client_list()
    assert eu.client_id()


@options(platform_writes=0.01)
def test_the_platform_may_write_by_itself(rig: Rig) -> None:
    _, eu, us = rig
    until(lambda: us.get("platform:heartbeat"))
    before = eu.get("platform:heartbeat")
    until(lambda: eu.get("platform:heartbeat") != before)


def test_a_deleted_integration_may_be_listed_for_a_while(make: Make) -> None:
    operator = make(build_seconds=0, backup_seconds=0, data_plane=False, stale_rows=3600)
    create(operator, "eu", "business-4", EU)
    create(operator, "us", "startup-4", EU, "eu")
    row = next(iter(operator.sandbox.platform.rows))
    operator.avn("service", "integration-delete", row)
    for words in (("integration-list", "us"), ("get", "us"), ("list",)):
        assert row in operator.avn("service", *words, "--json").out
    assert operator.types("avn", "service", "integration-delete", row).code == 1


def test_a_deletion_that_acts_and_answers_500(make: Make) -> None:
    operator = make(build_seconds=0, backup_seconds=0, data_plane=False)
    create(operator, "eu", "business-4", EU)
    operator.sandbox.faults.add(kind="status-after", method="DELETE")
    assert operator.types("avn", "service", "terminate", "eu", "-f").code == 1
    assert not operator.sandbox.platform.services


def test_fields_and_rows_can_be_odd(make: Make) -> None:
    operator = make(build_seconds=0, backup_seconds=0, data_plane=False)
    create(operator, "eu", "business-4", EU)
    create(operator, "us", "startup-4", EU, "eu")
    overlay_service(operator, "eu", {"plan": None, "users": None}, drop=("tags",))
    overlay_row(operator, "us", {"source_service": None}, drop=("active",))
    add_row(operator, "eu", {"integration_type": "metrics", "service_integration_id": "m1"})
    shown = json.loads(operator.avn("service", "get", "eu", "--json").out)
    assert (shown["plan"], shown["users"], "tags" in shown) == (None, None, False)
    (row,) = [one for one in shown["service_integrations"] if one["integration_type"] == "read_replica"]
    assert (row["source_service"], "active" in row) == (None, False)
    assert "m1" in {one["service_integration_id"] for one in shown["service_integrations"]}


def test_an_end_of_life_notice_that_avns_own_list_does_not_survive(make: Make) -> None:
    operator = make(data_plane=False)
    create(operator, "eu", "business-4", EU)
    overlay_service(
        operator,
        "eu",
        {
            "service_notifications": [
                {
                    "type": "service_end_of_life",
                    "level": "warning",
                    "message": "it ends",
                    "metadata": {"service_end_of_life_time": "2027-01-01T00:00:00.123456+00:00"},
                }
            ]
        },
    )
    create(operator, "us", "business-4", EU)
    assert operator.types("avn", "service", "list", "--json").code != 0
    assert operator.types("avn", "service", "list", "us", "--json").code == 0


def test_there_may_never_be_a_backup(make: Make) -> None:
    operator = make(build_seconds=0, backup_seconds=float("inf"), data_plane=False)
    create(operator, "eu", "business-4", EU)
    assert json.loads(operator.avn("service", "backup-list", "eu", "--json").out) == []


def test_every_behaviour_can_be_asked_for_in_a_shell(tmp_path: Path) -> None:
    words = ("--set", "promote_restart", "--set", "stale_rows=2", "--set", "refuse_commands=client|list,info")
    done = subprocess.run(
        [sys.executable, "-m", "ccr_avn", "sandbox", "run", "--no-data-plane", *words, "--", "true"],
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
