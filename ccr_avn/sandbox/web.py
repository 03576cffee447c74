"""Routes HTTP requests to their handlers, and validates their bodies."""

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ccr_avn.sandbox import bodies
from ccr_avn.sandbox.api import Api
from ccr_avn.sandbox.bodies import Json, error, json_of
from ccr_avn.sandbox.control import Command
from ccr_avn.sandbox.records import ApiError

Handler = Callable[..., Any]


def application(api: Api, control: dict[str, Command], *, lock: threading.RLock) -> Starlette:
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
        ("GET", one, api.service),
        ("DELETE", one, api.delete),
        ("GET", one + "/backups", api.backups),
        ("GET", one + "/integration", api.integrations),
        ("GET", one + "/tags", api.tags),
        ("GET", one + "/user/{user}", api.user),
        ("DELETE", one + "/user/{user}", api.delete_user),
    ]
    bodied: list[tuple[str, str, Handler, type[bodies.Body | bodies.Control]]] = [
        ("POST", project + "/service", api.create, bodies.Create),
        ("PUT", one, api.update, bodies.Update),
        ("PATCH", one + "/tags", api.tag, bodies.TagChanges),
        ("PUT", one + "/tags", api.retag, bodies.Tags),
        ("POST", one + "/user", api.new_user, bodies.NewUser),
        ("PUT", one + "/user/{user}", api.change_user, bodies.UserChange),
        *(("POST", f"/sandbox/{name}", handler, body) for name, (handler, body) in control.items()),
    ]
    every = [*((*row, bodies.Body) for row in table), *bodied]
    return Starlette(
        routes=[Route(path, _endpoint(handler, body, lock), methods=[method]) for method, path, handler, body in every],
        exception_handlers={HTTPException: _refused, Exception: _broken},
    )


def _endpoint(
    handler: Handler, kind: type[BaseModel], lock: threading.RLock
) -> Callable[[Request], Awaitable[Response]]:
    def locked(body: Any, words: dict[str, str]) -> Any:
        with lock:
            return handler(body, **words)

    async def endpoint(request: Request) -> Response:
        words = {key: value for key, value in request.path_params.items() if key not in ("project", "account")}
        try:
            body = json_of(await request.body())
            bodies.check(body, kind)
            return Json(await run_in_threadpool(locked, body, words))
        except ValueError as wrong:
            return error(400, f"Invalid JSON: {wrong}", "")
        except ApiError as refusal:
            return error(refusal.status, refusal.message, refusal.code)

    return endpoint


async def _refused(_: Request, refusal: Exception) -> Response:
    status = refusal.status_code if isinstance(refusal, HTTPException) else 500
    return error(status, "No such thing here", "")


async def _broken(request: Request, bug: Exception) -> Response:
    """A bug of the sandbox, which must be seen where it runs; who asked sees what the platform would say."""
    logging.getLogger(__name__).error("%s %s", request.method, request.url.path, exc_info=bug)
    return error(500, "Internal server error", "")
