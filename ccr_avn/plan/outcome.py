"""How a read or a change of a plan failed, and what to say of it; the parser of avn's answer is passed in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.errors import AvnError, CcrError, Changed, Refused

if TYPE_CHECKING:
    from ccr_avn.plan.model import Call, Finding, Poll, Step
    from ccr_avn.process import Answer

PASSING_STATUS = (408, 417, 425, 429)
"""Refusals that may pass with time; every other 4xx is final."""

TOO_MANY = 429
"""The status with which the platform says slow down: what was asked was not done."""

ABSENT = 404
"""The status of what does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """``status``: of the API's answer, where there was one. ``again_in``: seconds the platform asks to wait.

    ``lasting``: it is how this machine is set up, so asking again gives the same answer.
    """

    reason: str
    hint: str = ""
    status: int | None = None
    again_in: float | None = None
    lasting: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the platform answered no, and asking again gives the same answer: a 429 is no such answer."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in PASSING_STATUS


class AvnFailed(AvnError):
    """avn ended with a failure that was read."""

    def __init__(self, what: str, failure: Failure, *, hint: str = "", hopeless: bool = False) -> None:
        super().__init__(what, detail=failure.reason, hint=failure.hint or hint)
        self.status = failure.status
        self.again_in = failure.again_in
        self.hopeless = hopeless or failure.is_final or failure.lasting


class TooOld(Refused):
    """This avn can't do the job, so nothing more is asked of it."""


AGAIN = "run the same command again: it checks the current state and resumes from there"


@dataclass(frozen=True, slots=True)
class FailedChange:
    """A change that did not end with exit 0."""

    answer: "Answer"
    cause: Failure
    change: "Call[None]"
    changed_before: Changed

    @property
    def silent(self) -> bool:
        """Whether it ended without output, so that its effect is unknown."""
        return self.answer.expired or self.answer.code < 0

    @property
    def refused(self) -> bool:
        """Whether the platform said no. Not found is no such answer: what was to be changed may be gone by it."""
        status = self.cause.status
        return not self.silent and status is not None and 400 <= status < 500 and status not in (404, 408)

    @property
    def detail(self) -> str:
        return self.cause.reason

    @property
    def why(self) -> str:
        if not self.answer.started:
            return f"it was not sent: {self.detail}"
        return f"it failed ({self.detail}); checking whether the request took effect"

    def error(self, detail: str = "") -> AvnError:
        hint = self._hint() or AGAIN
        return AvnError(f"`{spelled(self.answer.argv)}` failed", detail=detail or self.cause.reason, hint=hint)

    def _hint(self) -> str:
        """What can help against this very failure; where it is a passing one that is to run it again."""
        cause = self.cause
        if cause.status is None and cause.hint:
            return cause.hint  # the network, or avn itself: nothing that the change's own hint is about
        if not self.change.hints:
            return self.change.hint
        if cause.status is not None:
            return self.change.hints.get(cause.status, "") or cause.hint
        return cause.hint or ("" if self.silent else self.change.hint)


def spelled(argv: tuple[str, ...]) -> str:
    """The command's words up to the first option: enough to know it, short enough for a line."""
    words = list(argv[1:])
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(["avn", *words[:first]])


def whole(error: CcrError) -> str:
    """In one line."""
    return "; ".join(part for part in (error.what, error.detail, error.hint) if part)


def joined(refusals: list[Refused]) -> Refused:
    """One error of many."""
    if len(refusals) == 1:
        return refusals[0]
    parts = [
        tuple(dict.fromkeys(text for text in texts if text))
        for texts in zip(*((one.what, one.detail, one.hint) for one in refusals), strict=True)
    ]
    what, detail, hint = ("; ".join(part) for part in parts)
    return Refused(what, detail=detail, hint=hint)


def timed_out(step: "Step[Any]", poll: "Poll", finding: "Finding") -> CcrError:
    what = f"timed out after {poll.limit:g} s waiting until" if poll.limit else "condition not met yet:"
    return poll.error(
        f"{step.slug}: {what} {step.gate.rule}",
        detail=f"last seen: {finding.reason}",
        hint=finding.hint or poll.hint or "run the same command again: it resumes from the current state",
    )
