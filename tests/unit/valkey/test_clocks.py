"""Clocks of two servers: told apart where the answers are quick enough; no marker dies of them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from valkey.exceptions import NoPermissionError

from ccr_avn.valkey import marker, server_facts
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.marker import MarkerResult


class Server:
    """Answers like one whose clock is ahead by so many seconds; keys are kept, with the moment of their end."""

    def __init__(self, keys: dict[str, tuple[bytes, float]], ahead: float) -> None:
        self.keys, self.ahead = keys, ahead

    def now(self) -> float:
        return time.time() + self.ahead

    def time(self) -> tuple[int, int]:
        now = self.now()
        return int(now), int(now % 1 * 1e6)

    def set(self, key: str, value: bytes, px: int) -> None:
        self.keys[key] = (value, self.now() + px / 1000)

    def get(self, key: str) -> bytes | None:
        value, end = self.keys.get(key, (None, 0.0))
        return value if self.now() < end else None

    def delete(self, key: str) -> None:
        self.keys.pop(key, None)


def run(monkeypatch: pytest.MonkeyPatch, ahead: float) -> MarkerResult:
    keys: dict[str, tuple[bytes, float]] = {}
    servers = {"eu": Server(keys, 0.0), "us": Server(keys, ahead)}

    @contextmanager
    def connect(endpoint: Endpoint, **_: Any) -> Iterator[Server]:
        yield servers[endpoint.service]

    monkeypatch.setattr(marker, "connect", connect)
    eu, us = (Endpoint(service=name, uri=f"redis://x@{name}") for name in servers)
    return marker.run_marker(eu, us, samples=3, timeout=0.0)


@pytest.mark.parametrize("ahead", [3600.0, 50.0, 0.0, -120.0])
def test_no_marker_dies_of_clocks_that_differ(monkeypatch: pytest.MonkeyPatch, ahead: float) -> None:
    found = run(monkeypatch, ahead)
    assert found.arrived == 3
    assert found.skew == pytest.approx(ahead, abs=0.5)


def test_a_server_that_refuses_time_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: Server) -> None:
        raise NoPermissionError("this user has no permissions to run the 'time' command")

    monkeypatch.setattr(Server, "time", refuses)
    assert run(monkeypatch, 5.0).skew == 0.0


@pytest.mark.parametrize(
    ("source", "target", "apart"),
    [((0.0, 0.1), (2.0, 0.1), 2.0), ((5.0, 0.1), (2.0, 0.1), -3.0), ((0.0, 1.5), (2.0, 0.6), 0.0)],
)
def test_a_skew_is_only_told_where_it_is_larger_than_its_error(
    source: tuple[float, float], target: tuple[float, float], apart: float
) -> None:
    assert server_facts.clocks_apart(source, target) == apart


def test_what_the_lags_of_markers_come_to() -> None:
    none, some = MarkerResult(samples=3, lag_ms=()), MarkerResult(samples=4, lag_ms=(4.0, 1.0, 2.0, 3.0))
    assert (none.arrived, none.spread) == (0, (0.0, 0.0, 0.0))
    assert (some.arrived, some.spread) == (4, (1.0, 2.5, 4.0))
