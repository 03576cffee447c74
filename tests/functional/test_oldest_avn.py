"""The oldest avn that is supported does the same job as the newest."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.operator import Operator

OLDEST = "2.14.8"


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("oldest")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"aiven-client=={OLDEST}"]
    subprocess.run([str(home / "bin" / "python"), *install], check=True)
    return home / "bin" / "avn"


@pytest.mark.slow
def test_the_oldest_supported_avn_enables_a_pair(operator: Operator, oldest: Path) -> None:
    done = operator.enable("--avn", str(oldest))
    assert done.code == 0, done.err
    again = operator.enable("--avn", str(oldest))
    assert again.code == 0, again.err
    assert "nothing was changed" in again.out
    doctor = operator.ends(0, "doctor", "--avn", str(oldest))
    assert OLDEST in doctor.out
