"""When the journal is on disk."""

from pathlib import Path

import pytest

from ccr_avn.history.journal import Journal
from ccr_avn.plan import events
from ccr_avn.plan.model import go


def test_a_change_is_on_disk_with_all_before_it_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A step that only checked is not synced by itself: while writes are paused that is outage."""
    journal, synced = Journal("run", where=tmp_path), list[int]()
    monkeypatch.setattr("os.fsync", lambda _: synced.append(len(journal.path.read_text().splitlines())))
    journal(events.StepDone(at=1.0, slug="pair", finding=go("both are RUNNING"), seconds=0.1, outcome="found"))
    assert synced == []
    journal(events.ChangeStarted(at=2.0, slug="promote", argv=("avn", "service"), final=True))
    assert synced == [2]
    journal.close()
