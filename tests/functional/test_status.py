"""`status` as somebody types it, on pairs that are well and on pairs that are not."""

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

from tests.support.operator import Make, Operator, ended
from tests.support.pairs import add_pairs
from tests.support.wait import until
from tests.support.whole import gone


def counting_avn(operator: Operator, home: Path) -> tuple[str, Path]:
    """An avn that notes each time it is started."""
    real = shutil.which("avn", path=operator.environment()["PATH"])
    program, notes = home / "counted" / "avn", home / "calls"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {notes}\nexec {real} "$@"\n')
    program.chmod(0o755)
    return str(program), notes


def asked(notes: Path) -> int:
    """How often Aiven was; an avn that does not show its version has to tell it, which is local."""
    return sum(line != "--version" for line in notes.read_text().splitlines())


def test_pairs_well_and_ill(make: Make, tmp_path: Path) -> None:
    operator = add_pairs(make(), 4)
    operator.sandbox.platform.create({"service_type": "valkey", "service_name": "alone", "plan": "startup-4"})
    avn, notes = counting_avn(operator, tmp_path)
    servers = operator.sandbox.servers
    servers.kill("r1")
    servers.cut_replication("r2")
    found = json.loads(operator.ends(0, "status", "--json", "--avn", avn).out)["result"]["pairs"]
    pairs: dict[str, Any] = {pair["replica"]: pair for pair in found if pair["replica"]}
    assert asked(notes) == 1
    assert {name: pair["health"] for name, pair in pairs.items()} == {
        "r0": "ok",
        "r1": "critical",
        "r2": "critical",
        "r3": "ok",
    }
    assert pairs["r0"]["link"] == "up"
    assert pairs["r0"]["lag_bytes"] == 0
    assert "single node" in pairs["r0"]["exposure"]
    assert pairs["r2"]["link"] == "down"
    operator.ends(0, "fence", "p3", "--ttl", "120")
    table = operator.ends(0, "status")
    assert re.search(
        r"^warning: p3/r3: writes on p3 are paused, for \d min \d\d s more, and then resume", table.out, re.MULTILINE
    )
    assert "no replica" in next(line for line in table.out.splitlines() if "alone" in line)
    assert "no drill in 90 days from this machine: " in table.out
    assert "AVNS_" not in table.out


def test_after_a_switchover_the_old_primary_is_watched(make: Make) -> None:
    operator = add_pairs(make(), 2)
    operator.ends(0, "switchover", "p1", "r1", "--yes")
    lost = operator.ends(1, "status", "--exit-code")
    assert "old primary, closed" in next(line for line in lost.out.splitlines() if " p1 " in line)
    assert "warning: r1: pair lost" in lost.out
    missing = operator.ccr("status", "--expect", "p0:r0", "--expect", "p1:r1", "--format", "nagios")
    assert (missing.code, "r1 was promoted from p1" in missing.out) == (2, True), missing.out
    operator.avn("service", "update", "p1", "-c", 'ip_filter=["0.0.0.0/0"]')
    opened = operator.ends(2, "status", "p1", "--exit-code")
    assert "p1 is an old primary" in opened.out


def test_its_time_limit_and_a_sigterm_end_it_as_unknown_with_the_avn_that_it_started(make: Make) -> None:
    """Nagios ends a check that takes too long, and shows what it has printed by then."""
    operator = make()
    avn, pids = operator.home / "avn", operator.home / "pids"
    avn.write_text(f"#!/bin/sh\necho $$ >> {pids}\nexec sleep 600\n")
    avn.chmod(0o755)
    over = operator.ccr("status", "--avn", str(avn), "--format", "nagios", "--timeout", "1")
    assert (over.code, over.out) == (3, "CCR UNKNOWN - the time limit of this run was reached (--timeout 1)\n")
    for words, code, out in (
        (("--format", "nagios"), 3, "CCR UNKNOWN - interrupted by SIGTERM\n"),
        (("--exit-code",), 3, ""),
        ((), 143, ""),
    ):
        pids.unlink()
        child = operator.start("ccr-avn", "status", "--avn", str(avn), *words)
        until(pids.exists, "avn to be started")
        child.send_signal(signal.SIGTERM)
        done = ended(child)
        assert (done.code, done.out) == (code, out), done.err
        until(lambda: all(gone(int(pid)) for pid in pids.read_text().split()), "avn to end")


def test_after_an_interrupted_promotion_nothing_is_ok(make: Make) -> None:
    operator = add_pairs(make(), 2)
    operator.sandbox.faults.add(kind="hang-after", method="DELETE", path="/integration/")
    child = operator.start_anew("ccr-avn", "switchover", "p0", "r0", "--yes")
    until(lambda: "r0" not in str(operator.sandbox.platform.rows), "the promotion")
    child.kill()
    ended(child)
    operator.sandbox.faults.clear()
    found = operator.ends(2, "status", "--format", "nagios")
    for part in ("p0 is an old primary", "writes on p0 are paused", "next: ccr-avn switchover p0 r0 --yes"):
        assert part in found.out
    elsewhere = operator.ends(1, "status", "--exit-code", CCR_AVN_STATE_DIR=str(operator.home / "another"))
    assert re.search(
        r"^warning: p0: writes on p0 are paused.*; p0 shares its history with r0: a fork, or",
        elsewhere.out,
        re.MULTILINE,
    )
    assert "\nnext: ccr-avn switchover p0 r0" in elsewhere.out
    operator.ends(0, "switchover", "p0", "r0", "--yes")
    assert "old primary, closed" in operator.ccr("status", "p0").out
    operator.sandbox.platform.find("r0").tags.clear()
    untagged = operator.ccr("status", "p0", "--exit-code")
    assert (untagged.code, "only a journal on this machine says that r0" in untagged.out) == (1, True), untagged.out
