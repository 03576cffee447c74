"""What reads us may die: an output that fails changes nothing of what is done, nor the exit code."""

import errno
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ccr_avn import redact
from ccr_avn.aiven.program import Program, world_of
from ccr_avn.cli import boundary
from ccr_avn.cli.conduct import own_world
from ccr_avn.cli.session import Session
from ccr_avn.errors import Refused
from ccr_avn.history.journal import Journal
from ccr_avn.output import console, tables
from ccr_avn.output.console import Outlet
from ccr_avn.output.progress import LiveProgress
from ccr_avn.plan import events
from ccr_avn.plan.model import Plan
from ccr_avn.procedures.verb import Verb
from tests.support.executed import probe

AVN = world_of(Program(path="avn", version="4.18.0"), call_timeout=1)
NAMES = ["one", "two", "promote", "four"]


class Failing(io.StringIO):
    """A stream that takes so many writes, and then fails for good."""

    def __init__(self, takes: int, error: Exception, *, terminal: bool = False) -> None:
        super().__init__()
        self._takes, self._error, self._terminal = takes, error, terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        self._takes -= 1
        if self._takes < 0:
            raise self._error
        return super().write(text)


ERRORS: tuple[Exception, ...] = (
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.ENOSPC, "No space left on device"),
    ValueError("I/O operation on closed file"),
)


def doing(done: list[str], *, broken: str = "", said: str = "") -> Verb:
    """Four changes; what was done, and undone, is remembered."""
    steps = tuple(probe(one, done, final=one == "promote", broken=one == broken, said=said) for one in NAMES)
    made: Verb = type("Doing", (Verb,), {"command": "switchover", "plan": lambda _: Plan("a plan", (), steps)})()
    return made


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CCR_AVN_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(redact, "_known", set())
    redact._any_of_the.cache_clear()
    console.prepare(json=False)
    return tmp_path / "runs"


def perform(session: Session, verb: Verb) -> Any:
    console.commit()
    console.about(session.about)
    with own_world(verb, AVN) as here:
        return session.perform(here, verb, lambda _: None)


def performed(done: list[str], *, broken: str = "", json: bool = False) -> Session:
    console.prepare(json=json)
    session = Session("switchover", run_id="run", json=json, primary="eu", replica="us")
    run = perform(session, doing(done, broken=broken))
    session.finish(run.changed, {"new_primary": "us"}, ["us is the primary now"])
    return session


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("takes", range(12))
@pytest.mark.parametrize("manner", ["plain", "json", "live"])
def test_a_lost_standard_error_ends_nothing(takes: int, manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, error = io.StringIO(), ERRORS[takes % len(ERRORS)]
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Failing(takes, error, terminal=manner == "live"))
    if manner == "live":
        monkeypatch.setattr("ccr_avn.cli.session.PlainProgress", LiveProgress)
    session = performed(done := list[str](), json=manner == "json")
    assert done == NAMES
    assert "primary now" in out.getvalue() or '"us"' in out.getvalue()
    assert "mind promote" in out.getvalue()  # what standard error did not take
    last = lines(session.journal.path)[-1]
    assert (last["event"], last["ok"]) == ("RunEnded", True)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("json", [False, True])
def test_a_lost_standard_output_is_told_on_the_other(
    error: Exception, json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Failing(0, error))
    monkeypatch.setattr(sys, "stderr", err)
    performed(done := list[str](), json=json)
    assert done == NAMES
    assert "standard output can't be written" in err.getvalue()
    assert "us is the primary now" in err.getvalue() or '"new_primary": "us"' in err.getvalue()


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_is_no_error(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, closed, None)
    performed(done := list[str]())
    assert done == NAMES


@pytest.mark.parametrize("takes", range(0, 24, 4))
def test_a_disk_that_is_full_ends_nothing(
    takes: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = [takes]

    def full(_: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    performed(done := list[str](), json=True)
    assert done == NAMES
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["result"]["new_primary"]) == (True, "us")
    if told["journal"]["trouble"]:
        assert any("journal can't be written (No space left" in one for one in told["warnings"])


def test_a_journal_that_fails_when_it_is_closed_loses_no_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    session = Session("switchover", run_id="run", json=True, primary="eu", replica="us")
    run = perform(session, doing([]))
    assert session.journal._file
    session.journal._file.close()
    file = type("File", (), {"close": full, "write": full, "flush": full})()
    monkeypatch.setattr(session.journal, "_file", file)
    session.finish(run.changed, {"new_primary": "us"}, [])
    assert json.loads(capsys.readouterr().out)["journal"]["trouble"] == "No space left on device"


@pytest.mark.parametrize("error", [OSError(28, "full"), UnicodeEncodeError("latin-1", "→", 0, 1, "no"), KeyError("x")])
def test_a_sink_that_fails_is_left_out(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    called: list[events.Event] = []

    def env_file(event: events.Event) -> None:
        called.append(event)
        raise error

    done: list[str] = []
    session = Session("switchover", run_id="run", json=False, primary="eu", replica="us")
    session.sinks.append(env_file)
    session.finish(perform(session, doing(done)).changed, {}, [])
    assert done == NAMES
    assert len(called) == 1
    assert "warning: env file failed" in capsys.readouterr().err


@pytest.mark.parametrize("takes", range(8))
def test_an_error_keeps_its_exit_code_and_is_told_on_the_stream_that_is_left(
    takes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Failing(takes, ERRORS[0]))
    done: list[str] = []

    def command(*_: Any, **__: Any) -> None:
        performed(done, broken="four")

    monkeypatch.setattr("ccr_avn.cli.app", command)
    assert boundary.run(["switchover", "eu", "us"]) == 14, "what an earlier step promoted is half-way"
    assert done == NAMES, "nothing is undone"
    assert "hint: none" in out.getvalue()


@pytest.mark.parametrize(
    ("error", "code"), [(ERRORS[0], 141), (ERRORS[1], 1), (ERRORS[2], 1)], ids=["pipe", "full", "closed"]
)
@pytest.mark.parametrize("words", [("--version",), ("runs", "list", "--json"), ("--help",)])
def test_a_command_that_only_tells_says_that_it_could_not(
    words: tuple[str, ...],
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(0, error))
    assert boundary.run(list(words)) == code
    assert "internal error" not in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_characters_are_degraded_and_no_error(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    console.say("eu → us … \ud83d")
    performed([])
    assert raw.getvalue().startswith(b"eu -> us ... \\ud83d\n")


def test_steering_characters_and_passwords_leave_by_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    redact.remember("pass-word-1")
    bad = "plan \x1b]0;owned\x07 redis://default:other@host pass-word-1"
    session = Session("switchover", run_id="run", json=False, primary=bad, replica="us")
    run = perform(session, doing([], said=bad))
    session.finish(run.changed, {"x": bad}, [bad, tables.text([(bad, "b")])])
    console.error(Refused(bad, detail=bad, hint=bad))
    console.envelope("switchover", None, problem=Refused(bad, detail=bad, hint=bad))
    said = capsys.readouterr()
    for text in (said.out, said.err, session.journal.path.read_text()):
        assert "\x1b" not in text
        assert "pass-word-1" not in text
        assert ":other@" not in text
        assert "plan" in text


def test_a_long_name_is_cut_in_messages(capsys: pytest.CaptureFixture[str]) -> None:
    console.error(Refused("k" * 9_000_000, detail="", hint="look"))
    assert len(capsys.readouterr().err) < 20_000


def test_an_outlet_says_why_it_is_lost() -> None:
    lost = Outlet(Failing(0, ERRORS[1]))
    assert not lost.put("x")
    assert (lost.trouble, lost.gone, lost.isatty()) == ("No space left on device", False, False)
    assert Outlet(None).trouble == "it is closed"


def test_a_journal_survives_what_can_not_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    journal = Journal("run")
    journal(events.RunEnded(at=0.0, ok=True, changed=False, code=0, result={"x": deep}))
    journal.close()
    assert journal.trouble == "RecursionError"
    assert "continuing without it" in capsys.readouterr().err
