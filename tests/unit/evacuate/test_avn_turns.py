"""How many avn run at once, who waits for whom, and what a platform that says slow down does to all. Injected time."""

import threading

import pytest

from ccr_avn.errors import Interrupted
from ccr_avn.evacuate import avn_turns
from ccr_avn.evacuate.avn_turns import AGING, AvnTurns, Stage
from tests.support.executed import answer
from tests.support.ticks import Ticks
from tests.support.wait import until


class Turn:
    """Somebody who asks for a turn, and keeps it until told to give it back."""

    def __init__(self, turns: AvnTurns, *, stage: Stage) -> None:
        self.has, self._ends = threading.Event(), threading.Event()

        def run() -> None:
            with turns.turn(stage):
                self.has.set()
                self._ends.wait(60)

        threading.Thread(target=run, daemon=True).start()

    def ends(self) -> None:
        self._ends.set()


def test_those_whose_writes_are_paused_have_a_place_of_their_own() -> None:
    turns = AvnTurns(4)
    others = [Turn(turns, stage="before") for _ in range(50)]
    until(lambda: sum(one.has.is_set() for one in others) == 3, "all places but one to be taken")
    urgent = [Turn(turns, stage="paused") for _ in range(2)]
    until(lambda: sum(one.has.is_set() for one in urgent) == 1, "the last one to be taken")
    assert sum(one.has.is_set() for one in others) == 3
    for one in (*others, *urgent):
        one.ends()


def test_who_is_interrupted_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avn_turns, "LOOK", 0.0)
    turns = AvnTurns(1)

    def check() -> None:
        raise Interrupted(2)

    with turns.turn(), pytest.raises(Interrupted), turns.turn(check=check):
        pass
    with turns.turn():
        pass  # nothing was kept by the one that gave up


def test_only_so_many_have_their_writes_paused_and_one_that_hangs_keeps_nobody_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(avn_turns, "PATIENCE", 0.0)
    turns = AvnTurns(2)
    ends = [turns.begin_pause() for _ in range(3)]
    ends[2]()  # it had no place, so it gives none back
    assert not turns._pauses.acquire(blocking=False)
    ends[0]()
    ends[1]()
    assert [turns._pauses.acquire(blocking=False) for _ in range(3)] == [True, True, False]


def test_pauses_grow_where_none_is_named_and_nobody_asks_meanwhile(ticks: Ticks) -> None:
    turns = AvnTurns(2)
    assert [turns.slow_down(None) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    with turns.turn("paused"):
        assert ticks.at == 8.0
    turns.went_well()
    assert turns.slow_down(27.0) == 27.0
    assert turns.slowed == 7


def test_bookkeeping_lets_promotions_pass_but_not_for_ever(ticks: Ticks) -> None:
    turns = AvnTurns(4)
    with turns.turn("after"):
        assert ticks.at == 0.0
        with turns.turn("after"):  # it waits for no other of its kind
            assert ticks.at == 0.0
    with turns.turn("before"), turns.turn("after"):
        assert AGING <= ticks.at < AGING + 1


def test_a_list_for_all_is_put_off_as_long_as_the_platform_says_and_not_for_ever(ticks: Ticks) -> None:
    turns = AvnTurns(2)
    refused = answer(code=1, stderr="ERROR\tHTTP 429: Too Many Requests (try again in 50 seconds)")
    answers = [refused, answer(stdout="[]")]
    assert turns.ask_for_all(lambda: answers.pop(0)).code == 0
    assert turns.slowed == 1
    assert turns.ask_for_all(lambda: refused).code == 1
    assert 300 <= ticks.at < 400
    assert turns.ask_for_all(lambda: answer(code=1, stderr="ERROR\tHTTP 500: no")).code == 1
