"""Which pairs there are and how they stand, from plain values; and the formats that tell it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ccr_avn import units
from ccr_avn.errors import Refused
from ccr_avn.files import PUBLIC, replace_file
from ccr_avn.monitoring import nagios, prometheus
from ccr_avn.monitoring.collect import Look, Looks
from ccr_avn.monitoring.health import overall, pair_statuses
from ccr_avn.monitoring.pairs import chosen
from ccr_avn.monitoring.status import Known, PairStatus
from ccr_avn.output import tables
from ccr_avn.valkey.replication import ReplicationInfo
from tests.support.factories import listed, row, service, side

NOW = datetime(2026, 8, 2, 12, tzinfo=UTC)
STRICT = Known(now=NOW, warn=500, crit=5000)


def backup(hours: float) -> dict[str, Any]:
    return {"backup_name": "b", "backup_time": (NOW - timedelta(hours=hours)).isoformat()}


def one(
    looks: Looks | None, *, known: Known | None = None, primary: dict[str, Any] | None = None, **more: Any
) -> PairStatus:
    """The pair eu/us with these looks."""
    shared = row("eu", "us", **more)
    pairs = listed(service("eu", shared, **(primary or {"backups": [backup(2)]})), service("us", shared))
    [standing] = pair_statuses(pairs, looks, known or Known(now=NOW))
    return standing


def both(primary: ReplicationInfo | None, replica: ReplicationInfo | None) -> Looks:
    return {"eu": Look(side=primary), "us": Look(side=replica)}


FINE = both(side("master", 1000), side("slave", 900))


def test_pairs_come_from_rows_in_either_direction() -> None:
    shared, other = row("eu", "us"), row("eu", "asia")
    pairs = listed(
        service("us", shared),
        service("eu", shared, other),
        service("asia"),
        service("alone"),
        service("pg1", service_type="pg"),
    )
    assert [pair.name for pair in pairs] == ["alone", "eu/asia", "eu/us"]


def test_what_is_not_enabled_or_of_another_kind_makes_no_pair() -> None:
    pairs = listed(service("a", row("a", "b", enabled=False), row("a", "b", integration_type="metrics")), service("b"))
    assert [pair.name for pair in pairs] == ["a", "b"]


def test_a_replica_whose_primary_is_gone_is_still_a_pair() -> None:
    pairs = listed(service("us", row("eu", "us")))
    assert pairs[0].name == "eu/us"
    [standing] = pair_statuses(pairs, None, Known(now=NOW))
    assert standing.health == "critical"
    assert standing.as_dict()["primary"]["state"] == "gone"


def test_names_choose_and_unknown_ones_are_refused() -> None:
    shared = row("eu", "us")
    pairs = listed(service("eu", shared), service("us", shared), service("alone"))
    assert [pair.name for pair in chosen(pairs, ("us",))] == ["eu/us"]
    assert chosen(pairs, ()) == pairs
    with pytest.raises(Refused, match="nope"):
        chosen(pairs, ("eu", "nope"))


def test_a_pair_that_is_fine() -> None:
    standing = one(FINE)
    assert (standing.health, standing.link, standing.lag_bytes, standing.last_io_seconds) == ("ok", "up", 100, 1)
    assert standing.backup_age == 7200
    assert standing.exposure == ("single node", "termination protection off (eu, us)")


def test_without_the_data_plane_nothing_is_said_of_it() -> None:
    standing = one(None)
    assert (standing.health, standing.link, standing.lag_bytes) == ("ok", "-", None)


@pytest.mark.parametrize(
    ("looks", "health", "link", "reason"),
    [
        (both(side("master", 9), side("slave", 9, link_status="down", link_down_seconds=7)), "critical", "down", "7 s"),
        (both(side("master", 9), side("slave", 9, sync_in_progress=True)), "warning", "syncing", "full sync"),
        (both(side("master", 9), side("master", 9, run_id="x")), "critical", "no primary", "no primary"),
        (both(side("master", 9), side("master", 9)), "critical", "same server", "the same server"),
        (both(side("slave", 9, run_id="x"), side("slave", 9)), "critical", "not a primary", "itself a replica"),
        (
            both(side("master", 9, replid="b" * 40), side("slave", 9)),
            "critical",
            "different replication ID",
            "replication ID",
        ),
        ({"eu": Look(trouble="timed out"), "us": Look(side=side("slave", 9))}, "critical", "up, primary unknown", "eu"),
        ({"eu": Look(side=side("master", 9)), "us": Look(trouble="no", ours=True)}, "unknown", "unknown", "us: no"),
        (both(side("master", 5000), side("slave", 0)), "critical", "up", "5000 bytes behind"),
        (both(side("master", 500), side("slave", 0)), "warning", "up", "500 bytes behind"),
        (both(side("master", 5), side("slave", 9)), "ok", "up", ""),
        (both(side("master", 9, paused_seconds=17.0), side("slave", 9)), "warning", "up", "eu are paused, for 17.0 s"),
        (both(side("master", 9, paused_seconds=0.0), side("slave", 9)), "ok", "up", ""),
    ],
)
def test_verdicts(looks: Looks, health: str, link: str, reason: str) -> None:
    standing = one(looks, known=STRICT)
    assert (standing.health, standing.link) == (health, link)
    assert reason in " ".join(standing.reasons)


def test_states_and_integrations_count() -> None:
    assert one(FINE, primary={"state": "POWEROFF"}).health == "critical"
    assert one(FINE, primary={"state": "REBUILDING"}).health == "warning"
    assert one(FINE, active=False).health == "warning"


def test_exposure_of_backups() -> None:
    assert "no backup" in one(FINE, primary={"backups": []}).exposure
    assert "no recent backup" in one(FINE, primary={"backups": [backup(31)]}).exposure
    assert one(FINE, primary={"backups": [backup(31), backup(1)], "node_count": 2}).exposure == (
        "termination protection off (eu, us)",
    )


def test_a_service_alone_is_exposed_and_nothing_to_judge_however_it_was_asked_for() -> None:
    pairs = listed(service("alone"))
    [standing] = pair_statuses(pairs, {}, Known(now=NOW))
    assert (standing.health, standing.standing, standing.exposure[0]) == ("ok", "single", "no replica")
    assert overall((standing,)) == "unknown"
    assert pair_statuses(chosen(pairs, ("alone",)), {}, Known(now=NOW)) == (standing,)


def test_unknown_outweighs_a_warning_and_nothing_is_unknown() -> None:
    warning = one(both(side("master", 9), side("slave", 9, sync_in_progress=True)))
    unknown = one({"eu": Look(trouble="x", ours=True), "us": Look(side=side("slave", 1))})
    assert overall((warning, unknown)) == "unknown"
    assert overall(()) == "unknown"


def test_nagios_has_one_line_and_the_codes_of_plugins() -> None:
    line, code = nagios.line_of((one(FINE, known=STRICT),))
    assert (line, code) == ("CCR OK - 1 pair OK | us_lag=100B;500;5000;0 us_last_io=1s;;;0", 0)
    down = one(both(side("master", 9), side("slave", 9, link_status="down")))
    line, code = nagios.line_of((down,) * 7)
    assert code == 2
    assert line.startswith("CCR CRITICAL - 7 of 7 not OK: eu/us: link down; ")
    assert "; and 2 more" in line
    assert nagios.line_of(()) == ("CCR UNKNOWN - there is no pair", 3)
    assert nagios.failure("a\nb | c") == "CCR UNKNOWN - a b / c"


def test_prometheus_text_is_what_its_own_parser_reads() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    shared, other = row("eu", "us"), row("eu", "asia")
    pairs = listed(service("eu", shared, other, backups=[backup(1)]), service("us", shared), service("asia", other))
    looks = {**FINE, "asia": Look(trouble="no answer")}
    text = prometheus.text_of(pair_statuses(pairs, looks, Known(now=NOW)), "p", now=1.5)
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    assert {one.labels.pop("project") for one in samples} == {"p"}
    found = {(one.name, *one.labels.values()): one.value for one in samples}
    assert len(found) == len(samples), "no sample twice"
    assert found["ccr_link_up", "eu", "us"] == 1
    assert found["ccr_link_up", "eu", "asia"] == 0
    assert found["ccr_lag_bytes", "eu", "us"] == 100
    assert found["ccr_up", "asia"] == 0
    assert found["ccr_replica_link_up", "us"] == 1
    assert found["ccr_backup_age_seconds", "eu"] == 3600
    assert found["ccr_status_timestamp_seconds",] == 1.5
    assert {name for name, *_ in found} <= set(prometheus.HELP)
    assert all(name.startswith("ccr_") for name in prometheus.HELP), "no name of another exporter's"


def test_the_files_of_two_projects_go_into_one_directory() -> None:
    """node_exporter drops a file that repeats a series, or says something else of a metric than another file does."""
    from prometheus_client.parser import text_string_to_metric_families

    found = (one(FINE), one(both(side("master", 9), None), active=False))
    families = [
        family
        for project in ("live", "test")
        for family in text_string_to_metric_families(prometheus.text_of(found, project, now=1.5))
    ]
    series = [(one.name, *sorted(one.labels.items())) for family in families for one in family.samples]
    assert len(set(series)) == len(series)
    assert len({(one.name, one.documentation, one.type) for one in families}) == len({one.name for one in families})


@pytest.mark.parametrize(
    ("looks", "code"),
    [
        (FINE, 0),
        (both(side("master", 9), side("slave", 9, sync_in_progress=True)), 1),
        (both(side("master", 9), side("master", 9)), 2),
        ({"eu": Look(side=side("master", 9)), "us": Look(trouble="no", ours=True)}, 3),
    ],
)
def test_the_value_of_a_health_is_its_exit_code(looks: Looks, code: int) -> None:
    text = prometheus.text_of((one(looks),), "p")
    assert f'ccr_health{{primary="eu",project="p",replica="us"}} {code}.0' in text
    assert f'ccr_status_health{{project="p"}} {code}.0' in text
    assert nagios.line_of((one(looks),))[1] == code


def test_a_file_for_all_is_replaced_at_one_stroke(tmp_path: Path) -> None:
    target = tmp_path / "ccr.prom"
    target.write_text("old")
    target.chmod(0o600)
    replace_file(target, "new\n", PUBLIC)
    assert target.read_text() == "new\n"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["ccr.prom"]
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "no" / "where.prom", "x")


def test_a_link_stays_one_and_who_reads_what_it_points_to_reads_the_new(tmp_path: Path) -> None:
    target, link = tmp_path / "current.env", tmp_path / "app.env"
    target.write_text("old")
    link.symlink_to(target)
    replace_file(link, "new\n")
    assert (link.is_symlink(), target.read_text()) == (True, "new\n")
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    replace_file(circle, "new\n")
    assert circle.read_text() == "new\n"


def test_the_table_is_short() -> None:
    standing = one(FINE)
    [head, cells] = tables.rows((standing,))
    assert len(head) == len(cells)
    assert dict(zip(head, cells, strict=True))["BACKUP"] == "2 h"
    assert tables.troubles((standing,)) == []
    assert (units.format_bytes(None), units.format_bytes(10), units.format_bytes(2048)) == ("-", "10 B", "2.0 KiB")
    assert units.format_bytes(3 * 1024**4) == "3.0 TiB"
    assert (units.format_age(None), units.format_age(30), units.format_age(200), units.format_age(10**6)) == (
        "-",
        "30 s",
        "3 min",
        "12 d",
    )
