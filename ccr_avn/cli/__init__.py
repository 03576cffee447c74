"""The commands: options to request to plan to preview or execute to exit code. The only typer, the only prompt."""

import typer

from ccr_avn.cli import doctor, enable, endpoint, failover, parts, runs, sandbox, status, switchover, verify, watch

app = typer.Typer(
    name="ccr-avn",
    help="Replicate an Aiven for Valkey / Redis service to another cloud, prove it, and fail over. Uses avn for all of it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from ccr_avn import __version__, console

        console.say(f"ccr-avn {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Replicate an Aiven for Valkey / Redis service to another cloud, prove it, and fail over."""


app.command("enable")(enable.enable)
app.command("verify")(verify.verify)
app.command("switchover")(switchover.switchover)
app.command("failover")(failover.failover)
app.command("endpoint")(endpoint.endpoint)
app.command("fence")(parts.fence)
app.command("check-fence")(parts.check_fence)
app.command("check-history")(parts.check_history)
app.command("lineage")(parts.lineage)
app.command("caught-up")(parts.caught_up)
app.command("accepts-writes")(parts.accepts_writes)
app.command("closed")(parts.closed)
app.command("last-known")(parts.last_known)
app.command("unfence")(parts.unfence)
app.command("status", cls=status.StatusCommand)(status.status)
app.command("watch")(watch.watch)
app.command("doctor")(doctor.doctor)
app.add_typer(runs.app, name="runs")
app.add_typer(sandbox.app, name="sandbox")
