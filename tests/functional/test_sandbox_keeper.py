"""The keeper: what is left of a sandbox goes, however it ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ccr_avn.sandbox.servers import Keeper
from tests.support.wait import LIMIT, until
from tests.support.whole import gone

OWNER = """
import subprocess, sys, time
from pathlib import Path
from ccr_avn.sandbox.servers import Keeper
keeper = Keeper()
keeper.tell("sweep", Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL)
keeper.tell("watch", child.pid)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_after_a_sigkill_nothing_is_left(tmp_path: Path) -> None:
    directory = tmp_path / "with a space"
    directory.mkdir()
    (directory / "file").touch()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert not gone(pid)
        owner.send_signal(signal.SIGKILL)
        until(lambda: gone(pid) and not directory.exists(), "all to be gone")


def test_what_it_was_told_to_forget_lives_on() -> None:
    keeper = Keeper()
    with subprocess.Popen(["sleep", "60"]) as lives, subprocess.Popen(["sleep", "60"]) as ends:
        keeper.tell("watch", lives.pid)
        keeper.tell("watch", ends.pid)
        keeper.tell("forget", lives.pid)
        keeper.close()
        assert ends.wait(LIMIT) == -signal.SIGKILL
        assert lives.poll() is None
        lives.kill()


def test_without_its_shell_it_says_nothing() -> None:
    keeper = Keeper()
    os.killpg(keeper._shell.pid, signal.SIGKILL)
    keeper._shell.wait()
    keeper.tell("watch", 1)
    keeper.close()


def test_a_number_that_may_be_anothers_by_now_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper()
    monkeypatch.setattr(os, "killpg", lambda number, _: pytest.fail(f"{number} was killed"))
    with subprocess.Popen(["true"], start_new_session=True) as process:
        process.wait()
        keeper.end(process)
    keeper.close()
