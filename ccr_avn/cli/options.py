"""Options that commands share: each has one definition here."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from ccr_avn import options
from ccr_avn.aiven.avn import Project
from ccr_avn.errors import UsageError
from ccr_avn.history.runs import recent_services
from ccr_avn.options import AllowRejected, LinkTimeout, Opt, Primary, Replica, Rule, Samples, a_file, service
from ccr_avn.process import find_avn, preload_avn

if TYPE_CHECKING:
    from ccr_avn.procedures.setting import Setting
    from ccr_avn.procedures.verb import Verb

    V = TypeVar("V", bound=Verb)

__all__ = ["AllowRejected", "LinkTimeout", "Primary", "Replica", "Samples", "a_file", "service"]


def each(rule: Rule) -> Callable[..., Any]:
    """A rule as typer's callback, for each value given: so no command can forget to check what was typed."""

    def callback(param: typer.CallbackParam, value: Any) -> Any:
        name = str(param.metavar).strip("[].") if param.param_type_name == "argument" else param.opts[0]
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                rule(name, one)
        return value

    return callback


a_name, a_word, a_project = each(options.a_name), each(options.a_word), each(options.a_project)
not_negative, above_zero, at_least_one = (
    each(one) for one in (options.not_negative, options.above_zero, options.at_least_one)
)
a_directory, a_file_to_replace, a_file_to_write = (
    each(one) for one in (options.a_directory, options.a_file_to_replace, options.a_file_to_write)
)
check_name = options.a_name


def seconds(text: str, rule: Any = not_negative) -> Any:
    """An option that is a time. ``text``: its help."""
    return typer.Option(metavar="S", help=text, callback=rule)


def number(text: str) -> Any:
    """An option that is counted from 0."""
    return typer.Option(metavar="N", help=text, callback=not_negative)


def count(text: str) -> Any:
    """An option that is counted from 1."""
    return typer.Option(metavar="N", help=text, callback=at_least_one)


def recent(incomplete: str) -> list[str]:
    """Services of recent runs, for the shell's completion: from the journals, without asking avn."""
    return recent_services(incomplete)


ProjectName = Annotated[
    str | None,
    typer.Option(
        "--project", metavar="P", envvar="AIVEN_PROJECT", help="Aiven project; else avn's default.", callback=a_project
    ),
]
Avn = Annotated[
    str | None,
    typer.Option("--avn", metavar="PATH", help="The avn to use; else CCR_AVN_BIN, the one beside ccr-avn, PATH."),
]
NoPreload = Annotated[
    bool, typer.Option("--no-preload", help="Start avn anew for each command; also CCR_AVN_NO_PRELOAD=1.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="F",
        help="Trust this CA too: `avn project ca-get --target-filepath F`.",
        callback=each(options.a_file("the project's CA certificate", "avn project ca-get --target-filepath")),
    ),
]


RouteName = Literal["dynamic", "public", "privatelink"]
"""As avn's `connection-info` has them."""
Route = Annotated[
    RouteName | None,
    typer.Option("--route", help="Network route to services; else dynamic, or public if only that connects."),
]
Check = Annotated[bool, typer.Option("--check", help="Run the pre-checks only; exit 0 if they pass, 4 if not.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for errors too.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the commands, ready to paste; ask and change nothing.")]
PollInterval = Annotated[float, seconds("Maximum polling interval; starts at 0.5 s.", above_zero)]
CallTimeout = Annotated[float, seconds("Time limit for one avn command.", above_zero)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How avn and the servers are asked: the last options of most commands. Times are in seconds."""

    call_timeout: CallTimeout = 60
    ca_file: CaFile = None
    route: Route = None
    avn: Avn = None
    no_preload: NoPreload = False

    def setting(self, project: str | None, poll_interval: float = 5.0, **more: Any) -> "Setting":
        """``more``: what :func:`setting` takes besides."""
        return setting(project, self.ca_file, self.route, avn=self.avn, poll_interval=poll_interval, **more)

    def settled(self, verb: "V", project: str | None, poll_interval: float = 5.0) -> "V":
        """The verb where it is to work."""
        allowed = getattr(verb, "allow_rejected_commands", None)
        return replace(verb, at=self.setting(project, poll_interval, allow_rejected=allowed))

    def preload(self, *, unless: bool = False) -> None:
        """Have avn loaded in the background; ``unless``: it will not be asked.

        Raises:
            UsageError: there is no avn.
        """
        if not (self.no_preload or unless):
            preload_avn(find_avn(self.avn))


def setting(
    project: str | None,
    ca_file: Path | None = None,
    route: RouteName | None = None,
    *,
    avn: str | None = None,
    poll_interval: float = 5.0,
    allow_rejected: bool | None = None,
    run: str = "",
) -> "Setting":
    """What all procedures need, from the options that were typed. ``poll_interval``: seconds."""
    from ccr_avn.history.journals import JournalsHere  # heavy: what --help and an avn begun early do without
    from ccr_avn.procedures.setting import Setting

    return Setting(
        project=Project(project),
        ca_file=ca_file,
        poll_interval=max(poll_interval, 0.1),
        avn=avn,
        route=route,
        run=run,
        journals=JournalsHere(project),
        allow_rejected=allow_rejected,
    )


def given(context: typer.Context, *wanted: str | type) -> tuple[str, ...]:
    """These options, and the fields of these groups, as words: those that were given."""
    names = {name for one in wanted for name in ([one] if isinstance(one, str) else [own.name for own in fields(one)])}
    found: list[str] = []
    for one in context.command.params:
        source = context.get_parameter_source(str(one.name))
        if one.name in names and source and source.name != "DEFAULT":
            value = context.params[one.name]
            found += [one.opts[0]] if value is True else [one.opts[0], str(value).removesuffix(".0")]
    return tuple(found)


def refuse_unused(context: typer.Context, beside: str, where: str, *options: str, use: str = "") -> None:
    """Refuse ``options`` where they do nothing: with ``beside``, as it was typed. They apply to ``where``; ``use``: typed so.

    Raises:
        UsageError: one was given.
    """
    sources = {name: context.get_parameter_source(name) for name in options}
    given = ["--" + name.replace("_", "-") for name, source in sources.items() if source and source.name != "DEFAULT"]
    if given:
        raise UsageError(
            f"{' and '.join(given)} {'do' if len(given) > 1 else 'does'} nothing with {beside}",
            detail=f"{'they apply' if len(given) > 1 else 'it applies'} to {where} only",
            hint=f"leave out {' and '.join(given)}, or {use or beside}",
        )


def flattened(function: Callable[..., None], **defaults: Any) -> Callable[..., None]:
    """The command with each parameter that is a dataclass expanded, where it stands, to that dataclass's fields.

    ``defaults``: of fields that differ from command to command. What typer reads is the signature; docs/reference.md
    and the snapshots of `--help` show what it read.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, one in inspect.signature(function).parameters.items():
        if name in groups:
            for field in _typed_fields(groups[name]):
                default = defaults.get(field.name, field.default)
                parameters.append(field.replace(default=default, annotation=_for_typer(field.annotation)))
        else:
            parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=_for_typer(hints[name])))

    def command(**typed: Any) -> None:
        made = {
            name: group(**{one.name: typed.pop(one.name) for one in _typed_fields(group)})
            for name, group in groups.items()
        }
        function(**made, **typed)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _typed_fields(group: Any) -> list[inspect.Parameter]:
    """The fields of a dataclass that are options; what a verb is told besides is none."""
    own = inspect.signature(group).parameters.values()
    return [one for one in own if hasattr(one.annotation, "__metadata__") or one.annotation is typer.Context]


def _for_typer(hint: Any) -> Any:
    """The same type, with an option of typer's where it has one of ours."""
    opt = next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Opt)), None)
    if opt is None:
        return hint
    given: dict[str, Any] = {"metavar": opt.metavar, "help": opt.help}
    given |= {"callback": each(opt.rule)} if opt.rule else {}
    given |= {"autocompletion": recent} if opt.completes else {}
    made = typer.Argument(**given) if opt.argument else typer.Option(*opt.names, **given)
    return Annotated[hint.__origin__, made]
