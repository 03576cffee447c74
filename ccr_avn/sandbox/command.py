"""`sandbox run` and `sandbox up`: a sandbox around a command, or in the foreground."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

from ccr_avn.errors import UsageError
from ccr_avn.sandbox import shell
from ccr_avn.sandbox.faults import Fault
from ccr_avn.sandbox.options import SandboxOptions
from ccr_avn.sandbox.records import ApiError
from ccr_avn.sandbox.requests import check
from ccr_avn.sandbox.run import RunningSandbox, running


def run_inside(options: SandboxOptions, command: tuple[str, ...], faults: tuple[dict[str, Any], ...]) -> int:
    """Run the command with the sandbox's environment; its exit code, or 128 + the signal that ended it.

    Raises:
        UsageError: there is no such command.
    """
    with _exit_at(signal.SIGTERM, signal.SIGHUP), running(options) as sandbox:
        _add_faults(sandbox, faults)
        inside, more = command, dict[str, str]()
        if shell.is_interactive(command) and sys.stdin.isatty():
            sys.stderr.write(shell.banner(sandbox.url))
            inside, more = shell.dressed(command, sandbox.environment(), os.environ, sandbox.home)
        try:
            path = {"PATH": f"{shell.BESIDE}:{os.environ.get('PATH', os.defpath)}"}
            child = subprocess.Popen(inside, env={**os.environ, **path, **sandbox.environment(), **more})
        except OSError as error:
            raise UsageError(
                f"{command[0]} can't be run", detail=str(error.strerror), hint="ccr-avn sandbox run -- avn service list"
            ) from None
        while True:
            try:
                code = child.wait()
                return code if code >= 0 else 128 - code
            except KeyboardInterrupt:  # the child has it by itself, in the terminal's group
                continue
            except SystemExit as told:
                child.send_signal(int(told.code or 0) - 128)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)
                child.kill()
                child.wait()
                raise


def stay_up(options: SandboxOptions, faults: tuple[dict[str, Any], ...]) -> int:
    """Print the export lines and stay until a signal comes: Ctrl-C is the usual one."""
    try:
        with _exit_at(signal.SIGTERM, signal.SIGHUP), running(options) as sandbox:
            _add_faults(sandbox, faults)
            for name, value in sandbox.environment().items():
                sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
            sys.stdout.write(f'PS1="{shell.MARK} ${{PS1-}}"\n')
            sys.stderr.write(
                f"sandbox: up at {sandbox.url} until Ctrl-C; paste the lines into the shells to use it from\n"
            )
            sys.stdout.flush()
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0


def _add_faults(sandbox: RunningSandbox, faults: tuple[dict[str, Any], ...]) -> None:
    for fault in faults:
        try:
            check(fault, Fault)
        except ApiError as refusal:
            raise UsageError("invalid fault", detail=refusal.message, hint="ccr-avn sandbox fault --help") from None
        sandbox.faults.add(**fault)


@contextlib.contextmanager
def _exit_at(*signals: signal.Signals) -> Iterator[None]:
    """Meanwhile these end us, with all that is to be undone. One that was ignored when we were started stays so."""

    def exit_by(number: int, _: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = {one: signal.signal(one, exit_by) for one in signals if signal.getsignal(one) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
