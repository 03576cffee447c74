"""Histories with fixed seeds: some each time, more with ``--all``, thousands by ./scripts/simulate; and that a seed replays exactly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.history import Event, Script, draw
from tests.simulation.judge import play

QUICK, ALL, AT_ONCE = 200, 600, 25


def _broken(first: int) -> dict[int, list[str]]:
    found = {seed: play(draw(seed)).problems for seed in range(first, first + AT_ONCE)}
    return {seed: problems for seed, problems in found.items() if problems}


@pytest.mark.parametrize("first", range(0, QUICK, AT_ONCE))
def test_what_must_hold_holds(first: int) -> None:
    assert not _broken(first), "replay one with ./scripts/simulate --seed N"


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, ALL, AT_ONCE))
def test_what_must_hold_holds_in_more_histories(first: int) -> None:
    assert not _broken(first), "replay one with ./scripts/simulate --seed N"


RACES = (
    ("failover", "failover-to-another"),
    ("failover-to-another", "failover"),
    ("switchover", "failover-to-another"),
    ("failover", "another-replica"),
)
FEW, MANY = (2, 5, 12, 30, 80, 200), (3, 8, 17, 23, 40, 55, 65, 95, 120, 160, 250, 320, 400)
"""How often the one has waited for something when the other begins."""


@pytest.mark.parametrize(
    ("accidents", "doors"),
    [
        ((), FEW),
        pytest.param((), MANY, marks=pytest.mark.slow),
        pytest.param(("a slow promotion",), (*FEW, *MANY), marks=pytest.mark.slow),
        pytest.param(("the primary dies", "a slow promotion"), (*FEW, *MANY), marks=pytest.mark.slow),
    ],
    ids=["few", "many", "slow", "dead"],
)
@pytest.mark.parametrize(("first", "second"), RACES)
def test_two_people_on_two_machines_promote_one_replica_of_a_primary(
    first: str, second: str, accidents: tuple[str, ...], doors: tuple[int, ...]
) -> None:
    """Neither knows of the other but by Aiven and the servers; one of the two goes through."""
    for door in doors:
        events = (*(Event("accident", one, 2) for one in accidents), Event("command", second, door, who="bob"))
        verdict = play(Script(door, "two replicas", writers=True, first=first, events=events))
        assert not verdict.problems, door
        assert verdict.promoted in (["ap"], ["us"]), door


def test_a_seed_replays_exactly() -> None:
    """In another process, too, which orders its sets in another way."""

    def told(hash_seed: str) -> str:
        words = (sys.executable, "-m", "tests.simulation", "--seed", "106")
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            words, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    one, other = told("1"), told("2")
    assert one == other
    assert "exit 0 of" in one
