"""What ccr-avn costs beside what an operator would type: wall time as ratios in one run."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ccr_avn.sandbox.options import SandboxOptions
from ccr_avn.sandbox.run import running

BIN = Path(sys.executable).parent
ROUNDS = 5

RUNBOOK = """
set -euo pipefail
avn service create eu -t valkey --plan business-4 --cloud google-europe-west1
avn service wait eu
until avn service backup-list eu --json | grep -q backup_name; do sleep 1; done
avn service create us -t valkey --plan startup-4 --cloud aws-us-east-1 --read-replica-for eu
avn service wait us
avn service integration-list us
"""
ENABLE = "ccr-avn enable eu us --primary-cloud google-europe-west1 --replica-cloud aws-us-east-1"


def timed(command: list[str], environment: dict[str, str] | None = None) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


def counting(home: Path) -> Path:
    """An avn that counts how often it is started."""
    shim = home / "avn"
    shim.write_text(f'#!/bin/sh\necho >>"{home}/starts"\nexec "{BIN}/avn" "$@"\n')
    shim.chmod(0o755)
    return shim


def once(script: str) -> tuple[float, int, int]:
    """Wall seconds, avn processes and API requests of a script in a sandbox of its own."""
    home = Path(tempfile.mkdtemp())
    try:
        shim = counting(home)
        with running(SandboxOptions(build_seconds=1.0, backup_seconds=1.0)) as sandbox:
            path = f"{home}:{BIN}:{os.environ['PATH']}"
            environment = {**os.environ, **sandbox.environment(), "PATH": path, "CCR_AVN_BIN": str(shim)}
            seconds = timed(["bash", "-c", script], environment)
            return seconds, (home / "starts").read_text().count("\n"), sandbox.requests_total()
    finally:
        shutil.rmtree(home)


def bench_enable() -> None:
    rows = [(once(ENABLE), once(RUNBOOK)) for _ in range(ROUNDS)]
    for name, index in (("ccr-avn enable", 0), ("bash runbook", 1)):
        wall = statistics.median(row[index][0] for row in rows)
        print(f"  {name:16} {wall:6.2f} s   {rows[0][index][1]:3} avn processes   {rows[0][index][2]:3} API requests")
    ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in rows)
    print(f"  ratio            {ratio:6.2f}     (target: 0.80 or less; and only ours proves the link and markers)")


def bench_start() -> None:
    for words in (["--version"], ["--help"]):
        pairs = [(timed([str(BIN / "ccr-avn"), *words]), timed([str(BIN / "avn"), "--version"])) for _ in range(15)]
        report(f"ccr-avn {' '.join(words)}", pairs)
    completing = {**os.environ, "_CCR_AVN_COMPLETE": "complete_bash", "COMP_WORDS": "ccr-avn en", "COMP_CWORD": "1"}
    pairs = [(timed([str(BIN / "ccr-avn")], completing), timed([str(BIN / "avn"), "--version"])) for _ in range(15)]
    report("completion", pairs)


def report(name: str, pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (statistics.median(pair[side] for pair in pairs) * 1000 for side in (0, 1))
    ratio = statistics.median(mine / avn for mine, avn in pairs)
    print(f"  {name:18} {ours:4.0f} ms   avn --version {theirs:4.0f} ms   ratio {ratio:.2f}   (target: 0.70 or less)")


BENCHES: dict[str, tuple[str, Callable[[], None]]] = {
    "enable": ("enable beside a careful operator's runbook (builds 1 s, first backup 1 s later)", bench_enable),
    "start": ("start of the command beside avn's", bench_start),
}


def main() -> None:
    wanted = [word for word in sys.argv[1:] if word != "all"] or list(BENCHES)
    print(f"{datetime.now(UTC):%F}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    for name in wanted:
        title, bench = BENCHES[name]
        print(f"\n{title}")
        bench()


if __name__ == "__main__":
    main()
