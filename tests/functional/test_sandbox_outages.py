"""What befalls the sandbox's servers: cut, shut, killed, frozen, restarted, powered off, and what holds afterwards."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import valkey

from ccr_avn.sandbox.configuration import CLIENTS, INTERNAL
from tests.support.loaded import BIN
from tests.support.operator import EU, US, Make, Operator
from tests.support.rig import CLOSED, Rig, answers, client, create, is_master, link, pair_of
from tests.support.wait import until


def ping_over(connection: Any) -> None:
    connection.send_command("PING")
    connection.read_response()


@pytest.fixture
def rig(make: Make) -> Iterator[Rig]:
    with pair_of(make(build_seconds=0, backup_seconds=0)) as pair:
        until(lambda: link(pair[2]) == "up")
        yield pair


def test_a_closed_filter_cuts_clients_but_not_replication_and_outlives_an_outage(rig: Rig) -> None:
    operator, eu, us = rig
    assert eu.ping()
    held = eu.connection_pool.get_connection("PING")
    operator.avn("service", "update", "eu", *CLOSED)
    with pytest.raises(valkey.ConnectionError):
        ping_over(held)
    eu.connection_pool.release(held)
    assert not answers(eu)
    assert link(us) == "up"
    for kind in ("kill", "freeze", "api-only"):
        for words in (("outage", "eu", "--kind", kind), ("heal",)):
            done = operator.ccr("sandbox", *words)
            assert done.code == 0, done.err
        assert not answers(eu), kind
    operator.avn("service", "update", "eu", "-c", 'ip_filter=["127.0.0.0/8"]')
    until(lambda: answers(eu), "eu to let clients in again")


@pytest.mark.skipif(sys.platform != "linux", reason="a port can be kept for a server that is down on Linux only")
def test_nobody_takes_the_port_of_a_server_that_is_down(rig: Rig) -> None:
    operator, eu, _ = rig
    port = operator.sandbox.platform.find("eu").port
    operator.ccr("sandbox", "outage", "eu", "--kind", "kill")
    assert not answers(eu)
    for address in (CLIENTS, INTERNAL):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((address, port))
    assert operator.ccr("sandbox", "heal").out == "healed: eu, us\n"
    assert answers(eu)


@pytest.mark.parametrize("kind", ["cut", "api-only"])
def test_a_primary_that_is_cut_off_feeds_nobody_until_healed(rig: Rig, kind: str) -> None:
    operator, eu, us = rig
    assert operator.ccr("sandbox", "outage", EU, "--kind", kind).out == "lost: eu\n"
    until(lambda: link(us) == "down")
    assert answers(eu) is (kind == "cut")
    until(lambda: us.info("replication")["master_link_down_since_seconds"] >= 2, "it to try anew, each second")
    assert link(us) == "down"
    assert operator.ccr("sandbox", "heal", EU).code == 0
    until(lambda: link(us) == "up")
    assert answers(eu)


@pytest.mark.parametrize("kind", ["kill", "freeze"])
def test_a_change_while_it_is_away_holds_when_it_is_back(rig: Rig, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operator, eu, us = rig
    operator.ccr("sandbox", "outage", "eu", "--kind", kind)
    operator.ccr("sandbox", "outage", "us", "--kind", kind)
    asked = asks(operator, monkeypatch)
    operator.avn("service", "update", "eu", *CLOSED)
    row = next(iter(operator.sandbox.platform.rows))
    operator.avn("service", "integration-delete", row)
    assert asked == [], "nobody waits for what does not answer"
    until(lambda: operator.sandbox.servers._servers["us"].source is None)
    operator.ccr("sandbox", "heal")
    assert not answers(eu)
    until(lambda: is_master(us))


def asks(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The servers that the sandbox talks to from now on."""
    asked: list[str] = []
    servers = operator.sandbox.servers
    client = servers._client

    def noted(server: Any, *more: Any) -> Any:
        asked.append(server.name)
        return client(server, *more)

    monkeypatch.setattr(servers, "_client", noted)
    return asked


def test_a_restart_is_another_process_with_every_acknowledged_write(rig: Rig) -> None:
    operator, eu, us = rig
    before: Any = eu.info("server")
    kept: list[int] = []

    def write() -> None:
        with client(operator, "eu") as writer:
            for number in range(1_000_000):
                try:
                    writer.set(f"k{number}", number)
                except valkey.ValkeyError:
                    return
                kept.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: len(kept) > 500)
    operator.ccr("sandbox", "outage", "eu", "--kind", "restart")
    writer.join()
    after: Any = eu.info("server")
    assert (after["tcp_port"], after["run_id"] == before["run_id"]) == (before["tcp_port"], False)
    assert [number for number in kept if eu.get(f"k{number}") is None] == []
    until(lambda: link(us) == "up")


def test_a_restart_lifts_a_fence(rig: Rig) -> None:
    operator, eu, _ = rig
    eu.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
    operator.ccr("sandbox", "outage", "eu", "--kind", "restart")
    assert eu.set("a", "b")


def test_power_off_and_on_keeps_address_data_and_replica(rig: Rig) -> None:
    operator, eu, us = rig
    eu.set("a", "b")
    operator.avn("service", "update", "eu", "--power-off")
    assert not answers(eu)
    until(lambda: link(us) == "down")
    assert operator.ccr("sandbox", "heal").out == "healed: us\n"
    assert not answers(eu)
    operator.avn("service", "update", "eu", "--power-on")
    assert eu.get("a") == "b"
    until(lambda: link(us) == "up")


def test_a_terminated_name_comes_back_empty(rig: Rig) -> None:
    operator, eu, us = rig
    eu.set("a", "b")
    until(lambda: us.get("a") == "b")
    replid = eu.info("replication")["master_replid"]
    operator.avn("service", "terminate", "eu", "-f")
    until(lambda: link(us) == "master")
    assert us.info("replication")["master_replid2"] == replid
    create(operator, "eu", "business-4", EU)
    with client(operator, "eu") as again:
        assert again.get("a") is None


def test_a_killed_primary_is_replaced_by_the_platform_if_so_set(make: Make) -> None:
    with pair_of(make(build_seconds=0, backup_seconds=0, auto_promote=0.2)) as (operator, _, us):
        assert operator.ccr("sandbox", "outage", "eu").code == 0
        until(lambda: link(us) == "master")
        assert not operator.sandbox.platform.rows


def test_a_replica_may_run_before_it_is_linked(make: Make) -> None:
    with pair_of(make(build_seconds=0, backup_seconds=0, sync_delay=1.0)) as (operator, _, us):
        assert (operator.sandbox.platform.state(operator.sandbox.platform.find("us")), link(us)) == ("RUNNING", "down")
        until(lambda: link(us) == "up")


def test_pausing_and_killing_clients_can_be_refused(make: Make) -> None:
    with pair_of(make(build_seconds=0, backup_seconds=0, refuse_client_pause=True)) as (_, eu, _us):
        for words in (("PAUSE", "1", "WRITE"), ("UNPAUSE",), ("KILL", "TYPE", "pubsub")):
            with pytest.raises(valkey.exceptions.NoPermissionError):
                eu.execute_command("CLIENT", *words)
        assert eu.client_list()


def test_users_are_real_and_outlive_a_restart(rig: Rig) -> None:
    operator, _, _ = rig
    rights = ("--valkey-acl-keys", "a*", "--valkey-acl-categories=+@all")
    operator.avn("service", "user-create", "eu", "--username", "app", *rights)
    user = operator.sandbox.platform.find("eu").users["app"]
    for _ in range(2):
        with client(operator, "eu", username="app", password=user.password) as app:
            assert app.set("abc", "1")
            with pytest.raises(valkey.exceptions.NoPermissionError):
                app.set("b", "1")
        operator.ccr("sandbox", "outage", "eu", "--kind", "restart")
    operator.avn("service", "user-password-reset", "eu", "--username", "app", "--new-password", "another-password")
    with client(operator, "eu", username="app", password="another-password") as app:
        assert app.set("abc", "2")
    operator.avn("service", "user-set-access-control", "eu", "--username", "app", "--valkey-acl-keys", "b*")
    operator.avn("service", "user-delete", "eu", "--username", "app")
    with client(operator, "eu", username="app", password="another-password") as app, pytest.raises(valkey.ValkeyError):
        app.ping()


def test_an_answer_that_hangs_after_acting(operator: Operator) -> None:
    operator.sandbox.faults.add(kind="hang-after", method="POST", path="/service$", seconds=30)
    words = ("service", "create", "eu", "-t", "valkey", "--plan", "business-4", "--cloud", EU)
    assert operator.types("avn", "--request-timeout", "1", *words).code == 1
    assert "eu" in operator.sandbox.platform.services


def test_two_hundred_services_are_listed(make: Make) -> None:
    operator = make(build_seconds=0, backup_seconds=0, data_plane=False)
    for number in range(100):
        create(operator, f"p{number}", "business-4", EU)
        create(operator, f"r{number}", "startup-4", US, f"p{number}")
    listed = operator.avn("service", "list", "--json")
    assert listed.out.count('"integration_type": "read_replica"') == 200
    assert operator.ccr("sandbox", "outage", "p1").code == 0
    assert operator.ccr("sandbox", "heal").code == 0


def test_even_a_sigkill_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(
        [sys.executable, "-m", "ccr_avn", "sandbox", "up"], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("export AIVEN_WEB_URL=")
        assert list((tmp_path / "tmp").iterdir())
        child.send_signal(signal.SIGKILL)
    until(lambda: list((tmp_path / "tmp").iterdir()) == [])
