"""`watch` as somebody leaves it running: what befalls the pair is shown and survived."""

import json
import os
import queue
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

from ccr_avn.monitoring.probe import TTL
from ccr_avn.valkey.marker import WATCH
from tests.support.operator import Make, Operator, in_its_form
from tests.support.pairs import add_pairs
from tests.support.terminal import in_a_terminal
from tests.support.wait import until

QUICK = {"build_seconds": 0.0, "backup_seconds": 0.0}
NIMBLE = ("--interval", "0.1", "--data-timeout", "1")
LIMIT = 60.0
"""Seconds for whatever is waited for: a busy machine must not reach it."""


class Lines:
    """What a stream says, line by line, read as it comes; None at its end."""

    def __init__(self, stream: Any) -> None:
        self.seen: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def until(self, wanted: Callable[[str], bool], what: str) -> str:
        """The next line that is as wanted."""
        end = time.monotonic() + LIMIT
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            assert line is not None, f"ended before {what}; last: {self.seen[-5:]}"
            self.seen.append(line)
            if wanted(line):
                return line
        raise AssertionError(f"not seen within {LIMIT:g} s: {what}; last: {self.seen[-5:]}")

    def _read(self, stream: Any) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(None)


class Running:
    """A `watch` whose lines are read as they come."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        self.child = child
        self.lines, self.notes = Lines(child.stdout), Lines(child.stderr)

    def until(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The next sample that is as wanted."""
        line = self.lines.until(lambda line: wanted(json.loads(line)), what)
        in_its_form(line)
        told: dict[str, Any] = json.loads(line)
        return told

    def event(self, text: str) -> dict[str, Any]:
        return self.until(lambda told: any(text in event for event in told.get("events", ())), text)

    def fine(self) -> dict[str, Any]:
        return self.until(lambda told: told.get("link") == "up" and bool(told["arrived"]), "link up, marker arrived")

    def unproven(self, trouble: str, above: float) -> dict[str, Any]:
        """A sample with this trouble, when nothing has arrived for that many milliseconds."""

        def wanted(told: dict[str, Any]) -> bool:
            known = trouble in f"link {told.get('link')}: {told.get('primary_trouble')}"
            return known and not told["arrived"] and (told.get("lag_ms") or 0) > above

        return self.until(wanted, f"{trouble}, and nothing arrived for {above:g} ms")

    def events(self) -> list[str]:
        """All that were told so far."""
        return [event for line in self.lines.seen for event in json.loads(line).get("events", ())]

    def end(self, number: int = signal.SIGINT) -> tuple[int, dict[str, Any]]:
        self.child.send_signal(number)
        summary = self.until(lambda told: "summary" in told, "the summary")
        return self.child.wait(LIMIT), summary


@contextmanager
def watching(operator: Operator, *words: str, **environment: str) -> Iterator[Running]:
    child = operator.start("ccr-avn", "watch", "p0", "r0", *words, **environment)
    running = Running(child)
    try:
        yield running
    finally:
        child.kill()
        child.wait()
        for lines in (running.lines, running.notes):
            lines.thread.join(LIMIT)
        for stream in (child.stdout, child.stderr):
            assert stream
            stream.close()


@pytest.fixture
def pair(make: Make) -> Operator:
    return add_pairs(make(**QUICK), 1)


def marker(operator: Operator) -> tuple[int, int]:
    """The newest marker's time and remaining milliseconds, as the replica has it."""
    with operator.sandbox.servers.admin("r0") as client:
        stamps = [int(one.partition(b":")[0]) for one in client.hgetall(WATCH).values()]
        return max(stamps, default=0), int(client.pttl(WATCH))


def befall(operator: Operator, running: Running) -> None:
    """Whatever may befall a pair, one after the other."""
    servers = operator.sandbox.servers
    running.fine()
    servers.restart("p0")
    running.event("primary was restarted")
    running.fine()
    servers.freeze("p0")
    running.unproven("p0 (127.0.0.1", above=100)
    servers.heal("p0")
    running.event("primary answers again")
    running.fine()
    servers.isolate("p0")
    running.event("link down")
    servers.heal("p0")
    running.fine()
    servers.cut_replication("r0")
    running.unproven("link down", above=500)
    servers.heal("r0")
    running.fine()


def test_what_befalls_a_pair_is_shown_and_survived(pair: Operator) -> None:
    with watching(pair, *NIMBLE) as running:
        first = running.fine()
        assert first["schema"] == "ccr-avn/1"
        assert (first["primary_state"], first["replica"]["role"]) == ("RUNNING", "slave")
        befall(pair, running)
        asked = int(time.time() * 1000)
        until(lambda: marker(pair)[0] >= asked, "a marker that was written after this")
        value, left = marker(pair)
        assert asked <= value <= time.time() * 1000
        assert 0 < left <= TTL * 1000
        code, told = running.end()
    assert code == 130
    summary = told["summary"]
    assert summary["lag_ms"]["min"] < summary["lag_ms"]["max"]
    assert summary["events"] >= 6
    until(lambda: marker(pair)[0] == 0, "the marker to be taken away, on the replica too")


def test_a_fence_is_told_apart_from_a_server_that_hangs(pair: Operator) -> None:
    with watching(pair, *NIMBLE) as running:
        running.fine()
        with pair.sandbox.servers.admin("p0") as client:
            client.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
            told = running.event("writes are paused")
            assert told["primary"]["role"] == "master"
            client.execute_command("CLIENT", "UNPAUSE")
        running.event("writes succeed again")
        running.fine()


def test_a_promotion_is_shown(pair: Operator) -> None:
    with watching(pair, *NIMBLE, "--state-interval", "0.2") as running:
        running.fine()
        pair.sandbox.platform.delete_integration(next(iter(pair.sandbox.platform.rows)))
        told = running.event("promoted")
        assert told["link"] == "no primary"
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
    done = pair.ends(0, "watch", "p0", "r0", *NIMBLE, "--until-lag-below", "1000000", "--for", "10m")
    assert json.loads(done.out.splitlines()[-1])["ended"] == "reached"
    pair.sandbox.servers.cut_replication("r0")
    pair.ends(
        5, "watch", "p0", "r0", *NIMBLE, "--until-lag-below", "50ms", "--for", "0.5", says="did not fall below 50 ms"
    )
    just = pair.ends(0, "watch", "p0", "r0", *NIMBLE, "--for", "0.3s")
    assert json.loads(just.out.splitlines()[-1])["ended"] == "time is up"


def test_with_tls(make: Make, tls_options: dict[str, Path]) -> None:
    operator = add_pairs(make(**QUICK, **tls_options), 1)
    with watching(operator, *NIMBLE, "--ca-file", str(tls_options["tls_ca"])) as running:
        running.fine()
        with operator.sandbox.servers.admin("p0") as client:
            client.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
            running.event("writes are paused")
            client.execute_command("CLIENT", "UNPAUSE")
        running.event("writes succeed again")
        running.fine()


def test_an_idle_pair_has_no_writes(pair: Operator) -> None:
    with watching(pair, *NIMBLE) as running:
        first = running.until(lambda told: told["arrived"] and told["write_rate"] is not None, "a rate")
        later = running.until(lambda told: told["primary"]["offset"] >= first["primary"]["offset"] + 500, "markers")
        assert (first["write_rate"], later["write_rate"]) == (0, 0), "its own markers are none"
        with pair.sandbox.servers.admin("p0") as client:
            client.set("somebody", "writes" * 1000)
        running.until(lambda told: (told["write_rate"] or 0) > 1000, "the write of somebody else")


def test_an_alert_starts_a_command_once(pair: Operator, tmp_path: Path) -> None:
    notes = tmp_path / "alerts"
    command = f"sh -c 'echo $CCR_PRIMARY $CCR_REPLICA $CCR_LINK >> {notes}; exit 7'"
    with watching(pair, *NIMBLE, "--alert-lag", "2000", "--alert-command", command) as running:
        running.fine()
        pair.sandbox.servers.cut_replication("r0")
        running.event("alert: lag")
        running.event("failed with exit code 7")
        pair.sandbox.servers.heal("r0")
        running.event("alert over")
        alerts = [event for event in running.events() if event.startswith("alert: lag")]
    assert "p0 r0 down" in notes.read_text().splitlines()
    assert len(notes.read_text().splitlines()) <= len(alerts)


def test_metrics_on_loopback(pair: Operator) -> None:
    with watching(pair, *NIMBLE, "--listen", "0") as running:
        url = running.notes.until(lambda line: line.startswith("metrics:"), "the address").split()[1]
        assert url.startswith("http://127.0.0.1:")
        running.fine()
        lines = until(lambda: [line for line in scraped(url) if line == UP] and scraped(url), "a good sample")
        code, _ = running.end(signal.SIGTERM)
    assert code == 143
    for name in ("ccr_up{", "ccr_marker_lag_seconds{", "ccr_last_verified_timestamp_seconds{", "ccr_primary_offset"):
        assert any(line.startswith(name) for line in lines), name


UP = 'ccr_link_up{primary="p0",project="sandbox",replica="r0"} 1.0'


def scraped(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:
        return str(answer.read().decode()).splitlines()


def test_in_a_terminal_it_is_live_and_ends_with_a_summary(pair: Operator) -> None:
    ended, shown = in_a_terminal(pair, "watch", "p0", "r0", *NIMBLE, when="[▁▂▃▄▅▆▇█]", answer="\x03")
    assert ended == 130, shown[-2000:]
    assert "p0 → r0" in shown
    assert "markers arrived" in shown
    assert "lag: min" in shown


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_its_memory_is_flat(pair: Operator) -> None:
    minutes = float(os.environ.get("CCR_AVN_WATCH_MINUTES", "2"))
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
