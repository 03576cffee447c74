"""Wraps the API: authorization, fault injection, and a log of all requests."""

import asyncio
import hmac
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ccr_avn.sandbox.bodies import error, json_of
from ccr_avn.sandbox.clients import Connections
from ccr_avn.sandbox.faults import CHANGING, Fault, Faults, RateLimit

HANG = 3600.0
"""Seconds: longer than anybody waits."""


class Guard:
    """avn has the API's token, the user who started the sandbox the control token; web pages are refused."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        control_token: str,
        project: str,
        faults: Faults,
        rate: RateLimit,
        requests: list[dict[str, Any]],
        connections: Connections,
    ) -> None:
        self._app = app
        self._token = token
        self._control_token = control_token
        self._project = project
        self._faults = faults
        self._rate = rate
        self._connections = connections
        self.requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        refusal = _from_a_browser(request)
        if not scope["path"].startswith("/v1/"):
            await (refusal or self._not_in_control(request) or self._app)(scope, receive, send)
            return
        body = await request.body()
        record: dict[str, Any] = {"method": scope["method"], "path": scope["path"], "status": None}
        if scope["method"] in CHANGING:
            record["body"] = _recorded(body)
        self.requests.append(record)

        async def recording(message: Any) -> None:
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
            await send(message)

        if (seconds := self._rate.again_in()) is not None:
            await error(429, self._rate.message(seconds), "")(scope, _replayed(body), recording)
            return
        fault = self._faults.take(scope["method"], scope["path"])
        if fault and await self._befalls(fault, scope, body, recording):
            return
        answer = refusal or self._refusal(request) or self._app
        await answer(scope, _replayed(body), recording)

    async def _befalls(self, fault: Fault, scope: Scope, body: bytes, send: Send) -> bool:
        """Whether the fault has answered in the API's place."""
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            return False
        if fault.kind == "hang":
            await asyncio.sleep(fault.seconds or HANG)
            return False
        if fault.kind.endswith("-after"):
            await self._app(scope, _replayed(body), _unheard)
        if fault.kind == "hang-after":
            await asyncio.sleep(fault.seconds or HANG)
            return True
        if fault.kind.startswith("close"):
            self._connections.abort(scope)
            await asyncio.sleep(0)
            return True
        await _answer(fault)(scope, _replayed(body), send)
        return True

    def _refusal(self, request: Request) -> Response | None:
        if not _is(request, f"aivenv1 {self._token}"):
            return error(401, "Missing (expired) db token", "")
        parts = request.url.path.split("/")
        project = parts[3] if len(parts) > 3 and parts[2] == "project" else ""
        if project and project != self._project:
            return error(404, "Project does not exist", "project_does_not_exist")
        return None

    def _not_in_control(self, request: Request) -> Response | None:
        if not _is(request, f"sandbox {self._control_token}"):
            return error(401, "The control token is missing or wrong: CCR_AVN_SANDBOX_CONTROL has it", "")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return error(415, "JSON only", "")
        return None


def _from_a_browser(request: Request) -> Response | None:
    """A page elsewhere names its origin; one that turned its own name into this address keeps that name as the host."""
    port = request.scope["server"][1]
    if request.headers.get("host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        return error(403, "This Host is not served", "")
    return error(403, "Not for web pages", "") if "origin" in request.headers else None


def _is(request: Request, authorization: str) -> bool:
    return hmac.compare_digest(request.headers.get("authorization", "").encode(), authorization.encode())


def _recorded(body: bytes) -> Any:
    try:
        return json_of(body)
    except ValueError:
        return {}


def _answer(fault: Fault) -> Response:
    if fault.kind == "html":
        page = f"<html><body><h1>{fault.status} Bad Gateway</h1></body></html>"
        return Response(page, status_code=fault.status, media_type="text/html")
    if fault.kind == "cut-json":
        return Response('{"services": [{"service_na', media_type="application/json")
    return error(fault.status, fault.message, "")


def _replayed(body: bytes) -> Receive:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _unheard(message: Any) -> None:
    """The answer of a request whose connection is about to be closed."""
