"""The helper's own program: loads avn once, then forks for each command. It is run by avn's interpreter, never imported.

That may be an older Python in another place: standard library only, and what Python 3.8 understands.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import os
import select
import signal
import socket
import sys
import threading
import time
import types
from contextlib import suppress
from typing import Any, NamedTuple

LONGEST = 1 << 18
"""Bytes that a request can have."""


class Command(NamedTuple):
    """One that was forked. ``until``: on the monotonic clock, when it is ended if its owner is gone."""

    wire: socket.socket
    until: float


class Request(NamedTuple):
    """One that is to be forked."""

    argv: list[str]
    seconds: float
    out: int
    err: int
    wire: socket.socket


def load(module: str, script: str) -> Any:
    """The script's code, with all loaded that it will import; as if this process had been started as that script."""
    if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):  # noqa: PTH120 (pathlib takes time to load)
        sys.path[0] = os.path.dirname(os.path.realpath(script))  # noqa: PTH120 (so does Python for a script)
    sys.argv = [script]
    gc.disable()  # nothing of what is loaded will be garbage
    with open(script, encoding="utf-8") as file:  # noqa: PTH123 (pathlib need not be loaded)
        code = compile(file.read(), script, "exec")
    entry = importlib.import_module(module)
    with suppress(ImportError):
        importlib.import_module("netrc")  # `requests` does, when it sends
    with suppress(AttributeError):
        _build_parser(entry)
    if threading.active_count() != 1:
        sys.exit("threads are running: what they hold would be lost in a fork")
    sys.stdout.flush()
    sys.stderr.flush()
    gc.enable()
    gc.freeze()  # else the first collection in every fork would copy all of it
    return code


class Server:
    """Forks on request, and reports how each fork ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._running: dict[int, Command] = {}
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._alone = False  # nobody can ask any more

    def serve(self) -> Request:
        """Comes back in every fork, with what it is to do; never in this process."""
        while self._running or not self._alone:
            heard = {number for number, _ in self._poll.poll(self._pause())}
            if self._woken in heard:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            self._tell_who_ended()
            self._heed(heard)
            if self._control.fileno() in heard:
                request = self._receive()
                if request and self._fork(request):
                    return request
        os._exit(0)

    def _pause(self) -> float | None:
        """Milliseconds to wait at most. If the owner is gone, the forks are ended here, by their limits."""
        if not self._alone:
            return None
        left = min(command.until for command in self._running.values()) - time.monotonic()
        return max(left, 0.0) * 1000

    def _tell_who_ended(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            wire = self._running.pop(pid).wire
            with suppress(KeyError):
                self._poll.unregister(wire)
            with suppress(OSError):
                wire.sendall(b"s%d\n" % code)
            wire.close()

    def _heed(self, heard: set[int]) -> None:
        """End those that are to be ended: by a word from who asked, or by their limit if who asked is gone."""
        now = time.monotonic()
        for pid, command in self._running.items():
            if command.wire.fileno() in heard:
                try:
                    words = command.wire.recv(64)
                except OSError:
                    words = b""
                if not words:  # who asked is gone
                    self._poll.unregister(command.wire)
                    continue
                _kill(pid)
            elif self._alone and now >= command.until:
                _kill(pid)

    def _receive(self) -> Request | None:
        descriptors = array.array("i")
        try:
            data, extra, _, _ = self._control.recvmsg(LONGEST, socket.CMSG_SPACE(3 * descriptors.itemsize))
        except OSError:
            data, extra = b"", []
        if not data:
            self._alone = True
            self._poll.unregister(self._control)
            self._control.close()
            return None
        for _, _, numbers in extra:
            descriptors.frombytes(numbers)
        seconds, *words = data.split(b"\0")
        out, err, wire = descriptors
        return Request([os.fsdecode(word) for word in words], float(seconds), out, err, socket.socket(fileno=wire))

    def _fork(self, request: Request) -> bool:
        """Whether this is the fork."""
        try:
            pid = os.fork()
        except OSError:
            pid = -1
            with suppress(OSError):
                request.wire.sendall(b"n\n")
            request.wire.close()
        if pid == 0:
            self._forget()
            return True
        os.close(request.out)
        os.close(request.err)
        if pid > 0:
            self._running[pid] = Command(request.wire, time.monotonic() + request.seconds)
            self._poll.register(request.wire, select.POLLIN)
        return False

    def _forget(self) -> None:
        """In a fork: close all inherited files, and reset all signal handlers."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (self._control, *(command.wire for command in self._running.values())):
            other.close()
        os.close(self._woken)
        os.close(self._wake)


def become(request: Request) -> None:
    """This process is the command from now on. The caller knows its PID before it does anything."""
    os.setsid()
    try:
        request.wire.sendall(b"p%d\n" % os.getpid())
    except OSError:
        os._exit(1)  # whoever asked has given up
    request.wire.close()
    os.dup2(request.out, 1)
    os.dup2(request.err, 2)
    os.close(request.out)
    os.close(request.err)
    sys.argv = request.argv
    main = types.ModuleType("__main__")
    main.__file__ = os.path.abspath(request.argv[0])  # noqa: PTH100 (Python resolves no link either)
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    sys.excepthook = _without_us


def leave(ended: SystemExit) -> None:
    """End as Python does, but for taking everything down that is loaded, which takes longer than most commands.

    Comes back where something is to be said of it: then Python is to do it.
    """
    code = 0 if ended.code is None else ended.code
    if not isinstance(code, int):
        return
    getattr(threading, "_shutdown", lambda: None)()
    getattr(atexit, "_run_exitfuncs", lambda: None)()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except Exception:  # noqa: BLE001 (Python itself says what it was)
        return
    os._exit(code & 0xFF)


def _build_parser(entry: Any) -> None:
    """Most of avn's start is making its parser, which is the same for every command. Only where it is known how.

    Raises:
        AttributeError: it is another avn than those we know.
    """
    if entry.main.__code__.co_names != ("AivenCLI", "main"):
        return
    tool = entry.AivenCLI()
    if "extend_commands" not in type(tool).parse_args.__code__.co_names:
        return
    tool.extend_commands(tool)
    tool.extend_commands = lambda _: None
    entry.AivenCLI = lambda: tool


def _kill(pid: int) -> None:
    """It and what it started. Its number is its own until we have waited for it."""
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _without_us(kind: Any, error: BaseException, trace: types.TracebackType | None) -> None:
    """A traceback as the script itself would have it."""
    trace = trace.tb_next if trace else None
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    _number, _module, _script = sys.argv[1:]
    _control = socket.socket(fileno=int(_number))
    _code = load(_module, _script)
    _control.sendall(b"ready")
    become(Server(_control).serve())
    try:
        exec(_code, sys.modules["__main__"].__dict__)  # noqa: S102 (the console script of avn, as it is)
    except SystemExit as _ended_by:
        leave(_ended_by)
        raise
