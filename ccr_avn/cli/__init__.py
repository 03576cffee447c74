"""The commands: options to request to plan to preview or execute to exit code. The only typer, the only prompt."""

from collections.abc import Callable
from typing import Any

import typer

from ccr_avn.cli import (
    doctor,
    drill,
    enable,
    endpoint,
    evacuate,
    failover,
    gate,
    pages,
    primitives,
    runs,
    sandbox,
    status,
    switchover,
    verify,
    watch,
)

app = typer.Typer(
    name="ccr-avn",
    cls=pages.HelpGroup,
    help="Replicate an Aiven for Valkey / Redis service to another cloud, prove it, and fail over. Uses avn for all of it.",
    epilog="ccr-avn doctor\nccr-avn COMMAND --help",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from ccr_avn import __version__
        from ccr_avn.output import console

        console.say(f"ccr-avn {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Replicate an Aiven for Valkey / Redis service to another cloud, prove it, and fail over."""


COMMANDS: dict[str, Callable[..., Any]] = {
    "enable": enable.enable,
    "doctor": doctor.doctor,
    "verify": verify.verify,
    "watch": watch.watch,
    "endpoint": endpoint.endpoint,
    "switchover": switchover.switchover,
    "failover": failover.failover,
    "drill": drill.drill,
    "evacuate": evacuate.evacuate,
    "fence": primitives.fence,
    "unfence": primitives.unfence,
}

for _name, _function in COMMANDS.items():
    app.command(_name, cls=pages.HelpCommand, **pages.page(_name))(_function)
app.command("status", cls=status.StatusCommand, **pages.page("status"))(status.status)
app.add_typer(gate.app, name="gate", **pages.group("gate"))
for _name, _function in primitives.FORMER.items():  # scripts may still call them so
    app.command(_name, cls=pages.HelpCommand, hidden=True)(_function)
app.add_typer(runs.app, name="runs", **pages.group("runs"))
app.add_typer(sandbox.app, name="sandbox", **pages.group("sandbox"))
