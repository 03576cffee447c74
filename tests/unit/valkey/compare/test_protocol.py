"""Bytes out, bytes in."""

import socket
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.compare import protocol
from ccr_avn.valkey.compare.model import brief, escaped
from ccr_avn.valkey.compare.protocol import (
    Refusal,
    ReplyStream,
    Template,
    TooLarge,
    Wire,
    bulk,
    bulks,
    exists,
    pack,
    parsed,
    refused,
    same_reply,
)
from ccr_avn.valkey.connect import Endpoint
from tests.unit.valkey.compare.fakes import FakeWire, encoded


def test_long_names_are_cut_in_messages() -> None:
    assert brief("k" * 80) == "k" * 80
    assert brief("k" * 10_000_000) == "k" * 80 + "... (10000000 characters)"


@given(st.lists(st.binary(), min_size=1))
def test_a_template_for_many_is_the_command_for_each(words: list[bytes]) -> None:
    template = Template(b"GETRANGE", b"", b"0", b"9")
    expected = b"".join(pack(b"GETRANGE", word, b"0", b"9") for word in words)
    assert template.each(bulks(words)) == expected == b"".join(template.one(bulk(word)) for word in words)


def test_no_keys_no_command() -> None:
    assert Template(b"TYPE", b"").each([]) == b""
    assert exists(bulks([b"a", b"b"])) == pack(b"EXISTS", b"a", b"b")


@given(st.binary())
def test_an_escaped_key_can_be_read_back(key: bytes) -> None:
    text = escaped(key)
    assert text.isascii()
    assert text.isprintable()
    assert text.encode().decode("unicode_escape").encode("latin-1") == key


replies = st.recursive(st.none() | st.binary(max_size=30) | st.integers(-9, 9), st.lists, max_leaves=8)


@given(st.lists(replies, min_size=1, max_size=5))
def test_a_flow_reads_what_the_parser_reads(values: list[Any]) -> None:
    fake: Any = FakeWire([values])
    flow = ReplyStream(fake)
    assert [flow.reply() for _ in values] == parsed(b"".join(map(encoded, values))) == values
    flow.finish()


@given(replies, replies)
def test_equal_replies_are_found_equal_and_others_not(one: Any, other: Any) -> None:
    for left, right in ((one, one), (one, other)):
        wires: list[Any] = [FakeWire([[value]]) for value in (left, right)]
        flows = [ReplyStream(wire) for wire in wires]
        assert same_reply(flows[0], flows[1]) == (left == right)


def test_refusals_in_a_flow() -> None:
    fake: Any = FakeWire([["-WRONGTYPE not that", "+OK", "-ERR other"]])
    flow = ReplyStream(fake)
    assert isinstance(flow.items(), Refusal)
    assert flow.reply() == b"OK"
    assert isinstance(flow.reply(), Refusal)
    flow.finish()


def test_two_equal_refusals_are_seen() -> None:
    assert refused(b"-NOPERM no\r\n")
    assert refused(b":1\r\n-LOADING wait\r\n")
    assert not refused(b"$5\r\n-1.50\r\n")


class Server:
    """Answers whatever is asked with what it was given, then with the echoes."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.replies: list[bytes] = []

    def answer(self, *replies: bytes) -> None:
        """To the next message, which has as many bodies."""
        asked = b""
        while asked.count(b"$4\r\nECHO\r\n") < len(replies) or not asked.endswith(b"\r\n"):
            asked += self.theirs.recv(65536)
        echoes = [part.split(b"\r\n", 2)[:2] for part in asked.split(b"$4\r\nECHO\r\n")[1:]]
        for reply, (head, word) in zip(replies, echoes, strict=True):
            self.theirs.sendall(reply + head + b"\r\n" + word + b"\r\n")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()

    class Connection:
        _sock = made.ours

    class Pool:
        def get_connection(self, _: str) -> Connection:
            return Connection()

    class Client:
        connection_pool = Pool()

        def close(self) -> None:
            made.ours.close()
            made.theirs.close()

    monkeypatch.setattr("ccr_avn.valkey.connect.connect", lambda endpoint, name: Client())
    return made


def opened(server: Server) -> Wire:
    answering = threading.Thread(target=server.answer, args=(b"+OK\r\n",))
    answering.start()
    made = Wire(Endpoint(service="eu", uri="valkey://default:pw@127.0.0.1:1"))
    answering.join()
    return made


def test_a_message_of_several_bodies(server: Server) -> None:
    wire = opened(server)
    wire.send(pack(b"TYPE", b"k"), pack(b"PTTL", b"k"), pack(b"GET", b"k"))
    server.answer(b"+string\r\n", b"", b"$2\r\nok\r\n")
    assert wire.receive() == [b"+string\r\n", b"", b"$2\r\nok\r\n"]
    wire.close()


def test_what_is_too_large_is_dropped_and_the_wire_goes_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_ROOM", protocol.FIRST_ROOM)
    wire = opened(server)
    for size, fits in ((1000, True), (protocol.FIRST_ROOM * 3 + 17, False), (2000, True)):
        reply = encoded(bytes(size))
        wire.send(pack(b"GET", b"k"))
        answering = threading.Thread(target=server.answer, args=(reply,))
        answering.start()
        if fits:
            assert wire.receive() == [reply]
        else:
            with pytest.raises(TooLarge):
                wire.receive()
        answering.join()
    wire.close()


def test_the_room_grows(server: Server) -> None:
    wire = opened(server)
    reply = encoded(bytes(protocol.FIRST_ROOM * 3))
    big = pack(b"GET", bytes(protocol.FIRST_ROOM))
    answering = threading.Thread(target=server.answer, args=(reply, b"+OK\r\n"))
    answering.start()
    wire.send(big, big)
    assert wire.receive() == [reply, b"+OK\r\n"]
    answering.join()
    wire.close()


def test_a_closed_connection_is_explained_without_the_password(server: Server) -> None:
    wire = opened(server)
    server.theirs.close()
    with pytest.raises(Unreachable, match=r"eu \(127.0.0.1:1\)") as caught:
        wire.some(10)
    with pytest.raises(Unreachable):
        wire.receive()
    server.ours.close()
    for use in (lambda: wire.send(b"x"), wire.receive, lambda: wire.some(1)):
        with pytest.raises(Unreachable):
            use()
    assert "pw" not in f"{caught.value} {caught.value.detail}"


def test_a_database_that_is_not_there(server: Server) -> None:
    wire = opened(server)
    answering = threading.Thread(target=server.answer, args=(b"-ERR DB index is out of range\r\n",))
    answering.start()
    with pytest.raises(Unreachable, match="database 99"):
        wire.use(99)
    answering.join()
    wire.close()
