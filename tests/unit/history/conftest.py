"""Where the journals of a test are."""

from pathlib import Path

import pytest


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CCR_AVN_STATE_DIR", str(tmp_path))
    return tmp_path / "runs"
