"""Where the servers were before; they are in tests.support.servers."""

from tests.support.servers import PASSWORD, Serve, Server, binaries, free_port, serve, tls_server
from tests.support.wait import until

__all__ = ["PASSWORD", "Serve", "Server", "binaries", "free_port", "serve", "tls_server", "until"]
