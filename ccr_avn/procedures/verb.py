"""What a verb is: a frozen value of its options that plans, words its question, and reports how it ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, get_type_hints

from ccr_avn.errors import CcrError
from ccr_avn.options import Opt
from ccr_avn.plan import events
from ccr_avn.plan.model import Plan
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting

Rows = Sequence[Sequence[str]]
"""A table."""

Line = str | Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is said before anything is changed, and what must be typed for it. ``shown``: lines and tables above it."""

    answer: str
    text: str
    consequences: dict[str, str]
    shown: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run came to its end. ``problem``: it found something that must not pass for success."""

    result: dict[str, Any]
    lines: tuple[Line, ...]
    problem: CcrError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that came to its end, good or bad. ``hooks``: seconds that each took.

    ``loaded``: seconds before the run's own clock began; ``past_return``: the promotion was sent, by it or an earlier run.
    """

    seen: Seen
    timeline: Sequence[events.Event]
    changed: bool = False
    past_return: bool = False
    problem: CcrError | None = None
    hooks: dict[str, float] = field(default_factory=dict)
    loaded: float = 0.0

    def sent_at(self, slug: str) -> float | None:
        """When the change of a step began, in seconds since the run did."""
        started = (one for one in self.timeline if isinstance(one, events.ChangeStarted))
        return next((one.at for one in started if one.slug == slug), None)

    def done(self, slug: str) -> events.StepDone | None:
        found = (one for one in self.timeline if isinstance(one, events.StepDone) and one.slug == slug)
        return next(found, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """The fields that have an :class:`Opt` are its options."""

    at: Setting = field(default_factory=Setting)

    command: ClassVar[str]
    never_suspend: ClassVar[bool] = False  # Ctrl-Z would leave writes paused
    resumable: ClassVar[bool] = True  # whether the same command, run again, goes on from where it ended
    ended_by_signal: ClassVar[str] = ""  # the step that goes on until Ctrl-C, which is no failure

    @property
    def time_limit(self) -> float | None:
        """Seconds for all of it; None: each step has its own."""
        return None

    def plan(self) -> Plan:
        """All that it will do, in order, without doing any of it."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What the journal says it is about: names, no secrets."""
        raise NotImplementedError

    def source(self, seen: Seen) -> str:  # noqa: ARG002
        """The old primary's name, as far as it is known."""
        return str(getattr(self, "primary", ""))

    def question(self, seen: Seen) -> Question | None:  # noqa: ARG002
        """None: nothing that has to be asked about."""
        return None

    def confirm(self, seen: Seen, ask: Callable[[Question], None]) -> bool:
        """Ask what has to be asked, which raises what ends the run; whether anything had to be."""
        question = self.question(seen)
        if question:
            ask(question)
        return question is not None

    def half_way(self, ended: Ended) -> tuple[tuple[str, ...], dict[str, Any]]:  # noqa: ARG002
        """What the operator must know of a run that stopped: lines, and the same as data."""
        return (), {}

    def checked(self, ended: Ended) -> Outcome:
        """With ``--check``: the checks have passed."""
        raise NotImplementedError

    def outcome(self, ended: Ended) -> Outcome:
        raise NotImplementedError

    def words(self) -> tuple[str, ...]:
        """The options that differ from their defaults, as they are typed; and those that are shared by all verbs."""
        defaults = {one.name: one.default for one in fields(self)}
        found: list[str] = []
        for name, opt in options_of(type(self)).items():
            value = getattr(self, name)
            if opt.argument or value == defaults[name]:
                continue
            yes, _, no = next(iter(opt.names), "--" + name.replace("_", "-")).partition("/")
            for one in value if isinstance(value, (list, tuple)) else (value,):
                text = f"{one:g}" if isinstance(one, float) else str(one)
                if isinstance(one, bool):
                    found.append(yes if one else no)
                else:
                    found += [f"{yes}={text}"] if text.startswith("-") else [yes, text]
        return (*found, *self.at.options)


def options_of(verb: type[Any]) -> dict[str, Opt]:
    """How each field is typed that is an option."""
    hints = get_type_hints(verb, include_extras=True)
    found = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {name: one for name, given in found.items() for one in given if isinstance(one, Opt)}
