"""A shell in the sandbox can't be taken for one outside, nor one outside for the sandbox's."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccr_avn.sandbox.run import MARK, is_interactive
from tests.support.loaded import BIN
from tests.support.terminal import Terminal
from tests.support.wait import LIMIT

START_UP = {"bash": ".bashrc", "zsh": ".zshrc", "dash": ".shrc"}


class Shell(Terminal):
    """Of somebody with start-up files of their own."""

    def __init__(self, home: Path, *words: str) -> None:
        mine = {name: one for name, one in os.environ.items() if not name.startswith(("AIVEN_", "CCR_", "ZDOTDIR"))}
        more = {"PATH": f"{BIN}:{mine['PATH']}", "HOME": str(home), "ENV": str(home / ".shrc"), "TERM": "dumb"}
        super().__init__(home, {**mine, **more}, *words)

    def enters(self, line: str) -> None:
        self.types(f"{line}\n")

    def shows(self, text: str) -> str:
        return self.sees(re.escape(text))


Opens = Callable[..., Shell]


@pytest.fixture
def opens(tmp_path: Path) -> Iterator[Opens]:
    opened: list[Shell] = []

    def start(*words: str) -> Shell:
        opened.append(Shell(tmp_path, *words))
        return opened[-1]

    yield start
    for one in opened:
        one.closes()


def sandboxed(*command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "ccr_avn", "sandbox", "run", "--no-data-plane", "--", *command)


@pytest.mark.parametrize("program", ["bash", "zsh", "dash"])
def test_its_prompt_and_programs_are_the_sandboxs_whatever_the_persons_own_files_say(
    program: str, opens: Opens, tmp_path: Path
) -> None:
    if not shutil.which(program):
        pytest.skip(f"no {program} here")
    (tmp_path / START_UP[program]).write_text(
        "PS1='mine> '; PATH=/usr/bin:/bin; export AIVEN_WEB_URL=https://api.example.com; alias greet='echo hello'\n"
    )
    terminal = opens(*sandboxed(program))
    terminal.shows("not to Aiven.")
    terminal.shows(f"{MARK} mine> ")
    terminal.enters('echo "url=$AIVEN_WEB_URL"; echo "found=$(command -v avn ccr-avn)"')
    terminal.shows("url=http://127.0.0.1:")
    terminal.shows(f"found={BIN}/avn\r\n")
    terminal.shows(f"{MARK} mine> ")
    terminal.enters("greet")
    terminal.shows("hello")
    terminal.enters("exit 7")
    assert terminal.ends() == 7


@pytest.mark.parametrize("program", ["bash", "zsh"])
def test_the_mark_goes_when_avn_talks_to_aiven_again(program: str, opens: Opens, tmp_path: Path) -> None:
    if not shutil.which(program):
        pytest.skip(f"no {program} here")
    (tmp_path / START_UP[program]).write_text("PS1='mine> '\n")
    terminal = opens(*sandboxed(program))
    terminal.shows(f"{MARK} mine> ")
    terminal.enters("before=$AIVEN_WEB_URL; unset AIVEN_WEB_URL; echo o''ut")
    terminal.shows("out")
    assert MARK not in terminal.shows("mine> ")
    terminal.enters("export AIVEN_WEB_URL=$before; echo i''n")
    terminal.shows("in\r\n")
    terminal.shows(f"{MARK} mine> ")


def test_a_shell_outside_has_no_mark(opens: Opens, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("PS1='mine> '\n")
    terminal = opens("bash")
    assert MARK not in terminal.shows("mine> ")
    terminal.enters("ccr-avn sandbox outage eu; echo c''ode=$?")
    assert "not inside a sandbox" in terminal.shows("code=2")


@pytest.mark.parametrize(
    ("command", "interactive"),
    [
        ("bash", True), ("/bin/zsh -i", True), ("sh", True), ("bash -c true", False), ("bash script", False),
        ("avn service list", False),
    ],
)  # fmt: skip
def test_what_is_a_shell_to_type_into(command: str, interactive: bool) -> None:
    assert is_interactive(tuple(command.split())) is interactive


def test_a_script_gets_no_banner(tmp_path: Path) -> None:
    done = subprocess.run(
        sandboxed("bash"), input="echo done", capture_output=True, text=True, check=False, cwd=tmp_path, timeout=LIMIT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_the_lines_of_up_mark_the_prompt_too(opens: Opens) -> None:
    terminal = opens(sys.executable, "-m", "ccr_avn", "sandbox", "up", "--no-data-plane")
    terminal.shows("export CCR_AVN_SANDBOX=")
    terminal.shows(f'PS1="{MARK} ${{PS1-}}"')
    terminal.shows("until Ctrl-C")
