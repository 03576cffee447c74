"""Runs ccr-avn in a pseudo-terminal, as somebody who reads what it shows and types."""

import os
import pty
import re
import select
import time

from tests.support.loaded import BIN
from tests.support.operator import LIMIT, Operator

QUESTION = "anything else (?:stops here|keeps it)"


def in_a_terminal(
    operator: Operator, *words: str, early: str = "", answer: str = "", when: str = QUESTION
) -> tuple[int, str]:
    """Of 80 columns; the exit code and all that was shown.

    ``early`` is typed at once, ``answer`` when what ``when`` matches is shown.
    """
    pid, master = pty.fork()
    if pid == 0:
        terminal = {**operator.environment(), "TERM": "xterm", "COLUMNS": "80"}
        os.execve(str(BIN / "ccr-avn"), ["ccr-avn", *words], terminal)
    os.write(master, early.encode())
    shown, typed, until = b"", False, time.monotonic() + LIMIT
    while time.monotonic() < until:
        if not select.select([master], [], [], 1.0)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # what a terminal says when nobody is left in it; macOS: nothing
            break
        if not piece:
            break
        shown += piece
        if not typed and re.search(when, shown.decode(errors="replace")):
            typed = True
            os.write(master, answer.encode())
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")
