"""How a command of a plan failed, as far as the executor needs to know; the parser of avn's answer is passed in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.errors import AvnError, CcrError, Refused

if TYPE_CHECKING:
    from ccr_avn.plan.model import Finding, Poll, Step

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
    def refused(self) -> bool:
        """Whether the platform answered no: nothing was done, and asking again gives the same answer."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in PASSING_STATUS


class AvnFailed(AvnError):
    """avn ended with a failure that was read."""

    def __init__(self, what: str, failure: Failure, *, hint: str = "", hopeless: bool = False) -> None:
        super().__init__(what, detail=failure.reason, hint=failure.hint or hint)
        self.status = failure.status
        self.again_in = failure.again_in
        self.hopeless = hopeless or failure.refused or failure.lasting


class TooOld(Refused):
    """This avn can't do the job, so nothing more is asked of it."""


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
