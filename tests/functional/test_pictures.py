"""The pictures of the documentation are there, and the scenes that they are taken from run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r'(?:src="|!?\[[^\]]*\]\()([^")]*pictures/[^")]+)')


def shown(page: Path) -> list[Path]:
    return [page.parent / name for name in SHOWN.findall(page.read_text())]


def test_every_picture_that_is_shown_is_there_loads_nothing_and_each_is_shown() -> None:
    assert len(shown(ROOT / "README.md")) >= 3
    found = {path.resolve() for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")) for path in shown(page)}
    assert found == set((ROOT / "docs" / "pictures").iterdir())
    for path in found:
        if path.suffix == ".svg":
            addresses = set(re.findall(r"https?://[^\"'\s)]+", path.read_text()))
            assert addresses <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}, path
        assert path.stat().st_size < 250_000, path


@pytest.mark.slow
def test_a_scene_is_a_real_run(tmp_path: Path) -> None:
    """In a folder of its own: what is in docs/pictures is for a person to look at before it is replaced."""
    script = ROOT / "scripts" / "pictures.py"
    elsewhere = {**os.environ, "PICTURES": str(tmp_path)}
    done = subprocess.run(
        (sys.executable, script, "question"), env=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    picture = (tmp_path / "question.svg").read_text()
    assert "switchover" in picture
    assert "becomes" in picture
