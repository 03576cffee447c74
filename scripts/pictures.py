"""Takes the pictures of docs/pictures from real runs in sandboxes, so that none shows what the tool does not do."""

import fcntl
import io
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.run import running
from ccr_avn.sandbox.web import RunningSandbox

INTO = Path(os.environ.get("PICTURES") or Path(__file__).parents[1] / "docs" / "pictures")
"""Where the pictures are put."""

EU, US = "google-europe-west1", "aws-us-east-1"
NAMES = (
    "carts", "catalogue-search", "feature-flags", "fraud-scores", "inventory", "leaderboards", "login-tokens",
    "notifications", "payments", "rate-limits", "sessions", "user-profiles",
)  # fmt: skip
LIMIT = 300.0
"""Seconds after which a scene counts as hung."""

FACES = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""Of rich's SVG: its fonts come from elsewhere; the reader's own monospaced one will do."""


class Terminal:
    """A program in a terminal of so many columns, and what is to be seen there now."""

    def __init__(self, sandbox: RunningSandbox, *words: str, columns: int = 100, rows: int = 60) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream, self._typed = pyte.ByteStream(self.screen), words
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            os.environ.pop("NO_COLOR", None)
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            os.execvpe(words[0], words, {**os.environ, **sandbox.environment(), "PATH": path, "TERM": "xterm-256color"})
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, shown: str) -> "Terminal":
        """As soon as this is to be seen; an empty one: when the program has ended."""
        deadline = time.monotonic() + LIMIT
        while not shown or not re.search(shown, self.text):
            if time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(self._typed)}: no {shown!r} in:\n{self.text}")
            if not select.select([self._master], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # nobody is left in it
                piece = b""
            if not piece:
                if shown:
                    raise SystemExit(f"{' '.join(self._typed)} ended without {shown!r}:\n{self.text}")
                break
            self._stream.feed(piece)
        return self

    def end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._master)
        os.waitpid(self._pid, 0)

    def picture(self, name: str) -> None:
        """The command and what it shows, as SVG."""
        lines = [
            Text.assemble(("$ ", "dim"), (" ".join(self._typed), "bold")),
            *map(self._line, range(self.screen.lines)),
        ]
        while not lines[-1].plain:
            lines.pop()
        width = self.screen.columns
        console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        for line in lines:
            console.print(line, soft_wrap=True, highlight=False)
        svg = FACES.sub("", console.export_svg(title="ccr-avn", theme=MONOKAI, unique_id=name))
        (INTO / f"{name}.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n")

    def _line(self, number: int) -> Text:
        row, line = self.screen.buffer[number], Text()
        for style, characters in groupby((row[column] for column in range(self.screen.columns)), _style):
            line.append("".join(one.data for one in characters), style)
        line.rstrip()
        return line


def _style(of: Any) -> Style:
    """Of a character. What pyte calls brown is the yellow of everybody else."""
    colour = {"default": None, "brown": "yellow"}.get(of.fg, of.fg)
    known = colour if colour is None or not re.fullmatch("[0-9a-f]{6}", colour) else f"#{colour}"
    return Style(color=known, bold=of.bold, reverse=of.reverse)


@contextmanager
def terminal(sandbox: RunningSandbox, *words: str, columns: int = 100, rows: int = 60) -> Iterator[Terminal]:
    shown = Terminal(sandbox, *words, columns=columns, rows=rows)
    try:
        yield shown
    finally:
        shown.end()


def run(sandbox: RunningSandbox, *words: str) -> str:
    """Without a terminal; what it says on standard output. Its exit code may say that something was found."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **sandbox.environment(), "PATH": path}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode not in (0, 13, 14, 16):
        raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def sandbox(*pairs: str, **options: Any) -> Iterator[RunningSandbox]:
    """With these pairs, built and linked, named -eu and -us."""
    quick = {"build_seconds": 0.0, "backup_seconds": 0.0, "promote_seconds": 0.5}
    with running(SandboxOptions(**{**quick, **options})) as made:
        for name in pairs:
            add(made, f"{name}-eu", "startup-4", EU)
            add(made, f"{name}-us", "startup-4", US, source=f"{name}-eu")
        for name in pairs:
            run(made, "ccr-avn", "gate", "link", f"{name}-eu", f"{name}-us", "--timeout", "60")
        yield made


def add(made: RunningSandbox, name: str, plan: str, cloud: str, source: str = "") -> None:
    rows = [{"integration_type": "read_replica", "source_service": source}] if source else []
    body = {"service_name": name, "service_type": "valkey", "plan": plan, "cloud": cloud, "service_integrations": rows}
    made.platform.create(body)


def page(of: RunningSandbox, name: str, width: int, height: int) -> None:
    """The report of the last run in it, as PNG."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise SystemExit("a page needs a Chromium: apt install chromium, or set CHROMIUM")
    with tempfile.TemporaryDirectory() as work:
        run(of, "ccr-avn", "runs", "report", "latest", "--output", f"{work}/report.html")
        shoot = (
            f"--screenshot={INTO / name}.png",
            f"--window-size={width},{height}",
            f"--user-data-dir={work}/data",
        )
        quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
        subprocess.run(
            (chromium, "--headless", "--no-sandbox", "--hide-scrollbars", *quiet, *shoot, f"file://{work}/report.html"),
            capture_output=True,
            timeout=LIMIT,
            check=True,
        )


def enable() -> None:
    words = ("enable", "cache-eu", "cache-us", "--primary-cloud", EU, "--replica-cloud", US)
    with (
        sandbox(build_seconds=2.0, backup_seconds=1.0) as made,
        terminal(made, "ccr-avn", *words, columns=110) as shown,
    ):
        shown.until("").picture("enable")


def question() -> None:
    with sandbox("cache") as made, terminal(made, "ccr-avn", "switchover", "cache-eu", "cache-us") as shown:
        shown.until("Type cache-us").picture("question")


def status() -> None:
    """Of a dozen pairs: one has lost its primary, one its link, one primary has no replica."""
    with sandbox(*NAMES) as made:
        add(made, "scratch", "startup-4", EU)
        run(made, "ccr-avn", "sandbox", "outage", "payments-eu")
        run(made, "ccr-avn", "sandbox", "outage", "sessions-us", "--kind", "cut")
        with terminal(made, "ccr-avn", "status", columns=110) as shown:
            shown.until("").picture("status")
        with terminal(made, "ccr-avn", "status", "--watch", "5", columns=80) as shown:
            shown.until("no drill in 90 days").until("[1-3] s ago").picture("status-watch")


def watch() -> None:
    with (
        sandbox("cache") as made,
        terminal(made, "ccr-avn", "watch", "cache-eu", "cache-us", "--interval", "0.3") as shown,
    ):
        shown.until(r"\(40 samples").picture("watch")


def evacuate() -> None:
    words = ("ccr-avn", "evacuate", EU, "--yes", "--parallel", "4")
    with sandbox(*NAMES, promote_seconds=2.0) as made:
        add(made, "scratch", "startup-4", EU)
        with terminal(made, *words, columns=90, rows=48) as shown:
            shown.until(r"under way, [4-8] done").picture("evacuate")
            shown.until("")
        page(made, "evacuation", 1040, 1120)


def drill() -> None:
    with sandbox(build_seconds=1.0, backup_seconds=1.0) as made:
        add(made, "cache-eu", "business-4", EU)
        run(made, "ccr-avn", "gate", "backup", "cache-eu", "--timeout", "60")
        run(made, "ccr-avn", "drill", "cache-eu", "--replica-cloud", US, "--yes")
        page(made, "drill", 1040, 1180)


def report() -> None:
    with sandbox("cache") as made:
        run(made, "ccr-avn", "switchover", "cache-eu", "cache-us", "--yes")
        page(made, "report", 1040, 1180)


SCENES: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (enable, question, status, watch, evacuate, drill, report)
}

if __name__ == "__main__":
    for scene in sys.argv[1:] or SCENES:
        print(scene, flush=True)
        SCENES[scene]()
