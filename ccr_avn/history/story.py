"""The story of one run, folded from its journal: steps with their times, the lag, how it ended."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ccr_avn.errors import Changed
from ccr_avn.history.records import Noted, Pair, Record, Result, Started
from ccr_avn.plan.events import (
    Asked,
    ChangeEnded,
    ChangeStarted,
    Event,
    Looked,
    Missed,
    PairEnded,
    PairStarted,
    RunStarted,
    StepDone,
    StepStarted,
    Undone,
)
from ccr_avn.plan.model import Finding

Span = tuple[str, float, float]
"""What went on (gate: a look; change: a call that changes; wait: in between), and from when to when, in seconds."""

State = Literal["done", "failed", "open", "not confirmed"]
"""open: the journal has no end; not confirmed: the question was answered by no."""

UNKNOWN = "a run whose beginning can't be read"
NOT_REACHED = "not reached"
NOTHING = Finding(verdict="wait", reason="")
"""What was found where nothing was seen yet."""


@dataclass(slots=True, kw_only=True)
class Command:
    """One command and what it showed. ``seconds``: None where it is not known."""

    kind: Literal["look", "change"]
    text: str
    finding: str
    seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class StepStory:
    """One step. ``outcome``: found, changed, proven, failed (and left undone), stopped, under way, not reached.

    ``commands``: changes, and the looks around them: of equal looks in a row, which polling makes, the last one.
    ``sent``, ``answered``, ``waits``: when its first change was sent, when the last one was answered, and when it
    looked in vain. All times are seconds since the run began.
    """

    slug: str
    purpose: str = ""
    rule: str = ""
    outcome: str = NOT_REACHED
    found: Finding = NOTHING
    doubt: str = ""
    undone: str = ""
    began: float | None = None
    ended: float = 0.0
    sent: float | None = None
    answered: float | None = None
    waits: list[float] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    touched: bool = False
    final: bool = False

    def add(self, event: Event, at: float) -> None:
        self.touched = self.touched or not isinstance(event, Undone)
        match event:
            case StepStarted():
                self.began, self.purpose, self.rule = at, event.purpose, event.rule
            case Looked(finding=finding):
                self.found = finding
                if finding.verdict == "wait":
                    self.waits.append(at)
                look = Command(kind="look", text=shlex.join(event.argv), finding=finding.reason)
                if self.commands and (self.commands[-1].kind, self.commands[-1].text) == ("look", look.text):
                    self.commands.pop()
                self.commands.append(look)
            case Missed():
                self.waits.append(at)
            case ChangeStarted():
                self.sent = at if self.sent is None else self.sent
                text = shlex.join(event.argv)
                self.commands.append(Command(kind="change", text=text, finding="no answer is known"))
                self.final = self.final or event.final
            case ChangeEnded():
                self.answered, self.doubt = at, event.doubt
                self._answer(event)
            case StepDone():
                self.found, self.outcome, self.ended = event.finding, event.outcome, at
                self.began = max(0.0, at - event.seconds) if self.began is None else self.began
            case Undone():
                self.undone = f"not undone: {event.failed}" if event.failed else event.done or "undone"

    def _answer(self, event: ChangeEnded) -> None:
        for change in [one for one in self.commands if one.kind == "change"][-1:]:
            change.finding, change.seconds = event.doubt, event.seconds

    @property
    def finding(self) -> str:
        return self.found.reason or self.doubt

    @property
    def noted(self) -> Noted:
        return Noted.model_validate(self.found.facts)

    @property
    def shown(self) -> bool:
        """Whether it ended well, by whatever way."""
        return self.outcome in ("found", "changed", "proven")

    @property
    def seconds(self) -> float:
        return max(0.0, self.ended - self.start)

    @property
    def start(self) -> float:
        return next(one for one in (self.began, self.sent, self.ended) if one is not None)

    @property
    def spans(self) -> tuple[Span, ...]:
        if self.outcome == NOT_REACHED:
            return ()
        if self.sent is not None:
            through = self.ended if self.answered is None else self.answered
            looked = any(one.kind == "look" for one in self.commands)
            last = "wait" if not looked or any(at > through for at in self.waits) else "gate"
            return ("gate", self.start, self.sent), ("change", self.sent, through), (last, through, self.ended)
        if self.waits:
            return ("gate", self.start, min(self.waits)), ("wait", min(self.waits), self.ended)
        return (("gate", self.start, self.ended),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """``seconds``: how long it took; of a run without an end, as far as is known. ``lag``: (seconds, bytes) as seen.

    ``asked``: seconds at the question. All other times are as if it had been answered at once.
    """

    run: str
    command: str
    title: str
    argv: tuple[str, ...]  # as it was typed
    began: str  # ISO 8601, in UTC; empty: not known
    who: str
    versions: tuple[str, ...]
    facts: Started
    state: State
    code: int | None
    changed: Changed
    seconds: float
    asked: float
    result: Result
    steps: tuple[StepStory, ...]
    lag: tuple[tuple[float, int], ...]
    pairs: tuple[Pair, ...]  # of an evacuation: each with what was chosen, and how it ended

    def step(self, slug: str) -> StepStory | None:
        return next((one for one in self.steps if one.slug == slug), None)

    @property
    def primary(self) -> str:
        return self.facts.primary or self.result.old_primary

    @property
    def replica(self) -> str:
        return self.facts.replica

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for step in self.steps for text in step.found.warnings))

    @property
    def ended_as(self) -> str:
        match self.state:
            case "open":
                return "incomplete"
            case "not confirmed":
                return "not confirmed"
            case "failed":
                may = ", may have changed" if self.changed == "unknown" else ", changed" if self.changed else ""
                return f"failed, exit {self.code}{may}"
        return "done" if self.changed else "done, nothing changed"


def summarize(record: Record) -> Story:
    """Fold the events of a journal."""
    nothing = RunStarted(at=0.0, run=record.run, command="unknown", title=UNKNOWN, slugs=(), facts={})
    started, ended = record.started or nothing, record.ended
    facts, result = Started.model_validate(started.facts), Result.model_validate(ended.result if ended else {})
    reported = (one.slug for one in record.events if isinstance(one, StepDone))  # where the first line is not readable
    steps = {slug: StepStory(slug=slug) for slug in (*started.slugs, *reported)}
    current = next(iter(steps.values()), StepStory(slug=""))
    asked = seconds = 0.0
    declined = False
    lag: dict[float, int] = {}
    ends: dict[str, dict[str, Any]] = {}
    for event in record.events:
        match event:
            case Asked():
                asked += max(0.0, event.seconds)
                declined = declined or not event.confirmed
            case PairStarted():
                ends[event.pair] = {"state": "under way", "run": event.run}
            case PairEnded():
                ends[event.pair] = event.result
        at = max(0.0, event.at - asked)
        seconds = max(seconds, at)
        if slug := getattr(event, "slug", ""):
            if slug in steps and not isinstance(event, Undone):
                current = steps[slug]
            step = steps.get(slug, current)  # the look that settles a doubt has a slug of its own
            only_repeats = isinstance(event, StepDone) and step.found is not NOTHING
            step.add(event, at)
            if isinstance(event, (Looked, StepDone)) and not only_repeats:
                behind = Noted.model_validate(event.finding.facts).lag_bytes
                lag |= {at: behind} if behind is not None else {}
    state: State = "open" if not ended else "done" if ended.ok else "not confirmed" if declined else "failed"
    pairs = (Pair.model_validate({**one, **ends.get(str(one.get("pair")), {})}) for one in facts.pairs)
    so_far: Changed = any(isinstance(one, StepDone) and one.outcome == "changed" for one in record.events)
    if not so_far and any(isinstance(one, ChangeStarted) for one in record.events):
        so_far = "unknown"
    versions = (("ccr-avn", started.ccr_avn), ("avn", facts.avn))
    return Story(
        run=started.run,
        command=started.command,
        title=started.title,
        argv=started.argv,
        began=started.time.isoformat(timespec="milliseconds") if started.time else "",
        who="@".join(one for one in (started.who, started.host) if one),
        versions=tuple(f"{name} {version}" for name, version in versions if version),
        facts=facts,
        state=state,
        code=ended.code if ended else None,
        changed=ended.changed if ended else so_far,
        seconds=seconds,
        asked=asked,
        result=result,
        steps=tuple(_reached(list(steps.values()), state, seconds)),
        lag=tuple(sorted(lag.items())),
        pairs=result.pairs or tuple(pairs),
    )


def _reached(steps: list[StepStory], state: State, last: float) -> Iterator[StepStory]:
    """Those that are not done, with how far they came. ``last``: seconds, of the last line."""
    reached = max((number for number, step in enumerate(steps) if step.touched), default=-1)
    if state in ("open", "failed") and all(step.outcome != NOT_REACHED for step in steps[: reached + 1]):
        reached += 1  # nothing is written when a step only looks: the next one was under way
    for number, step in enumerate(steps):
        if step.outcome == NOT_REACHED:
            step.ended = last
            if number <= reached and state != "done":
                step.outcome = "under way" if state == "open" else "stopped"
        yield step
