"""What moves in a terminal: of a run, one line with what is waited for, what was last seen, and the time limit."""

import time

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from ccr_avn.output.outlet import emitted, outlet
from ccr_avn.output.progress import FOREVER, PlainProgress, done_line
from ccr_avn.plan import events
from ccr_avn.printable import printable_line


class Display:
    """On standard error, below the lines that are printed while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(file=outlet("stderr"), highlight=False)  # type: ignore[arg-type]
        self._live: Live | None = None

    def open(self) -> None:
        self._live = Live(self, console=self.console, refresh_per_second=4, transient=True, redirect_stdout=False)
        self._live.start()

    def close(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def __rich__(self) -> RenderableType:
        raise NotImplementedError


class LiveProgress(Display, PlainProgress):
    """One line that moves for the step under way; a settled line for each step that is done."""

    def __init__(self) -> None:
        super().__init__()
        self._step: events.StepStarted | None = None
        self._began = 0.0
        self._seen = ""

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StepStarted():
                self._step, self._began, self._seen = event, time.monotonic(), ""
                self.close()
                self.open()
            case events.Looked(finding=finding) if finding.verdict == "wait":
                self._seen = finding.reason
            case events.Missed():
                self._seen = event.told
            case events.RunEnded():
                self.close()
            case _:
                super().__call__(event)

    def line(self, text: str) -> None:
        self.console.print(Text(emitted(text), style="yellow" if text.startswith("warning:") else ""))

    def done(self, event: events.StepDone) -> None:
        self.close()
        mark = ("✗ ", "red") if event.outcome == "failed" else ("✓ ", "green")
        self.console.print(Text.assemble(mark, emitted(done_line(event))))

    def __rich__(self) -> Text:
        if self._step is None:
            return Text()
        limit = f" of {self._step.limit:g}" if 0 < self._step.limit < FOREVER else ""
        clock = f" ({time.monotonic() - self._began:.0f}{limit} s)"
        seen = f"; {self._seen}" if self._seen else ""
        rest = printable_line(emitted(f": {self._step.purpose}{seen}"))  # behind what no narrow terminal may cut
        line = Text.assemble(("… ", "cyan"), self._step.slug, (clock, "dim"), rest)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line
