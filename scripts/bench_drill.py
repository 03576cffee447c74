"""What the writers of a primary notice of a drill: their longest gap between two acknowledged writes, beside none."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import valkey

from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.run import running
from ccr_avn.sandbox.web import RunningSandbox

BIN = Path(sys.executable).parent
ROUNDS = 9
KEYS = 100_000
DRILL = ("drill", "eu", "--replica-cloud", "aws-us-east-1", "--yes", "--json", "--quiet-seconds", "1")


def bench() -> None:
    runs = [_once() for _ in range(ROUNDS)]
    for name, index in (("with a drill", 0), ("without", 1)):
        gap = statistics.median(pair[index]["gap"] for pair in runs)
        most = max(pair[index]["gap"] for pair in runs)
        rate = statistics.median(pair[index]["writes"] / pair[index]["seconds"] for pair in runs)
        errors = sum(pair[index]["errors"] for pair in runs)
        print(f"  {name:14} longest gap {gap:6.1f} ms (worst {most:6.1f})   {rate:6.0f} writes/s   {errors} errors")
    ratio = statistics.median(one["gap"] / other["gap"] for one, other in runs)
    print(f"  ratio          {ratio:6.2f}     changing API requests for the primary: none")


def _once() -> tuple[dict[str, float], dict[str, float]]:
    """A writer during a drill, and for as long without one, on the same primary."""
    with running(SandboxOptions(build_seconds=1.0, backup_seconds=0.5)) as sandbox:
        uri = _primary(sandbox)
        environment = {**os.environ, **sandbox.environment()}
        writer = _writer(uri)
        began = time.perf_counter()
        subprocess.run([str(BIN / "ccr-avn"), *DRILL], env=environment, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        during = _ended(writer)
        changed = [path for _, path in sandbox.changes() if "/service/eu/" in f"{path}/"]
        assert not changed, changed
        writer = _writer(uri)
        time.sleep(seconds)
        return during, _ended(writer)


def _primary(sandbox: RunningSandbox) -> str:
    body = {"service_type": "valkey", "cloud": "google-europe-west1", "service_name": "eu", "plan": "business-4"}
    sandbox.platform.create(body)
    until = time.monotonic() + 20
    while not sandbox.platform.backups(sandbox.platform.services["eu"]) and time.monotonic() < until:
        time.sleep(0.01)
    service = sandbox.platform.services["eu"]
    uri = f"redis://default:{service.password}@127.0.0.1:{service.port}"
    with valkey.Valkey.from_url(uri) as client:
        client.mset({f"key:{number}": "x" * 100 for number in range(KEYS)})
    return uri


def _writer(uri: str) -> "subprocess.Popen[str]":
    """A process of its own, which this one's threads can't hold up; the URI of a sandbox is no secret."""
    child = subprocess.Popen([sys.executable, __file__], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(uri + "\n")
    child.stdin.flush()
    assert child.stdout.readline() == "writing\n"
    return child


def _ended(writer: "subprocess.Popen[str]") -> dict[str, float]:
    writer.send_signal(signal.SIGTERM)
    told, _ = writer.communicate()
    found: dict[str, float] = json.loads(told)
    return found


def _write(uri: str) -> None:
    """One write after the other, until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    gap, errors, number = 0.0, 0, 0
    with valkey.Valkey.from_url(uri, socket_timeout=10) as client:
        client.set("order", 0)
        print("writing", flush=True)
        began = last = time.perf_counter()
        while not stopping:
            try:
                client.set(f"order:{number % 1000}", number)
            except valkey.ValkeyError:
                errors += 1
                continue
            now = time.perf_counter()
            gap, last, number = max(gap, now - last), now, number + 1
        seconds = time.perf_counter() - began
    print(json.dumps({"gap": gap * 1000, "errors": errors, "writes": number, "seconds": seconds}))


if __name__ == "__main__":
    _write(sys.stdin.readline().strip())
