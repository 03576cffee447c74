"""Repeats a look until Ctrl-C: in place in a terminal, with the age of what is shown; elsewhere one block after another."""

import signal
from collections.abc import Callable
from contextlib import nullcontext

from rich.console import Console, Group
from rich.text import Text

from ccr_avn import clock, process
from ccr_avn.errors import CcrError, Interrupted, OutOfTime
from ccr_avn.output import console
from ccr_avn.output.console import emitted, outlet
from ccr_avn.output.tables import live
from ccr_avn.units import format_age, iso, local_time

CTRL_C = 128 + signal.SIGINT


class Repeated:
    """``look`` gives what is shown, and the exit code that it deserves; ``every``: seconds between two looks.

    ``failed``: the exit code for a look that failed; 0: its own.
    """

    def __init__(self, look: Callable[[], tuple[str, int]], every: float, failed: int = 0) -> None:
        self._look, self._every, self._failed = look, every, failed
        self._shown, self._at, self._trouble = "asking avn …", 0.0, ""

    def go_on(self) -> int:
        """The exit code of the last look, when Ctrl-C or the time limit ends it.

        Raises:
            CcrError: the first look failed. Those that fail later are shown, and tried again.
            Interrupted: before there was a first look, or by another signal.
        """
        in_place, code = outlet("stdout").isatty(), None
        try:
            with live("stdout", self.picture, transient=False) if in_place else nullcontext():
                while True:
                    code = self._again(code)
                    if not in_place:
                        said = f"error: {self._trouble}" if self._trouble else self._shown
                        console.hand_over(f"{iso(clock.now())}\n{said}\n")
                    clock.sleep(self._every)
        except Interrupted as ended:
            if code is None or not (isinstance(ended, OutOfTime) or ended.code == CTRL_C):
                raise
            process.end_all()
            return code

    def picture(self, _: Console) -> Group:
        """Below its age, which matters most when avn has not answered for a while."""
        age = f"at {local_time(self._at)}, {format_age(clock.now() - self._at)} ago; " if self._at else ""
        head = Text(f"{age}every {self._every:g} s; Ctrl-C ends", style="dim")
        trouble = [Text(emitted(f"the last check failed: {self._trouble}"), style="red")] if self._trouble else []
        return Group(head, *trouble, Text.from_ansi(self._shown, no_wrap=True))

    def _again(self, code: int | None) -> int:
        try:
            self._shown, code = self._look()
        except CcrError as problem:
            if code is None or isinstance(problem, Interrupted):
                raise
            self._trouble, code = f"{problem.what} ({problem.detail})", self._failed or problem.exit_code
        else:
            self._at, self._trouble = clock.now(), ""
        return code
