"""What the fork server of tests/support/loaded.py has loaded: avn with its parser, and all commands of ccr-avn."""

import argparse
import errno
import gc
import os
import pkgutil
import signal
import sys
from collections.abc import Iterator
from fcntl import F_SETFL, F_SETOWN, F_SETSIG, fcntl
from importlib import import_module, reload
from multiprocessing import forkserver, reduction
from pathlib import Path
from socket import socket
from typing import Any

import ccr_avn.warm_avn  # noqa: F401 (it loads avn)
from ccr_avn.loaded_avn import exit_code
from tests.support.loaded import READ_BY_AVN

MAINS = {"avn": "aiven.client.__main__", "ccr-avn": "ccr_avn.__main__"}
NOT_TYPED = ("ccr_avn.__main__", "ccr_avn.warm_avn", "ccr_avn.sandbox")
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


class Order:
    """Which program a fork is to be, with what it is given: a place, ignored signals, words and environment."""

    def __init__(self, text: bytes) -> None:
        self.place, ignored, count, *rest = text.split(b"\0")
        self.ignored = set(ignored)
        self.words = [os.fsdecode(word) for word in rest[: int(count)]]
        self.environment = dict(one.split(b"=", 1) for one in rest[int(count) :])

    def _bootstrap(self, client: int) -> int:
        """Called in the fork. ``client``: a pipe that closes when who typed it is gone, which was killed then."""
        os.setsid()
        fcntl(client, F_SETOWN, os.getpid())
        fcntl(client, F_SETSIG, signal.SIGKILL)
        fcntl(client, F_SETFL, os.O_ASYNC)
        for number, given in enumerate(forkserver.get_inherited_fds() or ()):
            os.dup2(given, number)
            os.close(given)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (the fork server has another)
        os.chdir(self.place)
        os.environb.clear()
        os.environb.update(self.environment)
        for number in PASSED_ON:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if number in self.ignored else usual)
        sys.argv = self.words
        name = Path(self.words[0]).name
        if name == "avn":
            now: Any = reload(import_module("aiven.client.envdefault"))
            for option, variable in DEFAULTS:
                option.default = getattr(now, variable)
        return exit_code(import_module(MAINS[name]).main)


_recvfds = reduction.recvfds


def _received(sock: socket, size: int) -> list[int]:
    """A command that was killed before it had asked for anything would end the fork server, which forgives only this."""
    try:
        return _recvfds(sock, size)
    except EOFError:
        raise ConnectionAbortedError(errno.ECONNABORTED, "nothing was asked for") from None


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All of them, of all commands."""
    for action in parser._actions:  # argparse has no other way to them
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _options(one)


def _load_commands() -> None:
    package = import_module("ccr_avn")
    for module in pkgutil.walk_packages(package.__path__, "ccr_avn.", onerror=lambda _: None):
        if not module.name.startswith(NOT_TYPED):
            import_module(module.name)


reduction.recvfds = _received
_load_commands()
_avn: Any = import_module(MAINS["avn"])
DEFAULTS = [(one, name) for one in _options(_avn.AivenCLI().parser) for name in READ_BY_AVN if one.default == name]
gc.freeze()  # else the first collection in every fork would copy all of it
