"""Signals: what ended a run is what is reported, and what was ignored at the start stays ignored."""

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ccr_avn
from ccr_avn.cli import boundary
from ccr_avn.errors import CcrError, Changed, Interrupted, Refused
from ccr_avn.hooks import Hooks
from ccr_avn.output import console
from ccr_avn.plan.model import Answers, Step
from ccr_avn.signals import ENDING, Signals, unlimited, within
from tests.support.executed import Fake, plan, probe, step


@pytest.fixture
def ignored() -> Iterator[signal.Signals]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield signal.SIGHUP
    signal.signal(signal.SIGHUP, before)


def test_what_is_ignored_when_we_start_stays_ignored(ignored: signal.Signals) -> None:
    with Signals():
        assert signal.getsignal(ignored) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(ignored) is signal.SIG_IGN


def test_handlers_are_installed_where_what_is_ignored_stays_ignored_only() -> None:
    sources = Path(ccr_avn.__file__).parent.rglob("*.py")
    assert [one.name for one in sources if "signal.signal(" in one.read_text()] == ["signals.py"]


def interrupting(one: Step[Any], times: int) -> Step[Any]:
    """Its undoing is interrupted, and undoes all the same."""

    def undo(seen: Answers) -> str:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return one.undo(seen) if one.undo else ""

    return replace(one, undo=undo)


@pytest.mark.parametrize(("times", "undone"), [(1, "stays: stays is as it was"), (2, "NOT undone: interrupted by")])
def test_ctrl_c_while_things_are_undone_replaces_neither_the_error_nor_its_notes(times: int, undone: str) -> None:
    fake, log = Fake(x=["stop"]), list[str]()
    steps = (probe("fence", log), interrupting(probe("stays", log), times), step("x"))
    with Signals() as signals, pytest.raises(Refused) as caught:
        fake.perform(plan(*steps), signals_held=signals.held)
    assert undone in caught.value.notes[0]
    assert caught.value.notes[1] == "fence: fence is as it was"


def test_ctrl_c_while_connections_are_released_does_not_hide_how_the_run_ended() -> None:
    def release(_: Answers) -> None:
        signal.raise_signal(signal.SIGINT)

    fake = Fake(x=["stop"])
    opened = replace(probe("fence", []), release=release)
    with Signals() as signals, pytest.raises(Refused):
        fake.perform(plan(opened, step("x")), signals_held=signals.held)
    with Signals() as signals:
        fake.perform(plan(opened), signals_held=signals.held)


@pytest.mark.parametrize(("changed", "code"), [(False, 130), (True, 140), ("unknown", 140)])
def test_ctrl_c_after_the_run_keeps_the_ten_of_what_was_changed(
    changed: Changed, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(_: list[str]) -> int:
        console.commit(changed)
        raise KeyboardInterrupt

    monkeypatch.setattr(boundary, "_run", late)
    assert boundary.run([]) == code


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_while_the_error_is_reported_changes_nothing(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[CcrError] = []

    def failed(_: list[str]) -> int:
        problem = Refused("no", hint="none")
        problem.changed = True
        raise problem

    def report(problem: CcrError) -> None:
        signal.raise_signal(number)
        said.append(problem)

    monkeypatch.setattr(boundary, "_run", failed)
    monkeypatch.setattr(console, "error", report)
    with suppress(Interrupted):
        assert boundary.run([]) == 14
    assert [one.what for one in said] == ["no"]


def test_a_question_takes_none_of_the_time() -> None:
    with within(3600.0):
        with unlimited():
            assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        assert 3500 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3600
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("which", ["after", "on-failure"])
def test_a_signal_ends_a_hook_after_the_run_and_not_the_report(
    which: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ccr_avn.process.run", lambda *_, **__: signal.raise_signal(number))
    hooks = Hooks(before="b", after="a", on_failure="f")
    with Signals():
        assert not hooks.run(which, {})
        with pytest.raises(Interrupted):
            hooks.run("before", {})
    assert f"{which}: interrupted by" in capsys.readouterr().err


def test_other_threads_hear_no_signals() -> None:
    heard: list[object] = []

    def inside() -> None:
        with Signals():
            heard.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert heard == [signal.getsignal(signal.SIGTERM)]
