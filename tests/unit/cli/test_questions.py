"""A promotion is confirmed by the name of the service, typed after the question, and by nothing else."""

import io
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.cli.conduct import ask
from ccr_avn.cli.options import How
from ccr_avn.cli.session import Session
from ccr_avn.errors import NotConfirmed, UsageError
from ccr_avn.output import console
from ccr_avn.plan import events
from ccr_avn.procedures.verb import Question

QUESTION = Question(
    answer="us",
    text="Type us to promote it: ",
    consequences={"promoted": "us becomes a primary", "may be lost": "nothing"},
)


class Screen(io.StringIO):
    """Somebody who types ``answer`` as soon as the question is there."""

    def __init__(self, keyboard: int, answer: str) -> None:
        super().__init__()
        self._keyboard, self._answer = keyboard, answer

    def write(self, text: str) -> int:
        if "Type us" in text:
            os.write(self._keyboard, self._answer.encode())
        return super().write(text)


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    master, slave = pty.openpty()
    with open(slave) as terminal:  # noqa: PTH123 (a descriptor)
        monkeypatch.setattr(sys, "stdin", terminal)
        yield master
    os.close(master)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("CCR_AVN_STATE_DIR", str(tmp_path))
    console.prepare(json=False)
    made = Session("switchover", run_id="run", json=False, primary="eu", replica="us")
    yield made
    made.journal.close()


@pytest.mark.parametrize(
    ("early", "answer"),
    [
        *(("", answer) for answer in ("\n", "y\n", "yes\n", "eu\n", "US\n", "us us\n", "\x04")),
        *((early, "\n") for early in ("us\n", "us\nus\nus\n", "u")),
    ],
)
def test_anything_else_is_no_and_keys_typed_before_the_question_are_thrown_away(
    early: str, answer: str, keyboard: int, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.write(keyboard, early.encode())
    monkeypatch.setattr(sys, "stderr", Screen(keyboard, answer))
    with pytest.raises(NotConfirmed, match="not confirmed") as raised:
        ask(session, QUESTION, yes=False)
    [asked] = [one for one in session.timeline if isinstance(one, events.Asked)]
    assert (raised.value.exit_code, asked.confirmed) == (2, False)


def test_yes_asks_nothing_and_shows_what_will_be(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    ask(session, QUESTION, yes=True)
    assert "us becomes a primary" in capsys.readouterr().err
    assert not session.timeline


@pytest.mark.parametrize("stdin", [None, io.StringIO("us\n")])
def test_without_a_terminal_yes_is_needed(stdin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    for how in (How(yes=True), How(check=True), How(dry_run=True)):
        how.must_be_able_to_ask()
    with pytest.raises(UsageError, match="no terminal and no --yes"):
        How().must_be_able_to_ask()
