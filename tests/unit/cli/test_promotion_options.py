"""What stands around a promotion: the env file is written when writes are accepted, and never stops a switch."""

import json
from pathlib import Path

import pytest

from ccr_avn.aiven import models
from ccr_avn.cli.promotion_options import writing_env
from ccr_avn.plan.events import StepDone
from ccr_avn.plan.model import go
from tests.support.factories import service

URI = "rediss://default:pw-of-the-tests@eu.example:1234"
[US] = models.services(json.dumps([service("us", service_uri=URI)]))
ACCEPTS = StepDone(at=1.0, slug="accepts-writes", finding=go("a write succeeds"), seconds=0.1, outcome="proven")


def test_a_place_that_is_gone_by_then_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env").mkdir()
    file = tmp_path / "env" / "app.env"
    sink = writing_env(file, lambda: US)
    (tmp_path / "env").rmdir()
    sink(ACCEPTS)
    said = capsys.readouterr().err
    assert f"{file} can't be written: No such file or directory; see `ccr-avn endpoint us`" in said
    sink(ACCEPTS)
    assert capsys.readouterr().err == "", "it is said once"


def test_it_is_written_the_moment_that_writes_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    sink = writing_env(file, lambda: US)
    sink(StepDone(at=0.5, slug="promote", finding=go("its role is master"), seconds=0.1, outcome="changed"))
    assert not file.exists()
    sink(ACCEPTS)
    assert URI in file.read_text()
