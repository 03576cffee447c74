"""Formats connection details for applications. Handles secrets on purpose; prints nothing itself."""

import base64
import json
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ccr_avn.errors import AvnError

PLAIN = "%:/?#[]@!&()*+,;=-._~"
"""Characters kept in an address. All others are written as %XX, so that no shell or dotenv reader interprets them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How an application reaches a service. Raises: AvnError: the address is none."""

    service: str
    uri: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.uri)
            whole = bool(parts.scheme and parts.hostname) and parts.port != 0
        except ValueError:  # its text holds the address, password and all
            whole = False
        if not whole:
            detail = "its service_uri is not SCHEME://USER:PASSWORD@HOST:PORT"
            hint = f"inspect its parts: avn service get {self.service} --format '{{service_uri_params}}'"
            raise AvnError(f"the address of {self.service} can't be read", detail=detail, hint=hint)

    def as_user(self, username: str, password: str) -> "Connection":
        parts = urlsplit(self.uri)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        address = f"{quote(username, safe='')}:{quote(password, safe='')}@{host}{port}"
        return Connection(service=self.service, uri=urlunsplit(parts._replace(netloc=address)))

    @property
    def parts(self) -> dict[str, str]:
        found = urlsplit(self.uri)
        return {
            "service": self.service,
            "host": found.hostname or "",
            "port": str(found.port or ""),
            "username": unquote(found.username or ""),
            "password": unquote(found.password or ""),
            "tls": "yes" if found.scheme in ("rediss", "valkeys") else "no",
            "uri": self.uri,
        }

    def env(self) -> str:
        """Lines fit for a dotenv file, and for a shell that sources it: nothing in a value can run."""
        tls = self.parts["tls"] == "yes"
        schemes = {"REDIS_URL": "rediss" if tls else "redis", "VALKEY_URL": "valkeys" if tls else "valkey"}
        uris = {name: urlunsplit(urlsplit(self.uri)._replace(scheme=scheme)) for name, scheme in schemes.items()}
        return "".join(f"{name}='{quote(uri, safe=PLAIN)}'\n" for name, uri in uris.items())

    def kubernetes_secret(self) -> str:
        """A manifest; JSON is YAML too."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in self.parts.items() if key != "service"}
        head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.service}, "type": "Opaque"}
        return json.dumps({**head, "data": data}, indent=2) + "\n"
