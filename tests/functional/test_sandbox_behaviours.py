"""What the sandbox can be told to do otherwise: promotions, filters, settings, odd answers."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import valkey

from tests.support.odd_answers import overlay_service
from tests.support.operator import US, Make
from tests.support.pairs import (
    CLOSED,
    PairClients,
    add_service,
    answers,
    client,
    is_master,
    link,
    pair_with_clients,
    promote,
)
from tests.support.wait import until
from tests.support.whole import run_sandbox


def options(**more: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair_clients", [more], indirect=True)


def put(eu: Any, us: Any) -> None:
    eu.set("a", "b")
    until(lambda: us.get("a") == "b")


@pytest.mark.parametrize(
    ("pair_clients", "kept"), [({"promote_restart": True}, 1), ({"promote_empty": True}, 0)], indirect=["pair_clients"]
)
def test_a_promotion_may_come_with_a_restart_and_even_without_data(pair_clients: PairClients, kept: int) -> None:
    operator, eu, us = pair_clients
    put(eu, us)
    before = us.info("server")["run_id"]
    promote(operator)
    until(lambda: is_master(us))
    after = us.info()
    assert (after["run_id"] != before, us.dbsize()) == (True, kept)
    assert (after["master_replid2"] == eu.info("replication")["master_replid"]) is bool(kept), "its history"


@options(promote_seconds=3600)
def test_a_promotion_may_take_long_its_row_gone_its_role_slave(pair_clients: PairClients) -> None:
    operator, _, us = pair_clients
    promote(operator)
    assert link(us) == "up"
    assert "read_replica" not in operator.avn("service", "get", "us", "--json").out


@options(promote_password=True)
def test_a_promotion_that_changes_the_password(pair_clients: PairClients) -> None:
    operator, _, us = pair_clients
    before = operator.sandbox.platform.find("us").password
    promote(operator)
    until(lambda: operator.sandbox.platform.find("us").password != before)
    with client(operator, "us") as again:
        assert again.ping()
    us.connection_pool.disconnect()
    assert not answers(us)


def test_a_replica_whose_first_copy_never_begins(make: Make) -> None:
    with pair_with_clients(make(serve_stale_data=False, sync_delay=float("inf"))) as (_, _eu, us):
        seen = us.info("replication")
        assert (seen["role"], seen["master_link_status"], seen["master_sync_in_progress"]) == ("slave", "down", 0)
        with pytest.raises(valkey.ValkeyError, match="MASTERDOWN"):
            us.get("a")


def test_a_first_copy_that_never_ends_looks_like_none_when_its_primary_is_gone(make: Make) -> None:
    operator = make()
    add_service(operator, "eu")
    with client(operator, "eu") as eu:
        eu.mset({f"k{number}": number for number in range(1000)})
    with operator.sandbox.servers.admin("eu") as eu:
        eu.config_set("rdb-key-save-delay", "1000000")
    add_service(operator, "us", "startup-4", US, source="eu")

    def seen() -> tuple[Any, ...]:
        with operator.sandbox.servers.admin("us") as us:
            found = us.info("replication")
            return found["role"], found["master_link_status"], found["master_sync_in_progress"], us.dbsize()

    until(lambda: seen() == ("slave", "down", 1, 0), "the copy to begin")
    operator.sandbox.servers.kill("eu")
    until(lambda: seen() == ("slave", "down", 0, 0), "the copy to be given up")


@pytest.mark.parametrize(
    ("pair_clients", "newcomers"),
    [({"filter_cuts": "new-only"}, False), ({"filter_cuts": "never"}, True)],
    indirect=["pair_clients"],
)
def test_a_filter_may_turn_away_new_clients_only_or_nobody(pair_clients: PairClients, newcomers: bool) -> None:
    operator, eu, _ = pair_clients
    assert eu.ping()
    operator.avn("service", "update", "eu", *CLOSED)
    assert eu.set("a", "b")
    with client(operator, "eu") as newcomer:
        assert answers(newcomer) is newcomers


def test_a_service_has_the_settings_that_it_was_given(pair_clients: PairClients) -> None:
    operator, _, us = pair_clients
    words = ("valkey_number_of_databases=100", "valkey_maxmemory_policy=allkeys-lru", "valkey_timeout=7")
    operator.avn("service", "update", "eu", *(part for word in words for part in ("-c", word)))
    with client(operator, "eu", db=99) as eu:
        assert eu.set("a", "b")
    with operator.sandbox.servers.admin("eu") as admin:
        seen = admin.config_get("databases", "maxmemory-policy", "timeout")
    assert seen == {"databases": "100", "maxmemory-policy": "allkeys-lru", "timeout": "7"}
    until(lambda: link(us) == "up")
    operator.sandbox.servers.restart("eu")
    with operator.sandbox.servers.admin("eu") as admin:
        assert admin.config_get(*seen) == seen


def test_a_server_that_loads_answers_info_only_and_is_as_before_when_healed(pair_clients: PairClients) -> None:
    operator, eu, us = pair_clients
    put(eu, us)
    assert operator.ccr("sandbox", "outage", "us", "--kind", "loading").code == 0
    connection = us.connection_pool.get_connection("PING")
    connection.send_command("PING")
    with pytest.raises(valkey.BusyLoadingError):
        connection.read_response()
    connection.disconnect()
    promote(operator)
    with operator.sandbox.servers.admin("us") as admin:
        assert admin.info()["loading"] == 1
    assert operator.ccr("sandbox", "heal", "us").code == 0
    assert (us.dbsize(), link(us)) == (1, "master")


CLIENT = ("CLIENT LIST", "CLIENT ID", "CLIENT PAUSE 1 WRITE", "CLIENT UNPAUSE", "CLIENT KILL TYPE pubsub")


@pytest.mark.parametrize(
    ("pair_clients", "refused"),
    [({"refuse_commands": ("client|list",)}, CLIENT[:1]), ({"refuse_client_pause": True}, CLIENT[2:])],
    indirect=["pair_clients"],
)
def test_commands_can_be_refused_to_the_users(pair_clients: PairClients, refused: tuple[str, ...]) -> None:
    _, eu, _ = pair_clients
    for command in CLIENT:
        with pytest.raises(valkey.exceptions.NoPermissionError) if command in refused else nullcontext():
            eu.execute_command(*command.split())


@options(platform_writes=0.01)
def test_the_platform_may_write_by_itself(pair_clients: PairClients) -> None:
    _, eu, us = pair_clients
    until(lambda: us.get("platform:heartbeat"))
    before = eu.get("platform:heartbeat")
    until(lambda: eu.get("platform:heartbeat") != before)


@options(auto_promote_seconds=0.2)
def test_a_killed_primary_is_replaced_by_the_platform_if_so_set(pair_clients: PairClients) -> None:
    operator, _, us = pair_clients
    assert operator.ccr("sandbox", "outage", "eu").code == 0
    until(lambda: link(us) == "master")
    assert not operator.sandbox.platform.rows


def test_a_replica_may_run_before_it_is_linked(make: Make) -> None:
    with pair_with_clients(make(sync_delay=1.0)) as (operator, _, us):
        assert (operator.sandbox.platform.state(operator.sandbox.platform.find("us")), link(us)) == ("RUNNING", "down")
        until(lambda: link(us) == "up")


def test_an_end_of_life_notice_that_avns_own_list_does_not_survive(make: Make) -> None:
    operator = make(data_plane=False)
    add_service(operator, "eu")
    add_service(operator, "us")
    end = {"service_end_of_life_time": "2027-01-01T00:00:00.123456+00:00"}
    notice = {"type": "service_end_of_life", "level": "warning", "message": "it ends", "metadata": end}
    overlay_service(operator, "eu", {"service_notifications": [notice]})
    assert operator.types("avn", "service", "list", "--json").code != 0
    assert operator.types("avn", "service", "list", "us", "--json").code == 0


def test_every_behaviour_can_be_asked_for_in_a_shell(tmp_path: Path) -> None:
    words = ("--set", "promote_restart", "--set", "stale_rows=2", "--set", "refuse_commands=client|list,info")
    assert run_sandbox(tmp_path, "--no-data-plane", *words, "--", "true").wait(60) == 0
