"""How many avn run at once, who goes first, and what one list may answer. Injected time and conditions."""

import json
import threading
from dataclasses import dataclass, field

import pytest

from ccr_avn.aiven.avn import Project
from ccr_avn.evacuate.governor import AGING, LEASE, Governor, Rank
from ccr_avn.evacuate.shared import SharedReads
from ccr_avn.process import Answer
from tests.support.wait import until


@dataclass(slots=True)
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def asks(governor: Governor, name: str, rank: Rank, log: list[str]) -> threading.Thread:
    def run() -> None:
        with governor.place(lambda: rank):
            log.append(name)

    before = len(governor._waiting)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until(lambda: len(governor._waiting) > before)
    return thread


def test_promotions_go_before_bookkeeping_and_who_holds_writes_back_before_all() -> None:
    governor, log = Governor(most=1), list[str]()
    first = governor.take(lambda: Rank.PROMOTION)
    threads = [asks(governor, rank.name, rank, log) for rank in (Rank.BOOKKEEPING, Rank.PROMOTION, Rank.FENCED)]
    governor.give_back(first)
    for thread in threads:
        thread.join(60)
    assert log == ["FENCED", "PROMOTION", "BOOKKEEPING"]


def test_bookkeeping_takes_no_core_from_a_promotion() -> None:
    governor, log = Governor(most=4), list[str]()
    promotion = governor.take(lambda: Rank.PROMOTION)
    bookkeeping = asks(governor, "bookkeeping", Rank.BOOKKEEPING, log)
    with governor.place(lambda: Rank.PROMOTION):
        assert log == []
    assert log == []
    governor.give_back(promotion)
    bookkeeping.join(60)
    assert log == ["bookkeeping"]


def test_bookkeeping_does_not_wait_for_ever() -> None:
    clock, log = Clock(), list[str]()
    governor = Governor(most=2, clock=clock)
    governor.take(lambda: Rank.PROMOTION)
    thread = asks(governor, "bookkeeping", Rank.BOOKKEEPING, log)
    with governor.place(lambda: Rank.PROMOTION):
        clock.now = AGING
    thread.join(60)
    assert log == ["bookkeeping"]


def test_what_gives_way_keeps_no_promotion_waiting_unless_the_platform_said_slow_down() -> None:
    clock, log = Clock(), list[str]()
    governor = Governor(most=1, clock=clock)
    bookkeeping = governor.take(lambda: Rank.BOOKKEEPING)
    with governor.place(lambda: Rank.PROMOTION):
        pass
    governor.slow_down(1.0)
    clock.now = 1.0
    governor.limit = 0.5 + governor.most / 2
    governor.most = 2
    promotion = asks(governor, "promotion", Rank.PROMOTION, log)
    assert log == []
    governor.give_back(bookkeeping)
    promotion.join(60)
    assert log == ["promotion"]


def test_hundreds_that_wait_do_not_wake_each_other() -> None:
    """Whose turn it is is seen once a change, not by each of those who wait."""
    governor, log, asked = Governor(most=1), list[str](), list[int]()
    first = governor.take(lambda: Rank.PROMOTION)

    def rank(number: int) -> Rank:
        asked.append(number)
        return Rank.PROMOTION

    def run(number: int) -> None:
        with governor.place(lambda: rank(number)):
            log.append(str(number))

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(100)]
    for thread in threads:
        thread.start()
    until(lambda: len(governor._waiting) == 100)
    asked.clear()
    governor.give_back(first)
    for thread in threads:
        thread.join(60)
    assert sorted(log, key=int) == [str(number) for number in range(100)]
    assert len(asked) < 100 * 100 * 2


def test_a_place_kept_for_a_pause_that_does_not_come_on_is_lost() -> None:
    clock, log = Clock(), list[str]()
    governor = Governor(most=1, clock=clock)
    governor.take(lambda: Rank.PROMOTION, lease=LEASE)
    thread = asks(governor, "other", Rank.PROMOTION, log)
    assert log == []
    clock.now = LEASE
    thread.join(60)
    assert log == ["other"]


def test_fewer_at_once_while_the_platform_says_slow_down_and_more_again_afterwards() -> None:
    clock = Clock()
    governor = Governor(most=8, clock=clock)
    assert governor.slow_down(27.0) == 27.0
    governor.slow_down(None)  # one of many that were told the same
    assert governor.limit == 4
    clock.now = 2.0
    governor.slow_down(None)
    assert governor.limit == 2
    for _ in range(200):
        governor.went_well()
    assert governor.limit == 8


def test_pauses_grow_where_none_is_named_and_nobody_asks_meanwhile() -> None:
    clock, log = Clock(), list[str]()
    governor = Governor(most=2, clock=clock)
    assert [governor.slow_down(None) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    thread = asks(governor, "late", Rank.FENCED, log)
    assert log == []
    clock.now = 8.0
    thread.join(60)
    governor.went_well()
    assert governor.slow_down(None) == 0.5


@dataclass(slots=True)
class Platform:
    """Lists what it has when it is asked, and takes a moment for it."""

    clock: Clock
    services: list[dict[str, object]] = field(default_factory=list)
    asked: int = 0
    code: int = 0

    def __call__(self, argv: tuple[str, ...], deadline: float) -> Answer:
        assert argv == ("avn", "service", "list", "--project", "p", "--json")
        self.asked += 1
        told = json.dumps(self.services)
        self.clock.now += 1.0
        return Answer(argv=argv, code=self.code, stdout=told, stderr="", seconds=1.0)


def shared() -> tuple[SharedReads, Platform]:
    clock = Clock()
    rows = [{"service_integration_id": None, "source_service": "eu", "dest_service": "us"}]
    services: list[dict[str, object]] = [
        {"service_name": "eu", "tags": {"a": "b"}, "service_integrations": rows},
        {"service_name": "us"},
    ]
    platform = Platform(clock, services)
    return SharedReads(project=Project("p"), ask=platform, clock=clock), platform


FLAGS = ("--project", "p", "--json")


def test_one_list_answers_what_was_asked_of_the_same_moment() -> None:
    reads, platform = shared()

    def told(*words: str, since: float = 0.0) -> object:
        answer = reads.answer(("/bin/avn", "service", *words, *FLAGS), since=since, deadline=60)
        assert answer is not None
        return json.loads(answer.stdout)

    assert told("get", "us") == {"service_name": "us"}
    assert told("list", "us", "nobody") == [{"service_name": "us"}]
    assert told("tags", "list", "eu") == [{"key": "a", "value": "b"}]
    assert told("integration-list", "eu") == [
        {"service_integration_id": "(integration not enabled)", "source_service": "eu", "dest_service": "us"}
    ]
    assert platform.asked == 1
    told("get", "us", since=0.5)  # asked for after it began: it may have seen the old state
    assert platform.asked == 2


@pytest.mark.parametrize(
    "words",
    [
        ("service", "get", "nobody", *FLAGS),
        ("service", "integration-list", "us", *FLAGS),
        ("service", "tags", "list", "us", *FLAGS),
        ("service", "backup-list", "eu", *FLAGS),
        ("service", "list", *FLAGS),
        ("service", "get", "eu", "--project", "another", "--json"),
        ("service", "update", "eu", "--project", "p", "--power-off"),
        ("--version",),
    ],
)
def test_what_a_list_does_not_tell_is_asked_itself(words: tuple[str, ...]) -> None:
    reads, _ = shared()
    assert reads.answer(("/bin/avn", *words), since=0.0, deadline=60) is None


def test_a_list_that_fails_answers_nobody() -> None:
    reads, platform = shared()
    platform.code = 1
    assert reads.answer(("avn", "service", "get", "eu", *FLAGS), since=0.0, deadline=60) is None
    assert platform.asked == 1
