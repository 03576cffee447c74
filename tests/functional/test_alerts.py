"""docs/alerts.yml and docs/grafana.json on what a sandbox's outages really export, with Prometheus' own promtool."""

import json
import math
import re
import signal
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.monitoring.prometheus import HELP
from tests.support.operator import EU, Make, Operator, ended
from tests.support.pairs import add_pairs, add_service, client, follows
from tests.support.promtool import DOCS, Phase, fires, needed, promtool
from tests.support.wait import until

DAY = 24 * 60
SWITCH = ("--yes", "--poll-interval", "0.5")


def exported(operator: Operator, *words: str) -> str:
    return operator.ends(0, "status", "--format", "prometheus", "--data-timeout", "20", *words).out


def befall(operator: Operator) -> None:
    """p0 stays well; every other pair has an outage of its own, or was moved."""
    servers, platform = operator.sandbox.servers, operator.sandbox.platform
    servers.cut_replication("r1")
    servers.kill("r2")
    operator.avn("service", "update", "p3", "--power-off")
    operator.ends(0, "switchover", "p4", "r4", *SWITCH)
    operator.ends(0, "switchover", "p5", "r5", "--old-primary", "open", *SWITCH)
    operator.ends(0, "switchover", "p6", "r6", "--old-primary", "power-off", *SWITCH)
    add_service(operator, "n6", "startup-4", EU, source="r6")
    follows(operator, "n6")
    operator.avn("service", "terminate", "--force", "p7", "r7")
    with servers.admin("r8") as admin, client(operator, "p8", timeout=20) as primary:
        admin.execute_command("CLIENT", "PAUSE", "600000", "WRITE")  # it gets, and applies nothing
        primary.set("large", b"x" * 20_000_000)
    [row] = [row for row in platform.rows.values() if row.dest == "r9"]
    platform.rows[row.id] = replace(row, active_at=math.inf)


OF_THE_OUTAGES = {
    ("CcrLinkDown", "p1/r1/"),
    ("CcrDataPlaneSilent", "//r2"),
    ("CcrLinkDown", "p2/r2/"),
    ("CcrServiceNotRunning", "//p3"),
    ("CcrDataPlaneSilent", "//p3"),
    ("CcrLinkDown", "p3/r3/"),
    ("CcrPairLost", "p4/r4/"),
    ("CcrPairLost", "p5/r5/"),
    ("CcrOldPrimaryOpen", "//p5"),
    ("CcrPairGone", "p7/r7/"),
    ("CcrLagBytes", "p8/r8/"),
    ("CcrIntegrationInactive", "p9/r9/"),
    ("CcrStatusHealth", "//"),
}
"""Nothing of p0, and nothing of p6, which was moved, closed by powering it off, and has a new replica."""


@pytest.mark.slow
@needed
def test_each_rule_fires_on_its_outage_for_as_long_as_it_lasts_and_on_nothing_else(make: Make, tmp_path: Path) -> None:
    operator = add_pairs(make(), 10)
    well = exported(operator)
    befall(operator)
    ill = exported(operator)
    old = ('ccr_backup_age_seconds{aiven_service="p0"', 'ccr_backup_age_seconds{aiven_service="p6"')
    late = OF_THE_OUTAGES | {("CcrBackupOld", "//p0")}
    phases = (Phase(60, well), Phase(3 * DAY, ill, growing=old))
    fires(tmp_path, phases, {55: set(), 90: OF_THE_OUTAGES, 3 * DAY + 55: late})


@pytest.mark.slow
@needed
def test_a_pair_that_is_expected_and_gone_is_so_for_good(make: Make, tmp_path: Path) -> None:
    operator = add_pairs(make(), 1)
    well = exported(operator, "--expect", "p0:r0")
    operator.avn("service", "terminate", "--force", "p0", "r0")
    gone = exported(operator, "--expect", "p0:r0")
    lost = {("CcrPairLost", "p0/r0/"), ("CcrStatusHealth", "//")}
    fires(tmp_path, (Phase(60, well), Phase(8 * DAY, gone)), {55: set(), 70: lost, 8 * DAY + 55: lost})


@needed
def test_a_status_that_is_no_longer_run_or_collected_is_missed_in_each_project(make: Make, tmp_path: Path) -> None:
    one, other = (exported(add_pairs(make(project=name), 1)) for name in ("one", "other"))
    stale, absent, gone = ("CcrStatusStale", "//"), ("CcrStatusAbsent", "//"), ("CcrPairGone", "p0/r0/")
    hung = Phase(60, one, stopped=("ccr_status_timestamp_seconds",))
    fires(tmp_path, (Phase(60, one), hung, Phase(60, one)), {55: set(), 85: {stale}, 115: {stale}, 175: set()})
    phases = (Phase(60, one + other), Phase(60, other), Phase(60, one + other))
    fires(tmp_path, phases, {55: set(), 100: {absent, gone}, 115: {absent, gone}, 175: set()})
    fires(tmp_path, (Phase(60, "up 1"),), {5: set(), 55: {absent}})


def scraped(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def value(text: str, metric: str) -> float:
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(metric + "{")), math.nan)


def scraped_once(url: str, metric: str, above: float) -> str:
    return str(until(lambda: value(text := scraped(url), metric) > above and text, f"{metric} above {above}"))


def watched(operator: Operator) -> tuple[str, str]:
    """What `watch` exports while the pair is well, and once its link has been cut for some seconds."""
    child = operator.start("ccr-avn", "watch", "p0", "r0", "--interval", "0.1", "--data-timeout", "1", "--listen", "0")
    url = child.tells("metrics:").split("metrics: ")[1].split()[0]
    verified = "ccr_last_verified_timestamp_seconds"
    well = scraped_once(url, verified, 0)
    operator.sandbox.servers.cut_replication("r0")
    first, ill = (scraped_once(url, "ccr_marker_lag_seconds", above) for above in (1, 2))
    assert value(ill, verified) == value(first, verified), "nothing arrives"
    child.send_signal(signal.SIGTERM)
    ended(child)
    return well, ill


@pytest.fixture
def of_watch(make: Make) -> tuple[str, str]:
    return watched(add_pairs(make(), 1))


@needed
def test_the_rules_on_watch(of_watch: tuple[str, str], tmp_path: Path) -> None:
    well, ill = of_watch
    verified, sampled = "ccr_last_verified_timestamp_seconds", "ccr_sample_timestamp_seconds"
    cut = Phase(60, ill, growing=("ccr_marker_lag_seconds",), stopped=(verified,))
    hung = Phase(60, well, stopped=(verified, sampled))
    of_the_cut = {(name, "p0/r0/") for name in ("CcrMarkerLag", "CcrNothingVerified", "CcrLinkDown")}
    of_the_hang = {(name, "p0/r0/") for name in ("CcrWatchStale", "CcrNothingVerified")}
    no_status = {("CcrStatusAbsent", "//")}
    phases = (Phase(60, well), cut, Phase(60, well), hung)
    wanted = {
        55: set[tuple[str, str]](),
        70: of_the_cut,
        115: of_the_cut,
        175: set(),
        190: of_the_hang,
        235: of_the_hang,
    }
    fires(tmp_path, phases, {minute: found | no_status for minute, found in wanted.items()})


METRIC = re.compile(r"\bccr_\w+")


def expressions_of(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.slow
def test_rules_and_dashboard_name_metrics_that_are_exported(make: Make, of_watch: tuple[str, str]) -> None:
    operator = add_pairs(make(), 2)
    well = exported(operator)
    operator.ends(0, "switchover", "p1", "r1", *SWITCH)
    there = {line.split("{")[0] for line in "\n".join((well, exported(operator), *of_watch)).splitlines()}
    rules, board = (DOCS / "alerts.yml").read_text(), (DOCS / "grafana.json").read_text()
    for text in (rules, board):
        used = set(METRIC.findall(text))
        assert len(used) > 10
        assert used <= there
    assert there >= {name for name in HELP if "sync" not in name}, "and everything that is declared"


@needed
def test_the_dashboard_is_understood(tmp_path: Path) -> None:
    board = json.loads((DOCS / "grafana.json").read_text())
    declared = {one["name"] for one in board["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(board["panels"]))) == declared
    rules = [
        {"record": f"panel:{number}", "expr": text.replace("$project", ".*")}
        for number, text in enumerate(expressions_of(board))
    ]
    file = tmp_path / "expressions.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells)), "no panel covers another"
    assert max(x for x, _ in cells) < 24
