"""Which address is used: the dynamic one, the public one where that alone answers, or the one that was asked for."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.aiven.avn import Project
from ccr_avn.errors import Unreachable
from ccr_avn.procedures.steps import Setting, endpoint
from ccr_avn.valkey import endpoint as route
from ccr_avn.valkey.connect import Endpoint, settings

SETTING = Setting(project=Project("p"))


@pytest.fixture(autouse=True)
def nothing_is_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "_chosen", {})


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def component(kind: str, port: int, host: str = "127.0.0.1", **more: Any) -> dict[str, Any]:
    return {"component": "valkey", "host": host, "port": port, "route": kind, "usage": "primary", **more}


def service(port: int, *components: dict[str, Any], **more: Any) -> models.Service:
    told = {
        "service_name": "us",
        "service_type": "valkey",
        "state": "RUNNING",
        "service_uri": f"valkeys://default:pw%2F1@127.0.0.1:{port}",
        "components": components,
        **more,
    }
    return models.service(json.dumps(told))


def test_the_public_route_is_used_where_the_dynamic_one_does_not_answer(listening: int) -> None:
    away = closed_port()
    found = endpoint(service(away, component("dynamic", away), component("public", listening)), SETTING)
    assert found.uri == f"valkeys://default:pw%2F1@127.0.0.1:{listening}"


def test_a_name_that_does_not_resolve_leads_to_the_public_route(
    listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def look_up(host: str, *more: Any, **other: Any) -> Any:
        if host == "private.invalid":
            raise socket.gaierror(-2, "Name or service not known")
        return real(host, *more, **other)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    known = {"dynamic": "valkeys://u:p@private.invalid:1", "public": f"valkeys://u:p@127.0.0.1:{listening}"}
    assert route.best_address(known) == known["public"]


def test_the_dynamic_route_comes_first_and_is_tried_once(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = service(listening, component("public", closed_port()))
    assert endpoint(one, SETTING).address == f"127.0.0.1:{listening}"
    monkeypatch.setattr(route, "dial", None)
    assert endpoint(one, SETTING).address == f"127.0.0.1:{listening}"


def test_where_nothing_answers_the_dynamic_route_is_used_and_nothing_tried_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[tuple[str, int]] = []

    def silent(place: tuple[str, int], until: float) -> None:
        tried.append(place)
        raise TimeoutError

    monkeypatch.setattr(route, "dial", silent)
    one = service(1, component("public", 2))
    for _ in range(3):
        assert endpoint(one, SETTING).address == "127.0.0.1:1"
    assert sorted(tried) == [("127.0.0.1", 1), ("127.0.0.1", 2)]
    monkeypatch.setattr(route, "AGAIN", -1.0)
    monkeypatch.setattr(route, "_chosen", {})
    for _ in range(2):
        endpoint(one, SETTING)
    assert len(tried) == 6, "a watch goes on for longer than that"


@pytest.mark.parametrize(("asked", "port"), [("dynamic", 1), ("public", 2), ("privatelink", 3)])
def test_what_was_asked_for_is_used_untried(asked: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "dial", None)
    parts = (component("public", 2), component("privatelink", 3), component("public", 9, usage="replica"))
    one = service(1, *parts, component("public", 8, component="prometheus"))
    assert endpoint(one, Setting(route=asked)).address == f"127.0.0.1:{port}"


def test_a_route_that_is_not_there_is_named_with_how_to_open_it() -> None:
    with pytest.raises(Unreachable) as caught:
        endpoint(service(1), Setting(project=Project("p"), route="public"))
    assert "has no public route" in caught.value.what
    assert "avn service update us --project p -c public_access.valkey=true" in caught.value.hint
    assert not caught.value.passing


def test_an_address_of_version_6_stands_in_brackets() -> None:
    assert route.at("valkeys://u:p@h:1/2", "2001:db8::7", 5) == "valkeys://u:p@[2001:db8::7]:5/2"


@pytest.mark.parametrize("uri", ["valkeys://u:p@[::1:5", "valkeys://u:p@h:port", "no address", "valkeys://", "\x00"])
def test_what_is_no_address_is_told_as_that(uri: str) -> None:
    one = service(1, component("public", 2), service_uri=uri)
    with pytest.raises(Unreachable, match="can't be used") as caught:
        settings(endpoint(one, SETTING))
    assert "p@h" not in f"{caught.value} {caught.value.detail}"
    assert endpoint(one, SETTING).address


def test_an_address_of_version_6_is_shown_in_brackets() -> None:
    assert Endpoint(service="us", uri="valkeys://u:p@[2001:db8::7]:5").address == "[2001:db8::7]:5"


def test_a_password_that_avn_hides_is_told_as_that() -> None:
    with pytest.raises(Unreachable) as caught:
        endpoint(service(1, service_uri="valkeys://default:<redacted>@127.0.0.1:1"), SETTING)
    assert ("service:secrets:read" in caught.value.hint, caught.value.passing) == (True, False)


@pytest.mark.parametrize(("state", "said"), [("RUNNING", "avn service get us --json"), ("REBUILDING", "wait")])
def test_a_service_without_an_address_is_not_told_to_wait_until_it_is_what_it_is(state: str, said: str) -> None:
    with pytest.raises(Unreachable) as caught:
        endpoint(service(1, state=state, service_uri=None), SETTING)
    assert said in caught.value.hint
    assert ("wait" in caught.value.hint) is (state != "RUNNING")


def test_a_preview_goes_the_same_way() -> None:
    assert Setting(route="public").options == ("--route", "public")
