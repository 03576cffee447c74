"""The API over HTTP: routes, authentication, faults, and a record of every request."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ccr_avn.sandbox import catalogue, shapes
from ccr_avn.sandbox.faults import CHANGING, Fault, Faults
from ccr_avn.sandbox.records import ApiError, User, new_password
from ccr_avn.sandbox.world import Platform

Handler = Callable[..., Any]
HANG = 3600.0
"""Seconds: longer than anybody waits."""


class Api:
    """The handlers: each takes the path's parts and the body, and gives the answer's JSON."""

    def __init__(self, platform: Platform, ca_certificate: str) -> None:
        self._platform = platform
        self._ca = ca_certificate

    def me(self, body: Any) -> Any:
        return {"user": {"user": "you@example.com", "real_name": "You", "state": "active", "auth": ["password"]}}

    def projects(self, body: Any) -> Any:
        return {"projects": [self._project()], "project_membership": {self._platform.options.project: "admin"}}

    def project(self, body: Any) -> Any:
        return {"project": self._project()}

    def ca(self, body: Any) -> Any:
        return {"certificate": self._ca}

    def clouds(self, body: Any) -> Any:
        return {"clouds": catalogue.clouds()}

    def types(self, body: Any) -> Any:
        offered = self._platform.options.service_types
        return {
            "service_types": {
                kind: {**catalogue.service_type(kind), "service_plans": catalogue.plans(kind)} for kind in offered
            }
        }

    def type(self, body: Any, kind: str) -> Any:
        if kind not in self._platform.options.service_types:
            raise ApiError(404, f"Service type '{kind}' not found", "invalid_service_type")
        return catalogue.service_type(kind)

    def vpcs(self, body: Any) -> Any:
        return {
            "vpcs": [
                {
                    "cloud_name": cloud,
                    "project_vpc_id": f"vpc-{number}",
                    "state": "ACTIVE",
                    "network_cidr": "10.0.0.0/24",
                }
                for number, cloud in enumerate(self._platform.options.vpc_clouds)
            ]
        }

    def versions(self, body: Any) -> Any:
        return {
            "service_versions": [
                {"service_type": kind, "major_version": "9.1", "state": "available"}
                for kind in self._platform.options.service_types
            ]
        }

    def events(self, body: Any) -> Any:
        return {"events": self._platform.events}

    def services(self, body: Any) -> Any:
        every = self._platform.services.values()
        return {"services": [shapes.service(self._platform, one) for one in every if not one.lost]}

    def create(self, body: Any) -> Any:
        return {"service": shapes.service(self._platform, self._platform.create(body))}

    def service(self, body: Any, name: str) -> Any:
        return {"service": shapes.service(self._platform, self._platform.find(name))}

    def update(self, body: Any, name: str) -> Any:
        return {"service": shapes.service(self._platform, self._platform.update(name, body))}

    def delete(self, body: Any, name: str) -> Any:
        self._platform.delete(name)
        return {"message": "deleted"}

    def backups(self, body: Any, name: str) -> Any:
        return {"backups": self._platform.backups(self._platform.find(name))}

    def integrations(self, body: Any, name: str) -> Any:
        self._platform.find(name)
        return {"service_integrations": shapes.integrations(self._platform, name)}

    def integration_types(self, body: Any) -> Any:
        return {"integration_types": catalogue.integration_types(self._platform.options.service_types)}

    def integrate(self, body: Any) -> Any:
        raise ApiError(400, "read_replica can only be set during service creation")

    def disintegrate(self, body: Any, row: str) -> Any:
        self._platform.delete_integration(row)
        return {"message": "deleted"}

    def tags(self, body: Any, name: str) -> Any:
        return {"tags": self._platform.find(name).tags}

    def tag(self, body: Any, name: str) -> Any:
        tags = self._platform.find(name).tags
        for key, value in body["tags"].items():
            if value is None:
                tags.pop(key, None)
            else:
                tags[key] = value
        return {"message": "tags updated"}

    def retag(self, body: Any, name: str) -> Any:
        self._platform.find(name).tags = dict(body["tags"])
        return {"message": "tags updated"}

    def user(self, body: Any, name: str, user: str) -> Any:
        everyone = shapes.users(self._platform, self._platform.find(name))
        found = next((one for one in everyone if one["username"] == user), None)
        if not found:
            raise ApiError(404, "Service user does not exist")
        return {"user": found}

    def new_user(self, body: Any, name: str) -> Any:
        made = User(password=new_password(), access=_access(body))
        self._platform.set_user(name, body["username"], made)
        return self.user(body, name, body["username"])

    def change_user(self, body: Any, name: str, user: str) -> Any:
        """Another password, or other access, as ``operation`` has it."""
        known = self._platform.find(name).users.get(user)
        if known is None:
            raise ApiError(404, "Service user does not exist")
        if body.get("operation") == "set-access-control":
            changed = User(password=known.password, access=_access(body))
        else:
            changed = User(password=body.get("new_password") or new_password(), access=known.access)
        self._platform.set_user(name, user, changed)
        return self.user(body, name, user)

    def delete_user(self, body: Any, name: str, user: str) -> Any:
        self._platform.set_user(name, user, None)
        return {"message": "deleted"}

    def _project(self) -> dict[str, Any]:
        return {
            "project_name": self._platform.options.project,
            "account_id": "a1",
            "default_cloud": catalogue.CLOUDS[0],
            "billing_currency": "USD",
            "billing_extra_text": None,
            "country": "",
            "estimated_balance": "0.00",
            "payment_method": "no_payment_expected",
            "available_credits": "0.00",
            "tags": {},
        }


class Guard:
    """Around the whole API: records each request, asks for the token, lets faults befall it."""

    def __init__(
        self, app: ASGIApp, *, token: str, project: str, faults: Faults, requests: list[dict[str, Any]]
    ) -> None:
        self._app = app
        self._token = token
        self._project = project
        self._faults = faults
        self.requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        record: dict[str, Any] = {"method": scope["method"], "path": scope["path"], "status": None}
        if scope["method"] in CHANGING:
            record["body"] = _json(body)
        self.requests.append(record)

        async def recording(message: Any) -> None:
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
            await send(message)

        fault = self._faults.take(scope["method"], scope["path"])
        if fault and await self._befalls(fault, scope, body, recording):
            return
        if refusal := self._refusal(request):
            await refusal(scope, receive, recording)
            return
        await self._app(scope, _replayed(body), recording)

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
            _close(send)
            await asyncio.sleep(0)
            return True
        await _answer(fault)(scope, _replayed(body), send)
        return True

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("authorization") != f"aivenv1 {self._token}":
            return _error(401, "Missing (expired) db token", "")
        parts = request.url.path.split("/")
        project = parts[3] if len(parts) > 3 and parts[2] == "project" else ""
        if project and project != self._project:
            return _error(404, "Project does not exist", "project_does_not_exist")
        return None


def application(api: Api, control: dict[str, Handler], *, lock: threading.RLock) -> Starlette:
    project = "/v1/project/{project}"
    one = project + "/service/{name}"
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/v1/me", api.me),
        ("GET", "/v1/project", api.projects),
        ("GET", "/v1/clouds", api.clouds),
        ("GET", "/v1/project//clouds", api.clouds),
        ("GET", "/v1/service_versions", api.versions),
        ("GET", "/v1/account/{account}/service_versions", api.versions),
        ("GET", project, api.project),
        ("GET", project + "/kms/ca", api.ca),
        ("GET", project + "/clouds", api.clouds),
        ("GET", project + "/service_types", api.types),
        ("GET", project + "/service-types/{kind}", api.type),
        ("GET", project + "/vpcs", api.vpcs),
        ("GET", project + "/events", api.events),
        ("GET", project + "/integration_types", api.integration_types),
        ("POST", project + "/integration", api.integrate),
        ("DELETE", project + "/integration/{row}", api.disintegrate),
        ("GET", project + "/service", api.services),
        ("POST", project + "/service", api.create),
        ("GET", one, api.service),
        ("PUT", one, api.update),
        ("DELETE", one, api.delete),
        ("GET", one + "/backups", api.backups),
        ("GET", one + "/integration", api.integrations),
        ("GET", one + "/tags", api.tags),
        ("PATCH", one + "/tags", api.tag),
        ("PUT", one + "/tags", api.retag),
        ("POST", one + "/user", api.new_user),
        ("GET", one + "/user/{user}", api.user),
        ("PUT", one + "/user/{user}", api.change_user),
        ("DELETE", one + "/user/{user}", api.delete_user),
        *(("POST", f"/sandbox/{name}", handler) for name, handler in control.items()),
    ]
    return Starlette(
        routes=[Route(path, _endpoint(handler, lock), methods=[method]) for method, path, handler in table]
    )


def _endpoint(handler: Handler, lock: threading.RLock) -> Callable[[Request], Awaitable[Response]]:
    def locked(body: Any, words: dict[str, str]) -> Any:
        with lock:
            return handler(body, **words)

    async def endpoint(request: Request) -> Response:
        body = _json(await request.body())
        words = {key: value for key, value in request.path_params.items() if key not in ("project", "account")}
        try:
            return JSONResponse(await run_in_threadpool(locked, body, words))
        except ApiError as error:
            return _error(error.status, error.message, error.code)

    return endpoint


def _error(status: int, message: str, code: str) -> Response:
    entry: dict[str, Any] = {"message": message, "status": status, "more_info": "https://api.aiven.io/doc/"}
    if code:
        entry["error_code"] = code
    return JSONResponse({"errors": [entry], "message": message}, status_code=status)


def _answer(fault: Fault) -> Response:
    if fault.kind == "html":
        page = f"<html><body><h1>{fault.status} Bad Gateway</h1></body></html>"
        return Response(page, status_code=fault.status, media_type="text/html")
    if fault.kind == "cut-json":
        return Response('{"services": [{"service_na', media_type="application/json")
    return _error(fault.status, fault.message, "")


def _access(body: Any) -> dict[str, list[str]]:
    """Lists that are empty are left out, as the platform does."""
    return {key: list(words) for key, words in (body.get("access_control") or {}).items() if words}


def _json(body: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(body)
    return {}


def _replayed(body: bytes) -> Receive:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _unheard(message: Any) -> None:
    """The answer of a request whose connection is about to be closed."""


def _close(send: Any) -> None:
    """Abort the connection under uvicorn's `send`, which is kept in the recording function's closure."""
    for cell in send.__closure__ or ():
        cycle = getattr(cell.cell_contents, "__self__", None)
        if transport := getattr(cycle, "transport", None):
            transport.abort()
