"""How a running server is changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from valkey import ResponseError

from ccr_avn.sandbox import configuration
from ccr_avn.sandbox.configuration import Server


class Running:
    """A server that can't open its new sockets for some attempts: a child of its own still holds the old ones."""

    def __init__(self, attempts: int) -> None:
        self.told = {"bind": "127.0.0.1 127.0.0.2"}
        self.attempts = attempts
        self.sets: list[str] = []

    def config_get(self, name: str) -> dict[str, str]:
        return {name: self.told[name]}

    def config_set(self, name: str, value: str) -> None:
        if name == "bind":
            self.sets.append(value)
            if len(self.sets) <= self.attempts:
                raise ResponseError("CONFIG SET failed (possibly related to argument 'bind')")
        self.told[name] = value

    def execute_command(self, *_: str) -> None: ...

    def acl_users(self) -> list[str]:
        return ["default", "platform"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(name="eu", password="x", memory_mb=10, directory=tmp_path)
    yield made
    made.reserved.release()


def test_sockets_that_are_right_are_not_opened_anew(server: Server) -> None:
    """While they are closed, nobody gets in; and it may fail."""
    running = Running(attempts=0)
    configuration.settle(running, server, cut=False, admin=None)
    assert running.sets == []


def test_sockets_that_could_not_be_opened_are_tried_again_over_the_connection_that_is_left(server: Server) -> None:
    running, server.filtered = Running(attempts=3), True
    configuration.settle(running, server, cut=False, admin=None)
    assert running.sets == ["127.0.0.2"] * 4
    assert running.told["bind"] == "127.0.0.2"
