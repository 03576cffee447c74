"""Faults of the past, put back one at a time: the histories find each of them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULTS = sorted(Path(__file__).parent.glob("faults/*.patch"))
MOST = 5000
"""Histories in which a fault must be found."""


@pytest.mark.slow
@pytest.mark.parametrize("patch", FAULTS, ids=[path.stem for path in FAULTS])
def test_a_fault_that_is_put_back_is_found(patch: Path, tmp_path: Path) -> None:
    only, seed = re.findall(r"^(?:Only|Seed): *(.*)$", patch.read_text(), re.MULTILINE)
    skipped = shutil.ignore_patterns("__pycache__")
    for part in ("ccr_avn", "tests/simulation", "tests/support"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=skipped)
    shutil.copy(ROOT / "tests/__init__.py", tmp_path / "tests")
    subprocess.run(["git", "apply", "-C1", str(patch)], cwd=tmp_path, check=True)

    def finds(first: str, most: int) -> bool:
        words = ("-m", "tests.simulation", "--first", "--seed", first, "--histories", str(most), "--only", only)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        found = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert found.returncode in (0, 1), found.stderr
        return found.returncode == 1 and "BROKEN RULE" in found.stdout

    assert finds(seed, 1) or finds("0", MOST)


def test_there_are_enough() -> None:
    assert len(FAULTS) >= 15
