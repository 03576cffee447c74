"""What `drill --dry-run` prints does the same when pasted: it makes, promotes, tries and terminates its throw-away."""

import re

import pytest

from ccr_avn.procedures.examination import TRIED
from tests.support.drills import BY_LINK, changes_of, primary_at, services
from tests.support.operator import Make, Operator
from tests.support.previews import broken_at, does_as_shown, places

LONG = 600.0
"""Seconds for a paste of some forty commands, each of which starts Python twice, on a busy machine."""


@pytest.fixture
def primary(operator: Operator) -> Operator:
    return primary_at(operator)


def previewed(operator: Operator, *words: str) -> str:
    shown = operator.ccr(*BY_LINK, "--dry-run", *words)
    assert shown.code == 0, shown.err
    return shown.out


def without_trials(text: str) -> str:
    """All but those lines: each of them starts two programs."""
    lines = text.splitlines()
    trials = {number for number, line in enumerate(lines) if line.startswith("ccr-avn gate drill-try")}
    return "\n".join(line for number, line in enumerate(lines) if not {number, number - 1} & trials)


@pytest.mark.slow
def test_a_pasted_drill_does_what_a_run_does_and_leaves_nothing(make: Make) -> None:
    pasted, run = primary_at(make()), primary_at(make())
    text = previewed(pasted)
    done = pasted.pastes(text, limit=LONG)
    assert (done.code, services(pasted)) == (0, {"eu"}), done.err
    assert len(re.findall(r"^holds: ", done.out, re.MULTILINE)) == len(TRIED) - 3
    untried = "without TLS no certificate; the password before and a kept connection only a whole run has"
    assert len(re.findall(r"^could not be tried: ", done.out, re.MULTILINE)) == 3, untried
    assert changes_of(pasted, "eu") == []
    finished = run.ccr(*BY_LINK)
    assert finished.code == 0, finished.err
    does_as_shown(alike(text), alike(finished.err))
    assert kinds(pasted) == kinds(run)


def alike(text: str) -> str:
    """Without the names that differ from run to run."""
    return re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{6}", "RUN", re.sub(r"-drill-[0-9a-f]{6}", "-drill-x", text))


def kinds(operator: Operator) -> list[tuple[str, str]]:
    """The changing requests, without the names that differ from run to run."""
    return [
        (method, re.sub(r"-drill-[0-9a-f]{6}|[0-9a-f-]{36}", "", path)) for method, path in operator.sandbox.changes()
    ]


@pytest.mark.slow
def test_what_is_to_be_kept_is_kept_by_a_paste_too(primary: Operator) -> None:
    text = previewed(primary, "--keep")
    assert "trap" not in text
    assert primary.pastes(without_trials(text)).code == 0
    assert len(services(primary)) == 2


@pytest.mark.parametrize(
    ("which", "number"),
    [
        pytest.param("service create", 0, marks=pytest.mark.slow),
        pytest.param("gate running", 1, marks=pytest.mark.slow),
        pytest.param("gate promoted", 0),
        *(
            pytest.param(which, 0, marks=pytest.mark.slow)
            for which in (
                "gate drill-made",
                "gate active",
                "gate last-known",
                "service integration-delete",
                "gate drill-ours",
            )
        ),
    ],
)
def test_a_paste_that_ends_early_terminates_what_it_made(primary: Operator, which: str, number: int) -> None:
    text = without_trials(previewed(primary))
    place = [line for line, name in places(text) if name == which][number]
    done = primary.pastes(broken_at(text, place))
    assert done.code != 0
    left = services(primary) - {"eu"}
    if which == "gate drill-made":  # it has no tag yet, and no journal tells of it
        assert "and no journal on this machine shows that a drill created it" in done.out + done.err
    else:
        assert left == set(), done.err
    assert changes_of(primary, "eu") == []


def test_somebody_elses_is_not_terminated_by_a_paste(primary: Operator) -> None:
    text = previewed(primary)
    create = re.search(r"^avn service create (\S+)", text, re.MULTILINE)
    assert create
    other = primary.ccr("gate", "drill-ours", "eu", "--run", "x", "--made", "ccr_drill_made=1", "--print", "exists")
    assert other.code == 4, other.err
    assert "eu is not touched" in other.err
    gone = primary.ccr("gate", "drill-ours", create[1], "--run", "x", "--made", "ccr_drill_made=1", "--print", "exists")
    assert (gone.code, gone.out) == (0, "there\n"), "nothing to terminate"


def test_gates_of_a_drill_refuse_what_they_can_not_understand(primary: Operator) -> None:
    assert primary.ccr("gate", "drill-try", "eu", "no-such").code == 2
    assert primary.ccr("gate", "drill-ours", "eu", "--run", "x", "--made", "yesterday").code == 2
    assert primary.ccr("gate", "drill-made", "eu", "--replica-of", "us", "--timeout", "0").code == 5
    assert primary.ccr("gate", "drill-gone", "eu", "--timeout", "0").code == 5
    assert primary.sandbox.changes() == []
