"""Connection details in the forms that applications take. Holds secrets, by purpose; shows nothing itself."""

import base64
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How an application reaches a service."""

    service: str
    uri: str = field(repr=False)

    def as_user(self, username: str, password: str) -> "Connection":
        parts = urlsplit(self.uri)
        address = f"{quote(username, safe='')}:{quote(password, safe='')}@{parts.hostname}:{parts.port}"
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
        """Lines fit for a dotenv file."""
        scheme = "rediss" if self.parts["tls"] == "yes" else "redis"
        redis = urlunsplit(urlsplit(self.uri)._replace(scheme=scheme))
        valkey = urlunsplit(urlsplit(self.uri)._replace(scheme="valkeys" if scheme == "rediss" else "valkey"))
        return f'REDIS_URL="{redis}"\nVALKEY_URL="{valkey}"\n'

    def kubernetes_secret(self) -> str:
        """A manifest; JSON is YAML too."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in self.parts.items() if key != "service"}
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.service},
            "type": "Opaque",
            "data": data,
        }
        return json.dumps(manifest, indent=2) + "\n"


def write_privately(path: Path, text: str) -> None:
    """Write to a temporary file that only its owner can read, then put it in the place of ``path``.

    Raises:
        OSError: it can't be written; ``path`` is then as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
