"""A command of avn that failed: did it act, was it refused, what is told of it."""

from dataclasses import dataclass

from ccr_avn import failure, process
from ccr_avn.errors import AvnError, Changed
from ccr_avn.plan import Call

AGAIN = "run the same command again: it looks first and resumes from the current state"


@dataclass(frozen=True, slots=True)
class FailedChange:
    """A change that did not end with exit 0."""

    answer: process.Answer
    change: Call[None]
    changed_before: Changed

    @property
    def silent(self) -> bool:
        """Whether it ended without saying anything, so that nothing tells whether it acted."""
        return self.answer.expired or self.answer.code < 0

    @property
    def refused(self) -> bool:
        """Whether the platform said no. Not found is no such answer: what was to be changed may be gone by it."""
        status = failure.read(self.answer).status
        return not self.silent and status is not None and 400 <= status < 500 and status not in (404, 408)

    @property
    def told(self) -> failure.Failure:
        return failure.read(self.answer)

    @property
    def detail(self) -> str:
        return failure.read(self.answer).reason

    @property
    def why(self) -> str:
        return f"it failed ({self.detail}); checking whether the request took effect"

    def error(self, detail: str = "") -> AvnError:
        told = failure.read(self.answer)
        hint = self._hint(told) or AGAIN
        return AvnError(f"`{spelled(self.answer.argv)}` failed", detail=detail or told.reason, hint=hint)

    def _hint(self, told: failure.Failure) -> str:
        """What can help against this very failure; where it is a passing one that is to run it again."""
        if told.status is None and told.hint:
            return told.hint  # the network, or avn itself: nothing that the change's own hint is about
        if not self.change.hints:
            return self.change.hint
        if told.status is not None:
            return self.change.hints.get(told.status, "") or told.hint
        return told.hint or ("" if self.silent else self.change.hint)


def spelled(argv: tuple[str, ...]) -> str:
    """The command's words up to the first option: enough to know it, short enough for a line."""
    words = list(argv[1:])
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(["avn", *words[:first]])
