"""Each exchange with a server has one deadline, and no answer of another kind than Valkey's is an internal error."""

import gc
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from ccr_avn.errors import CcrError, Unreachable
from ccr_avn.valkey import connect as connects
from ccr_avn.valkey import drill_trials, marker, server_facts, writers
from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.fence import Fence, lift
from ccr_avn.valkey.server_facts import fetch_replication
from tests.support.odd_server import OddServer, odd_server

Asks = Callable[[OddServer], Any]


def kept(server: OddServer) -> None:
    made = writers.LastConnection(server.endpoint(), timeout=server.limit)
    try:
        made.read()
        made.cut_others()
    finally:
        made.close()


def fence(server: OddServer, *, cut: bool) -> None:
    made = Fence(server.endpoint(), "run", 30)
    made.place()
    try:
        made.side(), made.others(), made.writers()
        made.lengthen(60)
        made.place()
    finally:
        made.release(cut=cut)


def caught_up(server: OddServer) -> None:
    server_facts.caught_up(fetch_replication(server.endpoint()), server.endpoint(), timeout=0.1)


ASKS: dict[str, Asks] = {
    "connect": lambda server: connect(server.endpoint()).close(),
    "fetch_replication": lambda server: fetch_replication(server.endpoint()),
    "accepts_write": lambda server: marker.accepts_write(server.endpoint(), timeout=server.limit),
    "kept": kept,
    "fence": lambda server: fence(server, cut=False),
    "fence, cut": lambda server: fence(server, cut=True),
    "lift": lambda server: lift(server.endpoint(), disconnect=True),
    "quiescence": lambda server: writers.quiet_for(server.endpoint(), 0.0),
    "caught_up": caught_up,
    "plane": lambda server: server_facts.read_server_facts(server.endpoint()),
    "databases": lambda server: server_facts.read_databases(server.endpoint(), server.endpoint()),
    "marker": lambda server: marker.run_marker(server.endpoint(), server.endpoint(), samples=1, timeout=0.1),
    "trial of commands": lambda server: drill_trials.client_commands(server.endpoint()),
    "trial of the list": lambda server: drill_trials.clients_are_shown(server.endpoint()),
}
each = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())


@each
def test_a_byte_at_a_time_ends_at_the_limit(ask: Asks) -> None:
    """An answer that goes on coming for longer than the limit is no answer, however little each byte waits."""
    with odd_server(pause=0.02) as server, pytest.raises(Unreachable):
        ask(server)


ODD = (
    b":1\r\n",
    b"+OK\r\n",
    b"$-1\r\n",
    b"*0\r\n",
    b"*1\r\n:1\r\n",
    b"$0\r\n\r\n",
    b"-ERR odd\r\n",
    b"HTTP/1.1 400\r\n",
    b"",
)


def odd_ones(ask: Asks, answers: tuple[bytes, ...]) -> None:
    with odd_server() as usual:
        ask(usual)
    for name in dict.fromkeys(usual.asked):
        for answer in answers:
            with odd_server(odd={name: answer}) as server:
                try:
                    ask(server)
                except CcrError:
                    continue
                except Exception as bug:
                    raise AssertionError(f"{name} answered with {answer!r}") from bug


@each
def test_an_answer_of_the_wrong_kind_is_no_usable_answer(ask: Asks) -> None:
    odd_ones(ask, ODD[:2])


@pytest.mark.slow
@each
def test_any_odd_answer_or_none_is_no_usable_answer(ask: Asks) -> None:
    odd_ones(ask, ODD)


def test_after_an_odd_answer_no_late_reply_answers_something_else() -> None:
    with odd_server(odd={"CLIENT LIST": b":1\r\n"}) as server, connect(server.endpoint()) as client:
        batch: Any = client.pipeline(transaction=False)
        batch.client_list()
        batch.set("k", "late")
        batch.get("k")
        with pytest.raises(Unreachable) as caught, explained(server.endpoint(), connected=True):
            batch.execute()
        assert "can't be used" in caught.value.what
        assert client.client_id() == 7


def test_a_connection_that_is_thrown_away_swallows_no_signal() -> None:
    """valkey-py's own closes itself in ``__del__``, where what a signal's handler raises is lost."""
    heard = []

    def handler(*_: object) -> None:
        heard.append(1)
        raise KeyboardInterrupt

    class Armed(connects.Client):
        def close(self) -> None:
            super().close()  # type: ignore[no-untyped-call]
            if heard is not None and armed:
                signal.raise_signal(signal.SIGUSR1)

    armed: list[int] = []
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with odd_server() as server:
            client = Armed(connection_pool=connect(server.endpoint()).connection_pool)
            client.connection_pool.disconnect()
            armed.append(1)
            del client
            gc.collect()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not heard, "nothing is done when it is thrown away"


@pytest.mark.parametrize("around", ["\ufeff{}", "# Bücher-Zertifikat\n{}\n# Ende: äöü\n", "Bag Attributes\n  a: b\n{}"])
def test_a_ca_file_with_more_than_the_certificate_is_read(tmp_path: Path, around: str) -> None:
    given = tmp_path / "ca.pem"
    given.write_bytes(around.format(trustme.CA().cert_pem.bytes().decode()).encode())
    where = Endpoint(service="eu", uri="rediss://x", ca_file=given)
    assert len(connects._tls_context(where).get_ca_certs()) > len(
        connects._tls_context(Endpoint(service="eu", uri="")).get_ca_certs()
    )


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_ca_file_without_a_certificate_is_said_so(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "ca.pem"
    given.write_bytes(content)
    for ask in (connect, fetch_replication):
        with pytest.raises(Unreachable, match="the CA file for eu can't be used") as caught, odd_server() as server:
            ask(Endpoint(service="eu", uri=f"rediss://127.0.0.1:{server.port}", ca_file=given))
        assert not caught.value.passing
        assert "avn project ca-get" in caught.value.hint
