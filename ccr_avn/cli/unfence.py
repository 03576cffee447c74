"""`ccr-avn unfence`: resumes writes on a primary, but not on one from which another service was promoted."""

import shlex
from typing import Annotated

import typer

from ccr_avn.aiven.lineage import successors
from ccr_avn.cli.alone import Act
from ccr_avn.cli.options import Primary, flattened
from ccr_avn.cli.primitives import must_be
from ccr_avn.errors import Refused
from ccr_avn.history.promotions import promotions
from ccr_avn.monitoring.ask import begin
from ccr_avn.output import console
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.steps import endpoint
from ccr_avn.valkey.fence import lift
from ccr_avn.valkey.info import fetch_replication


@flattened
def unfence(
    *,
    primary: Primary,
    disconnect: Annotated[
        bool,
        typer.Option("--disconnect", help="Disconnect all clients first."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Also if another service was promoted from PRIMARY.")] = False,
    asked: Act,
) -> None:
    """Resume writes on PRIMARY. Exit 4 while a switchover holds a write pause there, and after a promotion from it."""
    project = asked.setting.project
    services = begin(asked.avn, project.name, asked.call_timeout, (primary,), console.note)()
    old = by_name(services, primary)
    if old is None:
        raise Refused(f"{primary} does not exist", hint="check the name and the project: avn service list")
    later = successors(old, services, promotions(project.name))
    if later and not force:
        new, options = later[0].name, asked.setting.options
        again = shlex.join(("ccr-avn", "unfence", primary, *options, "--force"))
        raise Refused(
            f"{new} was promoted from {primary}, or is being promoted: shown by {' and '.join(later[0].proofs)}",
            detail=f"writes on {primary} stay paused: {new} would not have them",
            hint=f"`{shlex.join(('ccr-avn', 'switchover', primary, new, *options))}` closes it; "
            f"to resume writes there all the same: {again}",
        )
    must_be(fetch_replication(endpoint(old, asked.setting)), "master", primary)
    lift(endpoint(old, asked.setting), disconnect=disconnect)
    asked.show(f"writes on {primary} resumed", {"disconnected": disconnect})
