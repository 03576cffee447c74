"""What a command of a single step takes and does, for `ccr-avn gate`, `fence`, `unfence`: the lines of a preview."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ccr_avn import options
from ccr_avn.aiven.program import known, world_of
from ccr_avn.cli.options import setting_of
from ccr_avn.errors import Refused
from ccr_avn.options import Avn, CaFile, CallTimeout, Json, PollInterval, ProjectName, Route
from ccr_avn.output import console
from ccr_avn.output.progress import PlainProgress
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.plan.model import Finding, Gate, Plan, go
from ccr_avn.procedures.lookup import look_up
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import endpoint
from ccr_avn.process import find_avn

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.plan.model import Step
    from ccr_avn.procedures.setting import Setting
    from ccr_avn.valkey.connect import Endpoint

T = TypeVar("T")

ServiceName = Annotated[str, options.service("SERVICE", "The service to ask.")]
Timeout = Annotated[float, options.seconds("How long to keep checking; 0: check once.")]
Print = Annotated[str | None, options.word("FACT", "Print only the value of this fact, for scripts.", None, "--print")]


class SingleStep:
    """What can be done with what was typed. Times are in seconds."""

    __slots__ = ()
    context: typer.Context
    project: str | None
    call_timeout: float
    ca_file: Path | None
    route: options.RouteName | None
    json: bool
    avn: str | None

    @property
    def setting(self) -> "Setting":
        return setting_of(self.project, self.ca_file, self.route, avn=self.avn)

    def services(self, *names: str) -> "tuple[Service, ...]":
        """Ask avn for these.

        Raises:
            Refused: one does not exist.
        """
        return look_up(self.avn, self.setting.project, names, self.call_timeout, console.note)

    def endpoints(self, *names: str) -> "tuple[Endpoint, ...]":
        """Ask avn where these services answer.

        Raises:
            Refused: one does not exist.
        """
        return tuple(endpoint(service, self.setting) for service in self.services(*names))

    def seen(self, *names: str) -> "Seen":
        """What a run would have seen of these before: the services.

        Raises:
            Refused: one does not exist.
        """
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ActOptions(SingleStep):
    """What every single act takes. Times are in seconds."""

    context: typer.Context
    project: ProjectName = None
    call_timeout: CallTimeout = 60
    ca_file: CaFile = None
    route: Route = None
    json: Json = False
    avn: Avn = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions(SingleStep):
    """What every gate takes. Times are in seconds."""

    context: typer.Context
    fact: Print = None
    project: ProjectName = None
    timeout: Timeout = 0
    poll_interval: PollInterval = 5
    call_timeout: CallTimeout = 60
    ca_file: CaFile = None
    route: Route = None
    json: Json = False
    avn: Avn = None

    @property
    def setting(self) -> "Setting":
        return setting_of(self.project, self.ca_file, self.route, avn=self.avn, poll_interval=self.poll_interval)

    def judge(self, *steps: "Step[Any]", fact: str | None = None, seen: "Seen | None" = None) -> None:
        """Run these steps and tell what the last one found. ``fact``: printed alone, where none was asked for.

        Raises:
            Refused: it is not known.
        """
        finding, _ = self.judged(*steps, seen=seen)
        fact = self.fact or fact
        if fact and finding.facts.get(fact) is None:
            raise Refused(f"no {fact} is known: {finding.reason}", hint="omit --print to list the known facts")
        self.show(finding.reason, finding.facts, fact)


def answering(step: "Step[Any]") -> "Step[Any]":
    """``todo`` is an answer as well: the fact ``exists`` tells which it was."""

    def judge(answer: Any, seen: "Seen") -> Finding:
        found = step.gate.judge(answer, seen)
        if found.verdict == "todo":
            return go(found.reason, warnings=found.warnings, exists="missing")
        return replace(found, facts={**found.facts, "exists": "there"})

    return replace(step, gate=Gate(step.gate.rule, judge, refused=step.gate.refused))
