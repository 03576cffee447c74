"""A program that is loaded already is the installed one: what it is told, what it sees and how it ends are the same."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.support.loaded import BIN
from tests.support.wait import until
from tests.support.whole import servers_below

TYPED = ("avn nope", "avn service get eu --project other", "ccr-avn enable eu '' --json")
ANOTHER_ACCOUNT = {
    "AIVEN_WEB_URL": "http://127.0.0.1:1",
    "AIVEN_AUTH_TOKEN": "none",
    "AIVEN_PROJECT": "mine",
    "CCR_AVN_STATE_DIR": "/nonexistent",
}


def ends(place: Path, script: str, cwd: Path, **more: str) -> tuple[int, str, str]:
    """A shell that finds the programs in this place. Of a traceback only the end: what called main is not the same."""
    done = subprocess.run(
        ("sh", "-c", script),
        cwd=cwd,
        env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}", **more},
        input="from here",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    traced = done.stderr.startswith("Traceback")
    return done.returncode, done.stdout, done.stderr.splitlines()[-1] if traced else done.stderr


def test_it_says_the_same_and_ends_the_same(loaded_programs: Path, tmp_path: Path) -> None:
    for line in TYPED:
        assert ends(loaded_programs, line, tmp_path, **ANOTHER_ACCOUNT) == ends(
            BIN, line, tmp_path, **ANOTHER_ACCOUNT
        ), line


def test_a_command_that_is_killed_before_it_has_asked_ends_no_other(loaded_programs: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.connect(str(loaded_programs / "socket"))
    assert ends(loaded_programs, "avn --version", tmp_path)[0] == 0


def test_it_sees_the_same(loaded_programs: Path, tmp_path: Path) -> None:
    """What a command starts sees its place, its environment, its input and which signals are ignored, as behind `&`."""
    seen = "cat /proc/$PPID/cmdline >> parents; grep SigIgn /proc/self/status; pwd; env | grep -v -e ^_= -e ^PATH -e AIVEN -e CCR_AVN -e TMPDIR | sort; cat; exit 7"
    script = f"trap '' INT HUP; exec ccr-avn sandbox run --no-data-plane -- sh -c '{seen}'"
    one, other = (ends(place, script, tmp_path, SEEN="yes") for place in (loaded_programs, BIN))
    assert one == other
    assert one[0] == 7, one
    assert all(text in one[1] for text in ("SEEN=yes", "from here", str(tmp_path)))
    assert (tmp_path / "parents").read_bytes().count(b"forkserver.main") == 1, "one was loaded, and one was not"


def test_a_signal_reaches_it(loaded_programs: Path, tmp_path: Path) -> None:
    def killed(program: Path) -> int:
        words = (str(program), "sandbox", "run", "--no-data-plane", "--", "sleep", "600")
        with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as one:
            (sleeper,) = until(sleepers, "the command to run")
            runner = int(Path(f"/proc/{sleeper}/stat").read_text().split()[3])
            one.kill()
            code = one.wait(60)
        until(lambda: runner not in servers_below(tmp_path), "the program to end")
        os.kill(sleeper, signal.SIGKILL)  # what it started lives on
        until(lambda: not sleepers(), "the command to end")
        return code

    def sleepers() -> list[int]:
        found = servers_below(tmp_path)
        return [pid for pid in found if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00600\x00"]

    assert killed(loaded_programs / "ccr-avn") == killed(BIN / "ccr-avn")
