"""What happened during a run, as frozen values. The console, the journal and the report are folds over these."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ccr_avn.errors import Changed
from ccr_avn.plan.model import Finding

Outcome = Literal["found", "changed", "proven", "failed"]
"""found: was already so; proven: a look that has no change; failed: optional, and left undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``at``: seconds since the run began, from a monotonic clock; ``time``: when it was written into a journal."""

    at: float
    time: datetime | None = None

    @property
    def written(self) -> float:
        """In seconds since 1970; 0: it was not read from a journal."""
        return self.time.timestamp() if self.time else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    slug: str
    purpose: str
    rule: str
    limit: float  # seconds it may wait; 0: judged once


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked(Event):
    slug: str
    argv: tuple[str, ...]
    finding: Finding
    elapsed: float  # seconds since the step began
    limit: float  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed(Event):
    """A read failed and will be tried again; ``asked``: after a time that the platform named."""

    slug: str
    why: str
    again_in: float  # seconds
    asked: bool = False

    @property
    def text(self) -> str:
        return f"{self.why}; retrying" + (f" in {self.again_in:.0f} s, as the API requested" if self.asked else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Event):
    """The operator was asked, and answered after this many seconds, which do not count as time of the run."""

    question: str
    confirmed: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStarted(Event):
    slug: str
    argv: tuple[str, ...]
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEnded(Event):
    """``doubt``: it failed, and the next look decides whether it acted; ``refused``: the platform answered no.

    ``started``: False where avn could not be started, so that nothing was sent.
    """

    slug: str
    seconds: float
    doubt: str = ""
    refused: bool = False
    started: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(Event):
    slug: str
    finding: Finding
    seconds: float
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone(Event):
    """``done``: what the undoing saw; ``failed``: why it could not be done, and what follows."""

    slug: str
    done: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    run: str
    command: str
    title: str
    slugs: tuple[str, ...]
    facts: dict[str, Any]
    argv: tuple[str, ...] = ()  # as it was typed, behind the name of the program
    who: str = ""  # this and what follows is added by the journal
    host: str = ""
    ccr_avn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    ok: bool
    changed: Changed
    code: int
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStarted(Event):
    pair: str
    command: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEnded(Event):
    """One of many runs ended. ``head``: the hash of its journal's last line; ``result``: how, as plain data."""

    pair: str
    run: str
    head: str
    result: dict[str, Any]


def was_refused(happened: Iterable[Event], slugs: Collection[str]) -> bool:
    """Whether a look of one of these steps showed that its gate can never go."""
    looks = (one.finding for one in happened if isinstance(one, Looked) and one.slug in slugs)
    return any(finding.verdict == "stop" for finding in looks)


def long_waits(note: Callable[[str], object]) -> Callable[[Event], None]:
    """A sink for what has no progress of its own: only waits that the platform asks for are worth a line."""

    def emit(event: Event) -> None:
        if isinstance(event, Missed) and event.asked:
            note(event.text)

    return emit
