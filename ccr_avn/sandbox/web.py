"""Serves the API over HTTP: who may ask, injected faults, a log of all requests; and the route that controls all that."""

import hmac
import json
import logging
import os
import random
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ccr_avn.sandbox.api import Api
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError, checked, route

HANG = 3600.0
"""Seconds: longer than anybody waits."""

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


class Control(BaseModel):
    """The body of a command: nothing else may be in it."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Outage(Control):
    target: str
    kind: Literal["kill", "freeze", "api-only", "cut", "loading", "restart"] = "kill"


class Heal(Control):
    target: str | None = None


class Fault(Control):
    """The next ``times`` requests that match, after ``skip`` of them, go wrong; or a ``share`` of those.

    ``…-after``: the request is acted on, and then it goes wrong. ``seconds``: for a delay or a hang.
    """

    model_config = ConfigDict(strict=False)  # from a shell everything is a text

    kind: Literal[
        "status", "status-after", "html", "cut-json", "close-before", "close-after", "delay", "hang", "hang-after"
    ]
    method: re.Pattern[str] = re.compile(".*")  # or "changing"
    path: re.Pattern[str] = re.compile(".*")  # searched for
    times: int = Field(default=1, ge=0)
    skip: int = Field(default=0, ge=0)
    share: float = Field(default=1.0, gt=0, le=1)
    status: int = Field(default=500, ge=100, le=599)
    message: str = "Internal server error"
    seconds: float = Field(default=0.0, ge=0)
    _chance: random.Random = PrivateAttr(default_factory=lambda: random.Random(0))  # noqa: S311 (no secret: the same each time)

    def applies(self, method: str, path: str) -> bool:
        """Whether this request goes wrong, which uses it up."""
        wanted = method in CHANGING if self.method.pattern == "changing" else self.method.fullmatch(method)
        if not wanted or not self.path.search(path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if not self.times or (self.share < 1.0 and self._chance.random() >= self.share):
            return False
        self.times -= 1
        return True


class Faults(list[Fault]):
    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()  # each request is in a thread of its own

    def add(self, **fields: Any) -> None:
        self.append(Fault(**fields))

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault that applies to this request."""
        with self._lock:
            return next((fault for fault in self if fault.applies(method, path)), None)


class RateLimit:
    """``most``: requests that are answered in a second of the clock; 0: as many as come."""

    def __init__(self, most: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._second = self._answered = 0

    def count(self) -> None:
        """One more request. Raises: ApiError: 429, as the platform words it."""
        now = int(self._clock())
        if now != self._second:
            self._second, self._answered = now, 0
        if self._most and self._answered >= self._most:
            limit = f"Rate limit {self._most:g} exceeded - try again in 1s"
            raise ApiError(429, f"The user has sent too many requests in a given amount of time: {limit}")
        self._answered += 1


class Route(NamedTuple):
    method: str
    path: re.Pattern[str]
    act: Callable[..., Any]
    body: type[BaseModel] | None


def routes_of(handlers: object) -> Iterator[Route]:
    for act in vars(type(handlers)).values():
        for method, path, body in getattr(act, "routes", ()):
            yield Route(method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), partial(act, handlers), body)


class RunningSandbox(ThreadingHTTPServer):
    """A sandbox that is up. Its parts can be reached from the same process; from others there is ``/sandbox/…``.

    avn has the API's token, the user who started the sandbox the control token; web pages are refused.
    """

    daemon_threads, request_queue_size, block_on_close = True, 256, False

    def __init__(self, home: Path, platform: Platform, servers: Any, lock: threading.RLock) -> None:
        options = platform.options
        self.home, self.platform, self.servers, self.lock = home, platform, servers, lock
        self.token = os.environ.get("CCR_AVN_SANDBOX_TOKEN") or f"sandbox-{secrets.token_urlsafe(12)}"
        self.control_token = secrets.token_urlsafe(24)
        self.faults, self.rate = Faults(), RateLimit(options.requests_per_second)
        self.requests: list[dict[str, Any]] = []  # those of the API so far, in order; of a changing one with its body
        api = Api(platform, options.tls_ca.read_text() if options.tls_ca else "")
        self.routes = [*routes_of(api), *routes_of(self)]
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def changes(self) -> list[tuple[str, str]]:
        """The method and path of the changing requests."""
        return [(one["method"], one["path"]) for one in self.requests if "body" in one]

    def environment(self) -> dict[str, str]:
        """What makes avn talk to it, with the person's own login left alone."""
        return {
            "AIVEN_WEB_URL": self.url,
            "AIVEN_AUTH_TOKEN": self.token,
            "AIVEN_PROJECT": self.platform.options.project,
            "AIVEN_CONFIG_DIR": str(self.home),
            "AIVEN_CREDENTIALS_FILE": str(self.home / "aiven-credentials.json"),
            "AIVEN_CLIENT_CONFIG": str(self.home / "aiven-client.json"),
            "CCR_AVN_SANDBOX": self.url,
            "CCR_AVN_SANDBOX_CONTROL": self.control_token,
            "CCR_AVN_STATE_DIR": str(self.home / "state"),
            **dict.fromkeys(("CCR_AVN_CA_FILE", "CCR_AVN_ROUTE"), ""),  # what holds for a real project does not here
        }

    def handle_error(self, *_: object) -> None:
        """Who hung up is not answered."""

    @route("POST", "/sandbox/faults", body=Fault)
    def add_fault(self, body: Any) -> Any:
        self.faults.add(**body)
        return {"message": "set"}

    @route("POST", "/sandbox/clear", body=Control)
    def clear_faults(self, _: Any) -> Any:
        self.faults.clear()
        return {"message": "cleared"}

    @route("POST", "/sandbox/outage", body=Outage)
    def outage(self, body: Any) -> Any:
        names, kind = self._named(body["target"]), body.get("kind", "kill")
        begin = {
            "kill": self.servers.kill,
            "freeze": self.servers.freeze,
            "api-only": self.servers.isolate,
            "cut": self.servers.cut_replication,
            "loading": self.servers.load,
            "restart": self.servers.restart,
        }[kind]
        for name in names:
            begin(name)
        if kind != "restart":
            self.platform.outage_began(names)
        return {"struck": names}

    @route("POST", "/sandbox/heal", body=Heal)
    def heal(self, body: Any) -> Any:
        names = self._named(body.get("target"))
        for name in names:
            self.servers.heal(name)
        self.platform.outage_ended(names)
        return {"healed": names}

    @route("POST", "/sandbox/requests", body=Control)
    def list_requests(self, _: Any) -> Any:
        return {"requests": self.requests}

    def _named(self, target: str | None) -> list[str]:
        """A service by name, all services of a cloud, or all."""
        services = self.platform.services.values()
        names = [one.name for one in services if target in (None, one.name, one.cloud) and one.powered]
        if not names:
            raise ApiError(404, f"no service and no cloud in use is called {target}")
        return names


class _HangUp(Exception):
    """The connection is closed without an answer."""


class _Handler(BaseHTTPRequestHandler):
    """One connection, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one message
    server: RunningSandbox

    def do_GET(self) -> None:
        path, record = self.path.partition("?")[0], None
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            if path.startswith("/v1/"):
                record = self._recorded(path, raw)
                self.server.rate.count()
                self._suffer_fault(record, path, raw)
            self._send(200, json.dumps(self._answer(path, raw)).encode(), record)
        except ApiError as refusal:
            self._send(refusal.status, json.dumps(refusal.envelope()).encode(), record)
        except _HangUp:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (the names that http.server looks for)

    def _answer(self, path: str, raw: bytes) -> Any:
        """Raises: ApiError."""
        self._must_be_allowed(path)
        matches = {
            route.method: (route, found) for route in self.server.routes if (found := route.path.fullmatch(path))
        }
        if self.command not in matches:
            raise ApiError(405 if matches else 404, "No such thing here")
        route, found = matches[self.command]
        words = {key: word for key, word in found.groupdict().items() if key not in ("project", "account")}
        body = [checked(raw, route.body)] if route.body else []
        try:
            with self.server.lock:
                return route.act(*body, **words)
        except ApiError:
            raise
        except Exception as bug:  # of the sandbox: it must be seen where it runs
            logging.getLogger(__name__).exception("%s %s", self.command, path)
            raise ApiError(500, "Internal server error") from bug

    def _must_be_allowed(self, path: str) -> None:
        """A page elsewhere names its origin; one that turned its own name into this address keeps that as the host.

        Raises: ApiError.
        """
        port = self.server.server_port
        if self.headers.get("host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            raise ApiError(403, "This Host is not served")
        if "origin" in self.headers:
            raise ApiError(403, "Not for web pages")
        given = self.headers.get("authorization", "").encode()
        if path.startswith("/v1/"):
            if not hmac.compare_digest(given, f"aivenv1 {self.server.token}".encode()):
                raise ApiError(401, "Missing (expired) db token")
            project = re.match(r"/v1/project/([^/]+)", path)
            if project and project[1] != self.server.platform.options.project:
                raise ApiError(404, "Project does not exist", "project_does_not_exist")
            return
        if not hmac.compare_digest(given, f"sandbox {self.server.control_token}".encode()):
            raise ApiError(401, "The control token is missing or wrong: CCR_AVN_SANDBOX_CONTROL has it")
        if "content-type" not in self.headers or self.headers.get_content_type() != "application/json":
            raise ApiError(415, "JSON only")

    def _recorded(self, path: str, raw: bytes) -> dict[str, Any]:
        record: dict[str, Any] = {"method": self.command, "path": path, "status": None}
        if self.command in CHANGING:
            record["body"] = {}
            with suppress(ValueError, RecursionError):
                record["body"] = json.loads(raw)
        self.server.requests.append(record)
        return record

    def _suffer_fault(self, record: dict[str, Any], path: str, raw: bytes) -> None:
        """What goes wrong before an answer, or instead of it. Raises: ApiError, _HangUp."""
        fault = self.server.faults.take(self.command, path)
        if fault is None:
            return
        if fault.kind.endswith("-after"):
            self._answer(path, raw)
        if fault.kind in ("delay", "hang", "hang-after"):
            time.sleep(fault.seconds or (0.0 if fault.kind == "delay" else HANG))
        if fault.kind.startswith("status"):
            raise ApiError(fault.status, fault.message)
        if fault.kind == "html":
            page = f"<html><body><h1>{fault.status} Bad Gateway</h1></body></html>"
            self._send(fault.status, page.encode(), record, "text/html")
        elif fault.kind == "cut-json":
            self._send(200, b'{"services": [{"service_na', record)
        if fault.kind not in ("delay", "hang"):
            raise _HangUp

    def _send(self, status: int, content: bytes, record: dict[str, Any] | None, kind: str = "application/json") -> None:
        if record:
            record["status"] = status
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""
