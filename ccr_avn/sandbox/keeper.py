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
        assert self._shell.stdin is not None  # noqa: S101 (asked for just above)
        self._input = self._shell.stdin

    def sweep(self, directory: Path) -> None:
        """To be removed at the end."""
        self._write(f"sweep {directory}")

    def watch(self, pid: int) -> None:
        """To be killed at the end."""
        self._write(f"watch {pid}")

    def forget(self, pid: int) -> None:
        """It has ended: its PID may be reused soon."""
        self._write(f"forget {pid}")

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """Now, with what it started. The number of one that was waited for may be another's by now."""
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self.forget(process.pid)
        process.wait()

    def close(self) -> None:
        """What is left is ended and removed now."""
        self._input.close()
        self._shell.wait()

    def _write(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._input.write(f"{line}\n".encode())
