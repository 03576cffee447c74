"""The commands: options to request to plan to preview or execute to exit code. The only typer, the only prompt.

A command's module is loaded when that command is called: the list of commands, and completing a name, load none.
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

from ccr_avn import __version__
from ccr_avn.cli import pages
from ccr_avn.output import console

WHERE = {
    "enable": "enable:enable",
    "doctor": "doctor:doctor",
    "verify": "verify:verify",
    "watch": "watch:watch",
    "endpoint": "endpoint:endpoint",
    "switchover": "switchover:switchover",
    "failover": "failover:failover",
    "drill": "drill:drill",
    "evacuate": "evacuate:evacuate",
    "fence": "primitives:fence",
    "unfence": "unfence:unfence",
    "status": "status:status",
    "gate": "gate:app",
    "runs": "runs:app",
    "sandbox": "sandbox:app",
}
"""Each command's module here, and its function or its own app."""


class Loaded(MutableMapping[str, Any]):
    """The commands by name; one is made when it is first asked for."""

    def __init__(self) -> None:
        self._where = dict(WHERE)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, self._where[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._where[name], self._made[name] = "", command

    def __delitem__(self, name: str) -> None:
        del self._where[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


class Program(pages.HelpGroup):
    """All commands, each loaded when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Loaded()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (the name is the parent's)
        return list(self.commands)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Names are completed without their commands."""
        loaded, self.commands = self.commands, {name: pages.stand_in(name) for name in WHERE}
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self.commands = loaded


app = typer.Typer(
    name="ccr-avn",
    cls=Program,
    help="Replicate an Aiven for Valkey / Redis service to another cloud, prove it, and fail over. Every change is made by avn.",
    epilog="ccr-avn doctor\nccr-avn sandbox run -- bash\nccr-avn COMMAND --help",
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
    """Replicate an Aiven for Valkey / Redis service to another cloud, prove it, and fail over."""


def _made(name: str, where: str) -> Any:
    """The command of that name, with its page; a module may have a class of its own for it: ``COMMAND``."""
    module, _, attribute = where.partition(":")
    loaded = import_module(f"{__name__}.{module}")
    found = getattr(loaded, attribute)
    one = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        one.add_typer(found, name=name, **pages.group(name))
        made: Any = get_command(one)
        return made.commands[name]
    one.command(name, cls=getattr(loaded, "COMMAND", pages.HelpCommand), **pages.page(name))(found)
    return get_command(one)
