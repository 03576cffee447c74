"""Summarizes one journal: its steps and their times, the lag, how it ended."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ccr_avn.errors import Changed
from ccr_avn.history.runs import Record

Kind = Literal["gate", "change", "wait"]
State = Literal["done", "failed", "open", "not confirmed"]
"""open: the journal has no end; not confirmed: the question was answered by no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a step, in seconds since the run began. gate: a look; change: a call that changes; wait: in between."""

    kind: Kind
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command and what it showed. ``seconds``: None where it is not known."""

    kind: Literal["look", "change"]
    text: str
    finding: str
    seconds: float | None = None
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTold:
    """One step. ``outcome``: found, changed, proven, failed (and left undone), stopped, under way, not reached.

    ``facts``: what its last finding says for programs.
    """

    slug: str
    purpose: str
    rule: str
    outcome: str
    finding: str
    began: float
    ended: float
    warnings: tuple[str, ...]
    commands: tuple[Command, ...]
    spans: tuple[Span, ...]
    undone: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def sent(self) -> bool:
        """Whether a change was sent. The outcome says whether it took effect."""
        return any(one.kind == "change" for one in self.commands)

    @property
    def shown(self) -> bool:
        """Whether it ended well, by whatever way."""
        return self.outcome in ("found", "changed", "proven")

    @property
    def seconds(self) -> float:
        return max(0.0, self.ended - self.began)

    @property
    def final(self) -> bool:
        return any(one.final for one in self.commands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """``seconds``: how long it took; of a run without an end, as far as is known. ``lag``: (seconds, bytes) as seen.

    ``asked``: seconds at the question. All other times are without them.
    """

    run: str
    command: str
    title: str
    began: str  # ISO 8601
    seconds: float
    state: State
    code: int | None
    changed: Changed
    facts: dict[str, Any]
    argv: tuple[str, ...]  # as it was typed; empty in journals of old, which don't have it
    result: dict[str, Any]
    who: str
    versions: tuple[str, ...]
    steps: tuple[StepTold, ...]
    lag: tuple[tuple[float, int], ...]
    asked: float = 0.0
    pairs: tuple[dict[str, Any], ...] = ()  # of an evacuation: each with what was chosen, and how it ended

    def step(self, slug: str) -> StepTold | None:
        return next((one for one in self.steps if one.slug == slug), None)

    @property
    def primary(self) -> str:
        return string(self.facts.get("primary") or self.result.get("old_primary"))

    @property
    def replica(self) -> str:
        return string(self.facts.get("replica"))

    @property
    def project(self) -> str:
        return string(self.facts.get("project"))

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for step in self.steps for text in step.warnings))

    @property
    def ended_as(self) -> str:
        if self.state == "open":
            return "incomplete"
        if self.state == "not confirmed":
            return "not confirmed"
        if self.state == "failed":
            may = ", may have changed" if self.changed == "unknown" else ", changed" if self.changed else ""
            return f"failed, exit {self.code}{may}"
        return "done" if self.changed else "done, nothing changed"


def summarize(record: Record) -> Story:
    """Fold the lines of a journal. Odd values are passed over: a journal may have been damaged."""
    record, asked = _without_the_question(record)
    opening, closing = record.first("RunStarted"), record.first("RunEnded")
    last = max((_number(one.get("at")) for one in record.entries), default=0.0)
    facts, result = mapping(opening.get("facts")), mapping(closing.get("result"))
    state = _state(record, closing)
    return Story(
        run=record.run,
        command=string(opening.get("command")) or "unknown",
        title=string(opening.get("title")) or "a run whose beginning can't be read",
        began=string(opening.get("time")),
        seconds=last,
        state=state,
        code=int(_number(closing.get("code"))) if closing else None,
        changed=_changed(record, closing),
        facts=facts,
        argv=tuple(string(word) for word in listing(opening.get("argv"))),
        result=result,
        who="@".join(string(opening.get(key)) for key in ("who", "host") if opening.get(key)),
        versions=tuple(
            f"{name} {string(version)}"
            for name, version in (("ccr-avn", opening.get("ccr_avn")), ("avn", facts.get("avn")))
            if version
        ),
        steps=_steps(record, state, last),
        lag=_lag(record),
        asked=asked,
        pairs=_pairs(record, facts, result),
    )


def _pairs(record: Record, facts: dict[str, Any], result: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """From the closing line; for an evacuation without one, from the noted ends of its pairs."""
    if told := mappings(result.get("pairs")):
        return tuple(told)
    begun = {
        string(one.get("pair")): {"state": "under way", "run": one.get("run")} for one in record.all("PairStarted")
    }
    ended = {string(one.get("pair")): mapping(one.get("told")) for one in record.all("PairEnded")}
    chosen = mappings(facts.get("pairs"))
    return tuple(
        {**one, **(ended.get(name) or begun.get(name) or {})} for one in chosen for name in [string(one.get("pair"))]
    )


def _without_the_question(record: Record) -> tuple[Record, float]:
    """All times as they were, had the question been answered at once; and how long it was not."""
    waited, entries = 0.0, []
    for entry in record.entries:
        if entry.get("event") == "Asked":
            waited += max(0.0, _number(entry.get("seconds")))
        at = number(entry.get("at"))
        entries.append(entry if at is None or not waited else {**entry, "at": max(0.0, at - waited)})
    return replace(record, entries=tuple(entries)), waited


def _state(record: Record, closing: dict[str, Any]) -> State:
    if not closing:
        return "open"
    if closing.get("ok") is True:
        return "done"
    declined = any(one.get("confirmed") is False for one in record.all("Asked"))
    return "not confirmed" if declined else "failed"


def _changed(record: Record, closing: dict[str, Any]) -> Changed:
    if closing:
        return "unknown" if closing.get("changed") == "unknown" else closing.get("changed") is True
    if any(one.get("outcome") == "changed" for one in record.all("StepDone")):
        return True
    return "unknown" if record.all("ChangeStarted") else False


@dataclass(slots=True, kw_only=True)
class _Gathered:
    """The entries of one step."""

    started: dict[str, Any] = field(default_factory=dict)
    looks: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    ends: list[dict[str, Any]] = field(default_factory=list)
    done: dict[str, Any] = field(default_factory=dict)
    undone: dict[str, Any] = field(default_factory=dict)
    missed: list[dict[str, Any]] = field(default_factory=list)

    def add(self, entry: dict[str, Any]) -> None:
        match entry.get("event"):
            case "StepStarted":
                self.started = entry
            case "Looked":
                self.looks.append(entry)
            case "Missed":
                self.missed.append(entry)
            case "ChangeStarted":
                self.changes.append(entry)
            case "ChangeEnded":
                self.ends.append(entry)
            case "StepDone":
                self.done = entry
            case "Undone":
                self.undone = entry
            case _:
                pass

    @property
    def touched(self) -> bool:
        return bool(self.started or self.looks or self.changes or self.done or self.missed)


def _steps(record: Record, state: State, last: float) -> tuple[StepTold, ...]:
    slugs = [string(slug) for slug in listing(record.first("RunStarted").get("slugs"))]
    slugs += [one for one in dict.fromkeys(string(e.get("slug")) for e in record.all("StepDone")) if one not in slugs]
    gathered = {slug: _Gathered() for slug in slugs}
    current = slugs[0] if slugs else ""
    for entry in record.entries:
        slug = string(entry.get("slug"))
        if slug in gathered and entry.get("event") != "Undone":
            current = slug
        if slug:  # the look that settles a doubt has a slug of its own: it belongs to the step under way
            gathered.setdefault(slug if slug in gathered else current, _Gathered()).add(entry)
    reached = max((number for number, slug in enumerate(slugs) if gathered[slug].touched), default=-1)
    if state in ("open", "failed") and all(gathered[slug].done for slug in slugs[: reached + 1]):
        reached += 1  # nothing is written when a step only looks: the next one was under way
    times = [_times(gathered[slug], last) for slug in slugs]
    return tuple(
        _told(slug, gathered[slug], _outcome(gathered[slug], number <= reached, state), time)
        for number, (slug, time) in enumerate(zip(slugs, times, strict=True))
    )


def _outcome(one: _Gathered, reached: bool, state: State) -> str:
    if one.done:
        return string(one.done.get("outcome")) or "proven"
    if not reached or state == "done":
        return "not reached"
    return "under way" if state == "open" else "stopped"


def _times(one: _Gathered, last: float) -> tuple[float, float]:
    ended = _number(one.done.get("at")) if one.done else last
    if one.started:
        return _number(one.started.get("at")), ended
    if one.done:
        return ended - _number(one.done.get("seconds")), ended
    return (_number(one.changes[0].get("at")) if one.changes else last), ended


def _told(slug: str, one: _Gathered, outcome: str, times: tuple[float, float]) -> StepTold:
    began, ended = times
    finding = mapping(one.done.get("finding")) or (mapping(one.looks[-1].get("finding")) if one.looks else {})
    doubts = [string(end.get("doubt")) for end in one.ends if end.get("doubt")]
    failed = string(one.undone.get("failed"))
    return StepTold(
        slug=slug,
        purpose=string(one.started.get("purpose")),
        rule=string(one.started.get("rule")),
        outcome=outcome,
        finding=string(finding.get("reason")) or "; ".join(doubts),
        began=began,
        ended=ended,
        warnings=tuple(string(text) for text in listing(finding.get("warnings"))),
        commands=tuple(_commands(one)),
        spans=tuple(_spans(one, began, ended)) if outcome != "not reached" else (),
        undone=("not undone: " + failed if failed else string(one.undone.get("done")) or "undone")
        if one.undone
        else "",
        facts=mapping(finding.get("facts")),
    )


def _commands(one: _Gathered) -> Iterable[Command]:
    """Changes, and the looks around them: of equal commands in a row, which polling makes, the last one."""
    shown: list[tuple[float, Command]] = []
    looks = [(read, _words(read)) for read in one.looks]
    for index, (read, text) in enumerate(looks):
        following = looks[index + 1] if index + 1 < len(looks) else None
        between = [_number(change.get("at")) for change in one.changes]
        split = following and any(_number(read.get("at")) <= at <= _number(following[0].get("at")) for at in between)
        if following is None or following[1] != text or split:
            reason = string(mapping(read.get("finding")).get("reason"))
            shown.append((_number(read.get("at")), Command(kind="look", text=text, finding=reason)))
    for index, change in enumerate(one.changes):
        end = one.ends[index] if index < len(one.ends) else {}
        finding = string(end.get("doubt")) or ("" if end else "no answer is known")
        seconds = _number(end.get("seconds")) if end else None
        command = Command(
            kind="change", text=_words(change), finding=finding, seconds=seconds, final=change.get("final") is True
        )
        shown.append((_number(change.get("at")), command))
    return (command for _, command in sorted(shown, key=lambda pair: pair[0]))


def _spans(one: _Gathered, began: float, ended: float) -> Iterable[Span]:
    waits = [_number(read.get("at")) for read in one.looks if mapping(read.get("finding")).get("verdict") == "wait"]
    waits += [_number(miss.get("at")) for miss in one.missed]
    if one.changes:
        change = _number(one.changes[0].get("at"))
        through = _number(one.ends[-1].get("at")) if one.ends else ended
        yield Span(kind="gate", began=began, ended=change)
        yield Span(kind="change", began=change, ended=through)
        waited = not one.looks or any(at > through for at in waits)
        yield Span(kind="wait" if waited else "gate", began=through, ended=ended)
    elif waits:
        yield Span(kind="gate", began=began, ended=min(waits))
        yield Span(kind="wait", began=min(waits), ended=ended)
    else:
        yield Span(kind="gate", began=began, ended=ended)


def _lag(record: Record) -> tuple[tuple[float, int], ...]:
    points: dict[float, int] = {}
    looked = {string(entry.get("slug")) for entry in record.all("Looked")}
    for entry in record.entries:
        kind = entry.get("event")
        if kind != "Looked" and (kind != "StepDone" or string(entry.get("slug")) in looked):
            continue  # a step that is done only repeats its last look
        behind = number(mapping(mapping(entry.get("finding")).get("facts")).get("lag_bytes"))
        if behind is not None:
            points[_number(entry.get("at"))] = int(behind)
    return tuple(sorted(points.items()))


def _words(entry: dict[str, Any]) -> str:
    return shlex.join(string(word) for word in listing(entry.get("argv")))


def string(value: Any) -> str:
    """A string, whatever a damaged journal holds there."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def number(value: Any) -> float | None:
    """A number that can be reckoned with, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e12:
        return None
    return float(value)


def _number(value: Any) -> float:
    return number(value) or 0.0


def mapping(value: Any) -> dict[str, Any]:
    """An object; empty where a damaged journal holds something else."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def mappings(value: Any) -> list[dict[str, Any]]:
    """The objects in a list."""
    return [one for one in listing(value) if isinstance(one, dict)]
