"""What is said of an evacuation before its question: it fits into 80 columns, and what is not moved is nearest to it."""

from dataclasses import replace
from pathlib import Path

import pytest

from ccr_avn.cli.evacuation_told import consequences, sentence, table
from ccr_avn.cli.one_of_many import Given
from ccr_avn.evacuate.choose import LINK_UP, Choice, Selection, Want
from ccr_avn.hooks import Hooks
from ccr_avn.procedures.steps import Setting

WANT = Want(clouds=("google-europe-west1",))


def given(old_primary: str) -> Given:
    return Given(
        want=WANT,
        setting=Setting(),
        old_primary="power-off" if old_primary == "power-off" else "close",
        parallel=10,
        canary=1,
        stop_after=1,
        hooks=Hooks(),
        write_env_dir=Path("env"),
        data_timeout=3,
        promote_timeout=600,
        doubt_timeout=60,
        call_timeout=60,
        json=False,
        yes=False,
    )


def choice(name: str, *, refused: bool = False) -> Choice:
    return Choice(
        action="refuse" if refused else "switchover",
        primary=name,
        replica=f"{name}-replica",
        reason="link down" if refused else LINK_UP,
        behind=None if refused else 0,
        others=("reports stays a replica of the old primary; terminate it when you like",) if name == "carts" else (),
    )


SELECTION = Selection(
    choices=(choice("broken", refused=True), choice("carts"), choice("sessions")), replicas_here=("us-eu",)
)


def test_each_pair_has_a_line_and_what_is_not_moved_comes_last_with_why() -> None:
    assert table(SELECTION, WANT) == [
        "ACTION      LAG  PAIR",
        "switchover  0 B  carts/carts-replica",
        "                 reports stays a replica of the old primary; terminate it when you like",
        "switchover  0 B  sessions/sessions-replica",
        "refuse      -    broken/broken-replica",
        "                 link down",
        "not moved, as their primaries are elsewhere: us-eu",
    ]
    assert sentence(SELECTION) == "2 to switch over, 1 can't be moved"


def test_where_there_is_nothing_that_is_said() -> None:
    none = "no Valkey or Redis primary is in google-europe-west1"
    assert table(Selection(choices=(), replicas_here=()), WANT) == [none]
    elsewhere = Selection(choices=(), replicas_here=(), elsewhere={"do-fra": 2, "aws-us-east-1": 1})
    assert table(elsewhere, WANT) == [f"{none}; they are in aws-us-east-1 (1), do-fra (2)"]
    narrowed = Selection(choices=(), replicas_here=(), left_out=2)
    assert table(narrowed, WANT) == ["all that is there is left out by --only, --except or --tag: 2 primaries"]
    assert table(replace(SELECTION, left_out=1), WANT)[-1] == "left out by --only, --except or --tag: 1 more primary"


@pytest.mark.parametrize("old_primary", ["close", "power-off"])
def test_the_consequences_fit_into_80_columns(old_primary: str) -> None:
    lines = consequences(SELECTION, given(old_primary))
    assert max(map(len, lines)) <= 80
    assert any(("powered off" if old_primary == "power-off" else "is closed") in line for line in lines)
