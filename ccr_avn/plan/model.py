"""What a procedure is: an ordered tuple of steps, as a value. Knows nothing of avn."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from ccr_avn.errors import CcrError, Refused, TimedOut

T = TypeVar("T")

Verdict = Literal["go", "wait", "todo", "stop"]

Sent = Literal["answered", "refused", "absent", "unanswered"]  # refused: also where avn could not be started
"""How a change by avn ended: accepted, refused, too late as what it was for is not there, or without a conclusive answer."""


class Answers:
    """What the steps so far answered. A step that has not run has no answer: asking for it is a bug."""

    def __init__(self) -> None:
        self._answers: dict[str, Any] = {}
        self._results: dict[str, Any] = {}

    def of(self, step: "Step[T]") -> T:
        answer: T = self._answers[step.slug]
        return answer

    def has(self, step: "Step[Any]") -> bool:
        return step.slug in self._answers

    def answer(self, slug: str) -> Any:
        """None: the run has not come so far."""
        return self._answers.get(slug)

    def remember(self, slug: str, answer: Any) -> None:
        self._answers[slug] = answer

    def result(self, slug: str) -> Any:
        """What the change of a step gave back, of an avn command how it was :data:`Sent`; None: this run has not made it."""
        return self._results.get(slug)

    def keep(self, slug: str, result: Any) -> None:
        self._results[slug] = result


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """A word that only an earlier answer supplies. Not a ``str``, so it can't be run unfilled."""

    variable: str  # the shell variable that holds it in a preview
    fill: Callable[[Any], str]


Word = str | Later


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One ``avn`` process: its exact argv and how its stdout is read (``parse`` raises :class:`AvnError`)."""

    argv: tuple[Word, ...]
    parse: Callable[[str], T]
    hint: str = ""  # what to type when it fails
    hints: Mapping[int, str] = field(default_factory=dict, hash=False)  # the same for a status of the API's refusal
    absent: T | None = None  # what "does not exist" (404) means for it; None: a failure as any other
    from_list: Callable[[Mapping[str, Any]], Any] | None = field(default=None, compare=False)
    """What it would print, as data, taken from the rows of a list of all services by name; None: that does not show it."""

    @property
    def text(self) -> str:
        return shlex.join(str(word) for word in self.argv)


@dataclass(frozen=True, slots=True)
class Probe(Generic[T]):
    """A look at the data plane, done in-process; ``by_hand``: how a person takes the same one with avn alone."""

    read: Callable[[Any], T]
    by_hand: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """A change on the data plane, done in-process. It reports how it ended, and keeps what later steps need from it.

    ``argv``: the ``ccr-avn`` command that does just that; ``variable``: where a preview keeps what that prints.
    ``looks``: nothing is changed by it.
    """

    argv: tuple[Word, ...]
    run: "Callable[[Any], Finding]"
    variable: str = ""
    looks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A gate's answer, always with a reason for people; ``facts``: the same for programs, names with units in them."""

    verdict: Verdict
    reason: str
    detail: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)


def _finding(verdict: Verdict, reason: str, /, *, warnings: tuple[str, ...] = (), **facts: Any) -> Finding:
    return Finding(verdict=verdict, reason=reason, warnings=warnings, facts=facts)


go, wait = partial(_finding, "go"), partial(_finding, "wait")
todo = partial(_finding, "todo")  # not done yet, so do it


def stop(reason: str, *, hint: str, detail: str = "", warnings: tuple[str, ...] = (), **facts: Any) -> Finding:
    return Finding(verdict="stop", reason=reason, detail=detail, hint=hint, warnings=warnings, facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """How long to go on asking, in seconds: starting at ``first``, growing to ``interval``, at most ``limit``."""

    limit: float
    interval: float = 5.0
    first: float = 0.5
    hint: str = ""
    error: type[CcrError] = TimedOut


ONCE = Poll(limit=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What a pasted shell keeps for a later line: the output of a command, in a variable."""

    variable: str
    argv: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[T]):
    """Ask, judge; with a ``change``: *todo* means not done yet, so change once and ask again until it is proven."""

    slug: str
    purpose: str
    read: Call[T] | Probe[T]
    rule: str  # what must hold before the next step; completes the sentence "continues when …"
    judge: Callable[[T, Any], Finding]  # of what was read, and of what was seen before: the step's gate
    refused: type[CcrError] = Refused  # what it is when the gate says stop
    poll: Poll = ONCE
    change: Call[None] | Act | None = None
    command: tuple[Word, ...] = ()  # the command that runs just this step, without its change
    keeps: tuple[Keep, ...] = ()  # what a pasted shell needs of it later
    asked: Keep | None = None  # prints ``missing`` where the change is needed, and fails where it must not be made;
    # without argv: it was asked by an earlier step
    undo: Callable[[Any], str] | None = None  # when a later step fails before the point of no return; says what it did
    undone_by: tuple[Word, ...] = ()  # the command that undoes it, for a pasted shell that ends early
    release: Callable[[Any], None] | None = None  # closes what the change opened, when the run ends
    final: bool = False  # the point of no return: once its change was sent nothing is undone
    writes_keys: bool = False  # the look itself writes test keys
    brief: bool = False  # asked once: the run can do without the answer, so that no miss is worth a wait
    advisory: bool = False  # a look that fails is a warning; what its gate refuses is refused all the same
    rare: bool = False  # mostly not needed: then it is not worth a line
    unneeded: Callable[[Any], str] | None = None  # why it need not be asked, as far as was seen; empty: ask
    guard: Callable[[Any], None] | None = None  # the last moment before the change is sent; raises what forbids it
    doubts: "tuple[Step[Any], ...]" = ()  # looks of which one *go* tells that a failed change acted; else its own
    doubt_limit: float | None = None  # seconds until unchanged looks count as: it did not act; None: the executor's
    optional: bool = False  # a failure is a warning: what it is for can be done later
    again: bool = False  # a change that failed is sent again until the limit, unless it was refused for good
    restores: str = ""  # the step whose change it takes back: if nothing else was changed, nothing is
    always: bool = False  # cleans up: taken also when an earlier step ended the run, or a signal did

    @property
    def look(self) -> tuple[Word, ...]:
        """The command that does the same as its look: avn's, ours, or that of an act, which looks by itself."""
        if isinstance(self.read, Call):
            return self.read.argv
        return self.command or (self.change.argv if isinstance(self.change, Act) else ())


@dataclass(frozen=True, slots=True)
class Plan:
    """``checks`` only look; they all pass before the first of ``steps``, which may change something."""

    title: str
    checks: tuple[Step[Any], ...]
    steps: tuple[Step[Any], ...]
    assumptions: tuple[str, ...] = ()
    check: tuple[Word, ...] = ()  # the command that runs just the checks
    passed_before: Callable[[Any], bool] = lambda _: False  # the point of no return, by an earlier run
    overtaken_by: tuple[Step[Any], ...] = ()  # read before an undoing: one *go* shows that another run passed meanwhile

    def __post_init__(self) -> None:
        slugs = [step.slug for step in self.all_steps]
        if len(set(slugs)) != len(slugs):
            raise ValueError(f"two steps with one slug in {slugs}")
        if changing := [step.slug for step in self.checks if step.change or step.undo]:
            raise ValueError(f"a check must only look: {changing}")

    @property
    def all_steps(self) -> tuple[Step[Any], ...]:
        return (*self.checks, *self.steps)


def fill(argv: tuple[Word, ...], seen: Answers) -> tuple[str, ...]:
    """The argv with every hole filled from what was seen."""
    return tuple(word.fill(seen) if isinstance(word, Later) else word for word in argv)
