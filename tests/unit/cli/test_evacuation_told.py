"""What is said of an evacuation before its question: it fits into 80 columns, and what is not moved is nearest to it."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ccr_avn.cli import evacuate as command
from ccr_avn.cli.boundary import run
from ccr_avn.cli.evacuation_told import consequences, sentence, table
from ccr_avn.cli.one_of_many import Given, OneOfMany
from ccr_avn.evacuate.choose import LINK_UP, Action, Choice, Selection, Want
from tests.support.factories import given_to_evacuate

WANT = Want(clouds=("google-europe-west1",))


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
    lines = consequences(SELECTION, given_to_evacuate(WANT, old_primary))
    assert max(map(len, lines)) <= 80
    assert any(("powered off" if old_primary == "power-off" else "is closed") in line for line in lines)


def test_a_pair_is_resumed_with_all_that_was_typed_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Given] = []
    monkeypatch.setattr("ccr_avn.cli.evacuating.Evacuation.run", lambda self, **_: made.append(self.given))
    monkeypatch.setattr(command, "begin", lambda *_: None)
    monkeypatch.setattr("ccr_avn.cli.options.Asking.preload", lambda *_, **__: None)
    typed = ("--yes", "--after", "echo 'it is done'", "--promote-timeout", "60", "--hook-timeout", "9")
    off = ("--old-primary", "power-off", "--max-lag-bytes", "5")
    where = ("--project", "p", "--route", "public")
    words = ["evacuate", "c-1", *typed, *off, *where, "--parallel", "3", "--write-env-dir", str(tmp_path)]
    assert run(words) == 0
    env = ("--write-env", f"{tmp_path}/carts-replica.env")

    def single(action: Action) -> set[str]:
        moved = replace(choice("carts"), action=action)
        return set(shlex.split(OneOfMany(choice=moved, given=made[0], evacuation="e", began=0.0).single()))

    kept = {"ccr-avn", "carts-replica", *typed, *where, *env}
    assert single("switchover") == {"switchover", "carts", *off, *kept}
    assert single("failover") == {"failover", "--allow-data-loss", *kept}
