"""What a run shows while it goes on, and the operator's own commands around it."""

import pytest
from pytest_subprocess import FakeProcess

from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import Service
from ccr_avn.errors import Interrupted, Refused
from ccr_avn.hooks import Hooks
from ccr_avn.output import console
from ccr_avn.output.progress import LiveProgress, PlainProgress
from ccr_avn.plan.events import Looked, StepDone, StepStarted, Undone
from ccr_avn.plan.model import go, wait
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.verb import exposure, exposure_lines
from tests.support.operator import STAMP


@pytest.fixture(autouse=True)
def fresh() -> None:
    console.prepare(json=False)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines without when each was said."""
    return [STAMP.sub("", line) for line in capsys.readouterr().err.splitlines()]


def looked(limit: float, reason: str = "held until Ctrl-C") -> Looked:
    return Looked(at=1.0, slug="hold", argv=(), finding=wait(reason), elapsed=0.0, limit=limit)


def test_a_limit_that_is_none_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    show = PlainProgress()
    for event in (looked(600.0, "a"), looked(10.0**9), looked(10.0**9)):
        show(event)
    assert said(capsys) == ["hold: waiting: a (up to 600 s)", "hold: waiting: held until Ctrl-C"]
    live = LiveProgress()
    for limit, told in ((600.0, True), (10.0**9, False)):
        live(StepStarted(at=0.0, slug="hold", purpose="keep", rule="you stop", limit=limit))
        assert (" of " in live.picture(live.live.console).plain) is told
    live.close()


def test_what_was_undone_or_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    show = PlainProgress()
    show(Undone(at=1.0, slug="fence"))
    show(Undone(at=1.0, slug="fence", failed="no answer"))
    show(StepDone(at=1.0, slug="x", finding=go("so", warnings=("mind",)), seconds=0.1, outcome="found"))
    assert said(capsys)[1:] == ["fence: NOT undone: no answer", "warning: mind", "x: already so: so (0.1 s)"]


def test_a_command_of_yours_that_fails_is_told_and_ends_nothing(
    fp: FakeProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = Hooks(after="notify us", before="ask")
    fp.register(["notify", "us"], returncode=3, stdout="no \x1b[2Jroute")
    assert hooks.run("after", {}) is False
    told = capsys.readouterr().err
    assert "after| no \\x1b[2Jroute" in told
    assert "warning: after: exit 3" in told

    fp.register(["ask"], returncode=1)
    with pytest.raises(Refused):
        hooks.run_before({})


def test_ctrl_c_during_a_command_of_yours_loses_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted(2)

    monkeypatch.setattr("ccr_avn.process.run", interrupted)
    assert Hooks(after="notify").run("after", {}) is False
    assert console.warnings() == ("after: interrupted by Ctrl-C",)


def test_a_sentence_is_no_command() -> None:
    service = Service(service_name="us", service_type="valkey", state="RUNNING", plan="startup-4", cloud_name="c")
    risks = exposure(Setting(project=Project("p")), service)
    for one in risks:
        assert not one["fix"] or one["fix"].split()[0] in ("avn", "ccr-avn"), one
    text = exposure_lines(risks)
    assert text[0] == "remaining risks:"
    assert all(text)
