"""Histories with fixed seeds: some each time, more with ``--all``, thousands by ./scripts/simulate; and that a seed replays exactly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.history import draw
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
