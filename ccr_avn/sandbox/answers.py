"""JSON as the API reads and writes it, and its envelope around an error."""

import json
from typing import Any, NoReturn

from starlette.responses import Response


class Json(Response):
    """Escaped, so that anything can be said: half of a surrogate pair, too."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


def error(status: int, message: str, code: str) -> Response:
    entry: dict[str, Any] = {"message": message, "status": status, "more_info": "https://api.aiven.io/doc/"}
    if code:
        entry["error_code"] = code
    return Json({"errors": [entry], "message": message}, status_code=status)


def json_of(body: bytes) -> Any:
    """Raises:
    ValueError: it is no JSON. Nothing at all is an empty object.
    """
    try:
        return json.loads(body, parse_constant=_refuse) if body.strip() else {}
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
