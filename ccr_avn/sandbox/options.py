"""How a sandbox is set up. Times are in seconds."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    build_seconds: float = 2.0  # from created to RUNNING
    backup_seconds: float = 1.0  # from RUNNING to the first backup
    promote_seconds: float = 0.5  # from an integration deleted to the server accepting writes
    sync_delay: float = 0.0  # from RUNNING to following: a replica may be RUNNING and not linked yet
    auto_promote: float | None = None  # the platform promotes by itself this long after an outage
    service_types: tuple[str, ...] = ("valkey", "redis")
    vpc_clouds: tuple[str, ...] = ()  # clouds in which the project has a VPC
    uri_scheme: str | None = None  # redis, rediss, valkey or valkeys; None: as TLS and type have it
    refuse_client_pause: bool = False
    keep_orphans: bool = False  # a terminated primary's replicas keep their integration; else they are promoted
    redact: bool = False  # passwords come back as <redacted>
    data_plane: bool = True  # False: no servers are started
    project: str = "sandbox"
    tls_certificate: Path | None = None  # needs a server built with TLS
    tls_key: Path | None = None
    tls_ca: Path | None = None

    @property
    def tls(self) -> bool:
        return self.tls_certificate is not None
