"""Makes commands of functions: a parameter is one of our options, or a dataclass of them; and lays out their `--help`."""

import inspect
import re
import signal
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from ccr_avn.errors import Interrupted
from ccr_avn.options import Rule, opt_of, option_name

Function = Callable[..., None]

CONNECTION = ("project", "avn", "ca_file", "route")
LIMITS = ("timeout", "interval", "ttl", "seconds", "delay")
"""Options whose names end in these are times: they are listed behind those that say what to do."""


class _Page:
    """What typer makes of a docstring; but its block "Examples:" stands as it is typed, and its first clause is the short line."""

    epilog: str | None

    def __init__(self, *, help: str | None = None, **settings: Any) -> None:  # noqa: A002 (typer's name)
        text, _, examples = (help or "").partition("Examples:\n")
        line = settings["short_help"] or re.split(r"[.:;](?:\s|$)", text)[0]
        make: Any = super().__init__
        make(**{**settings, "help": text.strip(), "epilog": examples, "short_help": line})

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (the name is the parent's)
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"  {line.strip()}\n")


class HelpCommand(_Page, TyperCommand):
    """Options in sections, the commonest first."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        return [*([self.options_metavar] if self.options_metavar else []), *(str(one.metavar) for one in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, records in self.sections(ctx).items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def sections(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """What can be typed, each with its help, by the title above it."""
        found: dict[str, list[Any]] = {title: [] for title in ("Arguments", "Options", "Times", "Connection")}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                argument = param.param_type_name == "argument"  # releases of typer add different things to its name
                found[_section(param)].append((str(param.metavar), record[1]) if argument else record)
        return found


class HelpGroup(_Page, TyperGroup):
    """Commands with their short lines."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (the name is the parent's)
        width = max(map(len, self.commands))
        for title, names in self.titled().items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), str(self.commands[name].short_help)) for name in names])

    def titled(self) -> dict[str, list[str]]:
        """The names of its commands by the title above them."""
        return {"Commands": list(self.commands)}


def _section(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    if param.name in CONNECTION:
        return "Connection"
    return "Times" if param.name.endswith(LIMITS) else "Options"


def group(text: str = "") -> typer.Typer:
    """One that has commands. ``text``: its help, with examples."""
    return typer.Typer(
        cls=HelpGroup,
        help=text,
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
    )


def command(
    app: typer.Typer, name: str | None = None, *, cls: Any = HelpCommand, defaults: Any = None, **settings: Any
) -> Callable[[Function], Function]:
    """Adds the function to the group. ``defaults``: of fields that differ from command to command."""

    def add(function: Function) -> Function:
        app.command(name, cls=cls, **settings)(_flattened(function, defaults or {}))
        return function

    return add


def _flattened(function: Function, defaults: dict[str, Any]) -> Function:
    """The function with each parameter that is a dataclass expanded, where it stands, to that dataclass's fields.

    What typer reads is the signature; docs/reference.md shows what it read.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, one in inspect.signature(function).parameters.items():
        if name in groups:
            fields = _typed_fields(groups[name])
            parameters += [field.replace(default=defaults.get(field.name, field.default)) for field in fields]
        else:
            parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))
    parameters = [_for_typer(one) for one in parameters]

    def called(**typed: Any) -> None:
        made = {
            name: group(**{one.name: typed.pop(one.name) for one in _typed_fields(group)})
            for name, group in groups.items()
        }
        try:
            function(**made, **typed)
        except KeyboardInterrupt:  # before a run has begun, or after it: typer would end without a word
            raise Interrupted(signal.SIGINT) from None

    called.__name__, called.__doc__ = function.__name__, function.__doc__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def _typed_fields(group: Any) -> list[inspect.Parameter]:
    """The fields of a dataclass that are options; a verb's other fields are not."""
    own = inspect.signature(group).parameters.values()
    return [one for one in own if hasattr(one.annotation, "__metadata__") or one.annotation is typer.Context]


def _for_typer(one: inspect.Parameter) -> inspect.Parameter:
    """The same, with an option of typer's where it has one of ours."""
    hint = one.annotation
    if (opt := opt_of(hint)) is None:
        return one
    given: dict[str, Any] = {
        "metavar": opt.metavar or _choices(hint.__origin__),
        "help": opt.help,
        "envvar": opt.envvar,
        "callback": _each(opt.rule),
        "autocompletion": _recent_services if opt.completes == "recent services" else opt.completes,
    }
    # typer would take one word for a tuple
    type_ = list[str] if hint.__origin__ == tuple[str, ...] else hint.__origin__
    names = opt.names or ((option_name(one.name),) if one.default is False else ())  # typer would add a --no-…
    made = typer.Argument(**given) if opt.argument else typer.Option(*names, **given)
    return one.replace(annotation=Annotated[type_, made])


def _choices(hint: Any) -> str | None:
    """The words of a ``Literal``, optional or not: releases of typer write them differently."""
    found = next((one for one in (hint, *get_args(hint)) if get_origin(one) is Literal), None)
    return f"<{'|'.join(get_args(found))}>" if found else None


def _each(rule: Rule | None) -> Callable[..., Any] | None:
    """A rule as typer's callback, for each value given: so no command can forget to check what was typed."""

    def callback(context: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
        source = context.get_parameter_source(str(param.name))
        name = str(param.metavar).strip("[].") if param.param_type_name == "argument" else param.opts[0]
        if source and source.name == "ENVIRONMENT":
            name = str(param.envvar)
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if rule and one is not None:
                rule(name, one)
        return value

    return callback if rule else None


def _recent_services(incomplete: str) -> list[str]:
    """From the journals, without asking avn."""
    from ccr_avn.history.journal import recent_services

    return recent_services(incomplete)
