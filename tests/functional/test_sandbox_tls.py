"""TLS in the sandbox: clients come through a proxy, and what happens to the server happens to it too."""

import gc
import os
import signal
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest
import valkey

from ccr_avn.sandbox.tls import TlsProxy
from tests.support.pairs import PairClients, answers, client
from tests.support.wait import until

with_tls = pytest.mark.parametrize("pair_clients", [{"tls": True}], indirect=True)


@with_tls
def test_it_is_shown_and_verified_with_the_projects_ca(pair_clients: PairClients) -> None:
    tls, eu, _ = pair_clients
    assert "valkeys://" in tls.avn("service", "get", "eu", "--json").out
    assert eu.set("a", "x" * 3_000_000)
    many = eu.pipeline(transaction=False)
    for _ in range(10):
        many.get("a")
    assert [len(one) for one in many.execute()] == [3_000_000] * 10
    with pytest.raises(valkey.ConnectionError) as untrusted, client(tls, "eu", ssl=True) as stranger:
        stranger.ping()
    assert isinstance(untrusted.value.__cause__ or untrusted.value.__context__, ssl.SSLError)
    with client(tls, "eu") as naked:
        assert not answers(naked)


@with_tls
def test_what_happens_to_the_server_happens_to_its_proxy(pair_clients: PairClients) -> None:
    tls, eu, _ = pair_clients
    assert eu.ping()
    tls.ccr("sandbox", "outage", "eu", "--kind", "freeze")
    address = ("127.0.0.1", tls.sandbox.platform.find("eu").port)
    with socket.create_connection(address, timeout=0.3) as newcomer, pytest.raises(TimeoutError):
        ssl.create_default_context().wrap_socket(newcomer, server_hostname="127.0.0.1")
    tls.ccr("sandbox", "heal")
    assert answers(eu)
    os.kill(tls.sandbox.servers.pid("eu"), signal.SIGKILL)
    until(lambda: not answers(eu), "its clients to be cut")
    tls.ccr("sandbox", "outage", "eu", "--kind", "restart")
    until(lambda: answers(eu), "it to answer again")
    tls.avn("service", "update", "eu", "--power-off")
    assert not answers(eu)


def test_clients_that_come_while_a_proxy_is_closed_are_left_nowhere(tls_options: dict[str, Path]) -> None:
    """What is accepted and has not begun must not be left to the garbage collector, which warns of it."""
    nobody = ("127.0.0.1", 1)
    proxy = TlsProxy(tls_options["tls_certificate"], tls_options["tls_key"], ("127.0.0.1", 0), nobody)
    for _ in range(20):
        assert proxy.open()
        assert proxy._listener
        with ExitStack() as clients:
            for _ in range(30):
                clients.enter_context(socket.create_connection(proxy._listener.getsockname()))
            proxy.close(cut=True)
    gc.collect()
