"""Each assumption false in turn: a drill says so and leaves nothing, and then things go as it said that they would."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.procedures.drill.assumptions import ASSUMPTIONS
from tests.support.drills import BY_LINK, drilled, outcomes, services
from tests.support.operator import EU, Ended, Make, Operator
from tests.support.pairs import paired, uri
from tests.support.writers import Load

OLD = shutil.which("redis-server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``options`` and ``spoil`` make it false; ``code``: of the drill; ``then``: what was foretold comes true.

    ``left``: it is not terminated, as it may be in use.
    """

    name: str
    then: Callable[[Operator], None]
    options: dict[str, Any] = field(default_factory=dict)
    spoil: Callable[[Operator], object] = lambda _: None
    code: int = 0
    outcome: str = "does not hold"
    left: bool = False
    label: str = ""
    skip: str = ""


def switched(operator: Operator, *words: str) -> Ended:
    return operator.ccr("switchover", "eu", "us", "--yes", "--promote-timeout", "3", "--call-timeout", "6", *words)


def ends(*codes: int, tells: str = "") -> Callable[[Operator], None]:
    """A switchover does, with one of these, and tells this."""

    def then(operator: Operator) -> None:
        over = switched(operator)
        assert over.code in codes, over.err
        assert tells in over.out + over.err

    return then


def under_load(operator: Operator) -> None:
    """Only a write that comes through shows it: found before the promotion, or told after it."""
    with Load(uri(operator, "eu"), pause=0.005):
        assert switched(operator).code in (4, 16)


def never_quiet(operator: Operator) -> None:
    observed = switched(operator, "--fence", "observe", "--catch-up-timeout", "1")
    assert observed.code == 4, observed.err
    assert switched(operator).code == 0


def reads_it_again(operator: Operator) -> None:
    assert switched(operator).code == 13
    again = switched(operator)
    assert again.code == 0, again.err


def must_be_powered_off(operator: Operator) -> None:
    assert switched(operator).code == 0
    assert operator.types("avn", "service", "update", "eu", "-c", "ip_filter=['0.0.0.0/0']").code != 0
    operator.avn("service", "update", "eu", "--power-off")


def no_replica_yet(operator: Operator) -> None:
    assert switched(operator).code == 0
    third = operator.ccr("enable", "us", "third", "--replica-cloud", EU, "--backup-timeout", "1")
    assert third.code == 5, third.err
    assert "third" not in services(operator)


def is_reported(operator: Operator) -> None:
    looked = operator.ccr("switchover", "eu", "us", "--check")
    assert "reporting" in looked.out + looked.err


def another_user(operator: Operator) -> None:
    operator.avn("service", "user-create", "eu", "--username", "reporting", "--project", "sandbox")


def refused(method: str, path: str, status: int = 403) -> Callable[[Operator], None]:
    def spoil(operator: Operator) -> None:
        operator.sandbox.faults.add(kind="status", status=status, method=method, path=path, times=10**6)

    return spoil


def enable_ends_so_too(operator: Operator) -> None:
    third = operator.ccr("enable", "eu", "third", "--replica-cloud", EU)
    assert third.code == 3, third.err


CASES = (
    Case(name="client-commands", options={"refuse_client_pause": True}, then=ends(0, tells="no writes are seen")),
    Case(name="pause-holds-writes", options={"platform_lifts_pauses": 0.02}, code=16, then=under_load),
    Case(
        name="no-platform-clients",
        options={"platform_connects": True, "filter_cuts": "new-only"},
        code=14,
        left=True,
        then=ends(15, tells="agent"),
    ),
    Case(
        name="no-platform-clients",
        label="cut-off",
        options={"platform_connects": True},
        code=14,
        left=True,
        then=ends(0),
    ),
    Case(name="client-list-is-whole", options={"refuse_commands": ("client|list",)}, code=14, left=True, then=ends(0)),
    Case(
        name="client-list-is-whole",
        label="left-connected",
        options={"refuse_commands": ("client|list",), "filter_cuts": "new-only"},
        code=14,
        left=True,
        then=ends(15, tells="client|list"),
    ),
    Case(
        name="info-shows-the-pause",
        options={"server": OLD},
        then=ends(0),
        skip="" if OLD else "no redis-server of an older release is in PATH",
    ),
    Case(name="history-is-kept", options={"promote_empty": True}, code=16, then=ends(14)),
    Case(name="platform-does-not-write", options={"platform_writes": 0.02}, then=never_quiet),
    Case(name="deletion-promotes", options={"promote_seconds": 1000.0}, code=15, then=ends(15)),
    Case(name="password-is-kept", options={"promote_password": True}, code=16, then=reads_it_again),
    Case(name="filter-refuses", options={"filter_cuts": "never"}, code=16, then=ends(15)),
    Case(name="filter-cuts", options={"filter_cuts": "new-only"}, then=ends(0)),
    Case(name="filter-opens", options={"filter_reopens": False}, outcome="not tested", then=must_be_powered_off),
    Case(name="first-backup", options={"promoted_backups": False}, outcome="not tested", then=no_replica_yet),
    Case(name="routes", options={"components": False}, then=ends(0)),
    Case(name="tags-are-kept", options={"tags_forbidden": True}, then=ends(0, tells="origin")),
    Case(name="carried-over", spoil=another_user, then=is_reported),
    Case(name="token-rights", spoil=refused("DELETE", "/integration/"), code=13, then=ends(3)),
    *(
        Case(
            name=name,
            spoil=refused("POST", "/service$", status),
            code=3,
            outcome="not tested",
            then=enable_ends_so_too,
        )
        for name, status in (("plan-names", 400), ("replicas-are-offered", 403))
    ),
)
COMMON = ("tags-are-kept",)
BEFORE = ("certificate", "info-shows-history")
"""Found out before anything is made."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            one,
            id=f"{one.name}{'-' * bool(one.label)}{one.label}",
            marks=[
                *([] if one.name in COMMON else [pytest.mark.slow]),
                pytest.mark.skipif(bool(one.skip), reason=one.skip),
            ],
        )
        for one in CASES
    ],
)
def test_an_assumption_that_does_not_hold_is_told_and_nothing_is_left(make: Make, case: Case) -> None:
    operator = paired(make(**case.options))
    case.spoil(operator)
    code, told = drilled(operator, "--promote-timeout", "3", "--doubt-timeout", "3")
    assert (code, len(services(operator) - {"eu", "us"})) == (case.code, case.left), told
    assert outcomes(told)[case.name] == case.outcome, told
    case.then(operator)


def refuses_before_anything_is_made(operator: Operator, tells: str) -> None:
    """The drill and the switchover alike."""
    code, told = drilled(operator)
    assert (code, operator.sandbox.changes()) == (6, []), told
    assert tells in str(told)
    assert switched(operator).code in (4, 6)
    assert operator.sandbox.changes() == []


@pytest.mark.slow
def test_a_certificate_that_nobody_trusts(make: Make, tls_options: dict[str, Path]) -> None:
    operator = paired(make(**tls_options))
    refuses_before_anything_is_made(operator, "--ca-file")
    code, told = drilled(operator, "--ca-file", str(tls_options["tls_ca"]), how=BY_LINK)
    assert (code, outcomes(told)["certificate"]) == (0, "holds"), told


@pytest.mark.slow
def test_a_service_that_hides_its_history(make: Make) -> None:
    refuses_before_anything_is_made(paired(make(refuse_commands=("info",))), "info")


def test_every_assumption_that_can_be_tried_is_false_once() -> None:
    assert {one.name for one in CASES} | set(BEFORE) == {one.name for one in ASSUMPTIONS if not one.untried}
