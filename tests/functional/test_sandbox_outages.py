"""What happens to the sandbox's servers: cut, closed, killed, frozen, restarted, powered off, and what holds afterwards."""

import socket
import sys
import threading
from typing import Any

import pytest
import valkey

from ccr_avn.sandbox.configuration import CLIENTS, INTERNAL
from tests.support.operator import EU, Operator
from tests.support.pairs import CLOSED, PairClients, add_service, answers, client, is_master, link, promote
from tests.support.wait import until


def test_a_closed_filter_cuts_clients_but_not_replication_and_outlives_an_outage(pair_clients: PairClients) -> None:
    operator, eu, us = pair_clients
    assert eu.ping()
    held = eu.connection_pool.get_connection("PING")
    operator.avn("service", "update", "eu", *CLOSED)
    held.send_command("PING")
    with pytest.raises(valkey.ConnectionError):
        held.read_response()
    eu.connection_pool.release(held)
    assert not answers(eu)
    assert link(us) == "up"
    for kind in ("kill", "freeze", "api-only"):
        for words in (("outage", "eu", "--kind", kind), ("heal",)):
            operator.ends(0, "sandbox", *words)
        assert not answers(eu), kind
    operator.avn("service", "update", "eu", "-c", 'ip_filter=["127.0.0.0/8"]')
    until(lambda: answers(eu), "eu to let clients in again")


@pytest.mark.skipif(sys.platform != "linux", reason="a port can be kept for a server that is down on Linux only")
def test_nobody_takes_the_port_of_a_server_that_is_down(pair_clients: PairClients) -> None:
    operator, eu, _ = pair_clients
    port = operator.sandbox.platform.find("eu").port
    operator.ccr("sandbox", "outage", "eu", "--kind", "kill")
    assert not answers(eu)
    for address in (CLIENTS, INTERNAL):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((address, port))
    assert operator.ccr("sandbox", "heal").out == "healed: eu, us\n"
    assert answers(eu)


@pytest.mark.parametrize("kind", ["cut", "api-only"])
def test_a_primary_that_is_cut_off_feeds_nobody_until_healed(pair_clients: PairClients, kind: str) -> None:
    operator, eu, us = pair_clients
    assert operator.ccr("sandbox", "outage", EU, "--kind", kind).out == "lost: eu\n"
    until(lambda: link(us) == "down")
    assert answers(eu) is (kind == "cut")
    until(lambda: us.info("replication")["master_link_down_since_seconds"] >= 2, "it to try anew, each second")
    assert link(us) == "down"
    assert operator.ccr("sandbox", "heal", EU).code == 0
    until(lambda: link(us) == "up")
    assert answers(eu)


@pytest.mark.parametrize("kind", ["kill", "freeze"])
def test_a_change_while_it_is_away_holds_when_it_is_back(
    pair_clients: PairClients, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, eu, us = pair_clients
    operator.ccr("sandbox", "outage", "eu", "--kind", kind)
    operator.ccr("sandbox", "outage", "us", "--kind", kind)
    asked = asks(operator, monkeypatch)
    operator.avn("service", "update", "eu", *CLOSED)
    promote(operator)
    until(lambda: operator.sandbox.servers._servers["us"].source is None)
    assert asked == [], "nobody waits for what does not answer"
    operator.ccr("sandbox", "heal")
    assert not answers(eu)
    until(lambda: is_master(us))


def asks(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The servers that the sandbox talks to from now on."""
    asked: list[str] = []
    servers = operator.sandbox.servers
    connect = servers._client

    def noted(server: Any, *more: Any) -> Any:
        asked.append(server.name)
        return connect(server, *more)

    monkeypatch.setattr(servers, "_client", noted)
    return asked


def test_a_restart_is_another_process_with_every_acknowledged_write(pair_clients: PairClients) -> None:
    operator, eu, us = pair_clients
    before = eu.info("server")
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
    after = eu.info("server")
    assert (after["tcp_port"], after["run_id"] == before["run_id"]) == (before["tcp_port"], False)
    assert [number for number in kept if eu.get(f"k{number}") is None] == []
    until(lambda: link(us) == "up")


def test_a_restart_lifts_a_fence(pair_clients: PairClients) -> None:
    operator, eu, _ = pair_clients
    eu.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
    operator.ccr("sandbox", "outage", "eu", "--kind", "restart")
    assert eu.set("a", "b")


def test_power_off_and_on_keeps_address_data_and_replica(pair_clients: PairClients) -> None:
    operator, eu, us = pair_clients
    eu.set("a", "b")
    operator.avn("service", "update", "eu", "--power-off")
    assert not answers(eu)
    until(lambda: link(us) == "down")
    assert operator.ccr("sandbox", "heal").out == "healed: us\n"
    assert not answers(eu)
    operator.avn("service", "update", "eu", "--power-on")
    assert eu.get("a") == "b"
    until(lambda: link(us) == "up")


def test_a_terminated_name_comes_back_empty(pair_clients: PairClients) -> None:
    operator, eu, us = pair_clients
    eu.set("a", "b")
    until(lambda: us.get("a") == "b")
    replid = eu.info("replication")["master_replid"]
    operator.avn("service", "terminate", "eu", "-f")
    until(lambda: link(us) == "master")
    assert us.info("replication")["master_replid2"] == replid
    add_service(operator, "eu")
    with client(operator, "eu") as again:
        assert again.get("a") is None


def test_users_are_real_and_outlive_a_restart(pair_clients: PairClients) -> None:
    operator, _, _ = pair_clients
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
    with client(operator, "eu", username="app", password="another-password") as app:
        assert not answers(app)
