"""How `--help` looks: commands in groups, options in sections, and the examples that a docstring ends with."""

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

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
        found: dict[str, list[tuple[str, str]]] = {
            title: [] for title in ("Arguments", "Options", "Times", "Connection")
        }
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
