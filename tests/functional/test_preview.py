"""What `--dry-run` prints does the job: pasted into bash it makes the same world by the same changes."""

import subprocess
from pathlib import Path

import pytest

from tests.support.operator import Ended, Make, Operator
from tests.support.previews import does_as_shown

QUICK = ("--poll-interval", "1")


def paste(operator: Operator, text: str, **environment: str) -> Ended:
    return operator.pastes(text, **environment)


def world(operator: Operator) -> tuple[object, ...]:
    platform = operator.sandbox.platform
    services = sorted((one.name, one.type, one.plan, one.cloud) for one in platform.services.values())
    return services, sorted((row.source, row.dest) for row in platform.rows.values())


def bodies(operator: Operator) -> list[object]:
    return [(one["method"], one["path"], one["body"]) for one in operator.sandbox.guard.requests if "body" in one]


@pytest.mark.parametrize(
    "words",
    [
        (),
        pytest.param(("--service-type", "redis"), marks=pytest.mark.slow),
        pytest.param(("--primary-plan", "business-8"), marks=pytest.mark.slow),
    ],
)
def test_a_pasted_preview_ends_where_a_run_ends(make: Make, words: tuple[str, ...]) -> None:
    pasted, run = make(), make()
    text = pasted.enable(*QUICK, *words, "--dry-run").out
    done = paste(pasted, text)
    assert done.code == 0, done.err
    finished = run.enable(*words)
    assert finished.code == 0, finished.err
    assert world(pasted) == world(run)
    assert bodies(pasted) == bodies(run)
    does_as_shown(text, finished.err)


@pytest.mark.slow
def test_pasted_again_it_changes_nothing(operator: Operator) -> None:
    text = operator.enable(*QUICK, "--dry-run").out
    assert paste(operator, text).code == 0
    before = operator.sandbox.changes()
    assert paste(operator, text).code == 0
    assert operator.sandbox.changes() == before


def test_a_preview_asks_nobody_and_needs_no_token(operator: Operator, tmp_path: Path) -> None:
    done = operator.enable("--dry-run", AIVEN_AUTH_TOKEN="", AIVEN_WEB_URL="http://127.0.0.1:9")
    assert done.code == 0
    assert operator.sandbox.requests_total() == 0
    assert subprocess.run(["bash", "-n"], input=done.out, text=True, check=False).returncode == 0


@pytest.mark.parametrize("skip", [pytest.param(0, id="primary", marks=pytest.mark.slow), pytest.param(1, id="replica")])
def test_a_pasted_line_that_fails_ends_it(operator: Operator, skip: int) -> None:
    text = operator.enable(*QUICK, "--dry-run").out
    operator.sandbox.faults.add(kind="status", status=400, method="POST", skip=skip)
    done = paste(operator, text)
    assert done.code == 1
    assert len(operator.sandbox.changes()) == skip + 1
    assert operator.sandbox.guard.requests[-1]["method"] == "POST"


def test_a_pasted_preview_with_a_bad_token_stops_at_once(operator: Operator) -> None:
    done = paste(operator, operator.enable("--dry-run").out, AIVEN_AUTH_TOKEN="bad")
    assert done.code == 3
    assert operator.sandbox.requests_total() == 1


def test_a_pasted_preview_stops_where_a_run_stops(operator: Operator) -> None:
    text = operator.enable("--dry-run").out
    operator.avn("service", "create", "us", "-t", "valkey", "--plan", "business-4", "--cloud", "aws-eu-west-1")
    before = operator.sandbox.changes()
    done = paste(operator, text)
    assert done.code == 4
    assert "taken" in done.err
    assert operator.sandbox.changes() == before


def test_a_pasted_loop_ends_at_a_state_that_can_not_get_better(operator: Operator) -> None:
    operator.avn("service", "create", "eu", "-t", "valkey", "--plan", "business-4", "--cloud", "google-europe-west1")
    operator.avn("service", "update", "eu", "--power-off")
    done = paste(operator, operator.enable("--dry-run").out)
    assert done.code == 4
    assert "power-on" in done.err


def test_without_a_cloud_it_says_what_it_assumes(operator: Operator) -> None:
    done = operator.ccr("enable", "eu", "us", "--dry-run")
    assert "# assumes that eu exists" in done.out
    assert "service create eu" not in done.out
