"""Loads an installed program once, and forks for each command that is typed: `loaded_server.py SOCKET SCRIPT`.

It ends with its standard input. Who asks sends the place, the words, the environment and the three standard files.
"""

import argparse
import atexit
import gc
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module, reload
from pathlib import Path
from typing import Any

LONGEST = 1 << 20
"""Bytes of a request."""

AT_THE_START = ("PYTHON", "LC_", "COVERAGE", "FORCE_COLOR", "PY_COLORS", "GITHUB_", "TERMINAL_", "TYPER_")
"""Variables that begin so count while a program starts, or loads what it uses; and LANG. LANGUAGE is asked for later."""

NOT_TYPED = ("ccr_avn.__main__", "ccr_avn.warm_avn", "ccr_avn.sandbox")


class Server:
    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._running: dict[int, socket.socket] = {}
        self._woken, self._wake = os.pipe()
        for number in (self._woken, self._wake):
            os.set_blocking(number, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._loaded_with = _counts(os.environ)

    def serve(self) -> list[str]:
        """Comes back in every fork, with its words, in its place; never in this process."""
        while True:
            watched = [self._listener, self._woken, sys.stdin, *self._running.values()]
            heard, _, _ = select.select(watched, [], [])
            if sys.stdin in heard:
                self._end()
            if self._woken in heard:
                os.read(self._woken, 4096)
            self._tell_who_ended()
            for pid, wire in list(self._running.items()):
                if wire in heard:
                    self._pass_on(pid, wire)
            if self._listener in heard and (words := self._take(self._listener.accept()[0])) is not None:
                return words

    def _take(self, wire: socket.socket) -> list[str] | None:
        """The words of a command, in its fork."""
        data, numbers, _, _ = socket.recv_fds(wire, LONGEST, 3)
        size, _, rest = data.partition(b"\n")
        while len(rest) < int(size):
            rest += wire.recv(LONGEST)
        given, place, count, *told = rest.split(b"\0")
        words = [os.fsdecode(word) for word in told[: int(count)]]
        environment = dict(os.fsdecode(one).split("=", 1) for one in told[int(count) :])
        ignored, *limits = (int(one) for one in given.split())
        same = _counts(environment) == self._loaded_with
        pid = os.fork() if same else -1
        if pid == 0:
            self._become(wire, place, numbers, environment)
            ignore(ignored)
            inherit(*limits)
            return words
        for number in numbers:
            os.close(number)
        if pid > 0:
            self._running[pid] = wire
        else:
            with wire:
                wire.sendall(b"start")
        return None

    def _become(self, wire: socket.socket, place: bytes, numbers: list[int], environment: Mapping[str, str]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._listener, wire, *self._running.values()):
            inherited.close()
        os.close(self._woken)
        os.close(self._wake)
        os.setsid()
        for number, given in enumerate(numbers):
            os.dup2(given, number)
            os.close(given)
        os.chdir(place)
        os.environ.clear()
        os.environ.update(environment)

    def _tell_who_ended(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            with self._running.pop(pid) as wire, suppress(OSError):
                wire.sendall(b"%d" % os.waitstatus_to_exitcode(status))

    def _pass_on(self, pid: int, wire: socket.socket) -> None:
        """A signal, by its number. Who asked and is gone was killed: so is the command."""
        try:
            numbers = wire.recv(16)
        except OSError:
            numbers = b""
        for number in numbers:
            os.kill(pid, number)
        if not numbers:
            _kill(pid)
            os.waitpid(pid, 0)
            self._running.pop(pid).close()

    def _end(self) -> None:
        for pid in self._running:
            _kill(pid)
        os._exit(0)


def inherit(umask: int, nice: int, *limits: int) -> None:
    """What a process has from who started it. ``limits``: each by its kind, its soft and its hard value."""
    os.umask(umask)
    os.nice(nice - os.nice(0))
    for kind, soft, hard in zip(limits[::3], limits[1::3], limits[2::3], strict=True):
        resource.setrlimit(kind, (soft, hard))


def ignore(signals: int) -> None:
    """Exactly these of those that are passed on, a set of bits: so Python begins where it is started with them ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        if signals >> number & 1:
            signal.signal(number, signal.SIG_IGN)
        elif signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _counts(environment: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key.startswith(AT_THE_START) or key == "LANG"}


def _kill(pid: int) -> None:
    """It and what it started."""
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def load_commands() -> None:
    """All that the commands of ccr-avn import when they are typed."""
    package = import_module("ccr_avn")
    for module in pkgutil.walk_packages(package.__path__, "ccr_avn.", onerror=lambda _: None):
        if not module.name.startswith(NOT_TYPED):
            import_module(module.name)


def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All of them, of all commands."""
    for action in parser._actions:  # argparse has no other way to them
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from options(one)


def read_again(known: list[argparse.Action]) -> None:
    """What avn has read of its environment while it was loaded: the defaults of some options."""
    now: Any = reload(import_module("aiven.client.envdefault"))
    given = {
        "config": now.AIVEN_CLIENT_CONFIG,
        "auth_ca": now.AIVEN_CA_CERT,
        "auth_token": now.AIVEN_AUTH_TOKEN,
        "url": now.AIVEN_WEB_URL,
        "project": now.AIVEN_PROJECT,
    }
    for option in known:
        option.default = given[option.dest]


def read_from_the_environment(module: str) -> list[argparse.Action]:
    """Those of avn's options whose defaults are; with none of them set when this one was loaded."""
    tool: Any = import_module(module).AivenCLI()
    names = {"config", "auth_ca", "auth_token", "url"}
    first = [one for one in tool.parser._actions if one.dest in names]
    return [*first, *(one for one in options(tool.parser) if one.dest == "project" and one.default is None)]


def load(module: str, script: str) -> Any:
    """The script's code, with all loaded that it will import; as if this process had been started as that script."""
    sys.argv = [script]
    gc.disable()  # nothing of what is loaded will be garbage
    with open(script, encoding="utf-8") as file:  # noqa: PTH123 (pathlib need not be loaded)
        code = compile(file.read(), script, "exec")
    entry = import_module(module)
    with suppress(ImportError):
        import_module("netrc")  # `requests` does, when it sends
    with suppress(AttributeError):
        _build_parser(entry)
    if threading.active_count() != 1:
        sys.exit("threads are running: what they hold would be lost in a fork")
    sys.stdout.flush()
    sys.stderr.flush()
    gc.enable()
    gc.freeze()  # else the first collection in every fork would copy all of it
    return code


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


def _without_us(kind: Any, error: BaseException, trace: types.TracebackType | None) -> None:
    """A traceback as the script itself would have it."""
    trace = trace.tb_next if trace else None
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    _path, _script = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(_script))  # noqa: PTH120 (as Python does for a script)
    _avn = "aiven.client.__main__" if "aiven.client" in Path(_script).read_text() else ""
    if not _avn:
        load_commands()
    _code = load(_avn or "ccr_avn.__main__", _script)
    _options = read_from_the_environment(_avn) if _avn else []
    sys.argv = Server(_path).serve()
    if _avn:
        read_again(_options)
    _main = types.ModuleType("__main__")
    _main.__file__ = _script
    _main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = _main
    sys.excepthook = _without_us  # a traceback begins with the script
    try:
        exec(_code, _main.__dict__)
    except SystemExit as _ended:
        leave(_ended)
        raise
