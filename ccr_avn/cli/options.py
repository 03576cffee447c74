"""The options that several commands share: how avn and the servers are asked, how a promotion is run; which fit together."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ccr_avn import options
from ccr_avn.aiven.avn import Project
from ccr_avn.errors import UsageError
from ccr_avn.hooks import Hooks
from ccr_avn.options import Avn, CaFile, CallTimeout, Check, DryRun, Json, NoPreload, ProjectName, Route, Yes
from ccr_avn.output import console
from ccr_avn.process import find_avn, preload_avn

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.aiven.program import Program
    from ccr_avn.evacuate.choose import Want
    from ccr_avn.plan.reads import World
    from ccr_avn.procedures.setting import Setting
    from ccr_avn.procedures.verb import Verb

    V = TypeVar("V", bound=Verb | Want)

WriteEnv = Annotated[
    Path | None,
    options.word(
        "FILE", "Write the new REDIS_URL and VALKEY_URL to FILE (mode 0600).", options.a_file_to_replace, "--write-env"
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaching:
    """How avn and the servers are reached: the last options of a command. Times are in seconds."""

    project: ProjectName = None
    call_timeout: CallTimeout = 60
    ca_file: CaFile = None
    route: Route = None
    avn: Avn = None

    def world(self, program: "Program | None" = None) -> "World":
        """What is touched; ``program``: the avn, if it has been asked which it is.

        Raises: UsageError: there is no avn; TooOld: it is older than the oldest supported.
        """
        from ccr_avn.aiven.program import known, world_of  # not before `failover` has started avn

        return world_of(program or known(find_avn(self.avn)), call_timeout=self.call_timeout)

    def services(self, *names: str) -> "tuple[Service, ...]":
        """Ask avn for these. Raises: Refused: one does not exist; AvnError: avn failed."""
        from ccr_avn.procedures.lookup import look_up

        return look_up(self.world(), Project(self.project), names, console.note)

    def begin(self, *names: str) -> "Callable[[], tuple[Service, ...]]":
        """Start asking avn for all services, or where these can't be listed for these; see `lookup.begin`."""
        from ccr_avn.procedures.lookup import begin

        return begin(self.world(), Project(self.project), names, console.note)

    def setting(self, poll_interval: float = 5.0, *, allow_rejected: bool | None = None) -> "Setting":
        """What all procedures need."""
        from ccr_avn.history.journal import new_run  # heavy: what --help and an avn begun early do without
        from ccr_avn.history.journals import JournalsHere
        from ccr_avn.procedures.setting import Setting

        return Setting(
            project=Project(self.project),
            ca_file=self.ca_file,
            poll_interval=max(poll_interval, 0.1),
            avn=self.avn,
            route=self.route,
            run=new_run(),
            journals=JournalsHere(self.project),
            allow_rejected=allow_rejected,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking(Reaching):
    """The same of a command that asks avn many times."""

    no_preload: NoPreload = False

    def settled(self, verb: "V", poll_interval: float = 5.0) -> "V":
        """The verb, or the evacuation, where it is to work."""
        allowed = getattr(verb, "allow_rejected_commands", None)
        return replace(verb, at=self.setting(poll_interval, allow_rejected=allowed))

    def preload(self, *, unless: bool = False) -> None:
        """Have avn loaded in the background; ``unless``: it will not be asked.

        Raises:
            UsageError: there is no avn.
        """
        if not (self.no_preload or unless):
            preload_avn(find_avn(self.avn))


@dataclass(frozen=True, slots=True, kw_only=True)
class ActOptions(Reaching):
    """What a command of a single step takes: a gate, `fence`, `unfence`: the lines of a preview."""

    context: typer.Context
    json: Json = False

    def show(self, text: str, result: Mapping[str, Any]) -> None:
        if self.json:
            console.envelope(self.context.command_path.partition(" ")[2], result)
        else:
            console.say(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What stands around a verb; a promotion has options for all of it. ``quiet``: only warnings and errors are shown.

    ``shown``: how its plan is previewed, if not as lines to paste.
    """

    check: Check = False
    dry_run: DryRun = False
    yes: Yes = False
    json: Json = False
    write_env: WriteEnv = None
    quiet: bool = False
    hooks: Hooks = field(default_factory=Hooks)
    shown: Callable[..., str] | None = None

    def must_be_able_to_ask(self, why: str = "a promotion can't be undone") -> None:
        """Raises:
        UsageError: there will be a question, and nobody to answer it.
        """
        if not (self.check or self.dry_run or self.yes or (sys.stdin and sys.stdin.isatty())):
            raise UsageError(
                "confirmation needed: no terminal and no --yes",
                detail=why,
                hint="check first with --check or --dry-run, then add --yes",
            )


def was_typed(context: typer.Context, name: str) -> bool:
    """Whether the option was; what the environment gives is for all commands, whether or not they use it."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def given(context: typer.Context, *wanted: str | type) -> tuple[str, ...]:
    """These options, and the fields of these groups, as words: those that were typed."""
    names = {name for one in wanted for name in ([one] if isinstance(one, str) else [own.name for own in fields(one)])}
    found: list[str] = []
    for one in context.command.params:
        if one.name in names and was_typed(context, str(one.name)):
            value = context.params[one.name]
            found += [one.opts[0]] if value is True else [one.opts[0], str(value).removesuffix(".0")]
    return tuple(found)


def refuse_unused(context: typer.Context, beside: str, where: str, *names: str, use: str = "") -> None:
    """Refuse options where they do nothing: with ``beside``, as it was typed. They apply to ``where``; ``use``: typed so.

    Raises:
        UsageError: one was given.
    """
    given = [options.option_name(name) for name in names if was_typed(context, name)]
    if given:
        raise UsageError(
            f"{' and '.join(given)} {'have' if len(given) > 1 else 'has'} no effect with {beside}",
            detail=f"{'they apply' if len(given) > 1 else 'it applies'} to {where} only",
            hint=f"leave out {' and '.join(given)}, or {use or beside}",
        )
