"""What a verb is: a frozen value of its options that plans, words its question, and reports how it ended; and what all report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from ccr_avn import options
from ccr_avn.aiven.models import Service
from ccr_avn.errors import CcrError, UsageError
from ccr_avn.options import Opt, Primary, Replica, opt_of
from ccr_avn.plan import events
from ccr_avn.plan.gates import typed_words
from ccr_avn.plan.model import Plan, Word
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.gates.parity import Difference
from ccr_avn.procedures.seen import CARRIES, Seen
from ccr_avn.procedures.setting import Setting

Line = str | Sequence[Sequence[str]]  # or a table


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

    @property
    def lacks_data(self) -> bool:
        """Whether the promoted service was found to lack the data of its primary: that one stays in use."""
        return events.was_refused(self.timeline, CARRIES)

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

    def words(self) -> tuple[Word, ...]:
        """The options that differ from their defaults, as they are typed; and those that are shared by all verbs."""
        opts = {name: opt for name, opt in options_of(type(self)).items() if not opt.argument}
        given = {name: getattr(self, name) for name in opts}
        return (*typed_words(opts, given, {one.name: one.default for one in fields(self)}), *self.at.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVerb(Verb):
    primary: Primary
    replica: Replica

    def __post_init__(self) -> None:
        if self.primary == self.replica:
            what, hint = "PRIMARY and REPLICA are the same service", "name both services of the pair"
            raise UsageError(what, detail=f"both are {self.primary}", hint=hint)

    def facts(self) -> dict[str, Any]:
        return {"primary": self.primary, "replica": self.replica}


OldPrimaryAction = Literal["close", "power-off", "hold", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverOptions(PairVerb):
    """The options of a switchover: what its steps, and the rules that these have, are made from."""

    old_primary: Annotated[
        OldPrimaryAction, options.choice("close: no clients (ip_filter); hold: paused until Ctrl-C; open: split brain.")
    ] = "close"
    max_lag_bytes: Annotated[int, options.number("Maximum lag of REPLICA at the start, in bytes.")] = (
        options.MAX_LAG_BYTES
    )
    allow_smaller: Annotated[bool, options.flag("Promote REPLICA even if the data exceeds its memory.")] = False
    allow_rejected_commands: options.AllowRejected = False
    fence: Annotated[
        Literal["auto", "client-pause", "observe"],
        options.choice("observe: you stop the writers; auto: client-pause if permitted."),
    ] = "auto"
    drill_service: options.DrillService = None
    fence_ttl: Annotated[
        float,
        options.seconds(
            "If ccr-avn dies before the promotion, the write pause expires after S seconds.", options.at_least_one
        ),
    ] = 30
    catch_up_timeout: Annotated[float, options.seconds("How long writes may be paused for REPLICA to catch up.")] = 60
    promote_timeout: options.PromoteTimeout = 600
    doubt_timeout: options.DoubtTimeout = 60


def options_of(verb: type[Any]) -> dict[str, Opt]:
    hints = get_type_hints(verb, include_extras=True)
    return {name: opt for name, hint in hints.items() if (opt := opt_of(hint))}


DECLARED = (
    "Terraform and the Kubernetes operator reset ip_filter and tags to what is declared, and the operator powers services "
    "on: before the next apply, update the declarations and remove service_integrations/read_replica; otherwise it "
    "reopens a closed service and removes the tags that record the promotion"
)
"""Said before the question too: an apply may come at any time after it."""

LONG = 70  # characters from which on a risk gets a line of its own, so that the others' column stays narrow


def described(service: Service) -> dict[str, Any]:
    """A service as plain data, without secrets."""
    names = ("name", "type", "plan", "cloud", "state")
    return {name: getattr(service, name) for name in names}


def sides(**services: Service | None) -> list[dict[str, Any]]:
    """The pair as plain data, each side with its role."""
    return [{**described(one), "role": role.replace("_", " ")} for role, one in services.items() if one]


def differences(at: Setting, seen: Seen, old: Service | None, new: Service | None) -> tuple[Difference, ...]:
    """In what the new primary differs: as the platform shows both, and as their servers were before, if they were asked."""
    if old is None or new is None:
        return ()
    return parity.differences(at.project, old, new, seen.answer("parity"))


def exposure(at: Setting, new: Service) -> list[dict[str, str]]:
    """What is exposed after a promotion, each with the command that ends it, if one does."""
    found = [
        ("it has no replica", at.command("ccr-avn", "enable", new.name, "NEW", "--replica-cloud", "CLOUD")),
        ("it has no backup until Aiven takes the first", at.command("avn", "service", "backup-list", new.name)),
        (DECLARED, ""),
    ]
    if (new.node_count or 1) < 2:
        plan = new.plan.replace("startup-", "business-")
        larger = at.command("avn", "service", "update", new.name, "--plan", plan)
        found.insert(0, (f"{new.plan} is a single node", larger))
    return [{"what": what, "fix": fix} for what, fix in found]


def exposure_lines(found: list[dict[str, str]]) -> list[Line]:
    short = [(one["what"], one["fix"]) for one in found if len(one["what"]) <= LONG]
    long = [(one["what"], one["fix"]) for one in found if len(one["what"]) > LONG]
    paragraphs = [
        f"{indent}{text}" for pair in long for indent, text in zip(("  ", "      "), pair, strict=True) if text
    ]
    return ["remaining risks:", *([short] if short else []), *paragraphs]
