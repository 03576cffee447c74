"""`ccr-avn unfence`: resumes writes on a primary, but not on one from which another service was promoted."""

from typing import Annotated

import typer

from ccr_avn.aiven.models import Service
from ccr_avn.cli.alone import Act
from ccr_avn.cli.options import Primary, flattened
from ccr_avn.errors import Refused
from ccr_avn.evacuate.choose import alone, heir
from ccr_avn.history.promotions import promoted_of
from ccr_avn.monitoring.ask import begin
from ccr_avn.monitoring.collect import look_at_all
from ccr_avn.monitoring.pairs import pairs_of
from ccr_avn.output import console
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.steps import endpoint
from ccr_avn.valkey.fence import lift

LIMIT = 2.0
"""Seconds for the servers that may have been promoted to answer: applications may be waiting for their writes."""


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
    if not force and (new := _promoted_from(old, services, asked)):
        again = " ".join(("ccr-avn unfence", primary, *asked.setting.options, "--force"))
        raise Refused(
            f"{new} was promoted from {primary}, or is being promoted",
            detail=f"writes on {primary} stay paused: {new} would not have them",
            hint=f"`ccr-avn switchover {primary} {new}` closes it; to resume writes there all the same: {again}",
        )
    lift(endpoint(old, asked.setting), disconnect=disconnect)
    asked.show(f"writes on {primary} resumed", {"disconnected": disconnect})


def _promoted_from(old: Service, services: tuple[Service, ...], asked: Act) -> str:
    """The service that has the writes since, by its tags, its replication history or a journal; empty: none is seen."""
    every = pairs_of(services)
    pairs = tuple(pair for pair in every if pair.primary_name == old.name)
    if not pairs:
        return ""
    if pairs[0].past.is_old:
        return pairs[0].past.successors[0]
    others = alone(every)
    looks = look_at_all(pairs, limit=LIMIT, ca_file=asked.ca_file, route=asked.setting.route, more=others)
    return heir(pairs, others, looks) or promoted_of(old, others, asked.setting.project.name)
