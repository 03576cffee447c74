"""The commands: options to request to plan to preview or execute to exit code. The only typer, the only prompt.

A command's module is loaded when that command is called: the list of commands, and completing a name, load none.
"""

from importlib import import_module
from typing import Any

import typer
from typer.main import get_group

from ccr_avn import __version__
from ccr_avn.cli.commands import HelpCommand, HelpGroup, command, group
from ccr_avn.output import console

COMMANDS = {
    "Set up": {
        "enable": "Create a primary and its read replica; prove replication",
        "doctor": "Check avn, the token, the project and its permissions",
    },
    "Look": {
        "status": "Show the health of every pair",
        "verify": "Prove that a replica has the data of its primary",
        "watch": "Watch the replication lag",
        "endpoint": "Print connection details, password included",
    },
    "Move": {
        "switchover": "Promote a replica, planned: no acknowledged write is lost",
        "failover": "Promote a replica, forced: its primary is lost",
        "evacuate": "Move every pair of a cloud, in waves",
    },
    "History": {"runs": "Show, check and report on earlier runs"},
    "Rehearse": {
        "drill": "Rehearse a promotion on a temporary replica in your account",
        "sandbox": "Rehearse all of this locally, without an account",
    },
    "Low-level": {
        "fence": "Pause writes on a primary for a limited time",
        "unfence": "Resume writes on a primary",
        "gate": "Run a single check of a procedure",
        "schema": "Print the JSON Schema of what --json prints",
    },
}
"""By group, each with its short line: at most 60 characters, so that it fits 80 columns uncut."""
LINES = {name: line for group in COMMANDS.values() for name, line in group.items()}


class Program(HelpGroup):
    """All commands by name; what a name stands for is loaded when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: HelpCommand(name=name, short_help=line) for name, line in LINES.items()}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for one in self.get_params(ctx):  # all are switches; else typer loads pydantic to find out that None is none
            one.default = one.default or False
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and load(name), rest

    def titled(self) -> dict[str, list[str]]:
        return {title: list(group) for title, group in COMMANDS.items()}


app = typer.Typer(
    name="ccr-avn",
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        console.say(f"ccr-avn {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Replicate an Aiven for Valkey / Redis service to another cloud, prove it, and fail over. Every change is made by avn.

    Options that are the same in all calls have variables, which their help shows; CCR_AVN_STATE_DIR names another folder
    for the journals of runs.

    Examples:
      ccr-avn doctor
      ccr-avn sandbox run -- bash
      ccr-avn COMMAND --help
    """


def load(name: str) -> Any:
    """The command, or group, of that name. Its module may have ``COMMAND``, a class of its own for it, and ``DEFAULTS`` of options."""
    module = import_module(f"{__name__}.{'fence' if name == 'unfence' else name}")
    app = group()
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name)
    else:
        settings = {"cls": getattr(module, "COMMAND", HelpCommand), "defaults": getattr(module, "DEFAULTS", None)}
        command(app, name, **settings)(getattr(module, name))
    return get_group(app).commands[name]
