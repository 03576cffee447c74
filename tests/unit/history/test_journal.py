"""When the journal is on disk."""

import os
from pathlib import Path

import pytest

from ccr_avn.cli.boundary import run
from ccr_avn.history import journal
from ccr_avn.history.journal import _NEWEST, Journal, new_run
from ccr_avn.plan import events
from ccr_avn.plan.model import go


def test_a_change_is_on_disk_with_all_before_it_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A step that only checked is not synced by itself: while writes are paused that is outage."""
    journal, synced = Journal(str(tmp_path / "run")), list[int]()
    monkeypatch.setattr("os.fsync", lambda _: synced.append(len(journal.path.read_text().splitlines())))
    journal(events.StepDone(at=1.0, slug="pair", finding=go("both are RUNNING"), seconds=0.1, outcome="found"))
    assert synced == []
    journal(events.ChangeStarted(at=2.0, slug="promote", argv=("avn", "service"), final=True))
    assert synced == [2]
    journal.close()


DAY = 86_400 * 10**9


@pytest.mark.parametrize("anew", [False, True], ids=["one process", "a process each"])
def test_the_newest_run_is_the_one_begun_last_whatever_the_clock_said(
    anew: bool, where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where.mkdir()
    begun = []
    for days in (40_000, 20_000, 20_000, 19_000, 20_001):
        monkeypatch.setattr("time.time_ns", lambda days=days: days * DAY)
        if anew:
            _NEWEST.clear()
        begun.append(new_run())
        (where / f"{begun[-1]}.jsonl").write_text("")
    assert [path.stem for path in journal.paths()] == begun[::-1]
    assert journal.find("latest").stem == begun[-1]


@pytest.mark.parametrize(
    "name", ["99999999T999999Z-abc123.jsonl", "notes.txt", "zzz.jsonl", "20260102T030405Z-a.jsonl"]
)
def test_an_odd_or_older_name_keeps_no_run_from_beginning(
    name: str, where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where.mkdir()
    (where / name).write_text("")
    monkeypatch.setattr("time.time_ns", lambda: 20_000 * DAY)
    assert new_run() > "20241004T000000000Z-"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: no HOME, and a user without an entry in /etc/passwd."""

    def unknown(_: object) -> None:
        raise KeyError("getpwuid(): uid not found: 54321")

    for name in ("HOME", "CCR_AVN_STATE_DIR", "XDG_STATE_HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_a_run_has_no_journal_and_says_once_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(new_run())
    for at in (1.0, 2.0):
        journal(events.StepDone(at=at, slug="pair", finding=go("both are RUNNING"), seconds=0.1, outcome="found"))
    journal.close()
    said = capsys.readouterr().err
    assert said.count("no home directory for journals: set CCR_AVN_STATE_DIR") == 1
    assert len(said.splitlines()) == 1


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("words", [("list",), ("show", "latest"), ("report", "x")], ids=" ".join)
def test_without_a_home_there_are_no_runs_and_it_says_what_to_set(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", *words]) == 2
    assert "hint: export CCR_AVN_STATE_DIR=DIR" in capsys.readouterr().err


@pytest.mark.usefixtures("homeless")
def test_who_started_a_run_is_known_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCR_AVN_STATE_DIR", str(tmp_path))
    journal = Journal("run")
    journal(events.RunStarted(at=0.0, run="run", command="status", title="t", slugs=(), facts={}))
    journal.close()
    assert f'"who": "{os.getuid()}"' in journal.path.read_text()
