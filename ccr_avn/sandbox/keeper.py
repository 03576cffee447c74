"""Cleans up after the sandbox: ends its servers and removes its files, however the sandbox ended."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

_SCRIPT = """
pids=; set --
while read -r what value; do
  case $what in
    watch) pids="$pids $value" ;;
    forget) kept=; for pid in $pids; do [ "$pid" = "$value" ] || kept="$kept $pid"; done; pids=$kept ;;
    sweep) set -- "$@" "$value" ;;
  esac
done
[ -z "$pids" ] || kill -9 $pids 2>/dev/null
for directory; do rm -rf -- "$directory"; done
"""
"""The end of its input is the end of the sandbox: a pipe closes even when its writer is killed."""


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """It and what it started. The number of one that was waited for may be another's by now."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class Keeper:
    """A small shell in a session of its own. Nothing is forked in Python for it, so threads don't matter."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "ccr-avn-keeper"],
            cwd="/",
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def sweep(self, directory: Path) -> None:
        """To be removed at the end."""
        self._tell("sweep", str(directory))

    def watch(self, pid: int) -> None:
        """To be killed at the end."""
        self._tell("watch", str(pid))

    def forget(self, pid: int) -> None:
        """It has ended: its PID may be reused soon."""
        self._tell("forget", str(pid))

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """Now, with what it started."""
        kill_group(process)
        self.forget(process.pid)
        process.wait()

    def close(self) -> None:
        """What is left is ended and removed now."""
        assert self._shell.stdin is not None  # noqa: S101 (asked for in the constructor)
        self._shell.stdin.close()
        self._shell.wait()

    def _tell(self, what: str, value: str) -> None:
        assert self._shell.stdin is not None  # noqa: S101 (asked for in the constructor)
        with contextlib.suppress(BrokenPipeError):
            self._shell.stdin.write(f"{what} {value}\n".encode())
