"""The only module that prints: results to stdout, progress and errors to stderr."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from ccr_avn import events
from ccr_avn.errors import CcrError, Changed

SCHEMA = "ccr-avn/1"


def say(text: str) -> None:
    """A result, to stdout."""
    print(text, file=sys.stdout, flush=True)


def note(text: str) -> None:
    """Progress or a warning, to stderr."""
    print(text, file=sys.stderr, flush=True)


def envelope(command: str, *, ok: bool, changed: Changed, **more: Any) -> None:
    """The one JSON object that ``--json`` prints, for errors too."""
    say(json.dumps({"schema": SCHEMA, "command": command, "ok": ok, "changed": changed, **more}, indent=2))


def error(problem: CcrError) -> None:
    """Three lines: what happened, what was seen, what to type next."""
    note(f"error: {problem.what}")
    note(f"detail: {problem.detail or 'nothing more is known'}")
    note(f"hint: {problem.hint or 'run the same command again'}")
    if problem.changed:
        were = "may have been" if problem.changed == "unknown" else "were"
        note(f"note: resources on Aiven {were} changed; re-run the same command to resume")


def error_envelope(command: str, problem: CcrError) -> None:
    envelope(
        command,
        ok=False,
        changed=problem.changed,
        error={
            "code": problem.exit_code,
            "kind": type(problem).__name__.lstrip("_"),
            "error": problem.what,
            "detail": problem.detail,
            "hint": problem.hint,
        },
        **({"result": problem.result} if problem.result else {}),
    )


def table(rows: Sequence[tuple[str, ...]], *, indent: str = "  ") -> str:
    """Columns as wide as their widest cell; the same with and without a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return "\n".join(
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def progress() -> "PlainProgress":
    """A live line for each step in a terminal, one plain line a change elsewhere."""
    if sys.stderr.isatty():
        from ccr_avn.live import LiveProgress

        return LiveProgress()
    return PlainProgress()


class PlainProgress:
    """One line whenever what is seen changes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._last = ""

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StepStarted():
                self._last = ""
            case events.Looked(finding=finding) if finding.verdict == "wait" and event.limit:
                self._once(f"{event.slug}: waiting: {finding.reason} (up to {event.limit:g} s)")
            case events.Missed():
                self._once(f"{event.slug}: {event.told}")
            case events.ChangeStarted():
                self.line(f"{event.slug}: {spelled(event.argv)}")
            case events.ChangeEnded(doubt=doubt) if doubt:
                self.line(f"{event.slug}: {doubt}")
            case events.StepDone():
                self._done(event)
            case events.Undone():
                self.line(f"{event.slug}: undone" if not event.failed else f"{event.slug}: NOT undone: {event.failed}")
            case _:
                pass

    def close(self) -> None:
        """Nothing is held."""

    def line(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)

    def _done(self, event: events.StepDone) -> None:
        for warning in event.finding.warnings:
            self.line(f"warning: {warning}")
        self.line(done_line(event))

    def _once(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self.line(text)


def done_line(event: events.StepDone) -> str:
    word = {"found": "already so", "changed": "done", "proven": "ok", "failed": "NOT done"}[event.outcome]
    return f"{event.slug}: {word}: {event.finding.reason} ({event.seconds:.1f} s)"


def spelled(argv: tuple[str, ...]) -> str:
    """An argv as it can be typed. Nothing here ever holds a secret: avn is given none in argv."""
    import shlex

    return shlex.join(argv)


Sink = Callable[[events.Event], None]
