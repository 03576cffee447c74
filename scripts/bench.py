"""What ccr-avn costs beside what an operator would type: wall time as ratios in one run."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import bench_drill
import bench_evacuate
import valkey

from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.run import running
from ccr_avn.sandbox.web import RunningSandbox

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ROUNDS = 9

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


def types(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Run an installed program, without a terminal; what it printed. It must succeed."""
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def timed(command: list[str], environment: dict[str, str] | None = None) -> float:
    began = time.perf_counter()
    types(command, environment)
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
            return seconds, (home / "starts").read_text().count("\n"), len(sandbox.requests)
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
    for file in sorted((ROOT / "dist").glob("ccr-avn.p*")):  # what ./scripts/build has made
        timed([sys.executable, str(file), "--version"])  # it unpacks itself once
        one = [sys.executable, str(file), "--version"]
        report(file.name, [(timed(one), timed([str(BIN / "avn"), "--version"])) for _ in range(15)], "")


def report(name: str, pairs: list[tuple[float, float]], target: str = "   (target: 0.70 or less)") -> None:
    ours, theirs = (statistics.median(pair[side] for pair in pairs) * 1000 for side in (0, 1))
    ratio = statistics.median(mine / avn for mine, avn in pairs)
    print(f"  {name:18} {ours:4.0f} ms   avn --version {theirs:4.0f} ms   ratio {ratio:.2f}{target}")


def pair(sandbox: RunningSandbox) -> None:
    """A pair in the sandbox, by the platform itself: only what comes after is measured."""
    platform = sandbox.platform
    body = {"service_type": "valkey", "cloud": "google-europe-west1"}
    platform.create({**body, "service_name": "eu", "plan": "business-4"})
    source = [{"integration_type": "read_replica", "source_service": "eu"}]
    until = time.monotonic() + 10
    while not platform.backups(platform.services["eu"]) and time.monotonic() < until:
        time.sleep(0.01)
    platform.create({**body, "service_name": "us", "plan": "startup-4", "service_integrations": source})
    with sandbox.servers.admin("us") as admin:
        while admin.info("replication")["master_link_status"] != "up" and time.monotonic() < until:
            time.sleep(0.01)


def quick_pair() -> SandboxOptions:
    return SandboxOptions(build_seconds=0.0, backup_seconds=0.0, promote_seconds=0.0)


def connection(sandbox: RunningSandbox, name: str) -> valkey.Valkey:
    service = sandbox.platform.services[name]
    return valkey.Valkey(port=service.port, password=service.password, socket_timeout=2)


def first_write(sandbox: RunningSandbox, act: Callable[[], object]) -> float:
    """Seconds from the beginning of ``act`` to the first write that the replica accepts."""
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as pool, connection(sandbox, "us") as client:
        acting = pool.submit(act)
        while True:
            try:
                client.set("bench", "x")
                break
            except valkey.ReadOnlyError:
                time.sleep(0.001)
        seconds = time.perf_counter() - began
        acting.result()
    return seconds


def floor_of_a_switchover() -> float:
    """Fence, avn service integration-delete, first accepted write: nothing is checked or waited for."""
    with running(quick_pair()) as sandbox:
        pair(sandbox)
        row = next(iter(sandbox.platform.rows))
        with connection(sandbox, "eu") as old:

            def act() -> None:
                old.client_pause(30_000, all=False)
                delete = [str(BIN / "avn"), "service", "integration-delete", row]
                types(delete, {**os.environ, **sandbox.environment()})

            return first_write(sandbox, act)


def outage_of_a_switchover() -> float:
    with running(quick_pair()) as sandbox:
        pair(sandbox)
        command = [str(BIN / "ccr-avn"), "switchover", "eu", "us", "--yes", "--json"]
        environment = {**os.environ, **sandbox.environment()}
        told = json.loads(types(command, environment))["result"]
        assert told["bytes_not_replicated"] == 0
        return float(told["write_outage_ms"]) / 1000


FAILOVER = """
import json, subprocess, sys
avn = sys.argv[1]
services = json.loads(subprocess.run([avn, "service", "list", "--json"], check=True, capture_output=True).stdout)
rows = next(one for one in services if one["service_name"] == "us")["service_integrations"]
row = next(one for one in rows if one["integration_type"] == "read_replica")["service_integration_id"]
subprocess.run([avn, "service", "integration-delete", row], check=True)
"""


def failed_over(*, floor: bool) -> float:
    with running(quick_pair()) as sandbox:
        pair(sandbox)
        sandbox.servers.kill("eu")
        ours = [str(BIN / "ccr-avn"), "failover", "us", "--allow-data-loss", "--yes"]
        command = [sys.executable, "-c", FAILOVER, str(BIN / "avn")] if floor else ours
        environment = {**os.environ, **sandbox.environment()}
        return first_write(sandbox, lambda: types(command, environment))


def compare(name: str, ours: Callable[[], float], floor: Callable[[], float]) -> None:
    pairs = [(ours(), floor()) for _ in range(ROUNDS)]
    mine, least = (statistics.median(pair[side] for pair in pairs) * 1000 for side in (0, 1))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"  {name:18} {mine:5.0f} ms   floor {least:5.0f} ms   ratio {ratio:.2f}   (target: 1.30 or less)")


def bench_switchover() -> None:
    compare("write outage", outage_of_a_switchover, floor_of_a_switchover)


def bench_failover() -> None:
    compare("to first write", lambda: failed_over(floor=False), lambda: failed_over(floor=True))


def bench_status() -> None:
    """A hundred pairs, the platform's list and all two hundred data planes, beside the one avn alone."""
    with running(quick_pair()) as sandbox:
        body = {"service_type": "valkey", "cloud": "google-europe-west1"}
        for number in range(100):
            sandbox.platform.create({**body, "service_name": f"p{number}", "plan": "business-4"})
        for number in range(100):
            source = [{"integration_type": "read_replica", "source_service": f"p{number}"}]
            replica = {**body, "service_name": f"r{number}", "plan": "startup-4", "service_integrations": source}
            sandbox.platform.create(replica)
        time.sleep(3)  # the servers' own retry of a link that is not up at once
        environment = {**os.environ, **sandbox.environment()}
        ours = [str(BIN / "ccr-avn"), "status", "--json"]
        alone = [str(BIN / "avn"), "service", "list", "--json"]
        pairs = [(timed(ours, environment), timed(alone, environment)) for _ in range(ROUNDS)]
    mine, least = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    print(f"  ccr-avn status     {mine:5.2f} s   avn service list {least:5.2f} s   (target: 1.50 s or less)")


def bench_zero_loss() -> None:
    """Twenty switchovers under full write load; every acknowledged write must be on the new primary."""
    words = [
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/functional/test_switchover.py::test_no_acknowledged_write_is_lost[1]",
    ]
    pytest = [str(BIN / "pytest"), *words]
    ended = [subprocess.run(pytest, stdout=subprocess.DEVNULL, check=False).returncode for _ in range(20)]
    print(f"  {ended.count(0)} of {len(ended)} runs lost nothing")


BENCHES: dict[str, tuple[str, Callable[[], None]]] = {
    "enable": ("enable beside a careful operator's runbook (builds 1 s, first backup 1 s later)", bench_enable),
    "switchover": ("switchover: fence to first accepted write, promotion taking no time", bench_switchover),
    "failover": ("failover: from typed to first accepted write, promotion taking no time", bench_failover),
    "status": ("status of 100 pairs with their data planes", bench_status),
    "zero-loss": ("switchover under the load of 4 writers, 20 times", bench_zero_loss),
    "evacuate": ("evacuate beside xargs of a script", bench_evacuate.bench),
    "drill-gap": ("what the writers of a primary notice of a drill", bench_drill.bench),
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
