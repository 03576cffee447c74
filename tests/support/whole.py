"""A whole sandbox in a process of its own, as somebody at a shell starts it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.loaded import BIN


def run_sandbox(tmp_path: Path, *words: str, command: str = "run", out: int | None = None) -> "subprocess.Popen[str]":
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "tmp")}
    argv = [sys.executable, "-m", "ccr_avn", "sandbox", command, *words]
    return subprocess.Popen(argv, text=True, stdout=out, cwd=tmp_path, env=environment)


def gone(pid: int) -> bool:
    """A zombie that nobody has waited for has ended as well."""
    seen = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return not seen.strip() or seen.startswith("Z")


def servers_below(directory: Path) -> list[int]:
    """Processes whose working directory is in there."""
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                if str((one / "cwd").readlink()).startswith(str(directory)):
                    found.append(int(one.name))
            except OSError:
                continue
    return found
