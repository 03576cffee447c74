"""What stands around a promotion: hooks, and the env file, which is written when writes are accepted and stops nothing."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.cli.conduct import carry_out, writing_env
from ccr_avn.cli.options import How
from ccr_avn.errors import CcrError, Interrupted, NotBegun, NotConfirmed, Refused
from ccr_avn.hooks import Hooks
from ccr_avn.plan.events import StepDone
from ccr_avn.plan.model import go
from ccr_avn.procedures.failover import Failover
from ccr_avn.procedures.gates.pair_state import PairState
from ccr_avn.procedures.seen import Seen, Sides
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.switchover import Switchover
from ccr_avn.procedures.verb import exposure
from tests.support.factories import fact, row, side

URI = "rediss://default:pw-of-the-tests@eu.example:1234"
US = fact("us", service_uri=URI)
VERB = Switchover(primary="eu", replica="us")
ROW = json.dumps([row("eu", "us")])
FOLLOWING = PairState(state="following", row=models.integrations(ROW)[0])


def session() -> Any:
    """One whose run has seen the pair, which is healthy."""
    seen = Seen()
    seen.checked = {"eu": fact("eu"), "us": US}
    health = Sides(primary=side(), replica=side("slave"), state=FOLLOWING)
    seen.remember("health", health)
    return SimpleNamespace(sinks=[], run_id="r", run=SimpleNamespace(seen=seen, changed=False))


ACCEPTS = StepDone(at=1.0, slug="accepts-writes", finding=go("a write succeeds"), seconds=0.1, outcome="proven")


def test_a_place_that_is_gone_by_then_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env").mkdir()
    file = tmp_path / "env" / "app.env"
    sink = writing_env(file, VERB, session())
    (tmp_path / "env").rmdir()
    sink(ACCEPTS)
    said = capsys.readouterr().err
    assert f"{file} can't be written: No such file or directory; see `ccr-avn endpoint us`" in said
    sink(ACCEPTS)
    assert capsys.readouterr().err == "", "it is said once"


def test_it_is_written_the_moment_that_writes_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    sink = writing_env(file, VERB, session())
    sink(StepDone(at=0.5, slug="promote", finding=go("its role is master"), seconds=0.1, outcome="changed"))
    assert not file.exists()
    sink(ACCEPTS)
    assert URI in file.read_text()


@pytest.mark.parametrize(
    ("fails", "how", "expected"),
    [
        ("checks", Refused("no", hint="none"), ["on-failure"]),
        ("question", NotConfirmed("declined"), []),
        ("question", NotBegun("no turn"), []),
        ("question", Interrupted(2), []),
        ("run", Refused("no", hint="none"), ["before", "on-failure"]),
        ("run", RuntimeError("a bug"), ["before", "on-failure"]),
        ("checks only", Refused("no", hint="none"), []),
        ("checks only", RuntimeError("a bug"), []),
        ("", CcrError("never raised"), ["before", "after"]),
    ],
)
def test_on_failure_runs_when_a_run_failed_and_only_then(
    fails: str, how: Exception, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def hook(_: Hooks, which: str, __: dict[str, str]) -> bool:
        ran.append(which)
        return True

    monkeypatch.setattr(Hooks, "run", hook)

    def end(where: str) -> None:
        if fails == where:
            raise how

    def perform(_: Any, __: Any, confirm: Callable[[Any], None] | None) -> Any:
        end("checks")
        end("checks only")
        if confirm:
            confirm(here.run)
        end("run")
        return here.run

    here, how_run, world = session(), How(json=False, check=fails == "checks only"), nullcontext(None)
    here.perform = perform
    with pytest.raises(type(how)) if fails else nullcontext():
        carry_out(VERB, here, how_run, world, lambda _: end("question"))  # type: ignore[arg-type]
    assert ran == expected


def test_what_terraform_and_the_operator_would_undo_is_said_before_the_question() -> None:
    over = VERB.question(session().run.seen)
    lost = Seen()
    known = Sides(replica=side("slave"), primary=None, state=FOLLOWING)
    lost.remember("last-known", known)
    forced = Failover(replica="us").question(lost)
    assert over
    assert forced
    said = (over.consequences["declared"], forced.consequences["declared"])
    for text in (*said, " ".join(one["what"] for one in exposure(Setting(), US))):
        assert "ip_filter" in text
        assert "tags" in text
        assert "Terraform and the Kubernetes operator" in text
