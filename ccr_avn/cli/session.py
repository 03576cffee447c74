"""What every command that runs a plan shares: sinks, signals, one result."""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from ccr_avn import console, events
from ccr_avn.execute import Run, World
from ccr_avn.plan import Plan
from ccr_avn.program import Program
from ccr_avn.signals import Signals


class Session:
    """One run of one command."""

    def __init__(self, command: str, *, json: bool) -> None:
        self.command = command
        self.json = json
        self.run_id = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
        self.timeline: list[events.Event] = []
        self.progress = console.progress()
        self.sinks: list[console.Sink] = [self.timeline.append, self.progress]

    def emit(self, event: events.Event) -> None:
        for sink in self.sinks:
            sink(event)

    def perform(
        self,
        plan: Plan,
        program: Program,
        call_timeout: float,
        confirm: Callable[[Run], None] | None = None,
        *,
        checks_only: bool = False,
    ) -> Run:
        """Execute the plan. An error comes out knowing whether anything had been changed.

        Raises:
            CcrError: as the plan's gates, avn or a signal ended it.
        """
        with Signals() as signals:
            world = World(avn=program.path, call_timeout=call_timeout, held=signals.held)
            run = Run(plan, world, self.emit)
            try:
                run.check()
                if confirm:
                    confirm(run)
                if not checks_only:
                    run.act()
            except Exception as error:
                error.changed = run.changed  # type: ignore[attr-defined]  # a bug's exit code must tell it too
                raise
            finally:
                self.progress.close()
        return run

    def finish(self, run: Run, result: dict[str, Any], lines: Sequence[str]) -> None:
        """Show the result."""
        seconds = {event.slug: round(event.seconds, 3) for event in self.timeline if isinstance(event, events.StepDone)}
        if self.json:
            evidence = {
                event.slug: {"outcome": event.outcome, "finding": event.finding.reason, "seconds": seconds[event.slug]}
                for event in self.timeline
                if isinstance(event, events.StepDone)
            }
            console.envelope(
                self.command,
                ok=True,
                changed=run.changed,
                run=self.run_id,
                result={**result, "evidence": evidence},
                warnings=self.warnings,
            )
            return
        for line in lines:
            console.say(line)

    @property
    def warnings(self) -> list[str]:
        return [
            text for event in self.timeline if isinstance(event, events.StepDone) for text in event.finding.warnings
        ]
