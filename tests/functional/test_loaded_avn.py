"""A command that is forked from a loaded avn is what it is when it is started: given the same, it says and does the same."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

import aiven.client.__main__
import pytest

from ccr_avn import loaded_avn, process
from ccr_avn.process import Answer
from tests.support.console_script import install
from tests.support.loaded import BIN
from tests.support.operator import Operator
from tests.support.wait import until
from tests.support.whole import gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux only")

Load = Callable[[str], None]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Has a program loaded; from then on what is run is forked from it, or the test fails."""
    monkeypatch.setattr(process, "_loaded", [])
    monkeypatch.delenv(loaded_avn.OFF, raising=False)
    monkeypatch.setattr(loaded_avn, "possible", lambda _, **__: True)  # it is not beside our interpreter

    def begin(path: str) -> None:
        process.preload_avn(path)
        assert process._loaded

    yield begin
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # the next test loads another


def server() -> int:
    pid: int = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # nobody else tells
    return pid


@pytest.fixture
def avn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program that is installed as avn is."""
    script, environment = install(tmp_path)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is left in a buffer at the end is part of it
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return str(script)


def told(answer: Answer) -> tuple[object, ...]:
    """Of a traceback the end: what called avn's main is not the same."""
    traced = answer.stderr.startswith("Traceback")
    return answer.code, answer.stdout.splitlines(), answer.last_line if traced else answer.stderr, answer.expired


def same(answers: list[Answer], deadline: float = 60) -> None:
    """The same commands by forks alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "_started", lambda *_: pytest.fail("it was started"))
        forked = [process.run(answer.argv, deadline=deadline) for answer in answers]
    for one, other in zip(answers, forked, strict=True):
        assert told(one) == told(other), one.argv


def started(path: str, *commands: Sequence[str], deadline: float = 60) -> list[Answer]:
    return [process.run((path, *words), deadline=deadline) for words in commands]


def marked(mark: Path) -> list[int]:
    return [int(word) for word in mark.read_text().split()] if mark.exists() else []


def test_it_is_given_the_same(avn: str, load: Load) -> None:
    """But for the numbers of open files, and that what lies in this folder is never imported."""
    (plain,) = started(avn, ("seen", "", "a b", "ü", "\udcff"))
    load(avn)
    one, other = (json.loads(answer.stdout) for answer in (plain, process.run(plain.argv, deadline=60)))
    assert other.pop("path")[0] == str(Path(sys.executable).parent)
    assert other.pop("flags") == one["flags"].replace("safe_path=False", "safe_path=True")
    assert other == {name: one[name] for name in other if name != "open"} | {"open": other["open"]}
    assert other["session"]


ENDS = (
    *(f"quits {how}" for how in ("none", "3", "300", "-1", "true", "text", "tuple")),
    *(f"killed {int(number)}" for number in (signal.SIGTERM, signal.SIGKILL)),
    *("fails", "vanishes", "talks", "outlives", "nothing-that-there-is", ""),
)


def test_it_ends_in_the_same_way(avn: str, load: Load) -> None:
    plain = started(avn, *(line.split() for line in ENDS))
    assert {answer.code for answer in plain} >= {0, 3, 44, 255, 1, 7, -signal.SIGTERM, -9}
    load(avn)
    same(plain)


COMMANDS = (
    *("service list --json", "--version", "nope", "service get", "service get missing --json"),
    "service tags update eu --add-tag a=b",
    *("--auth-token wrong service list", "--url http://127.0.0.1:1 service list"),
    "service terminate eu",  # it asks, and nobody answers
)


OF_AVN = [(str(BIN / "avn"), COMMANDS), (str(aiven.client.__main__.__file__), COMMANDS[:2])]


@pytest.mark.parametrize(("path", "commands"), OF_AVN, ids=["script", "package"])
def test_real_commands_say_the_same(
    pair: Operator, load: Load, path: str, commands: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.avn("service", "tags", "update", "eu", "--add-tag", "a=b")  # so that it changes nothing later
    for name, value in pair.environment().items():
        monkeypatch.setenv(name, value)
    plain = started(path, *(line.split() for line in commands))
    load(path)
    same(plain)


def test_avn_alone_looks_for_no_translation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    program = tmp_path / "says"
    program.write_text("#!/bin/sh\necho $LANGUAGE\n")
    program.chmod(0o700)
    assert process.run((str(program),), deadline=60).stdout == "C\n"
    assert process.run((str(program),), deadline=60, environment={}).stdout == "de\n", "what is not avn"


def test_one_that_takes_too_long_is_ended_with_what_it_started(avn: str, load: Load, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    plain = started(avn, ("waits", str(mark)), deadline=1)
    assert (plain[0].code, plain[0].expired, plain[0].stdout) == (-9, True, "waiting\n")
    load(avn)
    same(plain, deadline=1)
    assert len(marked(mark)) == 4
    until(lambda: all(gone(pid) for pid in marked(mark)), "all have ended")


def test_what_a_lost_fork_server_had_taken_is_not_begun_again(avn: str, load: Load, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    load(avn)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(process.run, (avn, "waits", str(mark)), deadline=60)
        until(lambda: len(marked(mark)) == 2, "it has begun")
        os.kill(server(), signal.SIGKILL)
        answer = running.result()
    assert (answer.code, answer.expired) == (-9, False)
    until(lambda: all(gone(pid) for pid in marked(mark)), "it has ended")
    assert process.run((avn, "quits", "3"), deadline=60).code == 3
    assert len(marked(mark)) == 2


def test_a_frozen_fork_server_costs_its_time_limit_once(
    avn: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_avn, "LOADING", 0.1)
    mark = tmp_path / "mark"
    load(avn)
    until(lambda: process.run((avn, "quits", "3"), deadline=60).code == 3, "it has loaded, or is started plainly")
    process._loaded[0]._lost = False
    os.kill(server(), signal.SIGSTOP)
    try:
        answer = process.run((avn, "waits", str(mark)), deadline=0.5)
        assert (answer.code, answer.expired, len(marked(mark))) == (-9, True, 2), "it was started plainly, once"
        assert process._loaded[0]._lost
    finally:
        os.kill(server(), signal.SIGCONT)
    assert process.run((avn, "quits", "3"), deadline=60).code == 3
    assert len(marked(mark)) == 2, "nor does the fork ever begin"


@pytest.mark.parametrize("why", ["it can't be loaded", "it never gets ready"])
def test_one_that_can_not_be_had_is_not_missed(why: str, avn: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    [plain] = started(avn, ("quits", "text"))
    if why == "it can't be loaded":
        monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: b"/nowhere/python")
    else:
        monkeypatch.setattr(loaded_avn, "LOADING", 0)
    with suppress(AssertionError):
        load(avn)
    assert told(process.run((avn, "quits", "text"), deadline=60)) == told(plain)


def test_what_avn_reads_while_it_loads_must_be_the_same(
    avn: str, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load(avn)

    def differs(answer: Answer) -> bool:
        return bool(json.loads(answer.stdout)["environment"].get("LATER"))

    assert differs(process.run((avn, "seen"), deadline=60, environment={"LATER": "yes"}))
    monkeypatch.setenv("LATER", "yes")
    assert differs(process.run((avn, "seen"), deadline=60))
    monkeypatch.delenv("LATER")
    monkeypatch.chdir(tmp_path)
    assert json.loads(process.run((avn, "seen"), deadline=60).stdout)["place"] == str(tmp_path)


def test_none_waits_for_another_and_nothing_stays_open(avn: str, load: Load, tmp_path: Path) -> None:
    place, many = tmp_path / "meeting", 40
    load(avn)
    place.mkdir()
    assert process.run((avn, "quits", "3"), deadline=60).code == 3

    def numbers() -> list[list[str]]:
        return [sorted(one.name for one in Path(f"/proc/{pid}/fd").iterdir()) for pid in ("self", server())]

    before = numbers()
    with ThreadPoolExecutor(many) as pool:
        answers = list(
            pool.map(lambda _: process.run((avn, "meets", str(place), str(many)), deadline=120), range(many))
        )
    assert [answer.stdout for answer in answers] == ["met\n"] * many
    until(lambda: numbers() == before, "all is closed")


OURS = """
import sys
from ccr_avn import loaded_avn, process
loaded_avn.possible = lambda *_, **__: True
process.preload_avn(sys.argv[1])
process.run((sys.argv[1], "waits", sys.argv[2], "a-secret-word"), deadline=60)
"""


def test_when_we_are_killed_a_command_goes_on_as_one_that_was_started_does(avn: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    environment = {name: value for name, value in os.environ.items() if name != loaded_avn.OFF}
    words = (sys.executable, "-c", OURS, avn, str(mark))
    ours = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: len(marked(mark)) == 2, "it has begun")
    forked = marked(mark)
    parent = int(Path(f"/proc/{forked[0]}/stat").read_text().rpartition(")")[2].split()[1])
    assert os.getpgid(parent) not in (os.getpgid(ours.pid), os.getpgid(forked[0]))  # Ctrl-C is for us alone
    assert b"a-secret-word" not in Path(f"/proc/{forked[0]}/cmdline").read_bytes()
    ours.kill()
    assert ours.communicate() == (b"", b""), "nothing that goes on holds our output open"
    assert not any(gone(pid) for pid in (parent, *forked))
    os.killpg(forked[0], signal.SIGKILL)
    until(lambda: all(gone(pid) for pid in (parent, *forked)), "all have ended")


def test_an_interrupted_wait_ends_the_command(avn: str, load: Load, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    load(avn)

    def interrupt() -> None:
        until(lambda: len(marked(mark)) == 2, "it has begun")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it would be passed over
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            process.run((avn, "waits", str(mark)), deadline=60)
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    assert all(gone(pid) for pid in marked(mark)[:1])
    until(lambda: all(gone(pid) for pid in marked(mark)), "all have ended")
    assert process.run((avn, "quits", "3"), deadline=60).code == 3
