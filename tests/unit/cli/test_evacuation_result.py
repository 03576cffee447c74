"""What is said of an evacuation, before its question and at its end: what is not moved is nearest to the prompt."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ccr_avn.aiven import models
from ccr_avn.cli.boundary import run
from ccr_avn.cli.evacuation import Evacuation
from ccr_avn.cli.evacuation_result import EvacuationResult, lines_of, question, sentence, table
from ccr_avn.cli.pair_run import PairResult, PairRun
from ccr_avn.evacuate.choose import LINK_UP, Action, Choice, Selection
from ccr_avn.evacuate.schedule import Stop
from ccr_avn.output import schemas
from tests.support.evacuating import WANT, choice, moved
from tests.support.factories import fact


def named(name: str, *, refused: bool = False) -> Choice:
    return Choice(
        action="refuse" if refused else "switchover",
        primary=name,
        replica=f"{name}-replica",
        reason="link down" if refused else LINK_UP,
        lag_bytes=None if refused else 0,
        others=("reports stays a replica of the old primary",) if name == "carts" else (),
    )


SELECTION = Selection(
    choices=(named("broken", refused=True), named("carts"), named("sessions")), replicas_here=("us-eu",)
)


def test_each_pair_has_a_line_and_what_is_not_moved_comes_last_with_why() -> None:
    assert table(SELECTION, WANT) == [
        "ACTION      LAG  PAIR",
        "switchover  0 B  carts/carts-replica",
        "                 reports stays a replica of the old primary",
        "switchover  0 B  sessions/sessions-replica",
        "refuse      -    broken/broken-replica",
        "                 link down",
        "not moved, because their primaries are elsewhere: us-eu",
    ]
    assert sentence(SELECTION) == "2 to switch over, 1 can't be moved"


def test_where_there_is_nothing_that_is_said() -> None:
    none = "no Valkey or Redis primary is in google-europe-west1"
    assert table(Selection(choices=(), replicas_here=()), WANT) == [none]
    elsewhere = Selection(choices=(), replicas_here=(), elsewhere={"do-fra": 2, "aws-us-east-1": 1})
    assert table(elsewhere, WANT) == [f"{none}; they are in aws-us-east-1 (1), do-fra (2)"]
    narrowed = Selection(choices=(), replicas_here=(), left_out=2)
    assert table(narrowed, WANT) == ["everything there is left out by --only, --except or --tag: 2 primaries"]
    assert table(replace(SELECTION, left_out=1), WANT)[-1] == "left out by --only, --except or --tag: 1 more primary"


@pytest.mark.parametrize(("old_primary", "becomes"), [("close", "closed"), ("power-off", "powered off")])
def test_the_question_says_every_consequence(old_primary: Literal["close", "power-off"], becomes: str) -> None:
    asked = question(SELECTION, replace(WANT, old_primary=old_primary, promote_timeout=100))
    assert asked.answer == "google-europe-west1"
    assert "to promote 2 replicas" in asked.text
    assert becomes in asked.consequences["switchover"]
    assert "160 s at most" in asked.consequences["write pause"]
    assert "failover" not in asked.consequences


def test_a_pair_is_resumed_with_all_that_was_typed_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Evacuation] = []

    def begins(evacuation: Evacuation) -> None:
        made.append(evacuation)

    monkeypatch.setattr(Evacuation, "run", begins)
    monkeypatch.setattr("ccr_avn.cli.options.Reaching.begin", lambda *_: None)
    monkeypatch.setattr("ccr_avn.cli.options.Asking.preload", lambda *_, **__: None)
    typed = ("--yes", "--after", "echo 'it is done'", "--promote-timeout", "60", "--hook-timeout", "9")
    off = ("--old-primary", "power-off", "--max-lag-bytes", "5")
    where = ("--project", "p", "--route", "public")
    words = ["evacuate", "c-1", *typed, *off, *where, "--parallel", "3", "--write-env-dir", str(tmp_path)]
    assert run(words) == 0
    [one] = made
    env = ("--write-env", f"{tmp_path}/carts-replica.env")

    def single(action: Action) -> set[str]:
        return set(PairRun(choice=replace(named("carts"), action=action), common=one).words)

    kept = {"carts-replica", *typed, *where, *env}
    assert single("switchover") == {"switchover", "carts", *off, *kept}
    assert single("failover") == {"failover", "--allow-data-loss", *kept}


# -- the end


def selection(*actions: Action) -> Selection:
    return Selection(choices=tuple(choice(number, one) for number, one in enumerate(actions)), replicas_here=())


def ended(chosen: Selection, *pairs: PairResult, services: Sequence[models.Service] = ()) -> EvacuationResult:
    rows = {one.name: one for one in services}
    ends = {one.choice.name: one for one in pairs}
    return EvacuationResult(want=WANT, selection=chosen, services=rows, pairs=ends)


def test_one_that_is_half_way_is_reported_as_a_switchover_does() -> None:
    chosen, notes = selection("switchover", "switchover"), ("p0 is not closed yet", "run the same command")
    half_way = {
        "new_primary": "r0",
        "promoted": True,
        "old_primary": "p0",
        "writes_paused_until": "2027-01-15T08:00:00Z",
        "ways_to_close": ["avn service update p0 --power-off"],
    }
    half = moved(chosen.choices[0], "failed", changed=True, code=130, result=half_way, notes=notes)
    result = ended(chosen, half, moved(chosen.choices[1], outage_ms=5.0)).as_dict()
    assert [result[f"pairs_{one}"] for one in ("moved", "promoted", "half_way", "failed")] == [1, 2, 1, 0]
    assert [shlex.split(one)[:4] for one in result["enable"]] == [
        ["ccr-avn", "enable", f"r{one}", f"r{one}-2"] for one in (0, 1)
    ]
    assert (result["pairs"][0]["state"], result["pairs"][0]["half_way"]) == ("half-way", half_way)
    schemas.Evacuation.model_validate_json(json.dumps(result))
    assert result["pairs"][0]["exit_code"] == 130
    lines = lines_of(result)
    assert lines[0].startswith("1 moved, 1 half-way (1 seen to be promoted), 0 already done, 0 failed")
    assert set(notes) < {line.strip() for line in lines}


def test_old_primaries_that_a_failover_left_open_are_listed_with_what_closes_them() -> None:
    chosen = selection("failover", "failover", "done", "done", "failover", "switchover")
    ends = [moved(one, "refused" if one.primary == "p4" else "done") for one in chosen.choices if one.moves]
    rows = (
        *(fact(name) for name in ("p0", "p2", "p4", "p5")),
        fact("p1", termination_protection=True),
        fact("p3", user_config={"ip_filter": ["192.0.2.1/32"]}),
    )
    result = ended(chosen, *ends, services=rows).as_dict()
    assert [one["service"] for one in result["still_open"]] == ["p0", "p1", "p2"]
    protected = "avn service update p1 --disable-termination-protection && avn service update p1 --power-off"
    assert [one["close"] for one in result["still_open"]][:2] == ["avn service update p0 --power-off", protected]
    assert any("p0" in line and "--power-off" in line for line in lines_of(result))


def test_an_outage_that_was_not_seen_as_a_whole_is_not_measured() -> None:
    chosen = selection("switchover", "failover")
    result = ended(chosen, *(moved(one) for one in chosen.choices)).as_dict()
    assert (result["outages_ms"], result["outages_not_measured"]) == (None, 1)
    assert any("not measured of 1" in line for line in lines_of(result))


def test_pairs_that_no_thread_could_be_started_for_are_no_success() -> None:
    chosen = selection("switchover", "switchover")
    result = ended(chosen, moved(chosen.choices[0]))
    result.full = "can't start new thread"
    problem = result.problem(Stop())
    assert problem
    assert (problem.exit_code, problem.detail) == (4, "can't start new thread")


def test_the_exit_code_is_that_of_the_first_that_failed() -> None:
    chosen = selection("switchover", "switchover")
    crashed = moved(chosen.choices[0], "failed", code=1, changed="unknown", summary="internal error: MemoryError")
    result = ended(chosen, crashed, moved(chosen.choices[1]))
    problem = result.problem(Stop())
    assert problem
    assert problem.detail == "p0/r0: internal error: MemoryError"
    problem.changed = result.changed
    assert problem.exit_code == 11
