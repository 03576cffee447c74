"""How the pairs of an evacuation run and end: plain values, no avn."""

import signal
from dataclasses import replace

import pytest

from ccr_avn.cli.evacuation import Evacuation
from ccr_avn.cli.evacuation_result import EvacuationResult
from ccr_avn.cli.options import How
from ccr_avn.cli.pair_run import PairResult, PairRun
from ccr_avn.cli.session import Session
from ccr_avn.errors import Interrupted, Refused
from ccr_avn.evacuate.choose import Action, Selection
from ccr_avn.evacuate.schedule import Schedule, Turn
from ccr_avn.output.progress import PlainProgress
from ccr_avn.plan import events
from tests.support.evacuating import WANT, WORLD, choice, moved, pair_run
from tests.support.ticks import Ticks

NOTES = (
    "r0 is the primary now; p0 is not closed yet",
    "writes on p0 are paused until 09:20:00",
    "run the same command",
)
HALF_WAY = {"new_primary": "r0", "old_primary": "p0", "writes_paused_until": 1_800_000_000.0, "ways_to_close": ["avn"]}


def turn() -> Turn:
    return Turn(Schedule())


@pytest.mark.parametrize(("number", "promoted"), [(2, True), (15, False)])
def test_only_what_was_seen_to_be_promoted_is_counted_and_the_code_is_that_of_its_signal(
    number: int, promoted: bool
) -> None:
    problem = Interrupted(number)
    problem.changed, problem.notes, problem.result = True, NOTES, {**HALF_WAY, "promoted": promoted}
    end = pair_run(choice(0))._failed(problem)
    assert (end.state, end.promoted, end.code) == ("half-way", promoted, 128 + number)
    assert end.notes == NOTES


def test_what_the_work_of_a_pair_raised_is_its_end_and_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PairRun, "_decide", raises)
    end = pair_run(choice(0)).run(turn())
    assert (end.state, end.summary.partition(";")[0], end.code) == ("failed", "internal error: MemoryError", 1)
    assert end.changed == "unknown"


def evacuation(*pairs: PairResult) -> Evacuation:
    made = Evacuation(want=WANT, world=WORLD, how=How(), pair_words=(), first_list=tuple)
    chosen, ends = Selection(choices=(), replicas_here=()), {one.choice.name: one for one in pairs}
    made._result = EvacuationResult(want=WANT, selection=chosen, services={}, pairs=ends)
    return made


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 140), (signal.SIGTERM, 153)])
def test_a_signal_while_the_result_is_reported_keeps_what_was_changed(number: int, code: int) -> None:
    made = evacuation(moved(choice(0)))
    made._over = True
    if number == signal.SIGINT:
        made._arrived(number, None)  # one is noted: all is done
    with pytest.raises(Interrupted) as late:
        made._arrived(number, None)
    assert late.value.exit_code == code


@pytest.mark.parametrize(
    ("first", "then", "action", "takes_a_turn"),
    [
        ("failover", ["switchover"], "switchover", True),
        ("failover", ["failover"], "failover", True),
        ("switchover", ["switchover"], "switchover", False),
        ("switchover", ["failover", "failover"], "failover", True),
        ("switchover", ["failover", "switchover"], "switchover", True),
    ],
)
def test_auto_decides_again_when_the_turn_of_a_pair_comes(
    first: Action, then: list[Action], action: Action, takes_a_turn: bool
) -> None:
    """A failover is decided on what was seen while the pair had its turn, and not before."""
    left, own = [choice(0, one) for one in then], turn()
    pair = pair_run(choice(0, first), judge=lambda: left.pop(0))
    pair._decide(own)
    assert (pair.choice.action, pair.verb.command) == (action, action)
    assert (own._taken, left) == (takes_a_turn, [])


def test_one_that_is_not_proven_to_be_lost_by_then_is_refused() -> None:
    now = replace(choice(0, "refuse"), reason="p0: max number of clients", hint="if it is lost: ccr-avn evacuate")
    pair = pair_run(choice(0, "failover"), judge=lambda: now)
    with pytest.raises(Refused, match="max number of clients") as refused:
        pair._decide(turn())
    assert refused.value.hint == now.hint
    end = pair._failed(refused.value)
    assert (end.state, end.changed, end.run) == ("refused", False, "")


def test_waiting_for_its_turn_is_no_time_that_the_run_of_a_pair_took(ticks: Ticks) -> None:
    class Slow(Turn):
        def take(self) -> None:
            ticks.at = 42.0

    session = Session("switchover", run_id="run", json=True, progress=PlainProgress())
    session.sinks = [session.timeline.append]
    pair_run(choice(0))._take(Slow(Schedule()), session)
    [asked] = session.timeline
    assert isinstance(asked, events.Asked)
    assert (asked.confirmed, asked.seconds) == (True, 42.0)
