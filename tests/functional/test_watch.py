"""`watch` as somebody leaves it running: what befalls the pair is shown and survived."""

import json
import os
import pty
import queue
import select
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.watch.sampler import KEY, TTL
from tests.support.operator import Make, Operator
from tests.support.pairs import add_pairs, linked

QUICK = {"build_seconds": 0.0, "backup_seconds": 0.0}
NIMBLE = ("--interval", "0.1", "--data-timeout", "0.4")
LIMIT = 30.0


class Running:
    """A `watch` whose lines are read as they come."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        self.child = child
        self.notes: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        assert child.stdout
        assert child.stderr
        self._threads = (
            threading.Thread(target=self._read, args=(child.stdout, self._lines.put), daemon=True),
            threading.Thread(target=self._read, args=(child.stderr, self.notes.append), daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def until(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The next line that is as wanted."""
        end = time.monotonic() + LIMIT
        seen: list[str] = []
        while time.monotonic() < end:
            line = self._lines.get(timeout=LIMIT)
            assert line is not None, (what, seen[-5:], self.notes)
            seen.append(line)
            told: dict[str, Any] = json.loads(line)
            if wanted(told):
                return told
        raise AssertionError(f"not seen: {what}; last: {seen[-3:]}")

    def event(self, text: str) -> dict[str, Any]:
        return self.until(lambda told: any(text in event for event in told.get("events", ())), text)

    def fine(self) -> dict[str, Any]:
        return self.until(lambda told: told.get("link") == "up" and bool(told["arrived"]), "link up, marker arrived")

    def end(self, number: int = signal.SIGINT) -> tuple[int, dict[str, Any]]:
        self.child.send_signal(number)
        summary = self.until(lambda told: "summary" in told, "the summary")
        return self.child.wait(LIMIT), summary

    @staticmethod
    def _read(stream: Any, put: Callable[[Any], None]) -> None:
        for line in stream:
            put(line)
        put(None)


@contextmanager
def watching(operator: Operator, *words: str, **environment: str) -> Iterator[Running]:
    child = operator.start("ccr-avn", "watch", "p0", "r0", *words, **environment)
    running = Running(child)
    try:
        yield running
    finally:
        child.kill()
        child.wait()
        for thread in running._threads:
            thread.join(5)
        for stream in (child.stdout, child.stderr):
            assert stream
            stream.close()


@pytest.fixture
def pair(make: Make) -> Operator:
    operator = make(**QUICK)
    add_pairs(operator, 1)
    linked(operator, 1)
    return operator


def marker(operator: Operator) -> tuple[int, int]:
    """The marker's value and remaining milliseconds, as the replica has it."""
    with operator.sandbox.servers.admin("r0") as client:
        return int(client.get(KEY) or 0), int(client.pttl(KEY))


def befall(operator: Operator, running: Running) -> None:
    """Whatever may befall a pair, one after the other."""
    servers = operator.sandbox.servers
    running.fine()
    servers.restart("p0")
    running.event("primary was restarted")
    running.fine()
    servers.freeze("p0")
    silent = running.event("primary does not answer")
    assert not silent["arrived"]
    assert silent["lag_ms"] > 100, "nothing is proven meanwhile"
    servers.thaw("p0")
    running.event("primary answers again")
    running.fine()
    servers.isolate("p0")
    running.event("link down")
    servers.heal("p0")
    running.fine()
    servers.cut_replication("r0")
    told = running.until(lambda told: told.get("link") == "down" and (told.get("lag_ms") or 0) > 500, "growing lag")
    assert not told["arrived"]
    servers.heal("r0")
    running.fine()


def test_what_befalls_a_pair_is_shown_and_survived(pair: Operator) -> None:
    with watching(pair, *NIMBLE) as running:
        first = running.fine()
        assert first["schema"] == "ccr-avn/1"
        assert (first["primary_state"], first["replica"]["role"]) == ("RUNNING", "slave")
        befall(pair, running)
        value, left = marker(pair)
        assert abs(value - time.time() * 1000) < 5000
        assert 0 < left <= TTL * 1000
        code, told = running.end()
    assert code == 130
    summary = told["summary"]
    assert summary["lag_ms"]["min"] < summary["lag_ms"]["max"]
    assert summary["events"] >= 6
    assert marker(pair)[0] == 0, "taken away at the end"


def test_a_fence_is_told_apart_from_a_server_that_hangs(pair: Operator) -> None:
    with watching(pair, *NIMBLE) as running:
        running.fine()
        with pair.sandbox.servers.admin("p0") as client:
            client.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
            told = running.event("writes are held back")
            assert told["primary"]["role"] == "master"
            client.execute_command("CLIENT", "UNPAUSE")
        running.event("writes go through again")
        running.fine()


def test_a_promotion_is_shown(pair: Operator) -> None:
    with watching(pair, *NIMBLE, "--state-interval", "0.2") as running:
        running.fine()
        pair.sandbox.platform.delete_integration(next(iter(pair.sandbox.platform.rows)))
        told = running.event("promoted")
        assert told["link"] == "follows nobody"
        pair.avn("service", "update", "p0", "--power-off")
        running.event("primary is POWEROFF, was RUNNING")


def test_a_new_password_is_learned_from_avn(pair: Operator) -> None:
    with watching(pair, *NIMBLE, "--state-interval", "0.2") as running:
        running.fine()
        service = pair.sandbox.platform.services["p0"]
        service.password = "AVNS_another"
        with pair.sandbox.servers.admin("p0") as client:
            client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{service.password}")
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        running.event("primary does not answer")
        running.event("primary answers again")
        running.fine()


def test_it_is_a_gate_for_scripts(pair: Operator) -> None:
    began = time.monotonic()
    done = pair.ccr("watch", "p0", "r0", *NIMBLE, "--until-lag-below", "1000000", "--for", "20s")
    assert done.code == 0, done.err
    assert time.monotonic() - began < 15
    assert json.loads(done.out.splitlines()[-1])["ended"] == "reached"
    pair.sandbox.servers.cut_replication("r0")
    late = pair.ccr("watch", "p0", "r0", *NIMBLE, "--until-lag-below", "50ms", "--for", "0.5")
    assert late.code == 5
    assert "did not get below 50 ms" in late.err
    just = pair.ccr("watch", "p0", "r0", *NIMBLE, "--for", "0.3s")
    assert just.code == 0
    assert json.loads(just.out.splitlines()[-1])["ended"] == "time is up"


def test_an_alert_starts_a_command_once(pair: Operator, tmp_path: Path) -> None:
    notes = tmp_path / "alerts"
    command = f"sh -c 'echo $CCR_PRIMARY $CCR_REPLICA $CCR_LINK >> {notes}; exit 7'"
    with watching(pair, *NIMBLE, "--alert-lag", "600", "--alert-command", command) as running:
        running.fine()
        pair.sandbox.servers.cut_replication("r0")
        running.event("alert: lag")
        running.event("failed with exit code 7")
        pair.sandbox.servers.heal("r0")
        running.event("alert over")
    assert notes.read_text() == "p0 r0 down\n"


def test_metrics_on_loopback(pair: Operator) -> None:
    with watching(pair, *NIMBLE, "--listen", "0") as running:
        running.fine()
        [url] = [line.split()[1] for line in running.notes if line and line.startswith("metrics:")]
        assert url.startswith("http://127.0.0.1:")
        running.fine()
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        code, _ = running.end(signal.SIGTERM)
    assert code == 143
    lines = text.splitlines()
    assert 'ccr_link_up{primary="p0",replica="r0"} 1.0' in lines
    assert 'redis_master_link_up{service="r0"} 1.0' in lines
    for name in ("ccr_marker_lag_seconds{", "ccr_last_verified_timestamp_seconds{", "redis_master_repl_offset{"):
        assert name in text


@pytest.mark.parametrize(
    "words",
    [
        ("--for", "soon"),
        ("--until-lag-below", "0"),
        ("--until-lag-below", "5s"),
        ("--listen", "here"),
        ("--listen", "1:99999"),
        ("--alert-command", "x"),
        ("--alert-lag", "5", "--alert-command", "'"),
        ("--interval", "0"),
    ],
)
def test_what_cannot_be_meant_is_refused(operator: Operator, words: tuple[str, ...]) -> None:
    done = operator.ccr("watch", "p0", "r0", *words)
    assert done.code == 2, done.err
    assert "hint:" in done.err


def in_a_terminal(operator: Operator, keys: bytes) -> tuple[int, str]:
    """Watch in a terminal of its own until lag is shown, then type."""
    leader, follower = pty.openpty()
    command = ("ccr-avn", "watch", "p0", "r0", *NIMBLE)
    environment = {**operator.environment(), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    child = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True
    )
    os.close(follower)
    shown, typed, end = b"", False, time.monotonic() + LIMIT
    try:
        while time.monotonic() < end:
            ready, _, _ = select.select([leader], [], [], 0.2)
            if ready:
                try:
                    shown += os.read(leader, 65536)
                except OSError:  # what a terminal says when nobody is left in it
                    break
            if not typed and any(bar.encode() in shown for bar in "▁▂▃▄▅▆▇█"):
                typed = True
                if keys == b"\x03":
                    child.send_signal(signal.SIGINT)
                else:
                    os.write(leader, keys)
        return child.wait(LIMIT), shown.decode(errors="replace")
    finally:
        child.kill()
        child.wait()
        os.close(leader)


@pytest.mark.parametrize(("keys", "code"), [(b"q", 0), (b"\x03", 130)])
def test_in_a_terminal_it_is_live_and_ends_with_a_summary(pair: Operator, keys: bytes, code: int) -> None:
    ended, shown = in_a_terminal(pair, keys)
    assert ended == code, shown[-2000:]
    assert "p0 → r0" in shown
    assert "markers arrived" in shown
    assert "lag: min" in shown


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_ten_minutes_with_flat_memory(pair: Operator) -> None:
    minutes = float(os.environ.get("CCR_AVN_WATCH_MINUTES", "10"))
    with watching(pair, "--interval", "0.5", "--data-timeout", "1", "--listen", "0") as running:
        began, after_the_first = time.monotonic(), 0
        while time.monotonic() - began < minutes * 60:
            befall(pair, running)
            calm = time.monotonic()
            running.until(lambda _: time.monotonic() - calm > 5, "a calm")  # noqa: B023 (used at once)
            if not after_the_first and time.monotonic() - began >= min(60, minutes * 30):
                after_the_first = resident(running.child.pid)
        growth = resident(running.child.pid) - after_the_first
        code, told = running.end()
    assert code == 130
    assert told["summary"]["events"] > 6
    assert growth < 5 * 1024 * 1024, f"{growth} bytes more than after the first minute"
