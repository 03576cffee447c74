"""Loads an installed program once, and forks for each command that is typed: `loaded_server.py SOCKET SCRIPT`.

It ends with its standard input. Who asks sends the place, the words, the environment and the three standard files.
"""

import argparse
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module, reload
from typing import Any

from ccr_avn import preload, preload_helper

LONGEST = 1 << 20
"""Bytes of a request."""

AT_THE_START = ("PYTHON", "LC_", "COVERAGE", "FORCE_COLOR", "PY_COLORS", "GITHUB_", "TERMINAL_", "TYPER_")
"""Variables that begin so count while a program starts, or loads what it uses; and LANG. LANGUAGE is asked for later."""

NOT_TYPED = ("ccr_avn.__main__", "ccr_avn.preload_helper", "ccr_avn.sandbox")


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


if __name__ == "__main__":
    _path, _script = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(_script))  # noqa: PTH120 (as Python does for a script)
    _avn = preload.script_at(_script)
    if not _avn:
        load_commands()
    _code = preload_helper.load(_avn.module if _avn else "ccr_avn.__main__", _script)
    _options = read_from_the_environment(_avn.module) if _avn else []
    sys.argv = Server(_path).serve()
    if _avn:
        read_again(_options)
    _main = types.ModuleType("__main__")
    _main.__file__ = _script
    _main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = _main
    sys.excepthook = preload_helper._without_us  # a traceback begins with the script
    try:
        exec(_code, _main.__dict__)
    except SystemExit as _ended:
        preload_helper.leave(_ended)
        raise
