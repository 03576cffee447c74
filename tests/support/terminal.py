"""Runs programs in a pseudo-terminal, as somebody who reads what they show and types."""

import os
import pty
import re
import select
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.loaded import BIN
from tests.support.operator import LIMIT, Operator

QUESTION = "anything else (?:stops here|keeps it)"


class Terminal:
    """A program in a terminal: ``shown`` is all that it has shown, ``at`` the place up to which it was read."""

    def __init__(self, home: Path, environment: Mapping[str, str], *words: str) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            os.execvpe(words[0], words, environment)
        self._raw, self.at = b"", 0
        self.code: int | None = None

    @property
    def shown(self) -> str:
        return self._raw.decode(errors="replace")

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def sees(self, pattern: str) -> str:
        """Wait for it; what came until then, and before what comes next."""
        end = time.monotonic() + LIMIT
        while not (found := re.compile(pattern).search(self.shown, self.at)):
            assert time.monotonic() < end, f"never saw {pattern!r} in {self.shown!r}"
            assert self._reads(), f"it ended before {pattern!r}: {self.shown!r}"
        before, self.at = self.shown[self.at : found.start()], found.end()
        return before

    def ends(self) -> int:
        """Its exit code, once it has ended."""
        end = time.monotonic() + LIMIT
        while self._reads():
            assert time.monotonic() < end, f"it does not end: {self.shown!r}"
        return self.closes()

    def closes(self) -> int:
        """As a person closes a window: what runs in it is hung up. Once more it does nothing."""
        if self.code is None:
            os.close(self._master)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def _reads(self) -> bool:
        """False: nobody is left in it."""
        if not select.select([self._master], [], [], 0.5)[0]:
            return True
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # what Linux says then; macOS: nothing
            return False
        self._raw += piece
        return bool(piece)


def in_a_terminal(
    operator: Operator, *words: str, early: str = "", answer: str = "", when: str = QUESTION
) -> tuple[int, str]:
    """Of 80 columns; the exit code and all that was shown.

    ``early`` is typed at once, ``answer`` when what ``when`` matches is shown.
    """
    environment = {**operator.environment(), "TERM": "xterm", "COLUMNS": "80"}
    terminal = Terminal(operator.home, environment, str(BIN / "ccr-avn"), *words)
    terminal.types(early)
    if answer:
        terminal.sees(when)
        terminal.types(answer)
    return terminal.ends(), terminal.shown
