"""avn's JSON: whatever comes, either whole facts or our own error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccr_avn.aiven import lineage, models
from ccr_avn.errors import AvnError
from tests.support import factories

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["service_name", "service_type", "state", "plan", "cloud_name", "service_uri", "node_states", "user_config"]
KEYS += ["service_integrations", "users", "integration_type", "enabled", "active", "backup_name", "backup_time", "tags"]
ROW = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8)
READERS = [
    models.services,
    models.named_services,
    models.service,
    lambda stdout: models.family(stdout, ("eu",), ()),
    models.backups,
    models.integrations,
    models.integration_types,
    models.tags,
    models.objects,
]


@pytest.mark.parametrize("reader", READERS)
@given(text=st.text() | (JSON | ROW | st.lists(ROW, max_size=3)).map(json.dumps))
def test_arbitrary_text_raises_nothing_but_our_error(reader: Any, text: str) -> None:
    try:
        reader(text)
    except AvnError as error:
        assert error.hint


SERVICE = {"service_name": "eu", "service_type": "valkey", "state": "RUNNING", "plan": "business-4", "cloud_name": "c"}
ROW_UP = {
    "service_integration_id": "5f0c",
    "integration_type": "read_replica",
    "enabled": True,
    "active": True,
    "source_service": "eu",
    "dest_service": "us",
}


@pytest.mark.parametrize("missing", ["service_name", "service_type", "state"])
def test_half_a_fact_is_none(missing: str) -> None:
    half = {key: value for key, value in SERVICE.items() if key != missing}
    with pytest.raises(AvnError) as caught:
        models.service(json.dumps(half))
    assert missing in caught.value.detail


def test_an_unreadable_answer_is_not_shown() -> None:
    with pytest.raises(AvnError) as caught:
        models.service(json.dumps({**SERVICE, "service_name": 7, "service_uri": "redis://u:secret@h:1"}))
    assert "secret" not in repr(caught.value) + caught.value.detail


def test_a_row_that_is_not_enabled_has_no_id() -> None:
    row = {**ROW_UP, "service_integration_id": "(integration not enabled)", "enabled": False}
    assert models.integrations(json.dumps([row]))[0].id is None


def test_a_time_without_a_zone_is_in_utc() -> None:
    """Whichever zone this machine is in: it is what distinguishes namesakes."""
    moments = [
        models.service(json.dumps({**SERVICE, "create_time": f"2026-08-01T09:10:00{zone}"})).created
        for zone in ("", "Z")
    ]
    assert moments[0] == moments[1]


def test_a_uri_does_not_show_itself() -> None:
    service = models.service(json.dumps({**SERVICE, "service_uri": "redis://u:secret@h:1"}))
    assert "secret" not in repr(service) + str(service)


def test_a_node_tells_its_progress() -> None:
    updates = [
        {"phase": "stream", "current": 1, "max": 3},
        {"phase": "basebackup", "completed": True},
        {"phase": "prepare"},
    ]
    node = {"name": "n-1", "state": "syncing_data", "progress_updates": updates}
    service = models.service(json.dumps({**SERVICE, "node_states": [node, {"name": "n-2", "state": "running"}]}))
    assert [str(one) for one in service.nodes] == ["n-1 syncing_data (stream 1/3, prepare)", "n-2 running"]


ODD: list[dict[str, Any]] = [
    *({key: None} for key in ("cloud_name", "plan", "backups", "users", "tags", "user_config", "components")),
    *({key: None} for key in ("node_states", "service_integrations", "termination_protection", "is_cluster_plan")),
    {"plan": 4},
    {"tags": "none"},
    {"create_time": "yesterday"},
    {"backups": [{"backup_name": "b"}, {"backup_name": "b", "backup_time": "2026-08-01T09:10:00Z"}]},
    {"users": [{"username": 7}]},
    {"service_integrations": [{"integration_type": None}, ROW_UP]},
    {"service_integrations": [{key: one for key, one in ROW_UP.items() if key != "active"}]},
    {"node_states": [{"name": "n-1"}]},
]


@pytest.mark.parametrize("odd", ODD, ids=[json.dumps(one)[:40] for one in ODD])
def test_an_odd_field_takes_neither_its_service_nor_the_others(odd: dict[str, Any]) -> None:
    found = models.services(json.dumps([{**SERVICE, "service_name": "odd", **odd}, SERVICE]))
    assert [one.name for one in found] == ["odd", "eu"]
    assert all(note.startswith("odd: ") for note in found.left_out)
    assert models.service(json.dumps({**SERVICE, **odd})).state == "RUNNING"


def test_what_is_null_is_not_worth_a_word_and_what_is_odd_is() -> None:
    assert not models.services(json.dumps([{**SERVICE, "tags": None}])).left_out
    [told] = models.services(json.dumps([{**SERVICE, "tags": "none"}])).left_out
    assert told == "eu: tags: skipped, it can't be read"
    [told] = models.services(json.dumps([{**SERVICE, "users": [{"username": 7}, {"username": "u"}]}])).left_out
    assert "users[0]" in told


@pytest.mark.parametrize("odd", [{"state": None}, {"service_type": 7}, {"service_name": ""}])
def test_a_row_that_can_not_be_read_is_left_out_with_a_warning_that_names_it(odd: dict[str, Any]) -> None:
    found = models.services(json.dumps([{**SERVICE, "service_name": "odd", **odd}, "no service", SERVICE]))
    assert [one.name for one in found] == ["eu"]
    assert len(found.left_out) == 2
    assert ("odd" in found.left_out[0]) or "service_name" in odd
    assert next(iter(odd)) in found.left_out[0]


def test_a_row_that_was_asked_for_by_name_is_never_left_out() -> None:
    with pytest.raises(AvnError):
        models.named_services(json.dumps([{**SERVICE, "state": None}]))


def test_services_of_other_types_are_not_even_read() -> None:
    kafka = {"service_name": "k", "service_type": "kafka", "state": None}
    found = models.services(json.dumps([kafka, SERVICE]))
    assert ([one.name for one in found], found.left_out) == (["eu"], ())
    assert models.named_services(json.dumps([{**kafka, "state": "RUNNING"}]))[0].type == "kafka"


@pytest.mark.parametrize("unsaid", [{"enabled": None}, {"active": None}, {"enabled": None, "active": None}])
def test_a_row_with_an_id_makes_a_replica_unless_it_is_said_not_to(unsaid: dict[str, Any]) -> None:
    row = {**ROW_UP, **unsaid}
    [found] = models.integrations(json.dumps([row]))
    assert found.feeds("us")
    assert found.active
    [off] = models.integrations(json.dumps([{**row, "service_integration_id": None}]))
    assert not off.feeds("us") or unsaid == {"active": None}


def test_a_primary_in_another_project_is_no_service_of_that_name_here() -> None:
    row = {**ROW_UP, "source_project": "theirs", "dest_project": "ours"}
    replica = models.service(json.dumps({**SERVICE, "service_name": "us", "service_integrations": [row]}))
    assert (replica.source, replica.source_project) == ("theirs/eu", "theirs")
    namesake = models.service(json.dumps({**SERVICE, "service_integrations": [{**row, "dest_service": "eu"}]}))
    assert namesake.replicas == ()
    at_home = models.service(
        json.dumps({**SERVICE, "service_name": "us", "service_integrations": [{**row, "source_project": "ours"}]})
    )
    assert (at_home.source, at_home.source_project) == ("eu", None)


@pytest.mark.parametrize(
    "told", [{}, {"price_usd": None}, {"price_usd": "?"}, {"price_usd": "-1"}, {"price_usd": "NaN"}]
)
def test_a_price_that_avn_does_not_tell_is_none(told: dict[str, Any]) -> None:
    regions = {"near": told, "far": {"price_usd": "0.25"}}
    listed = {"valkey": {"service_plans": [{"service_plan": "startup-4", "regions": regions}]}}
    found = models.offers(json.dumps(listed))
    assert [found["valkey", "startup-4", cloud].usd_an_hour for cloud in ("near", "far")] == [None, 0.25]


def test_a_family_is_what_follows_or_was_promoted_from_one_of_those_that_are_named() -> None:
    made: list[Any] = [
        factories.service("eu", factories.row("eu", "us1"), factories.row("eu", "us2")),
        factories.service("us1", factories.row("eu", "us1")),
        factories.service("us2", factories.row("eu", "us2")),
        factories.service("tagged", tags={"ccr_promoted_from": "eu"}),
        factories.service("journaled"),
        factories.service("stranger", tags={"ccr_promoted_from": 7}, service_integrations="odd"),
        {"service_name": ["odd"]},
        "odd",
    ]
    origin = lineage.Origin(name="eu", old_created=1, new_created=2)
    recorded = [lineage.Recorded(new="journaled", origin=origin, proven=True)]
    for names in (("eu", "us1"), ("us1",)):
        found = models.family(json.dumps(made), names, recorded)
        assert {one.name for one in found} == {"eu", "us1", "us2", "tagged", "journaled"}
    assert {one.name for one in models.family(json.dumps(made), ("stranger",), recorded)} == {"stranger"}
    with pytest.raises(AvnError):
        models.family(json.dumps([{**made[0], "state": None}]), ("eu",), ())
