"""What a watch's sampler makes of a pair that is slow, stalls, or holds writes back: on a clock of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from valkey.exceptions import TimeoutError as Late

from ccr_avn.errors import Unreachable
from ccr_avn.monitoring.sample import Sample
from ccr_avn.monitoring.sampler import HELD_BACK, Sampler, size
from ccr_avn.monitoring.side import WatchedSide
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


def sampler_of(pair: FakePair, monkeypatch: pytest.MonkeyPatch) -> Sampler:
    def read_replication(_: Any, name: str) -> ReplicationInfo:
        pair.sleep(pair.round_trip)
        role = "master" if name == "eu" else "slave"
        return side(role, pair.offset, changes=pair.changes, last_save=pair.last_save)

    monkeypatch.setattr("ccr_avn.monitoring.side.connect", pair.connect)
    monkeypatch.setattr("ccr_avn.monitoring.sampler.read_replication", read_replication)
    ends = [Endpoint(service=name, uri="valkey://h:1", timeout=pair.timeout) for name in ("eu", "us")]
    return Sampler(*ends, patience=INTERVAL, clock=lambda: pair.now, now=lambda: pair.wall, sleep=pair.sleep)


def samples(
    pair: FakePair, sampler: Sampler, count: int, befall: Callable[[int], None] = lambda _: None
) -> list[Sample]:
    """Samples as the loop takes them: what is late is left out, not made up for."""
    taken, due = [], pair.now
    for number in range(count):
        befall(number)
        taken.append(sampler.take())
        due = max(due + INTERVAL, pair.now)
        pair.sleep(due - pair.now)
    return taken


def test_one_stall_is_told_as_long_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair()

    def befall(number: int) -> None:
        pair.stall = 0.1 if number == 3 else 0.0

    found = samples(pair, sampler_of(pair, monkeypatch), 12, befall)
    assert all(one.arrived for one in found)
    lags = [one.lag_ms or 0 for one in found]
    assert max(lags) == lags[3] == pytest.approx(102, abs=1)
    assert pair.connects == 2, "nothing was connected anew"


def test_a_steady_lag_above_the_interval_is_told_and_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair(behind=0.3)
    found = samples(pair, sampler_of(pair, monkeypatch), 60)[5:]
    assert sum(one.arrived for one in found) > len(found) / 2
    assert all(300 <= (one.lag_ms or 0) <= 800 for one in found)


def test_a_round_trip_above_the_interval_is_no_write_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair(round_trip=0.15)
    sampler = sampler_of(pair, monkeypatch)
    found = samples(pair, sampler, 10)
    assert not any(one.write_trouble for one in found)
    assert all(one.arrived for one in found)
    assert sampler.round_trip == pytest.approx(0.15)


def test_writes_held_back_are_told_while_samples_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair()
    sampler = sampler_of(pair, monkeypatch)
    samples(pair, sampler, 3)
    pair.held = True
    began, held = pair.now, samples(pair, sampler, 12)
    assert pair.now - began < 12 * (pair.timeout + 0.1), "a sample waits for an answer once"
    assert {one.write_trouble for one in held} == {HELD_BACK}, "told until a write has gone through"
    assert {one.primary_trouble for one in held} == {""}, "INFO still answers"
    assert not any(one.arrived for one in held)
    lags = [one.lag_ms or 0 for one in held]
    assert lags == sorted(lags)
    pair.held = False
    after = samples(pair, sampler, 3)
    assert (after[0].write_trouble, after[-1].arrived) == ("", True)


def test_an_answer_that_is_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair()
    sampler = sampler_of(pair, monkeypatch)
    samples(pair, sampler, 2)
    pair.stall = 0.7
    late, after = samples(pair, sampler, 2)
    assert (late.arrived, after.arrived) == (True, True)
    assert late.lag_ms == pytest.approx(702, abs=1), "from its writing"
    assert late.write_trouble == after.write_trouble == ""
    assert pair.connects == 2


def test_the_marker_of_another_watch_is_no_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not that of one whose clock is ahead, or that was written later."""
    pair = FakePair()
    first, second = sampler_of(pair, monkeypatch), sampler_of(pair, monkeypatch)
    assert [one.take().arrived for one in (first, second)] == [True, True]
    pair.cut = pair.now
    pair.written.append((pair.cut, "f00", f"{int(pair.wall * 1000) + 600_000}:99"))
    found = samples(pair, second, 3)
    assert [one.arrived for one in found] == [False] * 3
    assert [one.lag_ms or 0 for one in found] == sorted(one.lag_ms or 0 for one in found)


def test_two_watches_each_see_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair(behind=0.3)
    watches = [sampler_of(pair, monkeypatch) for _ in range(2)]
    found = [one.take() for _ in range(20) for one in watches][8:]
    assert all(one.arrived for one in found)


def test_a_marker_is_stamped_by_the_primarys_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair(wall=1.6e9)
    sampler = sampler_of(pair, monkeypatch)
    sampler.take()
    assert pair.written[-1][2] == "1600000000000:1"


def test_its_own_markers_are_no_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair()
    sampler = sampler_of(pair, monkeypatch)

    def pinged(_: int) -> None:
        pair.offset += 14  # what a primary sends now and then, and no write

    assert {one.write_rate for one in samples(pair, sampler, 8, pinged)[1:]} == {0.0}
    assert pair.offset > 8 * 14, "the stream itself has grown"

    def written(_: int) -> None:
        pair.offset += 1000
        pair.changes += 5

    rates = [one.write_rate or 0 for one in samples(pair, sampler, 8, written)]
    assert all(rate == pytest.approx(10_000, rel=0.01) for rate in rates)


def test_others_writes_are_counted_across_a_save(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair()
    sampler = sampler_of(pair, monkeypatch)
    samples(pair, sampler, 2)
    pair.changes, pair.last_save = 0, 77
    pair.offset += 1000
    [one] = samples(pair, sampler, 1)
    assert one.write_rate == pytest.approx(10_000, rel=0.01)


def test_a_clock_that_is_set_back_is_no_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = FakePair()
    sampler = sampler_of(pair, monkeypatch)
    samples(pair, sampler, 2)
    pair.wall -= 3600
    pair.cut = pair.now
    assert not any(one.arrived for one in samples(pair, sampler, 3))


def test_a_late_answer_is_no_reason_to_wait_but_a_failed_connect_is(monkeypatch: pytest.MonkeyPatch) -> None:
    connects: list[int] = []
    refused: list[int] = []

    def connect(*_: Any, **__: Any) -> Any:
        connects.append(1)
        if refused:
            raise Unreachable("p0: refused")
        return FakePair()

    def late(_: Any) -> int:
        raise Late("Timeout reading from h:1")

    monkeypatch.setattr("ccr_avn.monitoring.side.connect", connect)
    one = WatchedSide(Endpoint(service="p0", uri="valkey://h:1"), clock=lambda: 10.0)
    assert one.ask(late) is None
    assert "stopped answering" in one.trouble, "it had answered: who may connect is not the question"
    assert one.ask(lambda _: 1) == 1
    assert one.trouble == ""
    one.close()
    refused.append(1)
    assert [one.ask(lambda _: 1) for _ in range(3)] == [None] * 3
    assert len(connects) == 3
