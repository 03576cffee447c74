"""Somebody at a shell inside a sandbox: types the installed programs, and is told how they ended."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ccr_avn.cli.boundary import in_json
from ccr_avn.output.schemas import envelope_of
from ccr_avn.sandbox.web import RunningSandbox
from tests.support.loaded import BIN

EU, US = "google-europe-west1", "aws-us-east-1"
STAMP = re.compile(r"^\d{4}-\S+Z ")
"""When it happened: each line of progress that goes into a log says so."""

LIMIT = 180.0
"""Seconds after which a command under test counts as hung, on a busy machine too."""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


class Started(subprocess.Popen[str]):
    """What was started in the background. One that is loaded already hears signals through another process."""

    def send_signal(self, sig: int) -> None:
        assert isinstance(self.args, tuple)
        assert sig != signal.SIGSTOP or Path(self.args[0]).parent == BIN, "it would not be stopped: start it anew"
        super().send_signal(sig)

    def tells(self, start: str, words: str = "") -> str:
        """All that it has told on standard error, as soon as a line begins, or has words, like that."""
        assert self.stderr is not None
        shown, hung = "", threading.Timer(LIMIT, self.kill)
        hung.start()
        try:
            for line in self.stderr:
                shown += line
                if STAMP.sub("", line).startswith(start) and words in line:
                    return shown
        finally:
            hung.cancel()
        raise AssertionError(f"no line {start or words!r} in:\n{shown}")


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody at a shell inside a sandbox."""

    sandbox: RunningSandbox
    home: Path
    loaded: Path | None = None
    """Where programs are that are loaded already, for what is typed in the foreground; None: all are started anew."""

    def start(self, *words: str, **environment: str) -> "Started":
        """In the background."""
        return self._start(self._program(words[0]), words[1:], {**self._avn_of(words), **environment})

    def start_anew(self, *words: str, **environment: str) -> "Started":
        """The same as a child of ours, which can be stopped and measured, also where a loaded one is there."""
        return self._start(BIN / words[0], words[1:], environment)

    def _start(self, program: Path | str, words: tuple[str, ...], environment: dict[str, str]) -> "Started":
        return Started(
            (program, *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env=self.environment(**environment),
        )

    def environment(self, **more: str) -> dict[str, str]:
        path = ":".join([*([str(self.loaded)] if self.loaded else []), str(BIN), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "NO_COLOR": "1", **self.sandbox.environment(), **more}

    def types(self, *words: str, **environment: str) -> Ended:
        """In the foreground, without a terminal; whatever its exit code is."""
        more = {**self._avn_of(words), **environment}
        done = self._run(str(self._program(words[0])), *words[1:], environment=more)
        if words[0] == "ccr-avn" and words[1] != "watch" and in_json(list(words)):
            in_its_form(done.out)
        return done

    def ccr(self, *words: str, **environment: str) -> Ended:
        return self.types("ccr-avn", *words, **environment)

    def ends(self, code: int, *words: str, says: str | tuple[str, ...] = (), **environment: str) -> Ended:
        """A ccr-avn that ends with this exit code, and says all of this on standard error."""
        return as_expected(self.ccr(*words, **environment), code, says)

    def avn(self, *words: str) -> Ended:
        done = self.types("avn", *words)
        assert done.code == 0, done.err
        return done

    def enable(self, *words: str, **environment: str) -> Ended:
        clouds = ("--primary-cloud", EU, "--replica-cloud", US)
        return self.ccr("enable", "eu", "us", *clouds, "--poll-interval", "0.5", *words, **environment)

    def pastes(self, text: str, **environment: str) -> Ended:
        """Into bash, as it was printed: a dozen commands, each with its time."""
        return self._run("bash", environment={**self._avn(), **environment}, text=text, limit=5 * LIMIT)

    def _program(self, name: str) -> Path | str:
        return next((one / name for one in (self.loaded, BIN) if one and (one / name).exists()), name)

    def _avn_of(self, words: tuple[str, ...]) -> dict[str, str]:
        """One of many pairs loads avn by itself, as each run does as a rule."""
        return {} if words[:2] == ("ccr-avn", "evacuate") else self._avn()

    def _avn(self) -> dict[str, str]:
        """For a ccr-avn: the avn that is loaded. Without it each run would load one for itself."""
        return {"CCR_AVN_BIN": str(self.loaded / "avn")} if self.loaded else {}

    def _run(
        self, program: str, *words: str, environment: dict[str, str], text: str = "", limit: float = LIMIT
    ) -> Ended:
        return ran(self.home, (program, *words), self.environment(**environment), text=text, limit=limit)


def ran(
    place: Path, words: tuple[str, ...], environment: dict[str, str], *, text: str = "", limit: float = LIMIT
) -> Ended:
    """In this place, with nothing else in its environment and this as its input."""
    given = text.encode()
    done = subprocess.run(
        words, input=given, env=environment, cwd=place, capture_output=True, timeout=limit, check=False
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def in_its_form(out: str) -> None:
    """What --json printed is as docs/schema has it."""
    envelope_of(str(json.loads(out)["command"])).model_validate_json(out)


Make = Callable[..., Operator]
"""Starts a sandbox with these options, which ends with the test."""


def ended(child: "subprocess.Popen[str]") -> Ended:
    try:
        out, err = child.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    return Ended(child.returncode, out, err)


def ends(child: "subprocess.Popen[str]", code: int, says: str | tuple[str, ...] = ()) -> Ended:
    """What was started in the background, with this exit code, and all of this on standard error."""
    return as_expected(ended(child), code, says)


def as_expected(done: Ended, code: int, says: str | tuple[str, ...]) -> Ended:
    unsaid = [one for one in ((says,) if isinstance(says, str) else says) if one not in done.err]
    assert (done.code, unsaid) == (code, []), done.out + done.err
    return done
