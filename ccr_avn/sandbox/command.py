"""`sandbox run` and `sandbox up`: a sandbox around a command, or in the foreground."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from types import FrameType
from typing import Any

from ccr_avn.errors import UsageError
from ccr_avn.sandbox import shell
from ccr_avn.sandbox.faults import Fault
from ccr_avn.sandbox.options import SandboxOptions
from ccr_avn.sandbox.records import ApiError
from ccr_avn.sandbox.requests import check
from ccr_avn.sandbox.run import RunningSandbox, running

FORWARDED = (signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """A signal asks us to end; not an Exception, so that nothing on the way takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_inside(options: SandboxOptions, command: tuple[str, ...], faults: tuple[dict[str, Any], ...]) -> int:
    """Run the command with the sandbox's environment; its exit code, or 128 + the signal that ended it.

    Raises:
        UsageError: there is no such command.
    """
    with _ending_by_signal(), running(options) as sandbox:
        _prepare(sandbox, faults)
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
        return _waited(child)


def stay_up(options: SandboxOptions, faults: tuple[dict[str, Any], ...]) -> int:
    """Print the export lines and stay until a signal comes."""
    try:
        with _ending_by_signal(signal.SIGINT), running(options) as sandbox:
            _prepare(sandbox, faults)
            for name, value in sandbox.environment().items():
                sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
            sys.stdout.write(f'PS1="{shell.MARK} ${{PS1-}}"\n')
            sys.stderr.write(
                f"sandbox: up at {sandbox.url} until Ctrl-C; paste the lines into the shells to use it from\n"
            )
            sys.stdout.flush()
            while True:
                signal.pause()
    except _Ended as ended:
        return 0 if ended.number == signal.SIGINT else 128 + ended.number


def _waited(child: "subprocess.Popen[bytes]") -> int:
    """Ctrl-C reaches the child by itself, in the terminal's group; what asks only us to end is passed on."""
    while True:
        try:
            code = child.wait()
        except KeyboardInterrupt:
            continue
        except _Ended as ended:
            child.send_signal(ended.number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
            child.kill()
            child.wait()
            return 128 + ended.number
        return code if code >= 0 else 128 - code


def _prepare(sandbox: RunningSandbox, faults: tuple[dict[str, Any], ...]) -> None:
    for fault in faults:
        try:
            check(fault, Fault)
        except ApiError as refusal:
            raise UsageError("invalid fault", detail=refusal.message, hint="ccr-avn sandbox fault --help") from None
        sandbox.faults.add(**fault)


@contextlib.contextmanager
def _ending_by_signal(*more: signal.Signals) -> Any:
    def ended(number: int, _: FrameType | None) -> None:
        raise _Ended(number)

    heard = [one for one in (*FORWARDED, *more) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ended) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
