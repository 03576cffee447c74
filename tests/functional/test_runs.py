"""`runs` after a real enable: listed, shown, verified, reported; a run that is killed says where it stood."""

import json
import signal
from pathlib import Path

import pytest

from tests.support.operator import EU, US, Make, Operator
from tests.support.wait import until


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def enabled(operator: Operator, state: str) -> tuple[str, str]:
    """The run and its head, as the operator was told them."""
    done = operator.enable("--json", CCR_AVN_STATE_DIR=state)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    return told["run"], told["journal"]["head"]


def test_a_run_is_listed_shown_reported_and_verified(operator: Operator, state: str, tmp_path: Path) -> None:
    run, head = enabled(operator, state)

    def ccr(*words: str) -> str:
        done = operator.ccr("runs", *words, CCR_AVN_STATE_DIR=state)
        assert done.code == 0, done.err
        return done.out

    assert run in ccr("list")
    assert "eu → us" in ccr("list")
    shown = ccr("show", "latest")
    assert "20 of 20 markers arrived" in shown
    assert ": intact;" in ccr("verify", run, "--head", head)
    file = tmp_path / "report.html"
    ccr("report", run, "--output", str(file))
    page, ticket = file.read_text(), ccr("report", run, "--format", "markdown")
    for text in (page, ticket):
        assert "20 of 20" in text
        assert "avn service create us" in text
        assert head in text
    everything = "\n".join((page, ticket, shown, ccr("list", "--json"), ccr("show", run, "--json")))
    passwords = [one.password for one in operator.sandbox.platform.services.values()]
    assert passwords
    assert not any(password in everything for password in passwords)
    finds_what_was_done_to_the_journal(operator, state, run, head)


def finds_what_was_done_to_the_journal(operator: Operator, state: str, run: str, head: str) -> None:
    path = Path(state) / "runs" / f"{run}.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    damage = {
        "a changed byte": whole.replace(b"business-4", b"business-8", 1),
        "a removed line": b"".join([*lines[:4], *lines[5:]]),
        "a moved line": b"".join([*lines[:3], lines[4], lines[3], *lines[5:]]),
        "a cut tail": b"".join(lines[:-1]),
    }
    for name, raw in damage.items():
        path.write_bytes(raw)
        done = operator.ccr("runs", "verify", run, "--head", head, CCR_AVN_STATE_DIR=state)
        assert (done.code, "NOT intact" in done.out) == (6, True), name
    path.write_bytes(whole)
    assert operator.ccr("runs", "verify", run, "--head", head, CCR_AVN_STATE_DIR=state).code == 0


def test_a_run_that_was_killed_says_what_was_last_known_and_what_goes_on(make: Make, state: str) -> None:
    operator = make(build_seconds=30)
    clouds = ("--primary-cloud", EU, "--replica-cloud", US)
    child = operator.start("ccr-avn", "enable", "eu", "us", *clouds, CCR_AVN_STATE_DIR=state)
    runs = Path(state) / "runs"
    until(lambda: any('"outcome": "changed"' in path.read_text() for path in runs.glob("*.jsonl")), "the first change")
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=10)
    shown = operator.ccr("runs", "show", "latest", CCR_AVN_STATE_DIR=state)
    assert shown.code == 0, shown.err
    assert "incomplete" in shown.out
    assert "last finished step: primary:" in shown.out
    assert "under way: primary-running" in shown.out
    assert "resume with: ccr-avn enable eu us" in shown.out
    assert operator.ccr("runs", "verify", "latest", CCR_AVN_STATE_DIR=state).code == 6
