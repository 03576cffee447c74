"""Keeps avn loaded: the standard library's fork server forks it for each command, which is still a process of its own.

What a fork says and does is what it would have said and done if it had been started; where that is not sure, or the
fork server can't be had, commands are started plainly. A command that may have begun is never begun again.
"""

import atexit
import io
import os
import pickle
import re
import select
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

from ccr_avn.background import MOMENT
from ccr_avn.process import Answer

OFF = "CCR_AVN_NO_PRELOAD"
"""Any text in this variable turns it off."""

LOADING = 10.0
"""Seconds that avn may take to load; then commands are started plainly."""

GRACE = 5.0
"""Seconds for a command that was killed to be reported as ended."""

SCRIPT = re.compile(r"#![^\n]*\n(# -\*-[^\n]*\n)?(import re\n)?import sys\nfrom aiven\.client\.__main__ import main\n")
"""A console script as installers write it, and nothing else."""

DIFFERENT = ("PYTHONINSPECT", "PYTHONMALLOCSTATS", "PYTHONDUMPREFS", "_ARGCOMPLETE")
"""With one of these set, a process says or does at its end what a fork does not."""


@dataclass(frozen=True)
class Command:
    argv: tuple[str, ...]

    def _bootstrap(self, _: int) -> int:
        """Called by the fork server's child, once it has read this. Its exit code."""
        os.setsid()  # Ctrl-C in a terminal reaches us, not it
        for given, number in zip(forkserver.get_inherited_fds() or (), (1, 2), strict=True):
            os.dup2(given, number)
            os.close(given)
        sys.argv = list(self.argv)
        sys.modules["__main__"].__file__ = self.argv[0]
        return exit_code(import_module("aiven.client.__main__").main)


def exit_code(main: Callable[[], object]) -> int:
    """That of a program whose main this is, once it has said and done all that Python does at any exit."""
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except Exception:  # noqa: BLE001 (any traceback is the program's own)
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, int):
        os.write(2, f"{code}\n".encode())  # as Python does
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 (both as Python does at any exit)
    atexit._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    return code & 0xFF


class LoadedAvn:
    """One avn, which begins to load when this is made; many threads may run commands side by side."""

    def __init__(self, path: str, environment: Mapping[str, str], search_path: Mapping[str, str]) -> None:
        """``environment``: what a command has in its own besides ours; ``search_path``: so is avn found.

        Raises: OSError: the fork server can't be started.
        """
        self._path, self._lost = path, False
        self._loaded_as = _circumstances(path, environment)
        before = dict(os.environ)
        os.environ.update(
            {**environment, **search_path, "PYTHONSAFEPATH": "1"}
        )  # what lies in this folder is not to be imported
        try:
            _no_resource_tracker()
            forkserver.set_forkserver_preload(["ccr_avn.warm_avn"])
            forkserver.ensure_running()
        finally:
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            os.environ.update(before)

    def run(self, argv: tuple[str, ...], environment: Mapping[str, str], *, deadline: float) -> Answer | None:
        """One command, to its end. None: it has certainly not begun, so it must be started plainly."""
        if self._lost or argv[0] != self._path or _circumstances(self._path, environment) != self._loaded_as:
            return None
        with ExitStack() as stack:
            try:
                reading, writing = zip(os.pipe(), os.pipe(), strict=True)
                for number in reading:
                    stack.callback(os.close, number)
                try:
                    status, order = forkserver.connect_to_new_process(list(writing))
                finally:
                    for number in writing:
                        os.close(number)
            except OSError:  # no fork server, or too many files are open: a plain start says so
                return None
            stack.callback(os.close, status)
            with open(order, "wb", buffering=0) as file:  # noqa: PTH123 (a number, not a path)
                if not select.select([status], [], [], LOADING)[0]:
                    self._lost = True  # should it come all the same, it finds no order, and ends
                    return None
                try:
                    pid = forkserver.read_signed(status)
                except EOFError:
                    return None
                file.write(pickle.dumps({}) + pickle.dumps(Command(argv)))
            return _collected(argv, pid, *reading, status, deadline)


def _collected(argv: tuple[str, ...], pid: int, stdout: int, stderr: int, status: int, deadline: float) -> Answer:
    """What it said until its end; it is killed after ``deadline`` seconds, or if we are interrupted."""
    said = {number: bytearray() for number in (stdout, stderr, status)}
    began, expired = time.monotonic(), False
    until = began + deadline
    with selectors.DefaultSelector() as selector:
        for number in said:
            selector.register(number, selectors.EVENT_READ)
        try:
            while selector.get_map():
                left = until - time.monotonic()
                if left <= 0 and expired:
                    break
                if left <= 0:
                    expired, until = True, time.monotonic() + GRACE
                    _kill(pid)
                for key, _ in selector.select(min(MOMENT, max(0.0, left))):
                    heard = os.read(key.fd, 1 << 16)
                    said[key.fd] += heard
                    if not heard:
                        selector.unregister(key.fd)
                    if not heard and not said[status] and key.fd == status:
                        _kill(pid)  # the fork server is gone: it ends as if it had been killed, and may have acted
        except BaseException:
            _kill(pid)
            select.select([status], [], [], GRACE)
            raise
    code = int.from_bytes(said[status], sys.byteorder, signed=True) if said[status] else -signal.SIGKILL
    out, err = (_text(bytes(said[number])) for number in (stdout, stderr))
    return Answer(argv=argv, code=code, stdout=out, stderr=err, seconds=time.monotonic() - began, expired=expired)


def _text(said: bytes) -> str:
    """As `subprocess` reads it."""
    return io.TextIOWrapper(io.BytesIO(said), errors="replace").read()


def possible(path: str, *, module: bool = False) -> bool:
    """Whether a fork is what a start of this program would be: it is the avn that was installed with us, on Linux.

    ``module``: it is no script, but the package itself, which our interpreter runs.
    """
    try:
        text = Path(path).read_text()
    except (OSError, ValueError):
        return False
    beside = Path(path).resolve().parent == Path(sys.executable).parent.resolve()
    plain = beside and SCRIPT.match(text) and text.count("import ") <= 3 and "sys.exit(main())" in text
    usual = None not in (sys.__stdin__, sys.__stdout__, sys.__stderr__)  # else another file takes the place of one
    return (
        bool((plain or module) and usual)
        and sys.platform == "linux"
        and not any(map(os.environ.get, (OFF, *DIFFERENT)))
    )


def _no_resource_tracker() -> None:
    """There is nothing to track, and that process would hold our stdout open for as long as any fork lives."""
    tracker: Any = resource_tracker._resource_tracker  # noqa: SLF001 (there is no other way)
    if tracker._fd is None:  # noqa: SLF001
        tracker._fd = os.open(os.devnull, os.O_WRONLY)  # noqa: SLF001


def _circumstances(path: str, environment: Mapping[str, str]) -> tuple[object, ...]:
    """What avn reads while it loads; other than then, and a command is started plainly."""
    try:
        seen, place = Path(path).stat(), str(Path.cwd())
    except OSError:
        return ()
    return {**os.environ, **environment}, place, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with suppress(OSError):
            kill(pid, signal.SIGKILL)
