"""The only module that starts processes."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ccr_avn.background import Task
from ccr_avn.errors import UsageError
from ccr_avn.redact import redacted

if TYPE_CHECKING:
    from ccr_avn.loaded_avn import LoadedAvn


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a process ended. ``stdout`` of avn holds passwords: it is parsed, never shown or kept."""

    argv: tuple[str, ...]
    code: int  # negative: the signal that ended it
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    seconds: float
    expired: bool = False  # ended by our deadline
    started: bool = True  # False: the system could not start it, so it has done nothing; stderr says why

    @property
    def last_line(self) -> str:
        """The last line of stderr, for people; what avn says is read in `failure.py`."""
        lines = [line for line in redacted(self.stderr).splitlines() if line.strip()]
        return " ".join(lines[-1].split())[:500] if lines else "(it printed nothing)"


AVN = {"LANGUAGE": "C"}
"""What an avn has in its environment besides ours: its parser asks for a translation of hundreds of words that has never
been there, which takes a sixth of its start."""

MODULE = "/aiven/client/__main__.py"
"""The end of the path of an avn that has no script."""

NOT_STARTED = 126
"""The exit code that a shell has for a program that can't be run."""

_loaded: "list[LoadedAvn]" = []
"""The avn that is loaded, one at most."""


_running: "set[subprocess.Popen[str]]" = set()
_starting = threading.Lock()


def run(argv: tuple[str, ...], *, deadline: float, environment: Mapping[str, str] = AVN) -> Answer:
    """Run to the end, or kill it after ``deadline`` seconds. Its stdin is closed, so a prompt ends it at once.

    ``environment``: besides ours. It gets a session of its own: Ctrl-C in a terminal reaches us, and we decide what
    becomes of a change under way.
    """
    answer = _loaded[0].run(argv, environment, deadline=deadline) if _loaded else None
    return answer or _started(argv, deadline, environment)


def preload_avn(path: str) -> None:
    """From now on :func:`run` forks this avn from one that is loaded, where that is the same; see `loaded_avn.py`.

    It pays from the second command on.
    """
    from ccr_avn import loaded_avn

    if not _loaded and loaded_avn.possible(path, module=is_module(path)):
        with suppress(OSError):
            _loaded.append(loaded_avn.LoadedAvn(path, AVN, _search_path(path)))


def _started(argv: tuple[str, ...], deadline: float, environment: Mapping[str, str]) -> Answer:
    began = time.monotonic()
    words = (sys.executable, "-P", "-m", "aiven.client", *argv[1:]) if is_module(argv[0]) else argv
    try:
        with _starting:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                env={**os.environ, **environment, **_search_path(argv[0])},
            )
            _running.add(child)
    except OSError as error:
        why = error.strerror or type(error).__name__
        if error.errno == errno.ENOENT and shutil.which(words[0]):  # the system names the script
            why = "the interpreter that its first line names does not exist"
        return Answer(argv=argv, code=NOT_STARTED, stdout="", stderr=why, seconds=0.0, started=False)
    with child:
        expired = False
        try:
            stdout, stderr = child.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            expired = True
            _end(child)
            stdout, stderr = child.communicate()
        except BaseException:
            _end(child)
            raise
        finally:
            _running.discard(child)
    seconds = time.monotonic() - began
    return Answer(argv=argv, code=child.returncode, stdout=stdout, stderr=stderr, seconds=seconds, expired=expired)


class Ahead:
    """One process that is started before its answer is asked for, while other things are being made ready."""

    def __init__(self, argv: tuple[str, ...], *, deadline: float) -> None:
        self._argv = argv
        self._answer = Task(lambda: run(argv, deadline=deadline), "avn")

    def run(self, argv: tuple[str, ...], *, deadline: float) -> Answer:
        """The answer of the command that was started ahead, once; every other command is run as usual."""
        if argv != self._argv:
            return run(argv, deadline=deadline)
        self._argv = ()
        return self._answer.result()


def find_avn(given: str | None) -> str:
    """The avn to use: as given, else ``CCR_AVN_BIN``, else the one that was installed with us, else from PATH."""
    wanted = given or os.environ.get("CCR_AVN_BIN")
    if wanted:
        found = shutil.which(wanted)
        if not found:
            detail = "--avn or CCR_AVN_BIN names it; there is no such program, or it can't be run"
            hint = "give the path of an installed avn, or omit it to use the one installed with ccr-avn"
            raise UsageError(f"avn not found: {wanted}", detail=detail, hint=hint)
        return found
    found = _installed_with_us() or shutil.which("avn")
    if not found:
        detail = f"looked beside {sys.executable} and in PATH"
        raise UsageError("avn not found", detail=detail, hint="pip install aiven-client")
    return found


def programs(avn: str | None) -> dict[str, str]:
    """What is typed in a shell for these programs where their names alone do not find them. ``avn``: as given."""
    beside = str(_beside()) if _beside().exists() and not shutil.which("avn") else None
    wanted = avn or os.environ.get("CCR_AVN_BIN") or beside
    found = {"avn": wanted and (shutil.which(wanted) or wanted)}
    if not shutil.which("ccr-avn"):
        found["ccr-avn"] = shutil.which(str(Path(sys.argv[0]).absolute()))
    return {name: path for name, path in found.items() if path and path != shutil.which(name)}


def is_module(path: str) -> bool:
    """Whether this avn is its package, without a script: it is run by our interpreter."""
    return path.endswith(MODULE)


def _installed_with_us() -> str | None:
    """Its script beside this interpreter; or its package, where the interpreter is not that of our installation.

    That is so in one file that holds everything, and where `pip` installs for a user or into a folder.
    """
    package = find_spec("aiven")
    folders = (package and package.submodule_search_locations) or ()
    module = next(
        (str(one) for one in (Path(folder, *MODULE.split("/")[2:]) for folder in folders) if one.is_file()), None
    )
    if _beside().exists() and (not module or Path(module).is_relative_to(sys.prefix)):
        return str(_beside())
    return module


def _search_path(path: str) -> dict[str, str]:
    """Where an avn that is a package, and what it needs, are found. What lies in this folder is not to be imported."""
    if not is_module(path):
        return {}
    here = str(Path.cwd())
    return {
        "PYTHONPATH": os.pathsep.join([str(Path(path).parents[2]), *(one for one in sys.path if one not in {"", here})])
    }


def _beside() -> Path:
    return Path(sys.executable).parent / "avn"


def end_all() -> None:
    """Kill whatever runs, for who only reads and is to end now: else it would outlive us."""
    with _starting:
        for child in tuple(_running):
            _end(child)


def _end(child: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


DESCRIPTORS = 65_536
"""Open files that are asked for: a pair whose bookkeeping goes on has two connections, an avn three pipes."""


def raise_descriptors() -> None:
    """As many open files as this user may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
