"""What the API may be asked for: a route for each handler, and the bodies that are valid there."""

import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ccr_avn.sandbox.records import ApiError

JsonObject = dict[str, Any]
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Body(BaseModel):
    """Whatever else is in it is left alone, as the platform does."""

    model_config = ConfigDict(strict=True)


class Integration(Body):
    integration_type: str
    source_service: str | None = None


class Create(Body):
    service_name: str
    service_type: str
    plan: str
    cloud: str | None = None
    user_config: JsonObject | None = None
    service_integrations: list[Integration] | None = None
    termination_protection: bool | None = None
    project_vpc_id: str | None = None


class Update(Body):
    plan: str | None = None
    cloud: str | None = None
    powered: bool | None = None
    user_config: JsonObject | None = None
    termination_protection: bool | None = None


class Tags(Body):
    tags: dict[str, str]


class TagChanges(Body):
    tags: dict[str, str | None]


class NewUser(Body):
    username: str
    access_control: dict[str, list[str]] | None = None


class UserChange(Body):
    operation: str | None = None
    new_password: str | None = None
    access_control: dict[str, list[str]] | None = None


def route(method: str, *paths: str, body: type[BaseModel] | None = None) -> Callable[[Handler], Handler]:
    """Marks a handler with what it answers. It is called with the named words of the path, after the body if it has one."""

    def marked(handler: Handler) -> Handler:
        handler.__dict__.setdefault("routes", []).extend((method, path, body) for path in paths)
        return handler

    return marked


def check(body: Any, kind: type[BaseModel]) -> None:
    """Raises: ApiError: 400, with what is wrong and where."""
    try:
        kind.model_validate(body)
    except ValidationError as refusal:
        seen = refusal.errors()[0]
        where = ".".join(str(part) for part in seen["loc"]) or "body"
        raise ApiError(400, f"Invalid input for {where}: {seen['msg']}", "invalid_input") from None


def json_of(body: bytes) -> Any:
    """Raises: ValueError: it is no JSON. Nothing at all is an empty object."""
    try:
        return json.loads(body, parse_constant=_refuse) if body.strip() else {}
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
