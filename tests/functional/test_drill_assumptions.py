"""Each assumption false in turn: a drill says so and leaves nothing, and then things go as it said that they would."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.procedures.drill.assumptions import ASSUMPTIONS
from tests.support.drills import BY_LINK, drilled, outcomes, services
from tests.support.operator import EU, Ended, Make, Operator
from tests.support.pairs import paired, uri
from tests.support.writers import Load

OLD = shutil.which("redis-server")
COMMON = "tags-are-kept"


Look = Callable[[Operator], object]
NAMES: set[str] = set()


def case(
    name: str,
    code: int,
    then: Look,
    *,
    spoil: Look = lambda _: None,
    outcome: str = "does not hold",
    label: str = "",
    **options: Any,
) -> Any:
    """``options`` of the platform, or ``spoil``, make it false; ``code``: of the drill; ``then``: what was foretold."""
    NAMES.add(name)
    marks = [] if name == COMMON else [pytest.mark.slow]
    if options.get("server", OLD) is None:
        marks.append(pytest.mark.skip(reason="no redis-server of an older release on PATH (apt install redis-server)"))
    return pytest.param(name, code, then, spoil, outcome, options, id=f"{name}{label}", marks=marks)


def switched(operator: Operator, *words: str) -> Ended:
    return operator.ccr("switchover", "eu", "us", "--yes", "--promote-timeout", "3", "--call-timeout", "6", *words)


def ends(*codes: int, tells: str = "") -> Look:
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
    operator.ends(5, "enable", "us", "third", "--replica-cloud", EU, "--backup-timeout", "1")
    assert "third" not in services(operator)


def is_reported(operator: Operator) -> None:
    looked = operator.ccr("switchover", "eu", "us", "--check")
    assert "reporting" in looked.out + looked.err


def another_user(operator: Operator) -> None:
    operator.avn("service", "user-create", "eu", "--username", "reporting", "--project", "sandbox")


def refused(method: str, path: str, status: int = 403) -> Look:
    def spoil(operator: Operator) -> None:
        operator.sandbox.faults.add(kind="status", status=status, method=method, path=path, times=10**6)

    return spoil


def enable_ends_so_too(operator: Operator) -> None:
    operator.ends(3, "enable", "eu", "third", "--replica-cloud", EU)


MAY_BE_IN_USE = 14
"""Not terminated, then."""
HIDDEN: dict[str, Any] = {"refuse_commands": ("client|list",)}
CASES = [
    case("client-commands", 0, ends(0, tells="no writes are seen"), refuse_client_pause=True),
    case("pause-holds-writes", 16, under_load, platform_lifts_pauses=0.02),
    case("no-platform-clients", 14, ends(15, tells="agent"), platform_connects=True, filter_cuts="new-only"),
    case("no-platform-clients", 14, ends(0), label="-cut-off", platform_connects=True),
    case("client-list-is-whole", 14, ends(0), **HIDDEN),
    case(
        "client-list-is-whole",
        14,
        ends(15, tells="client|list"),
        label="-left-connected",
        filter_cuts="new-only",
        **HIDDEN,
    ),
    case("info-shows-the-pause", 0, ends(0), server=OLD),
    case("history-is-kept", 16, ends(14), promote_empty=True),
    case("platform-does-not-write", 0, never_quiet, platform_writes=0.02),
    case("deletion-promotes", 15, ends(15), promote_seconds=1000.0),
    case("password-is-kept", 16, reads_it_again, promote_password=True),
    case("filter-refuses", 16, ends(15), filter_cuts="never"),
    case("filter-cuts", 0, ends(0), filter_cuts="new-only"),
    case("filter-opens", 0, must_be_powered_off, outcome="not tested", filter_reopens=False),
    case("first-backup", 0, no_replica_yet, outcome="not tested", promoted_backups=False),
    case("routes", 0, ends(0), components=False),
    case("tags-are-kept", 0, ends(0, tells="origin"), tags_forbidden=True),
    case("carried-over", 0, is_reported, spoil=another_user),
    case("token-rights", 13, ends(3), spoil=refused("DELETE", "/integration/")),
    case("plan-names", 3, enable_ends_so_too, spoil=refused("POST", "/service$", 400), outcome="not tested"),
    case("replicas-are-offered", 3, enable_ends_so_too, spoil=refused("POST", "/service$"), outcome="not tested"),
]
BEFORE = ("certificate", "info-shows-history")
"""Found out before anything is made."""


@pytest.mark.parametrize(("name", "code", "then", "spoil", "outcome", "options"), CASES)
def test_an_assumption_that_does_not_hold_is_told_and_nothing_is_left(
    make: Make, name: str, code: int, then: Look, spoil: Look, outcome: str, options: dict[str, Any]
) -> None:
    operator = paired(make(**options))
    spoil(operator)
    ended, told = drilled(operator, "--promote-timeout", "3", "--doubt-timeout", "3")
    assert (ended, len(services(operator) - {"eu", "us"})) == (code, code == MAY_BE_IN_USE), told
    assert outcomes(told)[name] == outcome, told
    then(operator)


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
    assert NAMES | set(BEFORE) == {one.name for one in ASSUMPTIONS if not one.untried}
