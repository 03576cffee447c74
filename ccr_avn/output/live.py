"""The live progress line of a terminal: what is waited for, what was last seen, and the time limit."""

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ccr_avn.output.outlet import emitted, outlet
from ccr_avn.output.progress import FOREVER, PlainProgress, done_line
from ccr_avn.plan import events
from ccr_avn.printable import printable_line


class LiveProgress(PlainProgress):
    """One line that moves for the step under way; a settled line for each step that is done."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(file=outlet("stderr"), highlight=False, soft_wrap=False)  # type: ignore[arg-type]
        self._live: Live | None = None
        self._step: events.StepStarted | None = None
        self._began = 0.0
        self._seen = ""

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StepStarted():
                self._step, self._began, self._seen = event, time.monotonic(), ""
                self._show()
            case events.Looked(finding=finding) if finding.verdict == "wait":
                self._seen = finding.reason
            case events.Missed():
                self._seen = event.told
            case events.RunEnded():
                self.close()
            case _:
                super().__call__(event)

    def close(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def line(self, text: str) -> None:
        style = "yellow" if text.startswith("warning:") else ""
        self._console.print(Text(emitted(text), style=style))

    def _done(self, event: events.StepDone) -> None:
        self.close()
        for warning in event.finding.warnings:
            self.line(f"warning: {warning}")
        mark = ("✗ ", "red") if event.outcome == "failed" else ("✓ ", "green")
        self._console.print(Text.assemble(mark, emitted(done_line(event))))

    def _show(self) -> None:
        self.close()
        self._live = Live(self, console=self._console, refresh_per_second=4, transient=True, redirect_stdout=False)
        self._live.start()

    def __rich__(self) -> Text:
        if self._step is None:
            return Text()
        elapsed = time.monotonic() - self._began
        limit = f" of {self._step.limit:g}" if 0 < self._step.limit < FOREVER else ""
        clock = (f" ({elapsed:.0f}{limit} s)", "dim")  # before the rest, which a narrow terminal cuts short
        seen = f"; {self._seen}" if self._seen else ""
        rest = printable_line(emitted(f": {self._step.purpose}{seen}"))
        line = Text.assemble(("… ", "cyan"), self._step.slug, clock, rest)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line
