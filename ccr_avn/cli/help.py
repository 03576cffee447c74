"""How `--help` looks: commands in groups, options in sections, and the examples that a docstring ends with."""

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

CONNECTION = ("project", "avn", "ca_file", "route")
LIMITS = ("timeout", "interval", "ttl", "seconds", "delay")
"""Options whose names end in these are times: they are listed behind those that say what to do."""


def _page(*, help: str | None = None, **settings: Any) -> dict[str, Any]:  # noqa: A002 (typer's name)
    """What typer makes of a docstring, but its block "Examples:" as the epilog, and its first clause as the short line."""
    text, _, examples = (help or "").partition("Examples:\n")
    line = settings["short_help"] or re.split(r"[.:;](?:\s|$)", text)[0]
    return {**settings, "help": text.strip(), "epilog": examples, "short_help": line}


def _write_examples(examples: str | None, formatter: Any) -> None:
    """As they are typed: no line is wrapped."""
    if examples:
        with formatter.section("Examples"):
            for line in examples.splitlines():
                formatter.write(f"  {line.strip()}\n")


class HelpCommand(TyperCommand):
    """Options in sections, the commonest first."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**_page(**settings))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As we write them: releases of typer add different things to an argument's name."""
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        return [*([self.options_metavar] if self.options_metavar else []), *(str(one.metavar) for one in arguments)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (the name is the parent's)
        _write_examples(self.epilog, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {
            title: [] for title in ("Arguments", "Options", "Times", "Connection")
        }
        for param in self.get_params(ctx):
            if record := help_record(param, ctx):
                sections[_section(param)].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class HelpGroup(TyperGroup):
    """Commands with their short lines."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**_page(**settings))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (the name is the parent's)
        _write_examples(self.epilog, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (the name is the parent's)
        width = max(map(len, self.commands))
        for title, names in self.titled().items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), str(self.commands[name].short_help)) for name in names])

    def titled(self) -> dict[str, list[str]]:
        """The names of its commands by the title above them."""
        return {"Commands": list(self.commands)}


def help_record(param: Any, ctx: Any) -> tuple[str, str] | None:
    """An option or argument as it is written, and its help."""
    record: tuple[str, str] | None = param.get_help_record(ctx)
    return (str(param.metavar), record[1]) if record and param.param_type_name == "argument" else record


def _section(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    if param.name in CONNECTION:
        return "Connection"
    return "Times" if param.name.endswith(LIMITS) else "Options"
