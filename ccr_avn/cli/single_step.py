"""What a command of a single step takes and does, for `ccr-avn gate`, `fence`, `unfence`: the lines of a preview."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.program import known, world_of
from ccr_avn.cli.options import Reaching
from ccr_avn.options import Json
from ccr_avn.output import console
from ccr_avn.output.progress import PlainProgress
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.plan.model import Finding, Plan
from ccr_avn.procedures.lookup import look_up
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import endpoint
from ccr_avn.process import find_avn

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.plan.model import Step
    from ccr_avn.valkey.connect import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ActOptions(Reaching):
    """What every single act and every gate takes, and what can be done with it. Times are in seconds.

    What asks avn raises Refused where a service does not exist.
    """

    context: typer.Context
    json: Json = False

    def services(self, *names: str) -> "tuple[Service, ...]":
        """Ask avn for these."""
        return look_up(self.avn, Project(self.project), names, self.call_timeout, console.note)

    def endpoints(self, *names: str) -> "tuple[Endpoint, ...]":
        """Ask avn where these services answer."""
        setting = self.setting()
        return tuple(endpoint(service, setting) for service in self.services(*names))

    def seen(self, *names: str) -> "Seen":
        """What a run would have seen of these before: the services."""
        found = Seen()
        found.checked = {one.name: one for one in self.services(*names)}
        found.latest = dict(found.checked)
        return found

    def judged(self, *steps: "Step[Any]", seen: "Seen | None" = None) -> "tuple[Finding, Seen]":
        """Run these steps, which must all say go, without what they would change. Gives what the last one found.

        Raises:
            CcrError: as a gate, or avn, ended it.
        """
        findings: list[Finding] = []
        progress = PlainProgress()

        def emit(event: events.Event) -> None:
            if isinstance(event, events.StepDone):
                findings.append(event.finding)
                for warning in event.finding.warnings:
                    console.note(f"warning: {warning}")
            else:
                progress(event)

        world = world_of(known(find_avn(self.avn)).path, call_timeout=self.call_timeout)
        looks = tuple(
            replace(step, change=None, undo=None, undone_by=(), final=False, optional=False, advisory=False)
            for step in steps
        )
        run = Run(Plan("gate", (), looks), world, emit, seen or Seen())
        run.act()
        return findings[-1], run.seen

    def show(self, text: str, result: Mapping[str, Any], fact: str | None = None) -> None:
        """``fact``: the one that is printed alone."""
        if self.json:
            console.envelope(self.context.command_path.partition(" ")[2], result)
        else:
            console.say(str(result[fact]) if fact else text)
