"""What `--dry-run` prints does the job: pasted into bash it makes the same world by the same changes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ccr_avn.plan.preview import preview
from tests.support.loaded import BIN
from tests.support.operator import Make, Operator
from tests.support.pairs import accepts, deletions, is_promoted, link_status, missing, paired, paused_for, uri
from tests.support.plans import enable_plans, switching_plans
from tests.support.previews import broken_at, does_as_shown
from tests.support.wait import until
from tests.support.writers import Load

QUICK = ("--poll-interval", "1")


def world(operator: Operator) -> tuple[object, ...]:
    platform = operator.sandbox.platform
    services = sorted((one.name, one.type, one.plan, one.cloud) for one in platform.services.values())
    return services, sorted((row.source, row.dest) for row in platform.rows.values())


def bodies(operator: Operator) -> list[object]:
    return [(one["method"], one["path"], one["body"]) for one in operator.sandbox.requests if "body" in one]


def test_a_pasted_preview_ends_where_a_run_ends(make: Make) -> None:
    """And pasted again it changes nothing."""
    pasted, run = make(), make()
    text = pasted.enable(*QUICK, "--dry-run").out
    done = pasted.pastes(text)
    assert done.code == 0, done.err
    finished = run.enable()
    assert finished.code == 0, finished.err
    assert world(pasted) == world(run)
    assert bodies(pasted) == bodies(run)
    does_as_shown(text, finished.err)
    before = pasted.sandbox.changes()
    assert pasted.pastes(text).code == 0
    assert pasted.sandbox.changes() == before


def test_a_preview_asks_nobody_and_needs_no_token(operator: Operator, tmp_path: Path) -> None:
    done = operator.enable("--dry-run", AIVEN_AUTH_TOKEN="", AIVEN_WEB_URL="http://127.0.0.1:9")
    assert done.code == 0
    assert len(operator.sandbox.requests) == 0
    assert subprocess.run(["bash", "-n"], input=done.out, text=True, check=False).returncode == 0


def test_a_preview_passes_shellcheck() -> None:
    found = shutil.which("shellcheck", path=f"{BIN}:{os.environ['PATH']}")
    if not found:
        pytest.skip("shellcheck is not installed")
    for text in {preview(plan) for plan in (*enable_plans(), *switching_plans())}:
        done = subprocess.run(
            (found, "--shell", "bash", "-"), input=text, text=True, capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_where_writers_are_stopped_by_hand_a_paste_pauses_nothing_and_sees_a_write(make: Make) -> None:
    operator = paired(make(refuse_client_pause=True))
    text = operator.ccr("switchover", "eu", "us", "--dry-run", "--fence", "observe").out
    writes = text.replace("ccr-avn gate fence-held", "ccr-avn gate accepts-writes eu; ccr-avn gate fence-held")
    written = operator.pastes(writes)
    assert written.code == 4, written.err
    assert "eu has been written to since" in written.err
    assert "stop the writers" in written.err
    assert not is_promoted(operator)
    assert operator.pastes(text).code == 0
    assert is_promoted(operator)


def lines(quick: tuple[str, ...], slow: tuple[str, ...]) -> pytest.MarkDecorator:
    """Each fails; a change that is written with "but done" once it has acted."""
    cases = [(one, ()) for one in quick] + [(one, pytest.mark.slow) for one in slow]
    found = [
        pytest.param(name.removesuffix(", but done"), name.endswith("but done"), id=name, marks=marks)
        for name, marks in cases
    ]
    return pytest.mark.parametrize(("line", "acts"), found)


@lines(
    ("ccr-avn gate lineage", "ccr-avn gate accepts-writes"),
    (
        *("ccr-avn gate fence-held", "avn service integration-delete", "avn service integration-delete, but done"),
        *('--add-tag "${lineage_tag:?}"', "avn service update", "avn service update, but done", "ccr-avn gate closed"),
    ),
)
def test_a_fault_at_a_line_ends_as_safely_as_a_run(pair: Operator, line: str, acts: bool) -> None:
    """Nothing acknowledged is lost, and never do both sides take writes."""
    text = pair.ccr("switchover", "eu", "us", "--dry-run").out
    old = pair.sandbox.platform.services["eu"].user_config
    with Load(uri(pair, "eu")) as load:
        done = pair.pastes(broken_at(text, line, acts=acts))
        closed, forgiven = old["ip_filter"] == ["192.0.2.1/32"], "NOT done" in done.err
        assert (done.code == 0) == forgiven, done.err
        if is_promoted(pair):
            assert closed or paused_for(pair, "eu") > 0, done.err
        elif "integration-delete" in line:
            assert paused_for(pair, "eu") > 0, "whether it acted is not known to a shell: the pause ends by itself"
        else:
            assert accepts(pair, "eu")
        assert closed or not forgiven
    if is_promoted(pair):
        assert missing(pair, load.acknowledged) == []


@lines(
    ("avn service integration-delete",),
    (
        "ccr-avn gate last-known",
        "avn service integration-delete, but done",
        "ccr-avn gate history",
        '--add-tag "${lineage_tag:?}"',
    ),
)
def test_a_fault_at_a_line_of_a_failover_ends_as_safely_as_a_run(pair: Operator, line: str, acts: bool) -> None:
    """Before the deletion nothing is changed; from there on the command that is run finishes what is recorded."""
    pair.sandbox.servers.kill("eu")
    text = pair.ccr("failover", "us", "--allow-data-loss", "--dry-run").out
    done = pair.pastes(broken_at(text, line, acts=acts))
    assert (done.code == 0) == ("NOT done" in done.err), done.err
    assert is_promoted(pair) == (acts or line in text.partition("avn service integration-delete")[2])
    if not is_promoted(pair):
        assert pair.sandbox.changes() == []
        assert link_status(pair, "us") == "down"
    else:
        until(lambda: accepts(pair, "us"), "its promotion to end")
    unrecorded = is_promoted(pair) and "ccr_promoted_from" not in pair.sandbox.platform.services["us"].tags
    finished = pair.ccr("failover", "us", "--allow-data-loss", "--yes")
    assert finished.code == (4 if unrecorded else 0), finished.err
    assert ("nothing records from which primary" in finished.err) == unrecorded
    assert accepts(pair, "us")
    assert len(deletions(pair)) == 1


@lines(("avn service create",), ("avn service create us, but done",))
def test_a_fault_at_a_line_of_an_enable_is_finished_by_pasting_it_again(
    operator: Operator, line: str, acts: bool
) -> None:
    """Nothing behind the line is done, and nothing is made twice."""
    text = operator.enable(*QUICK, "--dry-run").out
    done = operator.pastes(broken_at(text, line, acts=acts))
    assert done.code == 1, done.err
    assert len(operator.sandbox.changes()) == (2 if acts else 0)
    again = operator.pastes(text)
    assert again.code == 0, again.err
    assert [one[0] for one in operator.sandbox.changes()] == ["POST", "POST"]
    assert world(operator)[1] == [("eu", "us")]


def test_a_gate_alone_ends_as_its_verdict_is(operator: Operator) -> None:
    there = ("gate", "exists", "us", "--replica-of", "eu", "--cloud", "aws-us-east-1")
    operator.ends(5, "gate", "exists", "eu", "--cloud", "do-fra")
    assert operator.ccr("gate", "running", "eu", "--timeout", "0").code in (3, 4)
    paired(operator)
    assert operator.ccr(*there, "--print", "exists").out == "there\n"
    operator.ends(4, "gate", "exists", "eu", "--cloud", "do-fra", "--print", "exists")
    assert operator.ccr("gate", "running", "eu", "--print", "service_type").out == "valkey\n"
    assert operator.sandbox.changes() == []
