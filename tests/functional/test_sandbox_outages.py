"""What happens to the sandbox's servers: cut, closed, killed, frozen, restarted, powered off, and what holds afterwards."""

import socket
import sys
from contextlib import nullcontext
from typing import Any

import pytest
import valkey

from ccr_avn.sandbox.configuration import CLIENTS, INTERNAL
from tests.support.operator import EU, US, Make, Operator
from tests.support.pairs import CLOSED, PairClients, add_service, answers, client, is_master, link, promote
from tests.support.wait import until


@pytest.mark.parametrize("pair_clients", [{}, {"tls": True}], ids=["plain", "tls"], indirect=True)
def test_a_closed_filter_cuts_clients_but_not_replication_and_outlives_an_outage(pair_clients: PairClients) -> None:
    operator, eu, _ = pair_clients
    assert eu.ping()
    held = eu.connection_pool.get_connection("PING")
    operator.avn("service", "update", "eu", *CLOSED)
    held.send_command("PING")
    with pytest.raises(valkey.ConnectionError):
        held.read_response()
    eu.connection_pool.release(held)
    assert not answers(eu)
    with operator.sandbox.servers.admin("us") as replica:
        assert link(replica) == "up"
    for kind in ("kill", "freeze", "restart", "api-only"):
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


@pytest.mark.slow
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
