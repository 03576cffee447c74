"""`watch` as somebody leaves it running: what befalls the pair is shown and survived."""

import json
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.monitoring.probe import TTL
from ccr_avn.valkey.marker import WATCH
from tests.support.operator import Make, Operator, Started, ended, in_its_form
from tests.support.pairs import add_pairs
from tests.support.terminal import in_a_terminal
from tests.support.wait import LIMIT, until

NIMBLE = ("--interval", "0.1", "--data-timeout", "1")


class Lines:
    """What is said into a file, line by line, as it comes."""

    def __init__(self, path: Path) -> None:
        self.seen: list[str] = []
        self._path = path

    def until(self, wanted: Callable[[str], bool], what: str) -> str:
        """The next line that is as wanted."""
        return until(lambda: self._next(wanted), what)

    def _next(self, wanted: Callable[[str], bool]) -> str:
        said = self._path.read_text().splitlines(keepends=True) if self._path.exists() else []
        for line in (one for one in said[len(self.seen) :] if one.endswith("\n")):
            self.seen.append(line)
            if wanted(line):
                return line
        return ""


class Running:
    """A `watch` whose lines are read as they come."""

    def __init__(self, child: Started, home: Path) -> None:
        self.child = child
        self.lines = Lines(home / "lines")

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
def watching(operator: Operator, *words: str) -> Iterator[Running]:
    typed = shlex.join(("ccr-avn", "watch", "p0", "r0", *words))
    child = operator.start("sh", "-c", f"exec {typed} >lines 2>notes")
    try:
        yield Running(child, operator.home)
    finally:
        child.kill()
        ended(child)


@pytest.fixture
def pair(make: Make) -> Operator:
    return add_pairs(make(), 1)


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


def test_in_a_terminal_it_is_live_and_ends_with_a_summary(pair: Operator) -> None:
    ended, shown = in_a_terminal(pair, "watch", "p0", "r0", *NIMBLE, when="[▁▂▃▄▅▆▇█]", answer="\x03")
    assert ended == 130, shown[-2000:]
    assert "p0 → r0" in shown
    assert "markers arrived" in shown
    assert "lag: min" in shown
