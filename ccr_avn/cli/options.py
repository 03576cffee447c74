"""Options that commands share: each has one definition here."""

import inspect
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
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

NAME = re.compile(r"[a-z][-a-z0-9]{0,63}")
"""Aiven's service names: lower case, starting with a letter, 64 characters at most."""
PROJECT_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9_]{0,62}")
WORD = re.compile(r"[a-z][a-z0-9_-]*")
"""Clouds and plans: safe in argv and in a pasted shell."""


def _each(rule: Callable[[str, Any], None]) -> Callable[..., Any]:
    """A rule as typer's callback: for each value given, with the name of its argument or option.

    So no command can forget to check what was typed. What breaks a rule is a UsageError: exit 2, nothing is asked.
    """

    def callback(param: typer.CallbackParam, value: Any) -> Any:
        name = str(param.metavar).strip("[].") if param.param_type_name == "argument" else param.opts[0]
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                rule(name, one)
        return value

    return callback


def check_name(where: str, name: str) -> None:
    """Raises:
    UsageError: it breaks Aiven's rule for the names of services.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"invalid service name for {where}: {name!r}",
            detail="lower case letters, digits and dashes, starting with a letter, 64 at most",
            hint="check it with: avn service list",
        )


def _check_word(option: str, word: str) -> None:
    if not WORD.fullmatch(word):
        raise UsageError(
            f"invalid value for {option}: {word!r}",
            detail="lower case letters, digits and dashes, starting with a letter",
            hint="see `avn cloud list` for clouds, `avn service plans --cloud CLOUD` for plans",
        )


def _check_not_negative(option: str, number: float) -> None:
    if not 0 <= number < float("inf"):
        raise UsageError(
            f"invalid value for {option}: {number:g}",
            detail="it must be 0 or more; times are in seconds",
            hint=f"for example: {option} 60",
        )


def _check_above_zero(option: str, number: float) -> None:
    _check_not_negative(option, number)
    if not number:
        raise UsageError(f"invalid value for {option}: 0", detail="it must be above 0", hint=f"{option} 1")


def _check_at_least_one(option: str, count: float) -> None:
    if count < 1:
        raise UsageError(f"invalid value for {option}: {count:g}", detail="it must be 1 or more", hint=f"{option} 20")


def _check_project(option: str, name: str) -> None:
    if not PROJECT_NAME.fullmatch(name):
        raise UsageError(
            f"invalid name for {option}: {name!r}",
            detail="letters, digits and dashes, starting with a letter, 63 at most",
            hint="check it with: avn project list",
        )


def a_file(holds: str, hint: str) -> Callable[..., Any]:
    """The rule of a file that is read. ``holds``: what is in it; ``hint``: a command, which the file's name follows."""

    def check(option: str, file: Path) -> None:
        if not file.is_file():
            told = f"{hint} {shlex.quote(str(file))}"
            raise UsageError(f"{option}: there is no file {file}", detail=f"it must hold {holds} (PEM)", hint=told)

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


def _check_file_to_replace(option: str, file: Path) -> None:
    if file.exists() and not file.is_file():
        raise _unwritable(option, file, "it is a directory" if file.is_dir() else "it is not a regular file")
    _check_directory(option, target_of(file).parent)


def _check_file_to_write(option: str, file: Path) -> None:
    """It is written to as it is: it may be a pipe or a device."""
    if file.is_dir():
        raise _unwritable(option, file, "it is a directory")
    if not file.exists():
        _check_directory(option, target_of(file).parent)
    elif not os.access(file, os.W_OK):
        raise _unwritable(option, file, "it is not writable for this user")


def _unwritable(option: str, file: Path, why: str) -> UsageError:
    return UsageError(f"{option}: {file} can't be written", detail=why, hint="choose another")


a_name, a_word, above_zero = _each(check_name), _each(_check_word), _each(_check_above_zero)
not_negative, at_least_one = _each(_check_not_negative), _each(_check_at_least_one)
a_directory, a_file_to_replace = _each(_check_directory), _each(_check_file_to_replace)
a_file_to_write = _each(_check_file_to_write)


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


Primary = Annotated[
    str,
    typer.Argument(
        metavar="PRIMARY", help="The primary: the service that is written to.", autocompletion=recent, callback=a_name
    ),
]
Replica = Annotated[
    str, typer.Argument(metavar="REPLICA", help="The read replica.", autocompletion=recent, callback=a_name)
]
ProjectName = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="P",
        envvar="AIVEN_PROJECT",
        help="Aiven project; else avn's default.",
        callback=_each(_check_project),
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
        preload(self.avn, no_preload=self.no_preload or unless)


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


def preload(avn: str | None, *, no_preload: bool) -> None:
    """Have avn loaded in the background, for a command that asks it several things.

    Raises:
        UsageError: there is no avn.
    """
    if not no_preload:
        preload_avn(find_avn(avn))


def given(context: typer.Context, *wanted: str | type) -> tuple[str, ...]:
    """These options, and the fields of these groups, as words: those that were given."""
    names = {
        name for one in wanted for name in ([one] if isinstance(one, str) else (field.name for field in fields(one)))
    }
    found: list[str] = []
    for one in context.command.params:
        source = context.get_parameter_source(str(one.name))
        if one.name in names and source and source.name != "DEFAULT":
            value = context.params[one.name]
            found += [one.opts[0]] if value is True else [one.opts[0], str(value).removesuffix(".0")]
    return tuple(found)


def idle(context: typer.Context, beside: str, where: str, *options: str, use: str = "") -> None:
    """Options that have no effect beside another, as it was typed. ``where``: they have one with this; ``use``: it is typed so.

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
    own = inspect.signature(function).parameters
    grouped = {name: hints[name] for name in own if is_dataclass(hints[name])}
    parameters: list[inspect.Parameter] = []
    for name, one in own.items():
        if name in grouped:
            parameters += _expanded(grouped[name], defaults)
        else:
            parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))

    def command(**typed: Any) -> None:
        made = {
            name: group(**{one.name: typed.pop(one.name) for one in fields(group)}) for name, group in grouped.items()
        }
        function(**made, **typed)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _expanded(group: Any, defaults: dict[str, Any]) -> list[inspect.Parameter]:
    types = get_type_hints(group, include_extras=True)
    own = {one.name: inspect.Parameter.empty if one.default is MISSING else one.default for one in fields(group)}
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name, default), annotation=types[name]
        )
        for name, default in own.items()
    ]
