"""Names are looked up once, all addresses share one deadline, and a changed address is found when the old one fails."""

import math
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ccr_avn.errors import Unreachable
from ccr_avn.valkey import endpoint as dials
from ccr_avn.valkey.connect import Endpoint, connect
from ccr_avn.valkey.endpoint import dial
from ccr_avn.valkey.server_facts import fetch_replication
from tests.support.odd_server import odd_server
from tests.support.wait import until


class Names:
    """A resolver that answers at once with these ports on loopback, or with an error; ``held``: not before it is set."""

    def __init__(self, *ports: int) -> None:
        self.ports = ports
        self.asked = 0
        self.held: threading.Event | None = None

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked += 1
        if self.held:
            self.held.wait(60)
        if not self.ports:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in self.ports]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    made = Names()
    monkeypatch.setattr(dials, "_known", {})
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def where(**other: Any) -> Endpoint:
    return Endpoint(service="eu", uri="redis://eu.example:1", **{"timeout": 5.0, **other})


def goes(port: int) -> bool:
    with dial(("eu.example", 1), time.monotonic() + 5) as made:
        return bool(made.getpeername()[1] == port)


def test_a_name_is_looked_up_once_for_all_connections(names: Names) -> None:
    with odd_server() as server:
        names.ports = (server.port,)
        for _ in range(3):
            fetch_replication(where())
            connect(where()).close()
    assert names.asked == 1


def test_a_failed_look_up_is_tried_again_the_next_time(names: Names, listening: int) -> None:
    with pytest.raises(socket.gaierror):
        goes(listening)
    names.ports = (listening,)
    assert goes(listening)
    assert names.asked == 2


def test_a_changed_address_is_found_when_the_old_one_fails(
    names: Names, listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as old:
        names.ports = (old.getsockname()[1],)
        assert goes(old.getsockname()[1])
    names.ports = (listening,)
    with pytest.raises(ConnectionRefusedError):
        goes(listening)
    assert names.asked == 1, "it has just been looked up"
    monkeypatch.setattr(dials, "FRESH", 0.0)
    assert goes(listening)
    assert goes(listening)
    assert names.asked == 2


def test_a_slow_look_up_is_waited_for_until_the_limit_and_not_begun_anew(names: Names, listening: int) -> None:
    names.ports, names.held = (listening,), threading.Event()
    for ask in (connect, fetch_replication):
        with pytest.raises(Unreachable, match="name resolution failed"):
            ask(where(timeout=0.1))
    assert names.asked == 1
    names.held.set()
    until(lambda: dials._known, "its answer")
    assert goes(listening)
    assert names.asked == 1


def test_a_look_up_without_a_thread_is_done_all_the_same(
    names: Names, listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names.ports = (listening,)
    monkeypatch.setattr(threading.Thread, "start", full)
    assert goes(listening)


def test_several_addresses_share_one_deadline_and_the_one_that_answered_comes_first(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.ports = (1, 2, 3)
    tried: list[tuple[int, float]] = []

    def connected(address: Any, _: str, until: float, __: Any) -> Any:
        tried.append((address[4][1], until - time.monotonic()))
        if address[4][1] != 3:
            raise TimeoutError
        return socket.socket()

    monkeypatch.setattr(dials, "_connected", connected)
    for _ in range(2):
        dial(("eu.example", 1), time.monotonic() + 60).close()
    assert [port for port, _ in tried] == [1, 2, 3, 3]
    for (_, within), share in zip(tried, (20, 30, 60, 20), strict=True):
        assert math.isclose(within, share, abs_tol=5)
