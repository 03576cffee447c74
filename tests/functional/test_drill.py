"""A drill: all of it on a temporary replica, the primary untouched, nothing left behind and nothing else gone."""

import json
import signal

import pytest

from tests.support.drills import (
    BY_LINK,
    QUICK,
    STRANGER,
    changes_of,
    drilled,
    outcomes,
    primary_at,
    runs_to,
    services,
    temporary_replica,
)
from tests.support.operator import EU, US, Make, Operator, ended, ends
from tests.support.pairs import add_service, client, paired, uri
from tests.support.wait import until
from tests.support.writers import Load


@pytest.fixture
def primary(operator: Operator) -> Operator:
    return primary_at(operator)


def test_a_drill_under_load_leaves_the_primary_alone_and_nothing_behind(primary: Operator) -> None:
    with Load(uri(primary, "eu"), pause=0.005) as load:
        code, told = drilled(primary)
    result = told["result"]
    assert (code, told["ok"], services(primary)) == (0, True, {"eu"}), told
    assert result["terminated"]
    assert result["rto_ms"] > 0
    assert result["not_received_ms"] is not None
    assert result["compare"]["verdict"] == "equal"
    assert result["cost"]["usd_an_hour"] == 0.1
    assert set(outcomes(told).values()) == {"holds", "not tested"}
    assert [writer.connections for writer in load.writers] == [1] * len(load.writers), "a writer was cut"
    assert changes_of(primary, "eu") == []


def test_clean_describes_what_it_finds_and_is_one_run(primary: Operator) -> None:
    code, told = drilled(primary, "--keep", how=BY_LINK)
    assert code == 0
    [kept] = services(primary) - {"eu"}
    assert told["result"]["terminate"] == f"avn service terminate {kept} --project sandbox --force"
    looked = primary.ccr("drill", "--clean", "--check", "--json")
    [left] = json.loads(looked.out)["result"]["left"]
    assert (looked.code, left["name"], left["state"], left["usd_an_hour"]) == (4, kept, "RUNNING", 0.1)
    assert "--keep" in left["running"]
    refused = primary.ends(4, "drill", "--clean", "--only", "eu", "--yes", says="eu was not created by a drill")
    assert "avn service terminate" not in refused.out + refused.err
    add_service(primary, "orders", "startup-4", US)
    primary.sandbox.platform.find("orders").tags = dict(primary.sandbox.platform.find(kept).tags)
    assert primary.ccr("drill", "--clean", "--only", "orders", "--yes").code == 4, "tags that were copied prove nothing"
    primary.ends(0, "drill", "--clean", "--only", kept, "--yes")
    assert "incomplete" not in primary.ccr("runs", "list").out
    assert services(primary) == {"eu", "orders"}


def test_killed_on_its_way_what_it_made_is_found_and_nothing_else_goes(primary: Operator) -> None:
    add_service(primary, STRANGER, "startup-4", US)
    child = runs_to(primary, "promote: avn", "--backup-timeout", "60")
    child.kill()
    ended(child)
    cleaned = primary.ccr("drill", "--clean", "--yes", "--json")
    assert services(primary) == {"eu", STRANGER}, cleaned.out + cleaned.err
    told = json.loads(cleaned.out)
    assert cleaned.code in (4, 14), "what is not certain is told"
    assert [one["name"] for one in told["result"]["left"]] == [STRANGER]
    assert primary.ccr(*QUICK, "--check").code == 0, "what is left is nothing to stumble over"


def test_its_own_time_limit_ends_it_too(make: Make) -> None:
    """Its alarm is rung by hand: how long it takes to what must be cleaned up is the machine's."""
    primary = primary_at(make(sync_delay=float("inf")))
    child = runs_to(primary, "tagged: done")
    child.send_signal(signal.SIGALRM)
    ends(child, 15)
    assert services(primary) == {"eu"}


def test_a_namesake_made_meanwhile_by_somebody_else_is_not_touched(primary: Operator) -> None:
    primary.sandbox.faults.add(kind="delay", method="POST", path="/service$", seconds=1.5)
    child = runs_to(primary, "temporary-replica: avn", "--name", STRANGER)
    add_service(primary, STRANGER, "startup-4", US, source="eu")
    done = ended(child)
    assert done.code in (3, 13), done.err
    assert changes_of(primary, STRANGER) == [], "neither tagged nor terminated"
    assert STRANGER in services(primary)


def test_a_service_of_a_drill_that_is_running_is_neither_moved_to_nor_cleaned(make: Make) -> None:
    """Nor one that somebody promoted, and connected to, all the same."""
    primary = paired(make(promoted_backups=False))
    child = runs_to(primary, "compare: ok", "--backup-timeout", "60")
    name = temporary_replica(primary)
    for command in (("switchover", "eu", name, "--yes"), ("failover", name, "--allow-data-loss", "--yes")):
        primary.ends(4, *command, says=f"--drill-service {name}")
    looked = primary.ccr("evacuate", EU, "--check", "--json")
    assert [one["replica"] for one in json.loads(looked.out)["result"]["pairs"]] == ["us"], looked.err
    primary.ends(4, "drill", "--clean", "--yes", says="is still running on this machine")
    child.terminate()
    ends(child, 153)
    assert services(primary) == {"eu", "us"}


def test_what_somebody_else_promoted_is_terminated_neither_by_the_drill_nor_by_clean(make: Make) -> None:
    primary = primary_at(make(sync_delay=float("inf")))
    child = runs_to(primary, "link: waiting")
    name = temporary_replica(primary)
    [row] = primary.sandbox.platform.rows
    primary.avn("service", "integration-delete", row, "--project", "sandbox")
    with primary.sandbox.servers.admin(name) as admin:
        until(lambda: admin.info("replication")["role"] == "master", f"{name} to be promoted")
    child.terminate()
    done = ends(child, 153, says="nothing shows that its drill did it")
    assert f"drill --clean --only {name}" in done.err, "what is left is reported"
    cleaned = primary.ccr("drill", "--clean", "--yes", "--only", name)
    assert (cleaned.code, name in services(primary)) == (4, True), cleaned.err
    assert f"avn service terminate {name}" in cleaned.err


def test_what_a_drill_left_is_no_replica_to_enable_and_what_a_failover_promoted_is_its_no_more(
    primary: Operator,
) -> None:
    child = runs_to(primary, "compare: ok")
    child.kill()
    ended(child)
    name = temporary_replica(primary)
    primary.ends(4, "enable", "eu", name, "--replica-cloud", US, says=f"ccr-avn drill --clean --only {name}")
    primary.ends(0, "failover", name, "--allow-data-loss", "--drill-service", name, "--yes")
    pairs = json.loads(primary.ccr("status", "--json").out)["result"]["pairs"]
    assert all(one["drill"] is None for one in pairs), pairs
    cleaned = primary.ccr("drill", "--clean", "--yes")
    assert (cleaned.code, services(primary)) == (0, {"eu", name}), cleaned.err
    only = primary.ccr("drill", "--clean", "--only", name, "--yes")
    assert (only.code, services(primary)) == (4, {"eu", name}), only.err
    assert "avn service terminate" not in only.out + only.err, "it is the primary"


@pytest.mark.slow
def test_what_has_clients_is_left(make: Make) -> None:
    """Also at the last moment, when all the platform shows is as before."""
    primary = primary_at(make(promoted_backups=False))
    child = runs_to(primary, "filter-opens")
    name = temporary_replica(primary)
    with client(primary, name) as one:
        one.client_setname("shop")
        one.ping()
        done = ended(child)
    assert (done.code, name in services(primary)) == (14, True), done.err
    assert "connected: shop at " in done.err
    primary.ends(0, "drill", "--clean", "--yes")
    assert services(primary) == {"eu"}


def test_an_end_during_the_examination_ends_it_at_once(primary: Operator) -> None:
    child = runs_to(primary, "filter-close: done", "--filter-timeout", "600")
    child.send_signal(signal.SIGINT)
    done = ended(child)
    assert (done.code, services(primary)) == (140, {"eu"}), done.err
    assert "filter-opens" not in done.err


def test_a_critical_assumption_that_was_not_tested_is_no_success(primary: Operator) -> None:
    """Nor is a refusal of connections the filter's, where its change was not accepted."""
    primary.sandbox.faults.add(kind="status", method="PUT", path="/service/", times=2)
    code, told = drilled(primary, how=BY_LINK)
    assert (code, outcomes(told)["filter-refuses"], services(primary)) == (16, "not tested", {"eu"}), told
    assert "last drill: WARN (eu: today" in primary.ccr("doctor").out
    assert "critical and not tested: filter-refuses" in primary.ccr("doctor").out


@pytest.mark.slow
def test_a_termination_is_sent_again_until_it_is_accepted(primary: Operator) -> None:
    primary.sandbox.faults.add(kind="status", status=429, method="DELETE", path="/service/")
    done = primary.ccr(*BY_LINK)
    assert (done.code, services(primary)) == (0, {"eu"}), done.err


def test_without_keys_nothing_is_proven_by_values(primary: Operator) -> None:
    with client(primary, "eu") as one:
        one.flushall()
    done = primary.ccr(*QUICK)
    assert (done.code, "proven by values" in done.out) == (0, False), done.err


def test_clean_names_what_is_still_being_created(primary: Operator) -> None:
    primary.sandbox.faults.add(kind="hang", method="POST", path="/service$", seconds=60)
    child = runs_to(primary, "temporary-replica: avn")
    child.kill()
    ended(child)
    looked = primary.ccr("drill", "--clean", "--check")
    assert (looked.code, "it may still appear" in looked.err, "eu-drill-" in looked.err) == (4, True, True), looked.err
