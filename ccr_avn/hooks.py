"""The operator's own commands around a switch: split into words as a shell would, run without one."""

import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from ccr_avn import process
from ccr_avn.errors import Interrupted, Refused, UsageError
from ccr_avn.options import above_zero, seconds, word
from ccr_avn.output import console


def a_command(option: str, text: str) -> None:
    """The rule of a command. One that there is not would be missed when it is needed."""
    try:
        found = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{option} can't be read", detail=str(error), hint=f'{option} "command word word"') from None
    if found and shutil.which(found[0]) is None:
        detail, hint = "there is no such program (it is not run in a shell)", f"which {shlex.quote(found[0])}"
        if Path(found[0]).exists():
            detail, hint = "it is not executable", shlex.join(("chmod", "+x", found[0]))
        raise UsageError(f"{option}: {found[0]} can't be run", detail=detail, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """As they were typed; ``about``: which pair they are about, where there are many; ``took``: seconds, of each."""

    before: Annotated[str | None, word("CMD", "Run CMD before the first change; stop if it fails.", a_command)] = None
    after: Annotated[str | None, word("CMD", "Run CMD after success.", a_command)] = None
    on_failure: Annotated[str | None, word("CMD", "Run CMD if the run fails.", a_command)] = None
    hook_timeout: Annotated[float, seconds("Time limit for each CMD.", above_zero)] = 60
    about: str = ""
    took: dict[str, float] = field(default_factory=dict)

    def run(self, which: str, environment: dict[str, str]) -> bool:
        """Whether it ended well; its output is shown with a prefix."""
        words = tuple(shlex.split(getattr(self, which.replace("-", "_")) or ""))
        if not words:
            return True
        try:
            answer = process.run(words, deadline=self.hook_timeout, environment=environment)
        except Interrupted as signal:
            if which == "before":
                raise
            console.warn(f"{self._named(which)}: {signal.what}")  # the run has ended: how is still to be reported
            return False
        if not answer.started:
            console.warn(f"{self._named(which)}: {words[0]} can't be run: {answer.last_line}")
            return False
        self.took[which] = round(answer.seconds, 3)
        for line in (answer.stdout + answer.stderr).splitlines():
            console.note(f"{self._named(which)}| {line}")
        if answer.expired:
            console.warn(f"{self._named(which)}: ended after {self.hook_timeout:g} s (--hook-timeout)")
        elif answer.code:
            console.warn(f"{self._named(which)}: exit {answer.code}")
        return answer.code == 0

    def _named(self, which: str) -> str:
        return f"{self.about}: {which}" if self.about else which

    def run_before(self, environment: dict[str, str]) -> None:
        """Raises: Refused: it ended with another exit code than 0."""
        if not self.run("before", environment):
            hint = "nothing was changed; fix the problem it reported, then run the same command again"
            raise Refused("the command given with --before failed", detail=self.before or "", hint=hint)
