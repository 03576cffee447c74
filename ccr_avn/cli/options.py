"""Options that commands share: each has one definition here."""

import inspect
import math
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from ccr_avn.aiven.avn import Project
from ccr_avn.errors import UsageError
from ccr_avn.files import target_of
from ccr_avn.history.runs import recent_services
from ccr_avn.process import find_avn, preload_avn

if TYPE_CHECKING:
    from ccr_avn.procedures.steps import Setting

Rule = Callable[[str, Any], None]
"""Given the name of an argument or option and a value that was typed. What breaks it is a UsageError: exit 2, nothing is asked."""


def _each(rule: Rule) -> Callable[..., Any]:
    """A rule as typer's callback, for each value given: so no command can forget to check what was typed."""

    def callback(param: typer.CallbackParam, value: Any) -> Any:
        name = str(param.metavar).strip("[].") if param.param_type_name == "argument" else param.opts[0]
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                rule(name, one)
        return value

    return callback


def _spelled(pattern: str, what: str, detail: str, hint: str) -> Rule:
    def check(where: str, word: str) -> None:
        if not re.fullmatch(pattern, word):
            raise UsageError(f"invalid {what} for {where}: {word!r}", detail=detail, hint=hint)

    return check


def _number(holds: Callable[[float], bool], detail: str, example: int) -> Rule:
    def check(option: str, number: float) -> None:
        if not holds(number):
            raise UsageError(
                f"invalid value for {option}: {number:g}", detail=detail, hint=f"for example: {option} {example}"
            )

    return check


def a_file(holds: str, hint: str) -> Callable[..., Any]:
    """The rule of a file that is read. ``holds``: what is in it; ``hint``: a command, which the file's name follows."""

    def check(option: str, file: Path) -> None:
        if not file.is_file():
            command = f"{hint} {shlex.quote(str(file))}"
            raise UsageError(f"{option}: there is no file {file}", detail=f"it must hold {holds} (PEM)", hint=command)

    return _each(check)


def _check_directory(option: str, directory: Path) -> None:
    """What is written there is written late: that it can't be should show before anything is done."""
    if not directory.exists():
        why, hint = "there is no such directory", shlex.join(("mkdir", "-p", str(directory)))
    elif not directory.is_dir():
        why, hint = "it is not a directory", "choose another"
    elif not os.access(directory, os.W_OK | os.X_OK):
        why, hint = "it is not writable for this user", "choose another"
    else:
        return
    raise UsageError(f"{option}: nothing can be written into {directory}", detail=why, hint=hint)


def _check_file(option: str, file: Path, *, replaced: bool) -> None:
    """``replaced``: else it is written to as it is, so it may be a pipe or a device."""
    if file.is_dir():
        why = "it is a directory"
    elif replaced and file.exists() and not file.is_file():
        why = "it is not a regular file"
    elif not replaced and file.exists() and not os.access(file, os.W_OK):
        why = "it is not writable for this user"
    else:
        why = ""
    if why:
        raise UsageError(f"{option}: {file} can't be written", detail=why, hint="choose another")
    if replaced or not file.exists():
        _check_directory(option, target_of(file).parent)


check_name = _spelled(
    r"[a-z][-a-z0-9]{0,63}",  # Aiven's rule
    "service name",
    "lower case letters, digits and dashes, starting with a letter, 64 at most",
    "check it with: avn service list",
)
a_name = _each(check_name)
a_word = _each(
    _spelled(
        r"[a-z][a-z0-9_-]*",  # clouds and plans: safe in argv and in a pasted shell
        "value",
        "lower case letters, digits and dashes, starting with a letter",
        "see `avn cloud list` for clouds, `avn service plans --cloud CLOUD` for plans",
    )
)
a_project = _each(
    _spelled(
        r"[a-zA-Z][-a-zA-Z0-9_]{0,62}",
        "name",
        "letters, digits and dashes, starting with a letter, 63 at most",
        "check it with: avn project list",
    )
)
not_negative = _each(_number(lambda one: 0 <= one < math.inf, "it must be 0 or more; times are in seconds", 60))
above_zero = _each(_number(lambda one: 0 < one < math.inf, "it must be above 0; times are in seconds", 60))
at_least_one = _each(_number(lambda one: one >= 1, "it must be 1 or more", 20))
a_directory, a_file_to_replace = _each(_check_directory), _each(partial(_check_file, replaced=True))
a_file_to_write = _each(partial(_check_file, replaced=False))


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


def service(metavar: str, text: str) -> Any:
    """An argument that is a service. ``text``: its help."""
    return typer.Argument(metavar=metavar, help=text, autocompletion=recent, callback=a_name)


Primary = Annotated[str, service("PRIMARY", "The primary: the service that is written to.")]
Replica = Annotated[str, service("REPLICA", "The read replica.")]
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
        callback=a_file("the project's CA certificate", "avn project ca-get --target-filepath"),
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
LinkTimeout = Annotated[float, seconds("How long to wait for the replication link.")]
AllowRejected = Annotated[
    bool,
    typer.Option(
        "--allow-rejected-commands",
        help="Accept a replica that rejected commands of its primary, or lacks keys: what they wrote is missing there.",
    ),
]
Samples = Annotated[int, count("How many markers (test writes) to send.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How avn and the servers are asked: the last options of most commands. Times are in seconds."""

    call_timeout: CallTimeout = 60
    ca_file: CaFile = None
    route: Route = None
    avn: Avn = None
    no_preload: NoPreload = False

    def setting(self, project: str | None, poll_interval: float = 5.0) -> "Setting":
        return setting(project, self.ca_file, self.route, avn=self.avn, poll_interval=poll_interval)

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
) -> "Setting":
    """What all procedures need, from the options that were typed. ``poll_interval``: seconds."""
    from ccr_avn.history.promotions import equal_by_value  # heavy: what --help and an avn begun early do without
    from ccr_avn.procedures.gates.links import Rejections
    from ccr_avn.procedures.steps import Setting

    return Setting(
        rejections=Rejections(compared=lambda replica: equal_by_value(replica, project)),
        project=Project(project),
        ca_file=ca_file,
        poll_interval=max(poll_interval, 0.1),
        avn=avn,
        route=route,
    )


def tolerant(made: "Setting", allow_rejected: bool) -> "Setting":
    """Of a command that has this option."""
    return replace(made, rejections=replace(made.rejections, allowed=allow_rejected))


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
            own = inspect.signature(groups[name]).parameters.values()
            parameters += [field.replace(default=defaults.get(field.name, field.default)) for field in own]
        else:
            parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))

    def command(**typed: Any) -> None:
        made = {
            name: group(**{one.name: typed.pop(one.name) for one in fields(group)}) for name, group in groups.items()
        }
        function(**made, **typed)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command
