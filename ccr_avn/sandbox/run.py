"""Starts a sandbox and ends it without a trace."""

import contextlib
import os
import resource
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ccr_avn.sandbox.options import SandboxOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandbox:
    """A sandbox that is up. Its parts can be reached from the same process; from others there is ``/sandbox/…``."""

    url: str
    token: str = field(repr=False)
    control_token: str = field(repr=False)
    project: str
    home: Path
    platform: Any
    servers: Any
    faults: Any
    server: Any

    def environment(self) -> dict[str, str]:
        """What makes avn talk to it, with the person's own login left alone."""
        return {
            "AIVEN_WEB_URL": self.url,
            "AIVEN_AUTH_TOKEN": self.token,
            "AIVEN_PROJECT": self.project,
            "AIVEN_CONFIG_DIR": str(self.home),
            "AIVEN_CREDENTIALS_FILE": str(self.home / "aiven-credentials.json"),
            "AIVEN_CLIENT_CONFIG": str(self.home / "aiven-client.json"),
            "CCR_AVN_SANDBOX": self.url,
            "CCR_AVN_SANDBOX_CONTROL": self.control_token,
            "CCR_AVN_STATE_DIR": str(self.home / "state"),
        }

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What the API was asked so far, in order; of a changing request with its body."""
        log: list[dict[str, Any]] = self.server.requests
        return log

    def changes(self) -> list[tuple[str, str]]:
        """The changing requests so far, in order, with what the API answered left out."""
        return [(one["method"], one["path"]) for one in self.requests if "body" in one]


@contextlib.contextmanager
def running(options: SandboxOptions) -> Iterator[RunningSandbox]:
    """A sandbox on a free loopback port for as long as the block runs.

    Raises:
        UsageError: the files for TLS can't be used.
        ModuleNotFoundError: the packages of the extra ``sandbox`` are not installed.
    """
    from ccr_avn.sandbox.keeper import Keeper
    from ccr_avn.sandbox.servers import ValkeyServers
    from ccr_avn.sandbox.tls import must_load, with_certificates

    must_load(options)
    _raise_descriptors()
    keeper = Keeper()
    with contextlib.ExitStack() as stack:
        stack.callback(keeper.close)
        home = Path(tempfile.mkdtemp(prefix="ccr-avn-home-"))
        keeper.sweep(home)
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        options = with_certificates(options, home)
        servers: Any = ValkeyServers(options, keeper) if options.data_plane else NoServers()
        stack.callback(servers.close)
        yield from _served(options, servers, home)


def _raise_descriptors() -> None:
    """As many open files as this user may have: a port is kept for each service."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a system may allow less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _served(options: SandboxOptions, servers: Any, home: Path) -> Iterator[RunningSandbox]:
    timers: list[threading.Timer] = []
    try:
        sandbox = _assemble(options, servers, home, timers)
        threading.Thread(target=sandbox.server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield sandbox
        finally:
            sandbox.server.shutdown()
            sandbox.server.server_close()
    finally:
        for timer in timers:
            timer.cancel()


def _assemble(options: SandboxOptions, servers: Any, home: Path, timers: list[threading.Timer]) -> RunningSandbox:
    from ccr_avn.sandbox import requests
    from ccr_avn.sandbox.api import Api
    from ccr_avn.sandbox.control import control
    from ccr_avn.sandbox.faults import Faults, RateLimit
    from ccr_avn.sandbox.platform import Platform
    from ccr_avn.sandbox.web import Server

    lock = threading.RLock()

    def later(seconds: float, act: Callable[[], None]) -> None:
        def locked() -> None:
            with lock:
                act()

        timer = threading.Timer(seconds, locked)
        timer.daemon = True
        timers.append(timer)
        timer.start()

    platform = Platform(options, servers, time.monotonic, later)
    faults = Faults()
    tokens = (
        os.environ.get("CCR_AVN_SANDBOX_TOKEN") or f"sandbox-{secrets.token_urlsafe(12)}",
        secrets.token_urlsafe(24),
    )
    commands = control(platform, servers, faults)
    commands["requests"] = (lambda _: {"requests": server.requests}, requests.Nothing)
    server = Server(
        Api(platform, options.tls_ca.read_text() if options.tls_ca else ""),
        commands,
        lock=lock,
        tokens=tokens,
        project=options.project,
        faults=faults,
        rate=RateLimit(most=options.requests_per_second, clock=time.monotonic),
    )
    return RunningSandbox(
        url=server.url,
        token=tokens[0],
        control_token=tokens[1],
        project=options.project,
        home=home,
        platform=platform,
        servers=servers,
        faults=faults,
        server=server,
    )


class NoServers:
    """For rehearsals of the control plane alone, and for a great many services."""

    def start(self, *_: object) -> int:
        return 1

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None

    def names(self) -> tuple[str, ...]:
        return ()
