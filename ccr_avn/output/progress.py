"""Plain progress of a run: one line for each change of state."""

import shlex
from collections.abc import Callable

from ccr_avn.output import console
from ccr_avn.plan import events
from ccr_avn.plan.model import Finding

Sink = Callable[[events.Event], None]


class PlainProgress:
    """One line whenever what is seen changes."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StepStarted():
                self._last = ""
            case events.Looked(finding=finding) if finding.verdict == "wait" and event.limit:
                limit = f" (up to {event.limit:g} s)" if event.limit < FOREVER else ""
                self.once(f"{event.slug}: waiting: {finding.reason}{limit}")
            case events.Missed():
                self.once(f"{event.slug}: {event.told}")
            case events.ChangeStarted():
                self.line(f"{event.slug}: {shlex.join(event.argv)}")
            case events.ChangeEnded(doubt=doubt) if doubt:
                self.line(f"{event.slug}: {doubt}")
            case events.StepDone():
                self.warn(event.finding)
                self.done(event)
            case events.Undone():
                self.line(f"{event.slug}: undone" if not event.failed else f"{event.slug}: NOT undone: {event.failed}")
            case _:
                pass

    def close(self) -> None:
        """Nothing is held."""

    def line(self, text: str) -> None:
        console.note(text)

    def once(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self.line(text)

    def warn(self, finding: Finding) -> None:
        for warning in finding.warnings:
            self.line(f"warning: {warning}")

    def done(self, event: events.StepDone) -> None:
        self.line(done_line(event))


def done_line(event: events.StepDone) -> str:
    word = {"found": "already so", "changed": "done", "proven": "ok", "failed": "NOT done"}[event.outcome]
    return f"{event.slug}: {word}: {event.finding.reason} ({event.seconds:.1f} s)"


FOREVER = 10.0**8
"""Seconds: a limit that long is none."""
