"""The rules, as plain values in and findings out."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ccr_avn.aiven import lineage, models
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import Origin, Recorded
from ccr_avn.errors import Unreachable
from ccr_avn.plan.model import Finding
from ccr_avn.procedures import steps as checks
from ccr_avn.procedures.enable import confirm_backup
from ccr_avn.procedures.gates import links, pair, services
from ccr_avn.procedures.gates import pair_state as states
from ccr_avn.procedures.gates.links import Rejections, as_compared
from ccr_avn.procedures.gates.pair_state import PairState, pair_state
from ccr_avn.procedures.seen import Seen, Sides
from ccr_avn.procedures.setting import Journals, Setting
from ccr_avn.procedures.steps import health_of
from ccr_avn.procedures.verb import OldPrimaryAction, SwitchoverOptions
from ccr_avn.procedures.verify import link_step
from ccr_avn.valkey.diagnose import Answered
from ccr_avn.valkey.marker import MarkerResult
from ccr_avn.valkey.replication import NO_HISTORY, Link, ReplicationInfo
from ccr_avn.valkey.server_facts import Databases
from tests.support.factories import fact, journals, row, seen_of, side

P = Project("p")
ONE, TWO = "a" * 40, "b" * 40
NOW = 1_800_000_000.0


Told = dict[str, Any]
Services = tuple[models.Service, ...]


def service(name: str, **more: Any) -> models.Service:
    return fact(name, **{"plan": "business-4", "cloud_name": "c", "create_time": "2026-08-01T09:00:00Z", **more})


def integrations(*rows: Told) -> tuple[models.Integration, ...]:
    return models.integrations(json.dumps(rows))


def following(**more: Any) -> ReplicationInfo:
    return side(**{"role": "slave", "link_status": "up", "last_io_seconds": 0, **more})


def looked(**more: Any) -> Sides:
    return Sides(**{"state": PairState(state="following"), **more})


@pytest.mark.parametrize(
    ("replica", "verdict"),
    [
        (following(), "go"),
        (following(link_status="down", link_down_seconds=5), "wait"),
        (following(sync_in_progress=True), "wait"),
        (following(replid=TWO), "wait"),
        (side(run_id="other"), "wait"),
        (side(), "stop"),  # both addresses lead to the primary
        (following(run_id="r"), "stop"),  # and both to the replica, or the one node that is left
    ],
)
def test_a_link_is_up_or_waited_for(replica: ReplicationInfo, verdict: str) -> None:
    link = Link(primary=side(offset=150), replica=replica)
    assert links.judge_link(link).verdict == verdict
    assert link.lag_bytes == 50


def lag_of_50(most: int | None, verdict: str) -> Any:
    link = Link(primary=side(offset=150), replica=following())
    return (links.replicates(link, link.primary, "eu", "us", Rejections(), most), verdict)


def active(verdict: str, *rows: Told) -> Any:
    return (services.is_active(integrations(*rows), "eu", "us"), verdict)


def running(state: str, verdict: str) -> Any:
    return (services.is_running(P, service("eu", state=state)), verdict)


def markers(arrived: int, **more: Any) -> Finding:
    return links.markers_arrive(MarkerResult(samples=3, lag_ms=(1.0,) * arrived, **more))


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        lag_of_50(None, "go"),
        lag_of_50(50, "go"),
        lag_of_50(49, "wait"),
        (markers(3), "go"),
        (markers(2), "stop"),
        active("wait"),
        active("wait", row("eu", "us", active=False)),
        active("go", row("eu", "us")),
        active("wait", row("x", "us")),
        running("RUNNING", "go"),
        running("REBALANCING", "go"),
        running("REBUILDING", "wait"),
        running("POWEROFF", "stop"),
    ],
)
def test_a_gate_judges_what_was_read(finding: Finding, verdict: str) -> None:
    assert finding.verdict == verdict
    assert finding.hint or verdict != "stop"


@pytest.mark.parametrize(
    ("primary", "replica", "told"),
    [
        (side(), side(), "the same server"),
        (following(run_id="r"), following(run_id="r"), "the same server"),
        (following(run_id="x"), side(replid=TWO, replid2=ONE, second_offset=101), "is itself a replica"),
    ],
)
def test_addresses_that_lead_elsewhere_prove_no_promotion(
    primary: ReplicationInfo, replica: ReplicationInfo, told: str
) -> None:
    """Whatever a record says of the services: these are not their servers."""
    found = judged(looked(primary=primary, replica=replica), **journal())
    assert (found.verdict, told in found.reason) == ("stop", True)


def test_a_primary_that_is_a_replica_is_none() -> None:
    """Its address may lead to its own replica, whose replication ID is the same."""
    found = links.judge_link(Link(primary=following(run_id="x"), replica=following()))
    assert (found.verdict, "is itself a replica" in found.reason) == ("wait", True)


@pytest.mark.parametrize(
    ("rejected", "rejections", "verdict", "warned"),
    [
        (0, Rejections(), "go", False),
        (1, Rejections(), "stop", False),
        (1, Rejections(allowed=False), "stop", False),
        (1, Rejections(allowed=True), "go", True),
        (3, Rejections(compared=lambda _: {("f", ONE, 3)}), "go", True),
        (4, Rejections(compared=lambda _: {("f", ONE, 3)}), "stop", False),  # one more since
        (3, Rejections(compared=lambda _: {("x", ONE, 3)}), "stop", False),  # started again since
        (3, Rejections(compared=lambda _: {("f", TWO, 3)}), "stop", False),  # of another history
        (3, Rejections(compared=lambda name: {("f", ONE, 3)} if name == "asia" else ()), "stop", False),
        (None, Rejections(compared=lambda _: {("f", ONE, 0)}), "stop", False),  # it does not report it
        (None, Rejections(allowed=True), "go", True),
    ],
)
def test_what_a_replica_rejected_is_missing_until_it_is_compared(
    rejected: int | None, rejections: Rejections, verdict: str, warned: bool
) -> None:
    replica = following(rejected=rejected, errors=("ERR (3)",))
    link = Link(primary=side(offset=150), replica=replica)
    found = links.replicates(link, link.primary, "eu", "us", rejections, None)
    assert (found.verdict, bool(found.warnings)) == (verdict, warned)
    assert judged(looked(primary=side(offset=150), replica=replica), rejections=rejections).verdict == verdict
    if verdict == "stop":
        assert "verify eu us --level values" in found.hint
        assert ("--allow-rejected-commands" in found.hint) == (rejections.allowed is not None)
        assert "ERR (3)" in found.detail
        assert "rejected" in found.reason


@pytest.mark.parametrize(
    ("keyspace", "offset", "allowed", "verdict"),
    [
        (((0, 3), (5, 1)), 100, None, "go"),
        (((5, 1), (0, 3)), 100, None, "go"),
        (((0, 3),), 100, None, "stop"),
        (((0, 3), (5, 2)), 100, False, "stop"),
        (((0, 3), (5, 2)), 100, True, "go"),
        (((0, 3), (5, 1)), 101, None, "stop"),
        (((0, 3), (5, 1)), 101, True, "stop"),  # that nothing can be said is not what was allowed
    ],
)
def test_at_equal_offsets_both_hold_as_many_keys(
    keyspace: Any, offset: int, allowed: bool | None, verdict: str
) -> None:
    before, replica = side(keyspace=((0, 3), (5, 1))), following(keyspace=keyspace, offset=offset)
    found = Rejections(allowed=allowed).judge_keys(before, replica, "eu", "us")
    assert found.verdict == verdict
    assert bool(found.warnings) == bool(allowed and verdict == "go")


def test_a_comparison_proves_nothing_of_a_count_that_is_not_reported() -> None:
    assert (as_compared(following(rejected=7)), as_compared(following(rejected=None))) == (("f", ONE, 7), None)


@pytest.mark.parametrize(("version", "hinted"), [("9.0.4", True), ("9.1.1", False), ("9.1.2", False), ("9.2.0", False)])
def test_an_older_replica_is_not_told_to_wait_longer(version: str, hinted: bool) -> None:
    found = links.judge_link(Link(primary=side(), replica=following(version=version, link_status="down")))
    assert found.verdict == "wait"
    assert ("valkey_version=9.1" in found.hint) is hinted
    assert ("older than its primary's 9.1.2" in found.reason) is hinted


@pytest.mark.parametrize(("skew", "told"), [(0.9, ""), (120.0, "120.0 s ahead"), (-2.0, "2.0 s behind")])
@pytest.mark.parametrize("arrived", [3, 0])
def test_clocks_that_differ_are_told_with_the_markers(skew: float, told: str, arrived: int) -> None:
    finding = markers(arrived, skew=skew)
    said = " ".join(finding.warnings) if arrived else finding.detail
    assert told in said
    assert bool(said) == bool(told)


def databases(**more: Any) -> Databases:
    return Databases(**{"used": (0, 100), "refused": (), "primary": 200, "replica": 200, **more})


@pytest.mark.parametrize(
    ("found", "verdict", "told"),
    [
        (databases(), "go", "0, 100"),
        (databases(used=()), "go", "none"),
        (databases(refused=((100, "ERR DB index is out of range"),)), "stop", "redis_number_of_databases=200"),
        (databases(refused=((100, "ERR DB index is out of range"),), primary=0), "stop", "number_of_databases=101"),
        (databases(refused=((100, "NOPERM no permissions to run SELECT"),)), "stop", "user-list us"),
    ],
)
def test_a_replica_has_every_database_in_use(found: Databases, verdict: str, told: str) -> None:
    finding = links.has_every_database(found, service("eu", service_type="redis"), "us")
    assert finding.verdict == verdict
    assert told in f"{finding.reason} {finding.hint}"
    assert not finding.warnings


WISH = services.Wanted(name="eu", cloud="c")
REPLICA_WISH = services.Wanted(name="us", of=WISH, plan="startup-4", cloud="d")


@pytest.mark.parametrize(
    ("found", "wish", "verdict"),
    [
        (None, {}, "todo"),
        (None, {"cloud": None}, "stop"),
        ({}, {}, "go"),
        ({}, {"type": "redis"}, "stop"),
        ({}, {"plan": "business-8"}, "stop"),
        ({}, {"cloud": "d"}, "stop"),
        ({"service_type": "pg"}, {}, "stop"),
        ({"service_integrations": [row("x", "eu")]}, {}, "stop"),
    ],
)
def test_a_primary_is_adopted_as_it_is_or_refused(found: Told | None, wish: Told, verdict: str) -> None:
    there = () if found is None else (service("eu", **found),)
    finding = services.judge_primary(there, replace(WISH, **wish))
    assert finding.verdict == verdict
    assert finding.hint or verdict != "stop"


def test_a_promoted_replica_is_no_replica_to_be_made_again() -> None:
    old = service("eu", create_time="2026-08-01T09:00:00Z")
    new = service("us", create_time="2026-08-02T09:00:00Z")
    tags = dict(word.split("=") for word in lineage.tags(old, new, "a" * 40))
    promoted = service("us", create_time="2026-08-02T09:00:00Z", tags=tags)
    finding = services.judge_replica((old, promoted), REPLICA_WISH)
    assert (finding.verdict, "was promoted" in finding.reason) == ("stop", True)
    assert "ccr-avn enable us NAME" in finding.hint
    stranger = service("us", create_time="2026-09-01T09:00:00Z", tags=tags)
    assert "taken" in services.judge_replica((old, stranger), REPLICA_WISH).reason


@pytest.mark.parametrize(("there", "hint"), [((), "--primary-plan"), (("free-1",), "avn service update eu --plan")])
def test_a_plan_without_integrations_is_changed_where_it_is_said(there: tuple[str, ...], hint: str) -> None:
    wish = replace(REPLICA_WISH, of=replace(WISH, plan="free-1"))
    assert hint in services.judge_replica(tuple(service("eu", plan=plan) for plan in there), wish).hint


@pytest.mark.parametrize(("ip_filter", "warned"), [(["192.0.2.1/32"], 1), (["0.0.0.0/0"], 0), (None, 0)])
def test_a_closed_primary_is_told_before_it_is_replicated(ip_filter: list[str] | None, warned: int) -> None:
    there = (service("eu", user_config={"ip_filter": ip_filter}),)
    assert len(services.pair_is_possible(P, there, WISH, REPLICA_WISH).warnings) == warned


def of(source: str, **more: Any) -> Told:
    """What is shown of us, a replica of this primary."""
    return {"service_integrations": [row(source, "us", **more)]}


@pytest.mark.parametrize(
    ("primary", "replica", "wish", "verdict"),
    [
        ({}, None, {}, "todo"),
        ({}, None, {"cloud": "c"}, "todo, warned"),
        (None, None, {"cloud": "c"}, "todo, warned"),
        ({}, None, {"cloud": None}, "stop"),
        ({}, None, {"plan": "business-4"}, "stop"),
        ({}, None, {"plan": "business-4", "any_plan": True}, "todo"),
        ({"is_cluster_plan": True}, None, {}, "stop"),
        ({"plan": "free-1"}, None, {}, "stop"),
        (None, None, {"of": replace(WISH, plan="developer-1")}, "stop"),
        ({"service_integrations": [row("eu", f"r{n}") for n in range(5)]}, None, {}, "stop"),
        ({}, of("eu"), {"plan": None, "cloud": None}, "go"),
        ({}, of("eu"), {"plan": "business-4", "cloud": "c"}, "go"),
        ({}, of("eu"), {"plan": None, "cloud": "d"}, "stop"),
        ({}, of("eu"), {"plan": "startup-8", "cloud": None}, "stop"),
        ({}, None, {"plan": None}, "todo"),
        ({}, of("eu", enabled=False), {}, "stop"),
        ({}, of("other"), {}, "stop"),
        ({}, {}, {}, "stop"),
    ],
)
def test_a_replica_is_attached_free_to_be_made_or_refused(
    primary: Told | None, replica: Told | None, wish: Told, verdict: str
) -> None:
    there = tuple(service(name, **more) for name, more in (("eu", primary), ("us", replica)) if more is not None)
    finding = services.judge_replica(there, replace(REPLICA_WISH, **wish))
    assert f"{finding.verdict}{', warned' * bool(finding.warnings)}" == verdict


@pytest.mark.parametrize(
    ("primary", "names", "backups", "verdict"),
    [
        ({}, ("eu",), 0, "wait"),
        ({}, ("eu",), 1, "go"),
        ({}, ("eu", "us"), 0, "go"),
        ({"user_config": {"valkey_persistence": "off"}}, ("eu",), 1, "stop"),
    ],
)
def test_a_backup_is_needed_to_make_a_replica(
    primary: Told, names: tuple[str, ...], backups: int, verdict: str
) -> None:
    eu = service("eu", **primary)
    seen = seen_of(*(service(name) for name in names), running=eu)
    if primary:
        seen.latest["eu"] = eu
    taken = models.backups(json.dumps([{"backup_name": "b", "backup_time": datetime.now(UTC).isoformat()}] * backups))
    assert confirm_backup(Setting(project=P), "eu", replica="us", limit=0).judge(taken, seen).verdict == verdict


def test_an_old_primary_that_is_off_is_not_turned_on_again() -> None:
    off = service("eu", state="POWEROFF", create_time="2026-01-01T00:00:00Z")
    us = service("us", create_time="2026-01-02T00:00:00Z")
    pasted = dict(word.split("=") for word in lineage.tags(off, us, "a" * 40))
    finding = services.judge_power(P, off, (off, service("us", create_time="2026-01-02T00:00:00Z", tags=pasted)))
    assert (finding.verdict, "old primary of us" in finding.reason) == ("stop", True)
    assert "power-on" not in finding.hint
    alone = services.judge_power(P, off)
    assert alone.hint.startswith("unless it was powered off after a promotion (`ccr-avn status eu")
    replica = services.judge_power(P, service("us", state="POWEROFF", service_integrations=[row("eu", "us")]))
    assert replica.hint.startswith("avn service update us")


def test_all_that_stops_is_told_at_once() -> None:
    off = service("eu", state="POWEROFF", user_config={"valkey_persistence": "off"}, plan="free-1")
    finding = services.pair_is_possible(P, (off,), WISH, REPLICA_WISH)
    assert finding.verdict == "stop"
    assert [word for word in ("powered off", "persistence off", "free") if word not in finding.reason] == []
    assert "avn service update eu --project p -c valkey_persistence=rdb" in finding.hint


def both(replica: Told | None = None, primary: Told | None = None) -> tuple[models.Service, models.Service]:
    given = {"service_integrations": [row("eu", "us")], "plan": "startup-4", **(replica or {})}
    return service("eu", **(primary or {})), service("us", **given)


@pytest.mark.parametrize(
    ("there", "power_off", "verdict"),
    [
        (both(), False, "go"),
        (both()[:1], False, "stop"),
        (both({"state": "POWEROFF"}), False, "stop"),
        (both({"state": "REBUILDING"}), False, "stop"),
        (both({}, {"state": "POWEROFF"}), False, "stop"),
        (both({"service_integrations": [row("other", "us")]}), False, "stop"),
        (both({"service_integrations": []}, {"state": "POWEROFF"}), False, "go"),
        (both({}, {"service_integrations": [row("x", "eu")]}), False, "stop"),
        (both({}, {"termination_protection": True}), False, "go"),
        (both({}, {"termination_protection": True}), True, "stop"),
    ],
)
def test_both_are_there_for_a_switchover(there: Services, power_off: bool, verdict: str) -> None:
    finding = judge_pair(there, "eu", "us", power_off=power_off)
    assert finding.verdict == verdict, finding
    assert finding.hint or verdict != "stop"


def test_a_pair_that_is_named_otherwise_is_named_as_it_is() -> None:
    (eu, us), sibling = both(), service("as", service_integrations=[row("eu", "as")])
    assert services.paired_otherwise("verify", eu, us) is None
    for named, hint in (((us, eu), "eu us"), ((us, sibling), "eu as"), ((None, us), "eu us")):
        otherwise = services.paired_otherwise("verify", *named)
        assert otherwise
        assert otherwise.hint == f"ccr-avn verify {hint}"


def judge_pair(there: Services, *names: str, power_off: bool = False, recorded: tuple[Recorded, ...] = ()) -> Finding:
    at = Setting(project=P, now=NOW, journals=journals(*recorded))
    primary, replica = names
    action: OldPrimaryAction = "power-off" if power_off else "close"
    want = SwitchoverOptions(at=at, primary=primary, replica=replica, old_primary=action)
    return pair.judge_pair(want, {one.name: one for one in there})


def judged(
    sides: Sides,
    *,
    rows: bool = True,
    tags: dict[str, str] | None = None,
    recorded: tuple[Recorded, ...] = (),
    rejections: Rejections | None = None,
    allow_smaller: bool = False,
) -> Finding:
    listed = integrations(*[row("eu", "us")] * rows)
    old, new = both({"tags": tags or {}})
    state = pair_state(listed, old, new, (sides.primary, sides.replica), recorded, now=NOW)
    compared = rejections.compared("us") if rejections else ()
    known = type("Known", (Journals,), {"promotions": recorded, "equal_by_value": lambda *_: compared})()
    at = Setting(project=P, now=NOW, journals=known, allow_rejected=rejections.allowed if rejections else None)
    want = SwitchoverOptions(at=at, primary="eu", replica="us", max_lag_bytes=1000, allow_smaller=allow_smaller)
    return pair.judge_health(want, old, new, replace(sides, state=state))


@pytest.mark.parametrize(
    ("primary", "replica", "verdict"),
    [
        (side(), following(), "go"),
        (None, following(), "stop"),
        (side(), following(link_status="down"), "stop"),
        (side(offset=5000), following(), "stop"),
        (side(used_memory=50_000_000), following(maxmemory=40_000_000), "stop"),
        (side(used_memory=30_000_000), following(maxmemory=40_000_000), "go"),
    ],
)
def test_a_healthy_pair_may_switch(primary: ReplicationInfo | None, replica: ReplicationInfo, verdict: str) -> None:
    finding = judged(looked(primary=primary, replica=replica, primary_trouble="gone"))
    assert finding.verdict == verdict
    assert finding.hint or verdict != "stop"


@pytest.mark.parametrize(
    ("trouble", "hint"),
    [
        (Answered("eu: busy running a script", hint="end it", passing=True), "end it"),
        (Unreachable("eu: its TLS certificate is not trusted here", hint="--ca-file", passing=False), "--ca-file"),
        (Unreachable("eu: no answer", hint="look at it", passing=True), ""),
    ],
)
def test_what_is_at_fault_decides_what_helps(trouble: Unreachable, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A primary that lives is not to be failed over."""

    def fails(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(checks, "endpoint", lambda one, _: fails() if one.name == "eu" else one)
    monkeypatch.setattr(checks, "fetch_replication", lambda _: following())
    found = health_of(Setting(project=P), seen_of(*both()), "eu", "us")
    assert found
    assert (found.primary, found.primary_hint) == (None, hint)
    assert trouble.what in found.primary_trouble
    assert hint in judged(found).hint


MIB = 1_048_576


@pytest.mark.parametrize(
    ("primary", "room", "allowed", "verdict", "warned"),
    [
        ({"used_memory": 200 * MIB + 336}, {"eviction": "allkeys-lru"}, False, "go", "evicts keys"),
        ({"used_memory": 203 * MIB}, {"eviction": "volatile-ttl"}, False, "go", "time to live"),
        ({"used_memory": 203 * MIB}, {}, False, "go", "refuses writes"),
        ({"used_memory": 300 * MIB, "not_counted": 150 * MIB}, {}, False, "go", ""),
        ({"used_memory": 300 * MIB, "client_buffers": 150 * MIB}, {}, False, "go", ""),
        ({"used_memory": 300 * MIB, "not_counted": 99 * MIB}, {}, False, "go", "refuses writes"),
        ({"used_memory": 300 * MIB}, {"eviction": "allkeys-lru"}, False, "stop", ""),
        ({"used_memory": 300 * MIB}, {"eviction": "allkeys-lru"}, True, "go", "evicts keys"),
        ({"used_memory": 300 * MIB}, {"maxmemory": 0}, False, "go", ""),
    ],
)
def test_a_full_cache_may_be_switched_and_is_told_what_follows(
    primary: Told, room: Told, allowed: bool, verdict: str, warned: str
) -> None:
    """Only what counts for eviction is compared, with room for what servers of the same data differ by."""
    replica = following(**{"maxmemory": 200 * MIB, **room})
    finding = judged(looked(primary=side(**primary), replica=replica), allow_smaller=allowed)
    assert finding.verdict == verdict
    assert warned in " ".join(finding.warnings)
    assert bool(finding.warnings) == bool(warned)
    assert verdict != "stop" or "--allow-smaller" in finding.hint


BORN = int(datetime(2026, 8, 1, 9, tzinfo=UTC).timestamp())
THREE = "d" * 40


def tagged(old: int = BORN, new: int = BORN, name: str = "eu") -> Told:
    return {"tags": {"ccr_promoted_from": name, "ccr_promoted_lineage": f"{old}-{new}-{ONE}"}}


def journal(old: int = BORN, new: int = BORN, *, proven: bool = True, sent_at: float = NOW - 10) -> Told:
    origin = Origin(name="eu", old_created=old, new_created=new, replication_id=ONE)
    return {"recorded": (Recorded(new="us", origin=origin, proven=proven, sent_at=sent_at),)}


@pytest.mark.parametrize(
    ("sides", "more", "verdict"),
    [
        (looked(primary=side(), replica=side(replid=TWO, replid2=ONE, second_offset=101)), {}, "go"),
        (looked(primary=side(), replica=side(replid=TWO, replid2=ONE)), {}, "stop"),
        (looked(primary=side(), replica=side(replid=TWO)), {}, "stop"),
        (looked(primary=None, replica=side(replid=TWO, replid2=ONE)), {}, "stop"),
        (looked(primary=side(replid=THREE, replid2=ONE), replica=side(replid=TWO, replid2=ONE)), {}, "stop"),
        (looked(primary=side(replid=TWO, replid2=ONE), replica=side(replid=ONE)), {}, "stop"),
        (looked(primary=None, replica=side(replid=TWO)), tagged(), "go"),
        (looked(primary=None, replica=side(replid=TWO)), tagged(name="other"), "stop"),
        (looked(primary=None, replica=side(replid=TWO)), tagged(old=BORN - 1), "stop"),
        (looked(primary=None, replica=side(replid=TWO)), journal(), "go"),
        (looked(primary=None, replica=side(replid=TWO)), journal(old=BORN - 1), "stop"),
    ],
)
def test_promoted_already_needs_proof_of_lineage(sides: Sides, more: Told, verdict: str) -> None:
    """Of these very services: others of the same names prove nothing, nor does a cousin's history."""
    assert judged(sides, rows=False, **more).verdict == verdict


@pytest.mark.parametrize(
    ("primary", "second_offset", "state"),
    [
        ({"offset": 100}, 101, "promoted"),
        ({"offset": 99}, 101, "promoted"),
        ({"offset": 101}, 101, "divided"),
        ({"offset": 114}, 101, "divided"),
        ({"offset": 114, "paused_seconds": 0.0}, 101, "divided"),
        ({"offset": 114, "paused_seconds": 5.0, "connected_replicas": 0}, 101, "divided"),
        ({"offset": 114, "paused_seconds": 5.0, "connected_replicas": 1}, 101, "promoted"),
        ({"offset": 114, "connected_replicas": 1}, 101, "divided"),
    ],
)
def test_servers_alone_show_a_promotion_only_where_no_write_can_be_stranded(
    primary: Told, second_offset: int, state: str
) -> None:
    """A fork shares the history, and both it and the service that it was made from take writes."""
    replica = side(replid=TWO, replid2=ONE, second_offset=second_offset)
    finding = judged(looked(primary=side(**primary), replica=replica), rows=False)
    assert finding.facts["state"] == state
    assert finding.verdict == ("go" if state == "promoted" else "stop")
    if state == "divided":
        assert "both eu and us accept writes" in finding.reason
        assert f"ccr_promoted_lineage={BORN}-{BORN}-{ONE}" in finding.hint, "what records it"
        assert "ccr-avn enable eu" in finding.hint, "what to do if it is a fork"


@pytest.mark.parametrize("replid2", [ONE, NO_HISTORY])
def test_a_replica_of_a_closed_primary_is_never_suggested(replid2: str) -> None:
    """Moved from another machine, by a token that may not set tags: nobody here can prove it, and nothing is to be made."""
    health = looked(primary=None, primary_trouble="refused", replica=side(replid=TWO, replid2=replid2))
    finding = judged(health, rows=False)
    assert finding.verdict == "stop"
    assert "enable" not in finding.hint
    assert f"--add-tag ccr_promoted_lineage={BORN}-{BORN}-{replid2}" in finding.hint
    assert "refused" in finding.detail


@pytest.mark.parametrize(
    ("primary", "more", "state"),
    [
        (side(), {}, "hidden"),
        (None, {}, "hidden"),
        (side(), journal(old=BORN - 1), "hidden"),
        (side(), tagged(), "hidden"),
        (side(paused_seconds=0.0), {}, "hidden"),
        (side(paused_seconds=12.0, replid=THREE), {}, "hidden"),
        (side(paused_seconds=12.0), {}, "promoting"),
        (side(), journal(proven=False), "promoting"),
        (None, journal(proven=False), "promoting"),
    ],
)
def test_a_slave_without_its_row_is_never_promoted_already(
    primary: ReplicationInfo | None, more: Told, state: str
) -> None:
    finding = judged(looked(primary=primary, replica=following()), rows=False, **more)
    assert finding.facts["state"] == state
    assert finding.verdict == ("stop" if state == "hidden" else "go")
    assert "promoted from" not in finding.reason


@pytest.mark.parametrize("odd", [{"source_service": None}, {"source_service": None, "enabled": None}])
def test_a_row_that_does_not_say_whom_it_follows_is_not_deleted(odd: Told) -> None:
    sides = (side(paused_seconds=12.0), following())
    found = pair_state(integrations({**row("eu", "us"), **odd}), *both(), sides, journal()["recorded"], now=NOW)
    assert (found.state, found.row) == ("hidden", None)


@pytest.mark.parametrize(
    ("more", "doubt"),
    [
        ({}, False),
        (journal(proven=False), True),
        (journal(proven=False, sent_at=NOW - 3600), False),
        (journal(proven=False, old=BORN - 1), False),
    ],
)
def test_a_deletion_that_was_just_sent_keeps_its_fence(more: Told, doubt: bool) -> None:
    rows = integrations(row("eu", "us"))
    found = pair_state(rows, *both(), (side(), following()), more.get("recorded", ()), now=NOW)
    assert (found.state, found.promoted, found.may_be_promoting) == ("following", False, doubt)


def test_an_old_primary_is_not_taken_for_the_replica_of_what_was_promoted_from_it() -> None:
    """Nor is it to be opened for being asked: it is said which way round they are."""
    old, new = both({**tagged(), "service_integrations": []})
    finding = judge_pair((old, new), "us", "eu")
    assert finding.verdict == "stop"
    assert "eu is the old primary of us" in finding.reason
    assert "ccr-avn enable us NEW" in finding.hint
    assert judge_pair((old, new), "eu", "us").verdict == "go"


@pytest.mark.parametrize("more", [{}, journal()])
def test_a_second_recorded_successor_is_refused_whichever_is_named(more: Told) -> None:
    old, new = both({**tagged(), "service_integrations": []})
    two = service("us2", **tagged())
    for name in ("us", "us2"):
        finding = judge_pair((old, new, two), "eu", name, **more)
        assert finding.verdict == "stop"
        assert "are recorded as promoted from eu" in finding.reason
        assert "ccr-avn verify eu us --level values --unlinked --project p" in finding.hint
        removal = "avn service tags update us2 --remove-tag ccr_promoted_from --remove-tag ccr_promoted_lineage"
        assert removal in finding.hint
        assert ("avn service terminate us --project p" in finding.hint) == bool(more), "a journal can't be corrected"


@pytest.mark.parametrize(
    ("sent", "verdict"),
    [
        (journal(proven=False), "stop"),
        (journal(proven=False, sent_at=NOW - 899), "stop"),
        (journal(proven=False, sent_at=NOW - 901), "go"),
        (journal(proven=False, old=BORN - 1), "go"),
        (journal(proven=False, new=BORN - 1), "go"),
    ],
)
def test_while_a_promotion_may_still_happen_no_sibling_is_promoted(sent: Told, verdict: str) -> None:
    """Its integration is still listed: the deletion may be carried out yet."""
    old, new = both()
    there = (old, new, service("us2", service_integrations=[row("eu", "us2")]))
    finding = judge_pair(there, "eu", "us2", **sent)
    assert finding.verdict == verdict
    if verdict == "stop":
        assert "the promotion of us from eu was sent at" in finding.reason
        assert "ccr-avn switchover eu us --project p" in finding.hint
        assert "ccr-avn gate promoted us --project p" in finding.hint
    assert judge_pair(there, "eu", "us", **sent).verdict == "go", "the same command may be run again"


@pytest.mark.parametrize(
    ("ago", "follows", "verdict"),
    [(0, True, "stop"), (899, True, "stop"), (-899, True, "stop"), (899, False, "stop"), (901, False, "go")],
)
def test_what_another_machine_is_promoting_keeps_its_siblings_from_it(ago: int, follows: bool, verdict: str) -> None:
    """It says so by a mark, which counts for a quarter of an hour, whatever the clock of that machine says."""
    old, new = both()
    mark = lineage.mark(old, new, NOW - ago).split("=", 1)
    us = new.model_copy(update={"tags": dict([mark]), "integrations": new.integrations if follows else ()})
    finding = judge_pair((old, us, service("us2", service_integrations=[row("eu", "us2")])), "eu", "us2")
    assert finding.verdict == verdict, finding.reason
    if verdict == "stop":
        assert "the promotion of us from eu was sent at" in finding.reason
        assert "shown by its tag ccr_promoting, which counts until" in finding.detail
        assert (
            "if no such run is under way: avn service tags update us --project p --remove-tag ccr_promoting"
            in finding.hint
        )


@pytest.mark.parametrize(("offset", "verdict"), [(99, "wait"), (100, "go")])
def test_caught_up_means_all_of_it(offset: int, verdict: str) -> None:
    assert pair.judge_caught_up(following(offset=offset), 100).verdict == verdict
    assert pair.judge_caught_up(side(offset=1), 100).verdict == "go", "it is promoted"


def test_syncs_that_begin_again_and_again_are_not_called_the_initial_one() -> None:
    step = link_step(Setting(), "eu", "us", limit=60)
    replica = following(link_status="down", sync_in_progress=True)
    looks = [step.judge(Link(primary=side(full_syncs=number), replica=replica), Seen()) for number in (3, 4, 5)]
    assert [one.verdict for one in looks] == ["wait"] * 3
    assert [one.reason for one in looks[:2]] == ["the initial sync is in progress"] * 2
    assert "2 full syncs have started" in looks[2].reason
    assert "client-output-buffer-limit replica" in looks[2].hint
    restarted = Link(primary=side(full_syncs=9, run_id="new"), replica=replica)
    assert step.judge(restarted, Seen()).reason == "the initial sync is in progress"


def test_writes_that_another_has_paused_are_a_refusal() -> None:
    """Another replica may be being promoted, or a run was interrupted behind its promotion: from here that can't be seen."""
    health = looked(primary=side(paused_seconds=500.0), replica=following(), state=PairState(state="following"))
    ours = type("Ours", (Journals,), {"may_have_paused": lambda *_: True})()
    found, mine = (
        pair.judge_health(SwitchoverOptions(at=at, primary="eu", replica="us"), *both(), health)
        for at in (Setting(project=P, journals=one) for one in (Journals(), ours))
    )
    assert (found.verdict, "not by a run for this pair" in found.reason) == ("stop", True)
    assert "ccr-avn unfence eu" in found.hint
    assert mine.verdict == "go"


def test_a_replica_of_a_primary_that_is_closed_is_not_promoted() -> None:
    """As an old primary is: what took its role, nothing here records."""
    old, closed = service("eu"), service("eu", user_config={"ip_filter": ["192.0.2.1/32"]})
    sibling = service("us2", service_integrations=[row("eu", "us2")])
    for primary, refused in ((old, False), (closed, True)):
        finding = states.superseded(P, primary, sibling, (primary, sibling), (), now=NOW)
        assert bool(finding) is refused
    assert finding is not None
    assert "another service may have taken over its role" in finding.reason
    assert "ccr-avn status" in finding.hint
