"""The errors shown to people: what happened, what was seen, what to type next, and the exit code."""

import difflib
from collections.abc import Iterable
from typing import Any, Literal

CHANGED = 10
"""Added to an exit code when the control plane had been changed, or may have been."""

Changed = bool | Literal["unknown"]
"""Whether the control plane was changed; unknown: a change was sent, and neither its answer nor a read shows whether it took effect."""


def outcome_of(changed: Changed) -> str:
    """In one word, for programs."""
    return "unknown" if changed == "unknown" else "changed" if changed else "unchanged"


def near(word: str, known: Iterable[str]) -> str:
    """For a hint: what may have been meant, in parentheses; empty where nothing comes near."""
    found = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" ({' or '.join(found)}?)" if found else ""


class CcrError(Exception):
    """A failure the operator can act on. Shown as three lines: ``error:``, ``detail:``, ``hint:``."""

    code: int = 1

    def __init__(self, what: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail
        self.hint = hint
        self.notes: tuple[str, ...] = ()  # what else the operator must know now, a line each
        self.result: dict[str, Any] = {}  # what was found all the same, for `--json`
        self.resumable = True  # whether the same command, run again, goes on from there
        self.changed: Changed = False  # whether the control plane had been changed when it happened

    @property
    def exit_code(self) -> int:
        return self.code + (CHANGED if self.changed else 0)


def as_dict(problem: CcrError) -> dict[str, Any]:
    shown = {name: getattr(problem, name) for name in ("what", "detail", "hint")}
    return {"kind": type(problem).__name__, **shown, "notes": list(problem.notes)}


def note(problem: BaseException, text: str) -> None:
    """Say this with it, where it is an error for people."""
    if isinstance(problem, CcrError):
        problem.notes += (text,)


class UsageError(CcrError):
    """What was typed can't be right; nothing was asked of anybody."""

    code = 2


class NotConfirmed(UsageError):
    """The question was answered with no, or not at all; nothing was changed."""


class NotBegun(NotConfirmed):
    """One of many: it was checked, and then no more of them were to begin; nothing was changed."""


class AvnError(CcrError):
    """``avn`` failed: it could not be started, refused, or answered what can't be read."""

    code = 3


class Refused(CcrError):
    """A gate answered *stop*: going on would be wrong or could lose something."""

    code = 4


class Locked(Refused):
    """Another run holds what a change needs: it was not begun, so there is nothing to undo."""


class TooOld(Refused):
    """This avn can't do the job, so nothing more is asked of it."""


class TimedOut(CcrError):
    code = 5


class NotProven(CcrError):
    """Verification found a difference, or could not claim equality."""

    code = 6


class Unreachable(NotProven):
    """A data plane could not be asked: network, TLS, credentials or a missing address.

    ``passing``: whether waiting may help (against a refused connection it may, against a wrong password not).
    """

    def __init__(self, what: str, *, detail: str = "", hint: str = "", passing: bool = True) -> None:
        super().__init__(what, detail=detail, hint=hint)
        self.passing = passing


class Interrupted(CcrError):
    """A signal ended the run; ``code`` is 128 + the signal's number."""

    def __init__(self, signal_number: int, *, hint: str = "") -> None:
        name = {2: "Ctrl-C", 15: "SIGTERM"}.get(signal_number, f"signal {signal_number}")
        super().__init__(f"interrupted by {name}", hint=hint)
        self.code = 128 + signal_number


class OutOfTime(Interrupted):
    """The run's own limit ended it, as a signal does."""

    def __init__(self, signal_number: int, *, hint: str = "") -> None:
        super().__init__(signal_number, hint=hint)
        self.what, self.code = "the time limit of this run was reached", TimedOut.code
