"""Starting programs: what can't be started is an answer too, and says why."""

import sys
from pathlib import Path

import pytest
from pytest_subprocess import FakeProcess

from ccr_avn import process
from ccr_avn.hooks import Hooks


@pytest.fixture(autouse=True)
def real_processes(fp: FakeProcess) -> None:
    """What can't be started only the system knows."""
    fp.allow_unregistered(allow=True)


def program(at: Path, text: str, mode: int = 0o755) -> str:
    at.write_text(text)
    at.chmod(mode)
    return str(at)


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("#!/there/is/none\n", 0o755, "the interpreter that its first line names does not exist"),
        ("#!/bin/sh\r\n", 0o755, "the interpreter that its first line names does not exist"),
        ("garbage", 0o755, "Exec format error"),
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        (None, 0, "No such file or directory"),
    ],
)
def test_a_program_that_can_not_be_started_has_done_nothing_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, mode: int, why: str
) -> None:
    path = tmp_path / "program"
    if text is not None:
        program(path, text, mode)
    answer = process.run((str(path),), deadline=60)
    assert (answer.started, answer.code, answer.last_line) == (False, process.NOT_STARTED, why)
    assert not Hooks(before=str(path)).run("before", {})
    assert f"can't be run: {why}" in capsys.readouterr().err


def test_a_program_that_ends_with_that_code_was_started(tmp_path: Path) -> None:
    answer = process.run((program(tmp_path / "program", "#!/bin/sh\nexit 126\n"),), deadline=60)
    assert (answer.started, answer.code) == (True, process.NOT_STARTED)


def test_in_a_preview_a_program_that_path_does_not_have_is_named_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, empty = tmp_path / "venv", tmp_path / "empty"
    ours.mkdir()
    empty.mkdir()
    avn, ccr = (program(ours / name, "#!/bin/sh\n") for name in ("avn", "ccr-avn"))
    monkeypatch.delenv("CCR_AVN_BIN", raising=False)
    monkeypatch.setattr("sys.executable", str(ours / "python"))
    monkeypatch.setattr("sys.argv", [ccr])
    monkeypatch.setenv("PATH", str(empty))
    assert process.programs(None) == {"avn": avn, "ccr-avn": ccr}
    assert process.programs("/opt/other avn")["avn"] == "/opt/other avn"
    monkeypatch.setenv("PATH", str(ours))
    assert process.programs(None) == {}
    another = program(empty / "my avn", "#!/bin/sh\n")
    monkeypatch.setenv("CCR_AVN_BIN", another)
    assert process.programs(None) == {"avn": another}
    monkeypatch.setenv("CCR_AVN_BIN", "avn")
    assert process.programs(None) == {}


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An avn that is a package where our interpreter does not install, as in one file that holds all; its module."""
    for folder, says in (("site", "ours"), ("here", "not ours")):
        client = tmp_path / folder / "aiven" / "client"
        client.mkdir(parents=True)
        (client.parent / "__init__.py").touch()
        (client / "__init__.py").touch()
        (client / "__main__.py").write_text(f"import sys; print({says!r}, *sys.argv[1:])")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("sys.path", ["", str(tmp_path / "here"), str(tmp_path / "site"), *sys.path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "aiven"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delenv("CCR_AVN_BIN", raising=False)
    return tmp_path / "site" / "aiven" / "client" / "__main__.py"


def test_an_avn_without_a_script_is_run_by_our_interpreter(packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", sys.path[2:])
    assert process.find_avn(None) == str(packaged)
    assert process.run((str(packaged), "--version", "a b"), deadline=60).stdout == "ours --version a b\n"


def test_what_lies_in_this_folder_is_not_taken_for_it(packaged: Path) -> None:
    assert process.run((str(packaged), "-P"), deadline=60).stdout == "ours -P\n"


def test_a_script_beside_our_interpreter_comes_before_the_package_that_is_installed_there(
    tmp_path: Path, packaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", sys.path[2:])
    script = program(tmp_path / "avn", "#!/bin/sh\n")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert process.find_avn(None) == str(packaged)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert process.find_avn(None) == script
