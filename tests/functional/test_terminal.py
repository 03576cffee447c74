"""In a terminal every step is a live line; elsewhere one plain line a change."""

import os
import pty
import re
import select
import time

from tests.support.drills import BY_LINK, QUICK, primary_at, services
from tests.support.loaded import BIN
from tests.support.operator import EU, LIMIT, Make, Operator
from tests.support.pairs import paired

QUESTION = re.compile(rb"anything else (?:stops here|keeps it)")


def in_a_terminal(
    operator: Operator, *words: str, limit: float = LIMIT, early: str = "", answer: str = "", more: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Run under a pseudo-terminal of 80 columns; the exit code and all that was shown.

    ``early`` is typed at once, ``answer`` when the question is there, ``more`` when further ones are.
    """
    answers = [answer, *more]
    asked = 0
    pid, master = pty.fork()
    if pid == 0:
        os.execve(
            str(BIN / "ccr-avn"), ["ccr-avn", *words], {**operator.environment(), "TERM": "xterm", "COLUMNS": "80"}
        )
    os.write(master, early.encode())
    shown = b""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if not select.select([master], [], [], 1.0)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if asked < len(answers) and len(QUESTION.findall(shown)) > asked:
            os.write(master, answers[asked].encode())
            asked += 1
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")


def test_a_terminal_shows_what_is_waited_for_and_how_long_and_what_is_missed(make: Make) -> None:
    operator = make(build_seconds=1.5)
    operator.sandbox.faults.add(kind="status", method="GET", path="/service$", times=2)
    code, shown = in_a_terminal(operator, "enable", "eu", "us", "--primary-cloud", EU, "--replica-cloud", EU)
    assert code == 0, shown
    assert "warning: eu and us are both in" in shown
    assert "primary-running" in shown
    assert "of 1200 s)" in shown
    assert "✓ marker" in shown


def test_only_the_name_typed_after_the_question_promotes(operator: Operator) -> None:
    paired(operator)
    before = operator.sandbox.changes()
    code, shown = in_a_terminal(operator, "switchover", "eu", "us", early="us\nus\n", answer="y\n")
    assert code == 2, shown
    assert operator.sandbox.changes() == before
    for told in ("promoted", "old primary", "write pause", "may be lost"):
        assert told in shown
    assert "not confirmed" in operator.ccr("runs", "show", "latest").out
    code, shown = in_a_terminal(operator, "switchover", "eu", "us", answer="us\n")
    assert code == 0, shown


def test_a_drill_asks_before_it_makes_anything_and_clean_asks_for_each(operator: Operator) -> None:
    primary_at(operator)
    words = [word for word in QUICK if word != "--yes"]
    code, shown = in_a_terminal(operator, *words, early="yes\n", answer="y\n")
    assert (code, operator.sandbox.changes()) == (2, []), shown
    for told in ("0.1 USD an hour", "is not changed and keeps serving"):
        assert told in shown
    for _ in range(2):
        assert operator.ccr(*BY_LINK, "--keep").code == 0
    first, second = sorted(services(operator) - {"eu"})
    code, shown = in_a_terminal(operator, "drill", "--clean", "--only", second, answer="no\n")
    assert code == 4, shown
    assert "0.1 USD an hour, its drill was told to keep it" in shown
    code, shown = in_a_terminal(operator, "drill", "--clean", "--only", first, answer="yes\n")
    assert code == 0, shown
    assert services(operator) == {"eu", second}, "the one that was not agreed to is left"
