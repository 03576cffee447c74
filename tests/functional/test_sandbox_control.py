"""Who may ask the sandbox for what: the control route is for whoever started it, and no body makes it stumble."""

import http.client
import json
import socket
from typing import Any

import pytest

from tests.support.operator import Make, Operator
from tests.support.pairs import add_service, overlay_service


@pytest.fixture
def operator(make: Make) -> Operator:
    made = make(data_plane=False)
    add_service(made, "eu")
    return made


def ask(operator: Operator, method: str, path: str, body: Any = b"", **headers: str) -> tuple[int, Any]:
    """With the token and the type that belong there, unless other headers are given; ``body``: JSON, or bytes as they are."""
    sandbox = operator.sandbox
    token = f"sandbox {sandbox.control_token}" if path.startswith("/sandbox/") else f"aivenv1 {sandbox.token}"
    sent = {"authorization": token, "content-type": "application/json", **headers}
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=20)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, raw, {key: value for key, value in sent.items() if value})
    answer = connection.getresponse()
    seen = answer.status, json.loads(answer.read())
    connection.close()
    return seen


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "sandbox guessed"}, 401),
        ({"authorization": "sandbox gu\u00e9ss\u00e9d"}, 401),
        ({"origin": "https://example.com"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "rebound.example.com"}, 403),
        ({"host": "127.0.0.1"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
    ],
)
def test_a_web_page_can_do_nothing(operator: Operator, headers: dict[str, str], status: int) -> None:
    for command in ("outage", "requests"):
        refused, seen = ask(operator, "POST", f"/sandbox/{command}", {"target": "eu"}, **headers)
        assert (refused, "password" in json.dumps(seen)) == (status, False)
    assert operator.sandbox.platform.struck == set()


def test_the_apis_token_is_not_the_control_token(operator: Operator) -> None:
    refused, _ = ask(operator, "POST", "/sandbox/requests", {}, authorization=f"aivenv1 {operator.sandbox.token}")
    assert refused == 401
    assert ask(operator, "POST", "/sandbox/requests", {})[0] == 200
    control = f"sandbox {operator.sandbox.control_token}"
    assert ask(operator, "GET", "/v1/me", authorization=control)[0] == 401
    assert ask(operator, "GET", "/v1/me", origin="https://example.com")[0] == 403


BODIES: tuple[Any, ...] = (
    b"{", b"\xff", b"NaN", b"[" * 100_000, b"", None, [], "text", 1, {"target": 1, "kind": []}, {"kind": "tickle", "target": "eu"},
    {"username": []}, {"tags": 1}, {"plan": {}}, {"user_config": {"ip_filter": 1}}, {"user_config": {"ip_filter": [1]}},
    {"user_config": {"ip_filter": [{}]}}, {"user_config": {"valkey_timeout": "1"}}, {"powered": "no"}, {"times": -1},
    {"user_config": {"colour": "red"}}, {"service": "eu"}, {"of": "x"}, {"path": "("}, {"colour": "red"},
)  # fmt: skip
ROUTES = (
    ("POST", "/v1/project/sandbox/service"),
    ("PUT", "/v1/project/sandbox/service/eu"),
    ("PATCH", "/v1/project/sandbox/service/eu/tags"),
    ("PUT", "/v1/project/sandbox/service/eu/tags"),
    ("POST", "/v1/project/sandbox/service/eu/user"),
    ("PUT", "/v1/project/sandbox/service/eu/user/default"),
    *(("POST", f"/sandbox/{name}") for name in ("faults", "outage", "heal", "clear", "requests")),
)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_body_that_is_not_as_it_must_be_is_never_an_error_of_the_sandbox(
    operator: Operator, method: str, path: str
) -> None:
    for body in BODIES:
        status, seen = ask(operator, method, path, body)
        assert status < 500, body
        if status >= 400:
            assert (seen["errors"][0]["status"], seen["errors"][0]["message"]) == (status, seen["message"])
        operator.sandbox.faults.clear()
    assert ask(operator, method, path, b"{")[0] == 400
    assert ask(operator, method, path, [])[0] == 400


def test_the_control_token_goes_to_no_proxy(operator: Operator) -> None:
    assert operator.ccr("sandbox", "requests", http_proxy="http://127.0.0.1:9").code == 0


def test_what_is_not_there_has_the_envelope_too(operator: Operator) -> None:
    for method, path in (("GET", "/v1/no/such/thing"), ("DELETE", "/v1/me"), ("POST", "/sandbox/no-such-command")):
        status, seen = ask(operator, method, path, {})
        assert status == seen["errors"][0]["status"] in (404, 405)


def test_half_a_surrogate_pair_can_be_answered(operator: Operator) -> None:
    overlay_service(operator, "eu", {"plan": "business-\ud800"})
    assert ask(operator, "GET", "/v1/project/sandbox/service/eu")[1]["service"]["plan"] == "business-\ud800"


def test_a_connection_is_broken_under_its_request_only(operator: Operator) -> None:
    host, port = operator.sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as idle:
        operator.sandbox.faults.add(kind="close-before", method="GET")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(operator, "GET", "/v1/me")
        idle.sendall(b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 403"


def test_without_servers_there_are_outages_too(operator: Operator) -> None:
    assert ask(operator, "POST", "/sandbox/outage", {"target": "eu"}) == (200, {"struck": ["eu"]})
    assert ask(operator, "POST", "/sandbox/heal", {}) == (200, {"healed": ["eu"]})
