"""A command that is forked from a loaded avn is what it is when it is started: given the same, it says and does the same."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from ccr_avn import preload, process
from ccr_avn.process import Answer
from tests.support.console_script import install
from tests.support.loaded import BIN
from tests.support.operator import Operator
from tests.support.pairs import paired
from tests.support.wait import until

pytestmark = pytest.mark.skipif(not preload.possible(), reason="forks are used on Linux only")

Load = Callable[[str], preload.Preloaded]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Has a program loaded; from then on `process.run` goes by its helper."""
    monkeypatch.setattr(process, "_preloaded", [])
    monkeypatch.delenv(preload.OFF, raising=False)

    def begin(path: str) -> preload.Preloaded:
        process.preload_avn(path)
        return process._preloaded[0]

    yield begin
    for helper in process._preloaded:
        helper.end()
        helper.close()


@pytest.fixture
def avn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program that is installed as avn is."""
    script, environment = install(tmp_path)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is left in a buffer at the end is part of it
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return str(script)


def told(answer: Answer) -> tuple[object, ...]:
    return answer.argv, answer.code, answer.stdout, answer.stderr, answer.expired


def same(helper: preload.Preloaded, answers: list[Answer], deadline: float = 60) -> list[Answer]:
    """The same commands by the helper, which must have taken each."""
    forked = [process.run(answer.argv, deadline=deadline) for answer in answers]
    assert not helper.lost
    for one, other in zip(answers, forked, strict=True):
        assert one.code == other.code
        assert one.stdout.splitlines() == other.stdout.splitlines()
        assert told(one) == told(other)
    return forked


def started(path: str, *commands: tuple[str, ...], deadline: float = 60) -> list[Answer]:
    return [process.run((path, *words), deadline=deadline) for words in commands]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def marked(mark: Path) -> list[int]:
    return [int(word) for word in mark.read_text().split()] if mark.exists() else []


def test_it_is_given_the_same(avn: str, load: Load) -> None:
    plain = started(avn, ("seen", "", "a b", "ü", "\udcff"))
    (forked,) = same(load(avn), plain)
    assert json.loads(forked.stdout)["session"]


ENDS: tuple[tuple[str, ...], ...] = (
    *(("quits", how) for how in ("none", "3", "300", "-1", "true", "text", "tuple")),
    ("fails",),
    ("interrupted",),
    ("killed", str(int(signal.SIGTERM))),
    ("killed", str(int(signal.SIGKILL))),
    ("vanishes",),
    ("talks",),
    ("outlives",),
    ("closes",),
    ("there is no such thing",),
    (),
)


def test_it_ends_in_the_same_way(avn: str, load: Load) -> None:
    plain = started(avn, *ENDS)
    assert {answer.code for answer in plain} >= {0, 3, 44, 255, 1, 7, 120, -signal.SIGINT, -signal.SIGTERM, -9}
    same(load(avn), plain)


def test_real_commands_say_the_same(operator: Operator, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    paired(operator)
    operator.avn("service", "tags", "update", "eu", "--add-tag", "a=b")  # so that it changes nothing later
    for name, value in operator.environment().items():
        monkeypatch.setenv(name, value)
    commands = (
        ("--version",),
        ("--help",),
        ("nope",),
        ("service", "get"),
        ("service", "list", "--json"),
        ("service", "get", "missing", "--json"),
        ("service", "list"),
        ("service", "tags", "update", "eu", "--add-tag", "a=b"),
        ("service", "tags", "update", "missing", "--add-tag", "a=b"),
        ("service", "integration-delete", "00000000-0000-0000-0000-000000000000"),
        ("--auth-token", "wrong", "service", "list"),
        ("--url", "http://127.0.0.1:1", "service", "list"),
        ("service", "terminate", "eu"),  # it asks, and nobody answers
    )
    path = str(BIN / "avn")
    plain = started(path, *commands)
    same(load(path), plain)


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
    same(load(avn), plain, deadline=1)
    assert len(marked(mark)) == 4
    until(lambda: all(gone(pid) for pid in marked(mark)), "all have ended")


def test_it_gives_the_processor_to_others_when_told_to(avn: str, load: Load) -> None:
    nice = os.nice(0) + 3
    assert process.run((avn, "becomes", str(nice)), deadline=60, nice=nice).code == 0
    helper = load(avn)
    assert process.run((avn, "becomes", str(nice)), deadline=60, nice=nice).code == 0
    assert not helper.lost
    assert process.run((avn, "becomes", str(os.nice(0))), deadline=60).code == 0


def test_what_a_lost_helper_had_taken_is_not_begun_again(avn: str, load: Load, tmp_path: Path) -> None:
    mark, helper = tmp_path / "mark", load(avn)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(process.run, (avn, "waits", str(mark)), deadline=60)
        until(lambda: len(marked(mark)) == 2, "it has begun")
        os.kill(helper.pid, signal.SIGKILL)
        answer = running.result()
    assert (answer.code, answer.expired) == (-9, False)
    until(lambda: all(gone(pid) for pid in marked(mark)), "it has ended")
    assert process.run((avn, "quits", "3"), deadline=60).code == 3  # started plainly
    assert len(marked(mark)) == 2


def test_a_frozen_helper_costs_the_time_limit(
    avn: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preload, "GRACE", 0.1)
    mark, helper = tmp_path / "mark", load(avn)
    assert process.run((avn, "quits", "3"), deadline=60).code == 3
    os.kill(helper.pid, signal.SIGSTOP)
    answer = process.run((avn, "waits", str(mark)), deadline=0.2)
    assert (answer.code, answer.expired) == (-9, True)
    assert gone(helper.pid)
    assert process.run((avn, "quits", "3"), deadline=60).code == 3
    assert not marked(mark)  # nor does it ever begin


def _says_something(_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYS_WHILE_LOADING", "this is old")


def _has_no_interpreter(avn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = preload.Script(interpreter=("/nowhere/python",), module="aiven.client.__main__")
    monkeypatch.setattr(preload, "script_at", lambda _: found)


def _can_not_be_loaded(avn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = preload.Script(interpreter=(sys.executable,), module="aiven.nowhere")
    monkeypatch.setattr(preload, "script_at", lambda _: found)


def _never_gets_ready(avn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "LOADING", 0.1)
    found = preload.Script(interpreter=("/bin/sleep", "60s", "--"), module="aiven.client.__main__")
    monkeypatch.setattr(preload, "script_at", lambda _: found)


def _is_a_script_of_the_shell(avn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(avn).read_text()
    Path(avn + ".real").write_text(text)
    Path(avn + ".real").chmod(0o755)
    Path(avn).write_text('#!/bin/sh\nexec "$0.real" "$@"\n')


CASES = (_says_something, _has_no_interpreter, _can_not_be_loaded, _never_gets_ready, _is_a_script_of_the_shell)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_that_can_not_be_had_is_not_missed(
    case: Callable[[str, pytest.MonkeyPatch], None], avn: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    case(avn, monkeypatch)
    plain = started(avn, ("quits", "text"))
    with suppress(IndexError):
        assert load(avn)
    assert told(process.run((avn, "quits", "text"), deadline=60)) == told(plain[0])
    assert not process._preloaded or process._preloaded[0].lost


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
    helper, place, many = load(avn), tmp_path / "meeting", 40
    place.mkdir()
    assert process.run((avn, "quits", "3"), deadline=60).code == 3

    def numbers() -> list[list[str]]:
        return [sorted(one.name for one in Path(f"/proc/{pid}/fd").iterdir()) for pid in ("self", helper.pid)]

    before = numbers()
    with ThreadPoolExecutor(many) as pool:
        answers = list(
            pool.map(lambda _: process.run((avn, "meets", str(place), str(many)), deadline=120), range(many))
        )
    assert [answer.stdout for answer in answers] == ["met\n"] * many
    until(lambda: numbers() == before, "all is closed")


OURS = """
import sys
from ccr_avn import process
process.preload_avn(sys.argv[1])
process.run((sys.argv[1], "waits", sys.argv[2], "a-secret-word"), deadline=float(sys.argv[3]))
"""


def test_all_end_when_we_are_killed_and_none_shows_what_it_was_told(avn: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    environment = {name: value for name, value in os.environ.items() if name != preload.OFF}
    ours = subprocess.Popen((sys.executable, "-c", OURS, avn, str(mark), "2"), env=environment)
    until(lambda: len(marked(mark)) == 2, "it has begun")
    forked = marked(mark)
    stat = Path(f"/proc/{forked[0]}/stat").read_text().rpartition(")")[2].split()
    helper = int(stat[1])
    assert os.getpgid(helper) not in (os.getpgid(ours.pid), os.getpgid(forked[0]))  # Ctrl-C is for us alone
    assert b"a-secret-word" not in Path(f"/proc/{forked[0]}/cmdline").read_bytes()
    ours.kill()
    ours.wait()
    until(lambda: all(gone(pid) for pid in (helper, *forked)), "all have ended")


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
