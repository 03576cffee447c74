"""A program that is loaded already is the installed one: what it is told, what it sees and how it ends are the same."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.loaded import BIN, loaded
from tests.support.wait import until
from tests.support.whole import servers_below

TYPED = (
    ("avn", "--version"),
    ("avn", "service", "plans", "--help"),
    ("avn", "service", "list"),
    ("avn", "service", "get", "eu", "--project", "other"),
    ("avn", "nope"),
    ("avn", "service", "terminate", "eu"),
    ("ccr-avn", "--version"),
    ("ccr-avn", "enable", "--help"),
    ("ccr-avn", "enable", "eu", "", "--json"),
    ("ccr-avn", "status", "--json"),
    ("ccr-avn", "runs", "list"),
)
ENVIRONMENTS: tuple[dict[str, str], ...] = (
    {},
    {
        "AIVEN_WEB_URL": "http://127.0.0.1:1",
        "AIVEN_AUTH_TOKEN": "none",
        "AIVEN_PROJECT": "mine",
        "CCR_AVN_STATE_DIR": "/nonexistent",
    },
    {"HOME": "/nonexistent", "PYTHONDEVMODE": "1"},
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with loaded(dict(os.environ)) as found:
        yield found


def ends(program: Path, *words: str, place: Path, more: dict[str, str], said: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        (str(program), *words),
        cwd=place,
        env={**os.environ, **more},
        input=said,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


SOME = (TYPED[2], TYPED[4], TYPED[8])
"""Of each kind one: an answer, an error of the parser, one of ours."""


@pytest.mark.parametrize(
    ("more", "typed"),
    [
        pytest.param(ENVIRONMENTS[0], TYPED, id="as it is", marks=pytest.mark.slow),
        pytest.param(ENVIRONMENTS[1], SOME, id="some, from another account"),
        pytest.param(ENVIRONMENTS[1], TYPED, id="another account", marks=pytest.mark.slow),
        pytest.param(ENVIRONMENTS[2], TYPED, id="another home, in development", marks=pytest.mark.slow),
    ],
)
def test_it_says_the_same_and_ends_the_same(
    directory: Path, tmp_path: Path, more: dict[str, str], typed: tuple[tuple[str, ...], ...]
) -> None:
    for name, *words in typed:
        one, other = (ends(place / name, *words, place=tmp_path, more=more) for place in (directory, BIN))
        assert one == other, (name, words)


@pytest.mark.parametrize("before", ["", "trap '' INT HUP; "])
def test_it_sees_the_same(directory: Path, tmp_path: Path, before: str) -> None:
    """What a command starts sees its place, its environment, its input and which signals are ignored, as behind `&`."""
    script = "cat /proc/$PPID/cmdline >> parents; grep SigIgn /proc/self/status; pwd; env | grep -v -e ^_= -e AIVEN -e CCR_AVN -e TMPDIR | sort; cat; umask; ulimit -f; exit 7"
    words = ("sandbox", "run", "--", "sh", "-c", script)
    typed: dict[str, Any] = {"place": tmp_path, "more": {"SEEN": "yes"}, "said": "from here"}
    one, other = (
        ends(Path("/bin/sh"), "-c", f'{before}exec $0 "$@"', str(place / "ccr-avn"), *words, **typed)
        for place in (directory, BIN)
    )
    assert one[0] == other[0] == 7, one
    assert one[1] == other[1]
    assert "SEEN=yes" in one[1]
    assert "from here" in one[1]
    assert str(tmp_path) in one[1]
    assert (tmp_path / "parents").read_bytes().count(b"loaded_server") == 1, "one was loaded, and one was not"


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_reaches_it(directory: Path, tmp_path: Path, number: signal.Signals) -> None:
    def killed(program: Path) -> int:
        words = ("sandbox", "run", "--", "sleep", "600")
        with subprocess.Popen(
            (str(program), *words), cwd=tmp_path, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        ) as one:
            until(sleeps, "the command to run")
            one.send_signal(number)
            code = one.wait(60)
        until(lambda: not sleeps(), "the command to end")
        return code

    def sleeps() -> list[int]:
        return [pid for pid in servers_below(tmp_path) if b"600" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    assert killed(directory / "ccr-avn") == killed(BIN / "ccr-avn")


def test_it_has_the_limits_of_who_types_it(directory: Path, tmp_path: Path) -> None:
    """A file that grows beyond one ends the program."""
    words = ("bash", "-c", f"ulimit -f 0; {directory}/ccr-avn enable --help > {tmp_path}/out")
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode not in (0, None)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert (tmp_path / "out").stat().st_size == 0
