"""How many avn run at once, who goes first, and what one list may answer. Injected time and conditions."""

import json
import threading
from dataclasses import dataclass, field

import pytest

from ccr_avn.aiven.avn import Project
from ccr_avn.errors import Interrupted
from ccr_avn.evacuate.governor import AGING, Governor, Rank
from ccr_avn.evacuate.shared import SharedReads
from ccr_avn.process import Answer
from tests.support.wait import until


@dataclass(slots=True)
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Place:
    """One that asks for a place, and keeps it until it is told to give it back."""

    def __init__(self, governor: Governor, rank: Rank) -> None:
        self.has, self._ends = threading.Event(), threading.Event()

        def run() -> None:
            with governor.place(rank):
                self.has.set()
                self._ends.wait(60)

        before = governor._waiting[rank]
        threading.Thread(target=run, daemon=True).start()
        until(lambda: self.has.is_set() or governor._waiting[rank] > before)

    def ends(self) -> None:
        self._ends.set()


def test_promotions_go_before_bookkeeping_and_who_holds_writes_back_before_all() -> None:
    governor = Governor(most=1)
    first = Place(governor, Rank.PROMOTION)
    bookkeeping, promotion, fenced = (Place(governor, rank) for rank in reversed(Rank))
    for before, one in ((first, fenced), (fenced, promotion), (promotion, bookkeeping)):
        assert not one.has.is_set()
        before.ends()
        until(one.has.is_set)
    bookkeeping.ends()


def test_bookkeeping_takes_no_core_from_a_promotion_but_does_not_wait_for_ever() -> None:
    clock = Clock()
    governor = Governor(most=4, clock=clock)
    promotion, bookkeeping = Place(governor, Rank.PROMOTION), Place(governor, Rank.BOOKKEEPING)
    another = Place(governor, Rank.PROMOTION)
    assert (another.has.is_set(), bookkeeping.has.is_set()) == (True, False)
    another.ends()
    clock.now = AGING
    until(bookkeeping.has.is_set, "it to be as urgent as the others")
    promotion.ends()
    bookkeeping.ends()


def test_no_more_than_so_many_run_at_once() -> None:
    governor = Governor(most=3)
    places = [Place(governor, Rank.PROMOTION) for _ in range(50)]
    for ended in range(50):
        until(lambda ended=ended: sum(one.has.is_set() for one in places) == min(50, ended + 3))  # type: ignore[misc]
        next(one for one in places if one.has.is_set() and not one._ends.is_set()).ends()


def test_who_is_interrupted_waits_no_more() -> None:
    governor = Governor(most=1)
    first = Place(governor, Rank.PROMOTION)

    def check() -> None:
        raise Interrupted(2)

    with pytest.raises(Interrupted), governor.place(Rank.PROMOTION, check):
        pass
    assert not any(governor._waiting.values())
    first.ends()


def test_pauses_grow_where_none_is_named_and_nobody_asks_meanwhile() -> None:
    clock = Clock()
    governor = Governor(most=2, clock=clock)
    assert [governor.slow_down(None) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    late = Place(governor, Rank.FENCED)
    assert not late.has.is_set()
    clock.now = 8.0
    until(late.has.is_set)
    late.ends()
    governor.went_well()
    assert governor.slow_down(27.0) == 27.0
    assert governor.slowed == 7


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
