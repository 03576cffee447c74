"""An evacuation beside the script that people write: wall time until every replica is promoted, and the longest outage."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import valkey

from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.run import running
from ccr_avn.sandbox.web import RunningSandbox

BIN = Path(sys.executable).parent
EU, US = "google-europe-west1", "aws-us-east-1"
PAIRS = int(os.environ.get("BENCH_PAIRS", "100"))
SIZES = [int(one) for one in os.environ.get("BENCH_SIZES", "10").split()]
"""Also measured, without anything beside it; 300 pairs are 600 servers, and take 6 GiB."""
SINGLES = 5

SCRIPT = """
set -euo pipefail
id=$(avn service integration-list "$1" --json |
  python3 -c 'import json, sys; print(next(row["service_integration_id"] for row in json.load(sys.stdin) if row["enabled"]))')
avn service integration-delete "$id"
avn service wait "$1"
"""
XARGS = ["bash", "-c", "seq 0 $((PAIRS - 1)) | sed s/^/r/ | xargs -P2 -n1 bash one.sh"]
PLANNED = [str(BIN / "ccr-avn"), "evacuate", EU, "--yes", "--json"]
FORCED = [*PLANNED, "--forced", "--allow-data-loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """``promoted``: seconds until the last replica is a master; ``cpu``: seconds of all it started; ``seen``: at most."""

    promoted: float
    total: float
    requests: int
    processes: int
    cpu: float
    seen: "Watched"
    result: dict[str, Any]


@dataclass(slots=True)
class Watched:
    """The most that a process and all that it started had: MiB (what is shared is counted once), open files of its own."""

    pid: int
    memory: float = 0.0
    descriptors: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.ended.wait(0.5):
            with suppress(OSError):
                self.descriptors = max(self.descriptors, len(list(Path(f"/proc/{self.pid}/fd").iterdir())))
            self.memory = max(self.memory, sum(_memory(pid) for pid in _family(self.pid)))


def _family(pid: int) -> list[int]:
    children: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(one) for one in (task / "children").read_text().split()]
    return [pid, *(one for child in children for one in _family(child))]


def _memory(pid: int) -> float:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    return 0.0


CONNECTIONS: set[Any] = set()
"""Every avn that asks has a connection of its own."""


def count_connections() -> None:
    accepted = RunningSandbox.process_request

    def counting(self: RunningSandbox, request: Any, client: Any) -> None:
        CONNECTIONS.add(client)
        accepted(self, request, client)

    RunningSandbox.process_request = counting  # type: ignore[method-assign]


def bench() -> None:
    count_connections()
    print("  a promotion takes the platform 0.5 s")
    for pairs in SIZES:
        told(once(PLANNED, f"{pairs} pairs: evacuate --planned", pairs, SINGLES))
    script = [once(XARGS, f"{PAIRS} pairs: xargs -P2 of a script", PAIRS, 0)]
    ours: list[tuple[str, float, float]] = []
    for name, command in (("--planned", PLANNED), ("--forced", FORCED)):
        for more, target in (("", 0.15), ("--no-preload", 0.35)):
            singles = SINGLES if command is PLANNED else 0
            words = [*command, *([more] if more else [])]
            took = once(words, f"{PAIRS} pairs: evacuate {name} {more}".strip(), PAIRS, singles)
            told(took)
            ours.append((f"{name} {more}".strip(), took.promoted, target))
    script.append(once(XARGS, f"{PAIRS} pairs: xargs -P2 of a script, again", PAIRS, 0))
    floor = min(took.promoted for took in script)  # what else the machine does may change meanwhile
    for name, promoted, target in ours:
        print(f"    {name:22} ratio {promoted / floor:.2f}   (target: {target} or less)", flush=True)


def told(took: Took) -> None:
    """Of outages, where there were any."""
    if outage := took.result.get("outages_ms"):
        one = took.result["single_ms"]
        worst = f"longest outage {outage['worst']:.0f} ms, 95 % {outage['p95']:.0f}, median {outage['median']:.0f}"
        ratio = outage["worst"] / one
        print(f"    {worst}; of a single switchover {one:.0f} ms: ratio {ratio:.2f} (2.0 or less)", flush=True)


def once(command: list[str], name: str, pairs: int, singles: int) -> Took:
    """In a sandbox of its own."""
    home = Path(tempfile.mkdtemp())
    try:
        with running(SandboxOptions(build_seconds=0.0, backup_seconds=0.0)) as sandbox:
            make(sandbox, pairs, singles)
            took = measured(sandbox, command, home, pairs)
    finally:
        shutil.rmtree(home)
    more = f"{took.processes} avn, {took.requests} requests, {took.cpu:.1f} s of CPU"
    seen = f"{took.seen.memory:.0f} MiB, {took.seen.descriptors} descriptors"
    print(f"  {name:44} promoted {took.promoted:6.2f} s   ended {took.total:6.2f} s   {more}, {seen}", flush=True)
    return took


def make(sandbox: RunningSandbox, pairs: int, singles: int) -> None:
    names = [*(f"p{one} r{one}" for one in range(pairs)), *(f"single{one} other{one}" for one in range(singles))]
    for primary, replica in (one.split() for one in names):
        body = {"service_type": "valkey", "plan": "startup-4"}
        cloud = EU if primary.startswith("p") else US
        sandbox.platform.create({**body, "service_name": primary, "cloud": cloud})
        source = [{"integration_type": "read_replica", "source_service": primary}]
        sandbox.platform.create({**body, "service_name": replica, "cloud": US, "service_integrations": source})
    for name in (one.split()[1] for one in names):
        until(sandbox, name, "master_link_status", "up")


def until(sandbox: RunningSandbox, name: str, key: str, value: str) -> None:
    service = sandbox.platform.services[name]
    with valkey.Valkey(port=service.port, password=service.password, socket_timeout=5) as client:
        while True:
            with suppress(valkey.exceptions.ConnectionError):  # a promotion may cut it
                if str(client.info("replication").get(key)) == value:  # type: ignore[union-attr]
                    return
            time.sleep(0.02)


def measured(sandbox: RunningSandbox, command: list[str], home: Path, pairs: int) -> Took:
    (home / "one.sh").write_text(SCRIPT)
    environment = {**os.environ, **sandbox.environment(), "PAIRS": str(pairs), "PATH": f"{BIN}:{os.environ['PATH']}"}
    more = ["--no-preload"] if "--no-preload" in command else []
    singles = (
        [single(environment, one, more) for one in range(SINGLES)] if "single0" in sandbox.platform.services else []
    )
    CONNECTIONS.clear()
    asked, before, began = len(sandbox.requests), resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (home / "out").open("w") as out, (home / "err").open("w") as err:
        child = subprocess.Popen(command, env=environment, cwd=home, stdout=out, stderr=err)
        watched = Watched(child.pid)
        threading.Thread(target=watched.watch, daemon=True).start()
        for number in range(pairs):
            until(sandbox, f"r{number}", "role", "master")
        promoted = time.perf_counter() - began
        code = child.wait()
        watched.ended.set()
    total, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        raise SystemExit(f"{command} ended with {code}: {(home / 'err').read_text()[-2000:]}")
    result = json.loads((home / "out").read_text())["result"] if "--json" in command else {}
    return Took(
        promoted=promoted,
        total=total,
        requests=len(sandbox.requests) - asked,
        cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        processes=len(CONNECTIONS),
        seen=watched,
        result={**result, "single_ms": statistics.median(singles) if singles else 0.0},
    )


def single(environment: dict[str, str], number: int, more: list[str]) -> float:
    """The outage of one switchover among all these servers, in milliseconds."""
    command = [str(BIN / "ccr-avn"), "switchover", f"single{number}", f"other{number}", "--yes", "--json", *more]
    ended = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(json.loads(ended.stdout)["result"]["write_outage_ms"])
