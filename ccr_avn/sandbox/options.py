"""The settings of a sandbox. Times are in seconds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    build_seconds: float = 2.0  # from created to RUNNING
    backup_seconds: float = 1.0  # from RUNNING to the first backup; inf: there is never one
    promote_seconds: float = 0.5  # from an integration deleted to the server accepting writes
    promote_restart: bool = False  # the server is started anew when it is promoted: every connection drops
    promote_empty: bool = False  # it comes back without its data when it is promoted
    promote_password: bool = False  # it has another password when it is promoted
    stale_rows: float = 0.0  # a deleted integration is listed that much longer
    sync_delay: float = 0.0  # from RUNNING to following: a replica may be RUNNING and not linked yet; inf: never
    auto_promote: float = 0.0  # the platform promotes by itself this long after an outage; 0: never
    service_types: tuple[str, ...] = ("valkey", "redis")
    vpc_clouds: tuple[str, ...] = ()  # clouds in which the project has a VPC
    uri_scheme: str | None = None  # redis, rediss, valkey or valkeys; None: as TLS and type have it
    filter_cuts: Literal["all", "new-only", "never"] = "all"  # whom an IP filter keeps out: never: it is not obeyed
    serve_stale_data: bool = True  # False: a replica without its primary answers MASTERDOWN
    platform_writes: float = 0.0  # the platform itself writes to every primary, this often; 0: never
    platform_lifts_pauses: float = 0.0  # it ends every write pause, this often; 0: never
    platform_connects: bool = False  # it stays connected to every primary, as the service's own default user
    promoted_backups: bool = True  # False: a promoted service never gets a backup of its own
    prices: bool = True  # False: its plans are listed without what they cost
    filter_reopens: bool = True  # False: an IP filter that lets nobody in stays as it is
    tags_forbidden: bool = False  # nobody may set tags
    components: bool = True  # False: of a service's addresses only its service_uri is shown
    server: str = ""  # the program of the servers; empty: the one that is installed
    requests_per_second: float = 0.0  # more than so many of the API are answered 429; 0: as many as come
    refuse_client_pause: bool = False
    refuse_commands: tuple[str, ...] = ()  # denied to the service's users, as an ACL has it: client|list
    keep_orphans: bool = False  # a terminated primary's replicas keep their integration; else they are promoted
    redact: bool = False  # passwords come back as <redacted>
    data_plane: bool = True  # False: no servers are started
    project: str = "sandbox"
    tls: bool = False  # in front of every server, with a certificate authority of the sandbox's own, or with:
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None

    @property
    def encrypted(self) -> bool:
        return self.tls_certificate is not None
