"""Which pairs there are and how they are, from plain values; and the formats that say it."""

from datetime import timedelta
from typing import Any

import pytest

from ccr_avn import clock, units
from ccr_avn.monitoring import prometheus, status
from ccr_avn.monitoring.collect import Look, Looks
from ccr_avn.monitoring.pairs import chosen
from ccr_avn.monitoring.status import PairStatus, overall
from ccr_avn.output import overview
from ccr_avn.printable import for_nagios
from ccr_avn.valkey.replication import ReplicationInfo
from tests.support.factories import listed, row, service, side
from tests.support.monitored import NOW, UNASKED, judged, metrics

STRICT = {"warn": 500, "crit": 5000}


def backup(hours: float) -> dict[str, Any]:
    return {"backup_name": "b", "backup_time": (NOW - timedelta(hours=hours)).isoformat()}


def one(looks: Looks, *, primary: dict[str, Any] | None = None, limits: Any = STRICT, **more: Any) -> PairStatus:
    """The pair eu/us with these looks."""
    shared = row("eu", "us", **more)
    pairs = listed(service("eu", shared, **(primary or {"backups": [backup(2)]})), service("us", shared))
    return judged(pairs, looks, **limits)["eu/us"]


def both(primary: ReplicationInfo | None, replica: ReplicationInfo | None) -> Looks:
    return {"eu": Look(side=primary), "us": Look(side=replica)}


FINE = both(side("master", 1000), side("slave", 900))
SYNCING = both(side("master", 9), side("slave", 9, sync_in_progress=True))
TWO_MASTERS = both(side("master", 9), side("master", 9, run_id="x"))
SILENT_HERE = {"eu": Look(side=side("master", 9)), "us": Look(trouble="no", ours=True)}


def test_pairs_come_from_rows_in_either_direction() -> None:
    shared, other = row("eu", "us"), row("eu", "asia")
    off, metric = row("a", "b", enabled=False), row("a", "b", integration_type="metrics")
    pairs = listed(
        service("us", shared),
        service("eu", shared, other),
        service("asia"),
        service("a", off, metric),
        service("b"),
        service("pg1", service_type="pg"),
    )
    assert [pair.name for pair in pairs] == ["a", "b", "eu/asia", "eu/us"]


def test_what_the_replica_says_of_its_row_counts() -> None:
    sides = service("eu", row("eu", "us")), service("us", row("eu", "us", active=False))
    for services in (sides, sides[::-1]):
        [pair] = listed(*services)
        assert pair.integration == "inactive"


def test_rows_that_say_less_than_they_should() -> None:
    hidden = judged(listed(service("us", row("x", "us", source_service=None))))["?/us"]
    assert (hidden.standing, hidden.health) == ("pair", "warning")
    unlisted = judged(listed(service("eu", row("eu", "us"))))["eu/us"]
    assert (unlisted.health, unlisted.reasons[0]) == ("critical", "us no longer exists")
    gone = judged(listed(service("us", row("eu", "us"))))["eu/us"]
    assert (gone.health, gone.as_dict()["services"][0]["state"]) == ("critical", "gone")


def test_a_namesake_of_a_primary_in_another_project_is_a_stranger() -> None:
    far = row("eu", "us", source_project="theirs", dest_project="ours")
    found = judged(listed(service("us", far), service("eu")), {"us": Look(side=side("slave"))})
    assert (found["eu/us"].health, found["eu/us"].link) == ("ok", "up, primary unknown")
    assert found["eu/us"].as_dict()["services"][0]["state"] == "elsewhere"
    assert found["eu/us"].pair.primary is None
    assert found["eu"].standing == "single"


def test_a_pair_that_is_fine() -> None:
    found = one(FINE)
    assert (found.health, found.link, found.lag_bytes, found.last_io_seconds) == ("ok", "up", 100, 1)
    assert found.backup_age == 7200
    assert found.exposure == ("single node", "termination protection off")
    unasked = one(UNASKED)
    assert (unasked.health, unasked.link, unasked.lag_bytes) == ("ok", "-", None)


@pytest.mark.parametrize(
    ("looks", "health", "link", "reason"),
    [
        (both(side("master", 9), side("slave", 9, link_status="down", link_down_seconds=7)), "critical", "down", "7 s"),
        (SYNCING, "warning", "syncing", "full sync"),
        (TWO_MASTERS, "critical", "no primary", "no primary"),
        (both(side("master", 9), side("master", 9)), "critical", "same server", "the same server"),
        (both(side("slave", 9, run_id="x"), side("slave", 9)), "critical", "not a primary", "itself a replica"),
        (
            both(side("master", 9, replid="b" * 40), side("slave", 9)),
            "critical",
            "different replication ID",
            "replication ID",
        ),
        ({"eu": Look(trouble="timed out"), "us": Look(side=side("slave", 9))}, "critical", "up, primary unknown", "eu"),
        (SILENT_HERE, "unknown", "unknown", "us: no"),
        (both(side("master", 5000), side("slave", 0)), "critical", "up", "5000 bytes behind"),
        (both(side("master", 500), side("slave", 0)), "warning", "up", "500 bytes behind"),
        (both(side("master", 5), side("slave", 9)), "ok", "up", ""),
        (both(side("master", 9, paused_seconds=17.0), side("slave", 9)), "warning", "up", "eu are paused, for 17.0 s"),
        (both(side("master", 9, paused_seconds=0.0), side("slave", 9)), "ok", "up", ""),
    ],
)
def test_verdicts(looks: Looks, health: str, link: str, reason: str) -> None:
    found = one(looks)
    assert (found.health, found.link) == (health, link)
    assert reason in " ".join(found.reasons)


def test_states_and_integrations_count() -> None:
    assert one(FINE, primary={"state": "POWEROFF"}).health == "critical"
    assert one(FINE, primary={"state": "REBUILDING"}).health == "warning"
    assert one(FINE, active=False).health == "warning"


def test_exposure_of_backups() -> None:
    assert "no backup" in one(FINE, primary={"backups": []}).exposure
    assert "no recent backup" in one(FINE, primary={"backups": [backup(31)]}).exposure
    assert one(FINE, primary={"backups": [backup(31), backup(1)], "node_count": 2}).exposure == (
        "termination protection off",
    )


def test_a_service_alone_is_exposed_and_nothing_to_judge_however_it_was_asked_for() -> None:
    pairs = listed(service("alone"))
    found = judged(pairs)["alone"]
    assert (found.health, found.standing, found.exposure[0]) == ("ok", "single", "no replica")
    assert overall((found,)) == overall(()) == "unknown"
    assert judged(chosen(pairs, ("alone",)))["alone"].as_dict() == found.as_dict()


def test_unknown_outweighs_a_warning() -> None:
    assert overall((one(SYNCING), one(SILENT_HERE))) == "unknown"


def test_nagios_has_one_line_and_the_codes_of_plugins() -> None:
    assert status.nagios_line((one(FINE),)) == ("CCR OK - 1 pair OK | us_lag=100B;500;5000;0 us_last_io=1s;;;0", 0)
    down = one(both(side("master", 9), side("slave", 9, link_status="down")))
    line, code = status.nagios_line((down,) * 7)
    assert code == 2
    assert line.startswith("CCR CRITICAL - 7 of 7 not OK: eu/us: link down; ")
    assert "; and 2 more" in line
    assert status.nagios_line(()) == ("CCR UNKNOWN - there is no pair", 3)
    assert for_nagios("a\nb | c") == "a b / c"


def test_prometheus_text_is_what_its_own_parser_reads() -> None:
    shared, other = row("eu", "us"), row("eu", "asia")
    pairs = listed(service("eu", shared, other, backups=[backup(1)]), service("us", shared), service("asia", other))
    found = metrics(judged(pairs, {**FINE, "asia": Look(trouble="no answer")}).values())
    assert found["ccr_link_up", "eu", "us"] == 1
    assert found["ccr_link_up", "eu", "asia"] == 0
    assert found["ccr_lag_bytes", "eu", "us"] == 100
    assert found["ccr_up", "asia"] == 0
    assert found["ccr_replica_link_up", "us"] == 1
    assert found["ccr_backup_age_seconds", "eu"] == 3600
    assert found["ccr_status_timestamp_seconds",] == pytest.approx(clock.now(), abs=3600)
    assert {name for name, *_ in found} <= set(prometheus.HELP)
    assert all(name.startswith("ccr_") for name in prometheus.HELP), "no name of another exporter's"


def test_the_files_of_two_projects_go_into_one_directory() -> None:
    """node_exporter drops a file that repeats a series, or says something else of a metric than another file does."""
    from prometheus_client.parser import text_string_to_metric_families

    found = (one(FINE), one(both(side("master", 9), None), active=False))
    families = [
        family
        for project in ("live", "test")
        for family in text_string_to_metric_families(prometheus.text_of(found, project))
    ]
    series = [(one.name, *sorted(one.labels.items())) for family in families for one in family.samples]
    assert len(set(series)) == len(series)
    assert len({(one.name, one.documentation, one.type) for one in families}) == len({one.name for one in families})


@pytest.mark.parametrize(("looks", "code"), [(FINE, 0), (SYNCING, 1), (TWO_MASTERS, 2), (SILENT_HERE, 3)])
def test_the_value_of_a_health_is_its_exit_code(looks: Looks, code: int) -> None:
    found = metrics((one(looks),))
    assert (
        found["ccr_health", "eu", "us"] == found["ccr_status_health",] == status.nagios_line((one(looks),))[1] == code
    )


def test_the_worst_pair_comes_first_in_the_table_and_below_it() -> None:
    lines = overview.shown((one(FINE), one(TWO_MASTERS), one(SYNCING), one(SILENT_HERE)), {}).splitlines()
    healths = ["critical", "unknown", "warning", "ok"]
    assert [line.split()[0] for line in lines[:5]] == ["HEALTH", *healths]
    assert [line.split(":")[0] for line in lines[5:] if not line.startswith("next")][:3] == healths[:3]


def test_amounts_are_short() -> None:
    assert [units.format_bytes(one) for one in (None, 10, 2048, 3 * 1024**4)] == ["-", "10 B", "2.0 KiB", "3.0 TiB"]
    assert [units.format_age(one) for one in (None, 30, 200, 10**6)] == ["-", "30 s", "3 min", "12 d"]
    seconds = (0, 0.0424, 1.25, 61.2, 7260)
    assert [units.format_duration(one) for one in seconds] == ["< 1 ms", "42 ms", "1.2 s", "1 min 01 s", "2 h 01 min"]
