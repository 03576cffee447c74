"""avn's JSON: whatever comes, either whole facts or our own error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccr_avn import models
from ccr_avn.errors import AvnError

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
    models.service,
    models.backups,
    models.integrations,
    models.integration_types,
    models.tags,
    models.user,
    models.objects,
]


@pytest.mark.parametrize("reader", READERS)
@given(value=JSON | ROW | st.lists(ROW, max_size=3))
def test_arbitrary_json_raises_nothing_but_our_error(reader: Any, value: Any) -> None:
    try:
        reader(json.dumps(value))
    except AvnError as error:
        assert error.hint


@pytest.mark.parametrize("reader", READERS)
@given(text=st.text())
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


@pytest.mark.parametrize("missing", sorted(SERVICE))
def test_half_a_fact_is_none(missing: str) -> None:
    half = {key: value for key, value in SERVICE.items() if key != missing}
    with pytest.raises(AvnError) as caught:
        models.service(json.dumps(half))
    assert missing in caught.value.detail


def test_an_unreadable_answer_is_not_shown() -> None:
    with pytest.raises(AvnError) as caught:
        models.service(json.dumps({**SERVICE, "service_name": 7, "service_uri": "redis://u:secret@h:1"}))
    assert "secret" not in repr(caught.value) + caught.value.detail


def test_the_direction_of_an_integration_matters() -> None:
    primary = models.service(json.dumps({**SERVICE, "service_integrations": [ROW_UP]}))
    replica = models.service(json.dumps({**SERVICE, "service_name": "us", "service_integrations": [ROW_UP]}))
    assert (primary.source, primary.replicas) == (None, ("us",))
    assert (replica.source, replica.replicas) == ("eu", ())


def test_a_row_that_is_not_enabled_has_no_id() -> None:
    row = {**ROW_UP, "service_integration_id": "(integration not enabled)", "enabled": False}
    assert models.integrations(json.dumps([row]))[0].id is None


def test_persistence_is_on_unless_off() -> None:
    assert models.service(json.dumps(SERVICE)).persistence == "rdb"
    off = {**SERVICE, "service_type": "redis", "user_config": {"redis_persistence": "off"}}
    assert models.service(json.dumps(off)).persistence == "off"


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
