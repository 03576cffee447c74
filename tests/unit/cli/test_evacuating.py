"""What an evacuation makes of the ends of its pairs: plain values, no run."""

import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.aiven.program import Program
from ccr_avn.cli import one_of_many
from ccr_avn.cli.evacuating import Evacuation, FirstList
from ccr_avn.cli.evacuation_told import Ends, lines_of
from ccr_avn.cli.one_of_many import Moved, OneOfMany
from ccr_avn.errors import Interrupted, Refused
from ccr_avn.evacuate.choose import LINK_UP, Action, Choice, Selection, Want
from ccr_avn.evacuate.pair_phases import PairPhases
from ccr_avn.evacuate.schedule import Ended, Schedule, State, Turn
from ccr_avn.evacuate.stop import Stop
from ccr_avn.plan import events
from tests.support.factories import given_to_evacuate, service

GIVEN = given_to_evacuate(Want(clouds=("google-europe-west1",)))

HALF_WAY = {
    "new_primary": "r0",
    "promoted": True,
    "old_primary": "p0",
    "writes_paused_until": 1_800_000_000.0,
    "ways_to_close": ["avn service update p0 --power-off"],
}
NOTES = (
    "r0 is the primary now; p0 is not closed yet",
    "writes on p0 are paused until 09:20:00",
    "run the same command",
)


def choice(number: int, action: Action = "switchover") -> Choice:
    return Choice(action=action, primary=f"p{number}", replica=f"r{number}", reason=LINK_UP)


def selection(*actions: Action) -> Selection:
    return Selection(choices=tuple(choice(number, one) for number, one in enumerate(actions)), replicas_here=())


def moved(one: Choice, state: State = "done", **more: Any) -> Moved:
    ended = Ended(state=state, changed=more.pop("changed", state == "done"), code=more.pop("code", 0))
    told: dict[str, Any] = {"result": {}, "summary": state, **more}
    return Moved(choice=one, ended=ended, run="run", head="head", **told)


def ended(chosen: Selection, *ends: Moved, services: Sequence[dict[str, Any]] = ()) -> Ends:
    rows = {one.name: one for one in models.services(json.dumps(services))}
    return Ends(run="all", given=GIVEN, selection=chosen, services=rows, moved={one.choice.name: one for one in ends})


def evacuation(ends: Ends) -> Evacuation:
    made = Evacuation(GIVEN, FirstList(answer=tuple, told=[], began=0.0))
    made.ends = ends
    return made


def test_one_that_is_half_way_is_reported_as_a_switchover_does() -> None:
    chosen = selection("switchover", "switchover")
    half = moved(chosen.choices[0], "failed", changed=True, code=130, result=HALF_WAY, notes=NOTES)
    result = ended(chosen, half, moved(chosen.choices[1], outage_ms=5.0)).result()
    assert (result["moved"], result["promoted"], result["half_way"], result["failed"]) == (1, 2, 1, 0)
    assert result["pairs"][0]["state"] == "half-way"
    assert result["pairs"][0]["half_way"] == HALF_WAY
    assert result["pairs"][0]["exit_code"] == 130
    lines = lines_of(result)
    assert lines[0].startswith("1 moved, 1 half-way (1 seen to be promoted), 0 already done, 0 failed")
    assert set(NOTES) < {line.strip() for line in lines}


def interrupted(number: int, *, promoted: bool) -> Moved:
    job = OneOfMany(choice=choice(0), given=GIVEN, evacuation="e", began=0.0)
    problem = Interrupted(number)
    problem.changed, problem.notes, problem.result = True, NOTES, {**HALF_WAY, "promoted": promoted}
    return job._failed(problem, PairPhases(["p0/r0"]))


@pytest.mark.parametrize("promoted", [True, False])
def test_only_what_was_seen_to_be_promoted_is_counted_and_needs_a_replica(promoted: bool) -> None:
    end = interrupted(2, promoted=promoted)
    assert (end.state, end.promoted, bool(end.enable)) == ("half-way", promoted, promoted)
    assert end.notes == NOTES


@pytest.mark.parametrize("number", [2, 15])
def test_a_pair_that_was_interrupted_reports_the_code_of_its_signal(number: int) -> None:
    assert interrupted(number, promoted=True).ended.code == 128 + number


def test_old_primaries_that_a_failover_left_open_are_listed_with_what_closes_them() -> None:
    chosen = selection("failover", "failover", "done", "done", "failover", "switchover")
    ends = [moved(one, "refused" if one.primary == "p4" else "done") for one in chosen.choices if one.moves]
    rows = (
        service("p0"),
        service("p1", termination_protection=True),
        service("p2"),
        service("p3", user_config={"ip_filter": ["192.0.2.1/32"]}),
        service("p4"),
        service("p5"),
    )
    result = ended(chosen, *ends, services=rows).result()
    assert [one["service"] for one in result["still_open"]] == ["p0", "p1", "p2"]
    assert "--power-off" in result["still_open"][0]["close"]
    assert "--disable-termination-protection" in result["still_open"][1]["close"]
    assert any("p0" in line and "--power-off" in line for line in lines_of(result))


def test_an_outage_that_was_not_seen_as_a_whole_is_not_measured() -> None:
    chosen = selection("switchover", "failover")
    result = ended(chosen, *(moved(one) for one in chosen.choices)).result()
    assert (result["outage_ms"], result["outage_not_measured"]) == (None, 1)
    assert any("not measured of 1" in line for line in lines_of(result))


def test_pairs_that_no_thread_could_be_started_for_are_no_success() -> None:
    chosen = selection("switchover", "switchover")
    ends = ended(chosen, moved(chosen.choices[0]))
    ends.full = "can't start new thread"
    problem = ends.problem(Stop())
    assert problem
    assert (problem.exit_code, problem.detail) == (14, "can't start new thread")


def test_what_the_work_of_a_pair_raised_is_its_end_and_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def perform(*_: object) -> Moved:
        raise MemoryError

    monkeypatch.setattr(OneOfMany, "perform", perform)
    monkeypatch.setattr(one_of_many, "Session", lambda *_, **__: SimpleNamespace(run_id="run"))
    chosen = selection("switchover")
    made = evacuation(ended(chosen))
    made._move(list(chosen.choices), Program(path="avn", version="1"))
    assert made.ends.moved["p0/r0"].summary == "internal error: MemoryError"
    problem = made.ends.problem(Stop())
    assert problem
    assert problem.exit_code == 11


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 140), (signal.SIGTERM, 153)])
def test_a_signal_while_the_result_is_reported_keeps_what_was_changed(number: int, code: int) -> None:
    chosen = selection("switchover")
    made = evacuation(ended(chosen, moved(chosen.choices[0])))
    made._over = True
    if number == signal.SIGINT:
        made._arrived(number, None)  # one is noted: all is done
    with pytest.raises(Interrupted) as late:
        made._arrived(number, None)
    assert late.value.exit_code == code


@pytest.mark.parametrize(
    ("first", "then", "action", "turns"),
    [
        ("failover", ["switchover"], "switchover", 1),
        ("failover", ["failover"], "failover", 1),
        ("switchover", ["switchover"], "switchover", 0),
        ("switchover", ["failover", "failover"], "failover", 1),
        ("switchover", ["failover", "switchover"], "switchover", 1),
    ],
)
def test_auto_decides_again_when_the_turn_of_a_pair_comes(
    first: Action, then: list[Action], action: Action, turns: int
) -> None:
    """A failover is decided on what was seen while the pair had its turn, and not before."""
    left = [choice(0, one) for one in then]
    turn = Turn(Schedule())
    chosen = replace(choice(0, first), family=("p0", "r0", "r1"))
    job = OneOfMany(choice=chosen, given=GIVEN, evacuation="e", began=0.0, judge=lambda: left.pop(0))
    job._decide(turn)
    assert job.choice.family == chosen.family
    assert (job.choice.action, job.session.command, turn._taken, left) == (action, action, bool(turns), [])


def test_one_that_is_not_proven_to_be_lost_by_then_is_refused() -> None:
    now = replace(choice(0, "refuse"), reason="p0: max number of clients", hint="if it is lost: ccr-avn evacuate")
    job = OneOfMany(choice=choice(0, "failover"), given=GIVEN, evacuation="e", began=0.0, judge=lambda: now)
    with pytest.raises(Refused, match="max number of clients") as refused:
        job._decide(Turn(Schedule()))
    assert refused.value.hint == now.hint
    end = job._failed(refused.value, PairPhases(["p0/r0"]))
    assert (end.state, end.ended.changed, end.run) == ("refused", False, "")


def test_waiting_for_its_turn_is_no_time_that_the_run_of_a_pair_took(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter((0.0, 42.0, 42.0))
    job = OneOfMany(choice=choice(0), given=GIVEN, evacuation="e", began=0.0)
    monkeypatch.setattr(job.session, "sinks", [job.session.timeline.append])
    monkeypatch.setattr(one_of_many, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    job._take(Turn(Schedule()))
    [asked] = job.session.timeline
    assert isinstance(asked, events.Asked)
    assert (asked.confirmed, asked.seconds) == (True, 42.0)
