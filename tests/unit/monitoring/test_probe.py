"""What a watch's probe makes of a pair that is slow, stalls, or holds writes back: on a clock of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from valkey.exceptions import TimeoutError as Late

from ccr_avn.errors import Unreachable
from ccr_avn.monitoring.probe import FIRST_PAUSE, HELD_BACK, LONGEST_PAUSE, Probe, Sample, Side, size
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.marker import WATCH
from ccr_avn.valkey.replication import ReplicationInfo
from tests.support.factories import side

INTERVAL = 0.1


@dataclass(slots=True)
class FakePair:
    """A primary and a replica, ``behind`` seconds apart; times are in seconds. It answers as valkey-py's client does."""

    now: float = 1000.0
    wall: float = 1.7e9  # of the primary
    timeout: float = 2.0
    round_trip: float = 0.001
    behind: float = 0.0
    stall: float = 0.0  # that much longer takes the next write to be answered
    held: bool = False  # writes wait until it is False
    cut: float | None = None  # what is written from then on does not arrive
    offset: int = 0
    changes: int = 0
    last_save: int = 0
    connects: int = 0
    written: list[tuple[float, str, str]] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def connect(self, *_: Any, **__: Any) -> "FakePair":
        self.connects += 1
        return self

    def time(self) -> tuple[int, int]:
        return divmod(int(self.wall * 1_000_000), 1_000_000)

    def pipeline(self, *, transaction: bool) -> "FakePair":
        assert not transaction
        return self

    def hset(self, key: str, name: str, value: str) -> None:
        assert key == WATCH
        self.waiting.append((name, value))

    def pexpire(self, key: str, _: int) -> None:
        assert key == WATCH

    def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        marker, taken, self.stall = self.waiting.pop(), self.round_trip + self.stall, 0.0
        if self.held or taken > self.timeout:
            self.sleep(self.timeout)
            raise Late("Timeout reading from h:1")
        self.sleep(taken)
        self.mark(*marker)
        return [1, True]

    def mark(self, name: str, value: str) -> None:
        """As any watch does."""
        self.written.append((self.now, name, value))
        self.offset += size(("HSET", WATCH, name, value), ("PEXPIREAT", WATCH, value.partition(":")[0]))
        self.changes += 2

    def hget(self, _: str, name: str) -> bytes | None:
        self.sleep(self.round_trip)
        until = self.now if self.cut is None else self.cut
        arrived = [value for at, whose, value in self.written if at + self.behind <= until and whose == name]
        return arrived[-1].encode() if arrived else None

    def close(self) -> None:
        pass


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> FakePair:
    """What probes are about from now on."""
    found = FakePair()

    def read_replication(_: Any, name: str) -> ReplicationInfo:
        found.sleep(found.round_trip)
        role = "master" if name == "eu" else "slave"
        return side(role, found.offset, changes=found.changes, last_save=found.last_save)

    clock = SimpleNamespace(monotonic=lambda: found.now, now=lambda: found.wall, sleep=found.sleep)
    monkeypatch.setattr("ccr_avn.monitoring.probe.clock", clock)
    monkeypatch.setattr("ccr_avn.monitoring.probe.connect", found.connect)
    monkeypatch.setattr("ccr_avn.monitoring.probe.read_replication", read_replication)
    return found


def probe_of(pair: FakePair) -> Probe:
    ends = [Endpoint(service=name, uri="valkey://h:1", timeout=pair.timeout) for name in ("eu", "us")]
    return Probe(*ends, patience=INTERVAL)


def samples(pair: FakePair, probe: Probe, count: int, befall: Callable[[int], None] = lambda _: None) -> list[Sample]:
    """Samples as the loop takes them: what is late is left out, not made up for."""
    taken, due = [], pair.now
    for number in range(count):
        befall(number)
        taken.append(probe.sample())
        due = max(due + INTERVAL, pair.now)
        pair.sleep(due - pair.now)
    return taken


def test_one_stall_is_told_as_long_as_it_was(pair: FakePair) -> None:
    def befall(number: int) -> None:
        pair.stall = 0.1 if number == 3 else 0.0

    found = samples(pair, probe_of(pair), 12, befall)
    assert all(one.arrived for one in found)
    lags = [one.lag_ms or 0 for one in found]
    assert max(lags) == lags[3] == pytest.approx(102, abs=1)
    assert pair.connects == 2, "nothing was connected anew"


def test_a_steady_lag_above_the_interval_is_told_and_does_not_grow(pair: FakePair) -> None:
    pair.behind = 0.3
    found = samples(pair, probe_of(pair), 60)[5:]
    assert sum(one.arrived for one in found) > len(found) / 2
    assert all(300 <= (one.lag_ms or 0) <= 800 for one in found)


def test_a_round_trip_above_the_interval_is_no_write_trouble(pair: FakePair) -> None:
    pair.round_trip = 0.15
    probe = probe_of(pair)
    found = samples(pair, probe, 10)
    assert not any(one.write_trouble for one in found)
    assert all(one.arrived for one in found)
    assert probe.round_trip == pytest.approx(0.15)


def test_writes_held_back_are_told_while_samples_go_on(pair: FakePair) -> None:
    probe = probe_of(pair)
    samples(pair, probe, 3)
    pair.held = True
    began, held = pair.now, samples(pair, probe, 12)
    assert pair.now - began < 12 * (pair.timeout + 0.1), "a sample waits for an answer once"
    assert {one.write_trouble for one in held} == {HELD_BACK}, "told until a write has gone through"
    assert {one.primary_trouble for one in held} == {""}, "INFO still answers"
    assert not any(one.arrived for one in held)
    lags = [one.lag_ms or 0 for one in held]
    assert lags == sorted(lags)
    pair.held = False
    after = samples(pair, probe, 3)
    assert (after[0].write_trouble, after[-1].arrived) == ("", True)


def test_an_answer_that_is_late_is_waited_for(pair: FakePair) -> None:
    probe = probe_of(pair)
    samples(pair, probe, 2)
    pair.stall = 0.7
    late, after = samples(pair, probe, 2)
    assert (late.arrived, after.arrived) == (True, True)
    assert late.lag_ms == pytest.approx(702, abs=1), "from its writing"
    assert late.write_trouble == after.write_trouble == ""
    assert pair.connects == 2


def test_the_marker_of_another_watch_is_no_arrival(pair: FakePair) -> None:
    """Also not that of one whose clock is ahead, or that was written later."""
    first, second = probe_of(pair), probe_of(pair)
    assert [one.sample().arrived for one in (first, second)] == [True, True]
    pair.cut = pair.now
    pair.written.append((pair.cut, "f00", f"{int(pair.wall * 1000) + 600_000}:99"))
    found = samples(pair, second, 3)
    assert [one.arrived for one in found] == [False] * 3
    assert [one.lag_ms or 0 for one in found] == sorted(one.lag_ms or 0 for one in found)


def test_two_watches_each_see_their_own(pair: FakePair) -> None:
    pair.behind = 0.3
    watches = [probe_of(pair) for _ in range(2)]
    found = [one.sample() for _ in range(20) for one in watches][8:]
    assert all(one.arrived for one in found)


def test_a_marker_is_stamped_by_the_primarys_clock(pair: FakePair) -> None:
    pair.wall = 1.6e9
    probe = probe_of(pair)
    probe.sample()
    assert pair.written[-1][2] == "1600000000000:1"


def test_its_own_markers_are_no_writes(pair: FakePair) -> None:
    probe = probe_of(pair)

    def pinged(_: int) -> None:
        pair.offset += 14  # what a primary sends now and then, and no write

    assert {one.write_rate for one in samples(pair, probe, 8, pinged)[1:]} == {0.0}
    assert pair.offset > 8 * 14, "the stream itself has grown"

    def written(_: int) -> None:
        pair.offset += 1000
        pair.changes += 5

    rates = [one.write_rate or 0 for one in samples(pair, probe, 8, written)]
    assert all(rate == pytest.approx(10_000, rel=0.01) for rate in rates)


def test_a_late_answer_is_no_reason_to_wait_but_a_failed_connect_is_for_ever_longer(
    pair: FakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def late(_: Any) -> int:
        raise Late("Timeout reading from h:1")

    def refuse(*_: Any, **__: Any) -> Any:
        tries.append(pair.now)
        raise Unreachable("p0: refused")

    one = Side(Endpoint(service="p0", uri="valkey://h:1"))
    assert one.ask(late) is None
    assert "stopped answering" in one.trouble, "it had answered: who may connect is not the question"
    assert (one.ask(lambda _: 1), one.trouble, pair.connects) == (1, "", 2)
    one.close()
    monkeypatch.setattr("ccr_avn.monitoring.probe.connect", refuse)
    for _ in range(600):
        assert one.ask(lambda _: 1) is None
        pair.sleep(0.1)
    assert one.trouble == "p0: refused"
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses[0] < FIRST_PAUSE * 1.2 + 0.2
    assert LONGEST_PAUSE * 0.8 - 0.2 < pauses[-1] <= max(pauses) < LONGEST_PAUSE * 1.2 + 0.2
