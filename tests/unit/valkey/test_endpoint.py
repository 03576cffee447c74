"""Which address is used, what a connection needs to know of it, and what is said where there is none."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.aiven.avn import Project
from ccr_avn.errors import Unreachable
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.valkey import endpoint as endpoints
from ccr_avn.valkey.endpoint import Endpoint, settings
from tests.support import factories

SETTING = Setting(project=Project("p"))
NOBODY = 1  # a port on which nobody listens


@pytest.fixture(autouse=True)
def nothing_is_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_chosen", {})


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def component(route: str, port: int, **more: Any) -> dict[str, Any]:
    return {"component": "valkey", "host": "127.0.0.1", "port": port, "route": route, "usage": "primary", **more}


def service(port: int, *components: dict[str, Any], **more: Any) -> models.Service:
    uri = f"valkeys://default:pw%2F1@127.0.0.1:{port}"
    return models.service(json.dumps(factories.service("us", **{"service_uri": uri, "components": components, **more})))


def test_the_public_route_is_used_where_the_dynamic_one_does_not_answer(listening: int) -> None:
    found = endpoint(service(NOBODY, component("dynamic", NOBODY), component("public", listening)), SETTING)
    assert found.uri == f"valkeys://default:pw%2F1@127.0.0.1:{listening}"


def test_the_dynamic_route_comes_first_and_is_tried_once(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = service(listening, component("public", NOBODY))
    assert endpoint(one, SETTING).address == f"127.0.0.1:{listening}"
    monkeypatch.setattr(endpoints, "dial", None)
    assert endpoint(one, SETTING).address == f"127.0.0.1:{listening}"


def test_where_nothing_answers_the_dynamic_route_is_used_and_nothing_tried_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[tuple[str, int]] = []

    def silent(place: tuple[str, int], _: float) -> None:
        tried.append(place)
        raise TimeoutError

    monkeypatch.setattr(endpoints, "dial", silent)
    one = service(1, component("public", 2))
    for _ in range(3):
        assert endpoint(one, SETTING).address == "127.0.0.1:1"
    assert sorted(tried) == [("127.0.0.1", 1), ("127.0.0.1", 2)]
    monkeypatch.setattr(endpoints, "AGAIN", -1.0)
    monkeypatch.setattr(endpoints, "_chosen", {})
    for _ in range(2):
        endpoint(one, SETTING)
    assert len(tried) == 6, "a watch goes on for longer than that"


@pytest.mark.parametrize(("route", "port"), [("dynamic", 1), ("public", 2), ("privatelink", 3)])
def test_what_was_asked_for_is_used_untried(route: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "dial", None)
    parts = (component("public", 2), component("privatelink", 3), component("public", 9, usage="replica"))
    one = service(1, *parts, component("public", 8, component="prometheus"))
    assert endpoint(one, Setting(route=route)).address == f"127.0.0.1:{port}"


def test_a_preview_goes_the_same_way() -> None:
    assert Setting(route="public").options == ("--route", "public")


@pytest.mark.parametrize(
    ("one", "route", "said"),
    [
        (service(1), "public", "avn service update us --project p -c public_access.valkey=true"),
        (service(1, service_uri=None), None, "avn service get us --json"),
        (service(1, service_uri=None, state="REBUILDING"), None, "avn service wait us"),
        (service(1, service_uri="valkeys://default:<redacted>@h:1"), None, "service:secrets:read"),
    ],
)
def test_where_there_is_no_address_the_next_command_is_named(one: models.Service, route: str | None, said: str) -> None:
    """One that runs is not told to wait until it is what it is."""
    with pytest.raises(Unreachable) as caught:
        endpoint(one, Setting(project=Project("p"), route=route))
    assert said in caught.value.hint
    assert ("service wait" in caught.value.hint) is (one.state != "RUNNING")


@pytest.mark.parametrize("uri", ["valkeys://u:p@[::1:5", "valkeys://u:p@h:port", "no address", "valkeys://", "\x00"])
def test_what_is_no_address_is_told_as_that(uri: str) -> None:
    found = endpoint(service(1, component("public", 2), service_uri=uri), SETTING)
    with pytest.raises(Unreachable, match="can't be used") as caught:
        settings(found)
    assert "p@h" not in f"{caught.value} {caught.value.detail}"
    assert found.address


def test_an_address_of_version_6_stands_in_brackets() -> None:
    moved = endpoints.at("valkeys://u:p@h:1/2", "2001:db8::7", 5)
    assert moved == "valkeys://u:p@[2001:db8::7]:5/2"
    assert Endpoint(service="us", uri=moved).address == "[2001:db8::7]:5"


def test_an_endpoint_shows_no_secret() -> None:
    found = Endpoint(service="eu", uri="rediss://default:p%40ss@host.example:1234")
    assert "ss@" not in repr(found)
    assert (found.address, found.tls) == ("host.example:1234", True)
    assert settings(found) == {"host": "host.example", "port": 1234, "username": "default", "password": "p@ss"}
    assert Endpoint(service="eu", uri="redis://h").address == "h:6379"


@pytest.mark.parametrize(
    ("config", "seconds"),
    [({}, 2.0), ({"valkey_timeout": 1}, 0.4), ({"valkey_timeout": 0}, 2.0), ({"valkey_timeout": "x"}, 2.0)],
)
def test_a_connection_is_kept_alive_as_often_as_the_service_asks(config: dict[str, Any], seconds: float) -> None:
    """A second is the shortest idle time-out; where nothing is known of it, it may be that."""
    assert endpoint(service(1, user_config=config), SETTING).keep_alive == pytest.approx(seconds)
    assert Endpoint(service="eu", uri="redis://h").keep_alive == pytest.approx(0.4)
