"""Which pairs of a cloud are moved, how, and why the others are not: plain values."""

import json
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.aiven.lineage import Origin, Recorded
from ccr_avn.evacuate import Mode
from ccr_avn.evacuate.choose import Choice, Selection, Want, select
from ccr_avn.monitoring.collect import Look
from ccr_avn.monitoring.pairs import pairs_of
from tests.support.factories import row, service, side

EU, US = "google-europe-west1", "aws-us-east-1"
UP = {"eu": Look(side=side()), "us": Look(side=side("slave"))}
DEAD = Look(trouble="connection refused", refused=True)
LOST = {"eu": DEAD, "us": Look(side=side("slave", link_status="down"))}


def primary(name: str = "eu", *replicas: str, **more: Any) -> dict[str, Any]:
    return service(name, *(row(name, one) for one in replicas or ("us",)), **more)


def replica(name: str = "us", of: str = "eu", **more: Any) -> dict[str, Any]:
    return service(name, row(of, name), **{"cloud_name": US, **more})


def chosen(*services: dict[str, Any], looks: dict[str, Look] = UP, **want: Any) -> Selection:
    found = models.services(json.dumps(services))
    drills = dict.fromkeys(want.pop("drills", ()), "R")
    pairs, mode = pairs_of(found, want.pop("recorded", ()), drills), want.pop("mode", "planned")
    made = Want(**{"cloud": (EU,), mode: True, "allow_data_loss": True, **want})
    return select(pairs, looks, made)


def only(selection: Selection) -> Choice:
    [one] = selection.choices
    return one


@pytest.mark.parametrize(
    ("mode", "looks", "action"),
    [
        ("planned", UP, "switchover"),
        ("forced", UP, "failover"),
        ("auto", UP, "switchover"),
        ("planned", LOST, "refuse"),
        ("forced", LOST, "failover"),
        ("auto", LOST, "failover"),
        ("planned", {**UP, "us": Look(side=side("slave", link_status="down"))}, "refuse"),
        ("auto", {**UP, "us": Look(side=side("slave", link_status="down"))}, "refuse"),
        ("forced", {**UP, "us": Look(side=side("slave", link_status="down"))}, "failover"),
        ("forced", {**UP, "us": Look(side=side("slave", sync_in_progress=True))}, "refuse"),
        ("forced", {**UP, "us": DEAD}, "refuse"),
        ("auto", {"eu": DEAD, "us": DEAD}, "refuse"),
    ],
)
def test_a_pair_is_decided_by_itself(mode: Mode, looks: dict[str, Look], action: str) -> None:
    one = only(chosen(primary(), replica(), looks=looks, mode=mode))
    assert one.action == action
    assert one.reason
    assert bool(one.hint) == (action == "refuse")


@pytest.mark.parametrize(
    "looks",
    [
        {**LOST, "eu": Look(trouble="not trusted", ours=True)},
        {**LOST, "eu": Look(trouble="max number of clients", answered=True)},
        {**LOST, "eu": Look()},
        {**UP, "eu": DEAD},
    ],
    ids=["our trouble", "an answer", "not asked", "the link is up"],
)
def test_auto_fails_over_no_primary_that_may_be_alive(looks: dict[str, Look]) -> None:
    """What is not proven to be dead is refused, with the option that says that it is."""
    one = only(chosen(primary(), replica(), looks=looks, mode="auto"))
    assert one.action == "refuse"
    assert f"ccr-avn evacuate {EU} --forced --allow-data-loss --only us" in one.hint
    assert only(chosen(primary(), replica(), looks=looks, mode="forced")).action == "failover"


@pytest.mark.parametrize(
    ("of_the_primary", "of_the_replica", "action"),
    [
        (["10.0.0.0/8"], ["0.0.0.0/0"], "refuse"),
        (["10.0.0.0/8"], None, "refuse"),
        (["10.0.0.0/8"], ["10.0.0.0/8"], "failover"),
        (["10.0.0.0/8", "192.0.2.7/32"], ["10.0.0.0/8"], "failover"),
        (["0.0.0.0/0"], ["10.0.0.0/8"], "failover"),
        (None, ["10.0.0.0/8"], "failover"),
    ],
)
def test_auto_takes_a_refusal_of_this_machine_for_no_death(
    of_the_primary: list[str] | None, of_the_replica: list[str] | None, action: str
) -> None:
    """The replica answered this machine: a filter of its primary that is as wide does not keep it out."""

    def config(entries: list[str] | None) -> dict[str, Any]:
        return {"user_config": {} if entries is None else {"ip_filter": entries}}

    made = (primary(**config(of_the_primary)), replica(**config(of_the_replica)))
    assert only(chosen(*made, looks=LOST, mode="auto")).action == action


def test_lag_is_told_and_too_much_is_refused() -> None:
    behind = {**UP, "eu": Look(side=side(offset=500))}
    assert only(chosen(primary(), replica(), looks=behind)).lag_bytes == 400
    refused = only(chosen(primary(), replica(), looks=behind, max_lag_bytes=399))
    assert refused.action == "refuse"
    assert "--max-lag-bytes 400" in refused.hint


@pytest.mark.parametrize(
    ("looks", "hint"),
    [
        ({**UP, "us": Look(trouble="not trusted", ours=True, hint="--ca-file ca.pem")}, "--ca-file ca.pem"),
        ({**UP, "us": Look(trouble="refused", hint="avn service wait us")}, "avn service wait us"),
        ({**UP, "us": Look(trouble="late")}, "ccr-avn gate last-known us"),
        ({**UP, "eu": Look(trouble="not trusted", ours=True, hint="--ca-file ca.pem")}, "--ca-file ca.pem"),
        ({**UP, "eu": Look(trouble="is loading", answered=True, hint="wait")}, "wait"),
        ({**UP, "eu": Look(trouble="refused", hint="avn service wait eu")}, "if it is lost: ccr-avn failover us"),
    ],
)
def test_one_that_can_not_be_asked_is_refused_with_what_can_help(looks: dict[str, Look], hint: str) -> None:
    assert only(chosen(primary(), replica(), looks=looks)).hint.startswith(hint)


def test_a_drills_service_is_never_a_candidate() -> None:
    """Its name sorts first; a cleaning would terminate the new primary."""
    looks = {**UP, "eu-drill-abc123": Look(side=side("slave"))}
    services = primary("eu", "eu-drill-abc123", "us"), replica("eu-drill-abc123"), replica()
    assert only(chosen(*services, looks=looks)).replica == "eu-drill-abc123"
    assert only(chosen(*services, looks=looks, drills={"eu-drill-abc123"})).replica == "us"
    lone = primary("eu", "eu-drill-abc123"), replica("eu-drill-abc123")
    alone = only(chosen(*lone, looks=looks, drills={"eu-drill-abc123"}, mode="forced"))
    assert (alone.action, alone.replica) == ("refuse", "")


def test_a_service_without_a_replica_is_told_too() -> None:
    one = only(chosen(service("eu")))
    assert (one.action, one.name) == ("refuse", "eu")
    assert "ccr-avn enable eu" in one.hint


def test_what_is_elsewhere_is_not_ours_but_replicas_here_are_named() -> None:
    selection = chosen(primary(cloud_name="do-fra"), replica(cloud_name=EU))
    assert selection.choices == ()
    assert selection.replicas_here == ("us",)


def test_a_prefix_names_many_clouds() -> None:
    for cloud, leaves in (("google-europe-west1", True), ("google-us", True), ("aws-us-east-1", False)):
        assert Want(cloud=("google-*",)).leaves(cloud) is leaves
    assert not Want(cloud=("google",)).leaves("google-us")


def test_names_and_tags_narrow_it() -> None:
    made = (primary(tags={"wave": "1"}), replica(), primary("a", "b"), replica("b", "a"))
    looks = {**UP, "a": UP["eu"], "b": UP["us"]}

    def names(**want: Any) -> list[str]:
        return [one.name for one in chosen(*made, looks=looks, **want).choices]

    assert names() == ["a/b", "eu/us"]
    assert names(only=("us",)) == ["eu/us"]
    assert names(excepted=("eu",)) == ["a/b"]
    assert names(tag=("wave=1",)) == ["eu/us"]
    assert chosen(*made, looks=looks, only=("nobody",)).unknown == ("nobody",)
    assert chosen(*made, looks=looks, excepted=("eu",)).left_out == 1


def test_a_name_that_keeps_nothing_from_being_moved_is_found() -> None:
    made = (primary(), replica(), service("far", cloud_name=US))
    assert chosen(*made, excepted=("ue",)).unknown_excepted == ("ue",)
    assert chosen(*made, excepted=("far",)).unknown_excepted == (), "it is elsewhere: a list that serves many clouds"
    assert chosen(*made, only=("eu",), excepted=("ue",)).unknown_excepted == ("ue",)
    assert dict(chosen(*made, cloud=("do-fra",)).elsewhere) == {EU: 1, US: 1}


THREE = (primary("eu", "far", "near", "here"), replica("far"), replica("near"), replica("here", cloud_name=EU))
LOOKS = {
    "eu": Look(side=side(offset=100)),
    "far": Look(side=side("slave", offset=10)),
    "near": Look(side=side("slave", offset=90)),
    "here": Look(side=side("slave", offset=100)),
}


def test_of_several_replicas_the_best_is_chosen_and_the_others_are_named() -> None:
    one = only(chosen(*THREE, looks=LOOKS))
    assert (one.action, one.replica, one.lag_bytes) == ("switchover", "near", 10)
    assert len(one.others) == 2
    assert any(other.startswith("far") and "90 bytes" in other for other in one.others)
    assert any(other.startswith("here") and "evacuated too" in other for other in one.others)


@pytest.mark.parametrize("want", [{"only": ("far",)}, {"excepted": ("near",)}])
def test_a_replica_that_is_named_stands_for_itself(want: dict[str, Any]) -> None:
    """The best one is not taken where another was asked for, or where it was excluded."""
    one = only(chosen(*THREE, looks=LOOKS, **want))
    assert (one.action, one.replica) == ("switchover", "far")
    assert "near stays a replica of the old primary; it was left out" in one.others


BORN = ("2026-01-02T03:04:05Z", "2026-02-02T03:04:05Z")
LINEAGE = "1767323045-1770001445-" + "a" * 40


def promoted() -> tuple[dict[str, Any], dict[str, Any]]:
    tags = {"ccr_promoted_from": "eu", "ccr_promoted_lineage": LINEAGE}
    return service("eu", create_time=BORN[0]), service("us", create_time=BORN[1], tags=tags, cloud_name=US)


def test_what_an_earlier_run_moved_is_found_done() -> None:
    old, new = promoted()
    shut = {**old, "user_config": {"ip_filter": ["192.0.2.1/32"]}}
    assert only(chosen(shut, new, looks={"eu": DEAD})).action == "done"
    still_open = only(chosen(old, new, looks={"eu": Look(side=side())}))
    assert (still_open.action, still_open.replica) == ("switchover", "us")
    assert only(chosen(old, new, looks={"eu": DEAD})).action == "skip"
    assert only(chosen(old, new, looks={"eu": DEAD}, mode="forced")).action == "done"


def sent(new: str = "us", *, proven: bool = True) -> Recorded:
    origin = Origin(name="eu", old_created=1_767_323_045, new_created=1_770_001_445)
    return Recorded(new=new, origin=origin, proven=proven)


def test_what_only_a_journal_records_is_gone_on_with_and_can_be_named() -> None:
    made = (service("eu", create_time=BORN[0]), service("us", create_time=BORN[1], cloud_name=US))
    for proven in (True, False):
        one = only(chosen(*made, looks={"eu": Look(side=side())}, recorded=[sent(proven=proven)], only=("us",)))
        assert (one.action, one.replica) == ("switchover", "us")
        assert only(chosen(*made, recorded=[sent(proven=proven)], mode="forced")).action == "failover"
    assert chosen(*made, looks={}, recorded=[sent()], excepted=("us",)).choices == ()
    shut = {**made[0], "user_config": {"ip_filter": ["192.0.2.1/32"]}}
    assert only(chosen(shut, made[1], looks={"eu": DEAD}, recorded=[sent()])).action == "done"


@pytest.mark.parametrize("proof", ["tag", "journal"])
def test_a_recorded_successor_comes_before_the_replicas_that_are_left(proof: str) -> None:
    old, new = promoted()
    old = service("eu", row("eu", "near"), create_time=BORN[0])
    if proof == "journal":
        new = {**new, "tags": {}}
    one = only(
        chosen(
            old,
            new,
            replica("near"),
            looks={"eu": Look(side=side()), "near": Look(side=side("slave"))},
            recorded=[sent()] if proof == "journal" else [],
        )
    )
    assert (one.action, one.replica) == ("switchover", "us")
    assert one.others == ("near follows the old primary",)


def test_two_recorded_successors_are_refused_and_neither_is_chosen() -> None:
    old, new = promoted()
    two = {**new, "service_name": "us2"}
    shut = {**old, "user_config": {"ip_filter": ["192.0.2.1/32"]}}
    for mode in ("planned", "forced", "auto"):
        for first in (old, shut):
            one = only(chosen(first, new, two, looks={"eu": Look(side=side())}, mode=mode))
            assert (one.action, one.replica) == ("refuse", "")
            assert "both us and us2 are recorded as promoted from eu" in one.reason
            assert "ccr-avn verify eu us2 --level values --unlinked" in one.hint


def test_a_closed_primary_without_a_record_is_not_given_a_replica() -> None:
    for shut in ({"user_config": {"ip_filter": ["192.0.2.1/32"]}}, {"state": "POWEROFF"}):
        one = only(chosen(service("eu", **shut), looks={}))
        assert one.action == "refuse"
        assert "enable" not in one.hint
        assert "ccr-avn switchover eu SERVICE --check" in one.hint
