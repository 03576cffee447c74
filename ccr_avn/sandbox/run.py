"""Starts a sandbox and ends it without a trace."""

import contextlib
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccr_avn.sandbox.certificates import must_load, with_certificates
from ccr_avn.sandbox.faults import Faults
from ccr_avn.sandbox.keeper import Keeper
from ccr_avn.sandbox.options import SandboxOptions
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.servers import NoServers, ValkeyServers
from ccr_avn.sandbox.web import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandbox:
    """A sandbox that is up. Its parts can be reached from the same process; from others there is ``/sandbox/…``."""

    home: Path
    platform: Platform
    servers: Any
    server: Server

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def token(self) -> str:
        return self.server.token

    @property
    def faults(self) -> Faults:
        return self.server.faults

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What the API was asked so far, in order; of a changing request with its body."""
        return self.server.log

    def changes(self) -> list[tuple[str, str]]:
        """The method and path of the changing ones."""
        return [(one["method"], one["path"]) for one in self.requests if "body" in one]

    def environment(self) -> dict[str, str]:
        """What makes avn talk to it, with the person's own login left alone."""
        return {
            "AIVEN_WEB_URL": self.url,
            "AIVEN_AUTH_TOKEN": self.server.token,
            "AIVEN_PROJECT": self.server.project,
            "AIVEN_CONFIG_DIR": str(self.home),
            "AIVEN_CREDENTIALS_FILE": str(self.home / "aiven-credentials.json"),
            "AIVEN_CLIENT_CONFIG": str(self.home / "aiven-client.json"),
            "CCR_AVN_SANDBOX": self.url,
            "CCR_AVN_SANDBOX_CONTROL": self.server.control_token,
            "CCR_AVN_STATE_DIR": str(self.home / "state"),
        }


@contextlib.contextmanager
def running(options: SandboxOptions) -> Iterator[RunningSandbox]:
    """A sandbox on a free loopback port for as long as the block runs.

    Raises:
        UsageError: the files for TLS can't be used.
        ModuleNotFoundError: the packages of the extra ``sandbox`` are not installed.
    """
    must_load(options)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(
        OSError, ValueError
    ):  # a port is kept for each service; a system may allow less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    keeper = Keeper()
    with contextlib.ExitStack() as stack:
        stack.callback(keeper.close)
        home = Path(tempfile.mkdtemp(prefix="ccr-avn-home-"))
        keeper.sweep(home)
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        options = with_certificates(options, home)
        servers: Any = ValkeyServers(options, keeper) if options.data_plane else NoServers()
        stack.callback(servers.close)
        lock = threading.RLock()

        def later(seconds: float, act: Callable[[], None]) -> None:
            def locked() -> None:
                with lock:
                    act()

            timer = threading.Timer(seconds, locked)
            timer.daemon = True
            stack.callback(timer.cancel)
            timer.start()

        platform = Platform(options, servers, time.monotonic, later)
        server = Server(platform, servers, lock)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        yield RunningSandbox(home=home, platform=platform, servers=servers, server=server)
