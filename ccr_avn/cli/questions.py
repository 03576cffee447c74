"""Asks the operator: whether anybody is there to answer, and what was typed."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ccr_avn import clock
from ccr_avn.errors import NotConfirmed, UsageError
from ccr_avn.output import console, outlet
from ccr_avn.plan import events
from ccr_avn.signals import unlimited

if TYPE_CHECKING:
    from ccr_avn.cli.session import Session
    from ccr_avn.procedures.verb import Question


def must_be_able_to_ask(*, yes: bool, why: str = "a promotion can't be undone") -> None:
    """Raises:
    UsageError: nobody is there to answer and --yes was not given.
    """
    if not yes and (sys.stdin is None or not sys.stdin.isatty()):
        raise UsageError(
            "confirmation needed: no terminal and no --yes",
            detail=why,
            hint="look first with --check or --dry-run, then add --yes",
        )


def ask(session: "Session", question: "Question", *, yes: bool) -> None:
    """Say what will be; go on when what the question asks for was typed.

    Raises:
        NotConfirmed: something else was typed.
    """
    for line in question.shown:
        console.note(line if isinstance(line, str) else console.table([tuple(row) for row in line]))
    console.note(console.fitted(list(question.consequences.items()), console.columns("stderr")))
    if yes:
        return
    began = clock.monotonic()
    with unlimited():
        answer = answer_to(question.text)
    confirmed, seconds = answer == question.answer, clock.monotonic() - began
    text = question.text.strip()
    session.emit(events.Asked(at=session.now(), question=text, confirmed=confirmed, seconds=seconds))
    if not confirmed:
        raise NotConfirmed(
            "not confirmed",
            detail=f"expected {question.answer!r}, got {answer!r}; nothing was changed",
            hint="run it again when you are sure, or with --check",
        )


def answer_to(question: str) -> str:
    """What is typed when the question is shown. Keys that were pressed before it are no answer."""
    with suppress(ImportError, OSError, ValueError):
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    outlet.put("stderr", outlet.emitted(question))
    return sys.stdin.readline().strip()
