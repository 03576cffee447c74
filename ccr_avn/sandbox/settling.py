"""Applies changed settings to a running server."""

import time
from typing import Any

from ccr_avn.sandbox.configuration import CLIENTS, START_LIMIT, Server


def settle_clients(client: Any, server: Server, *, cut: bool) -> None:
    """Who may come in, and with which rights. ``cut``: an IP filter drops those who are in, too."""
    client.config_set("maxmemory", f"{server.memory_mb * 7 // 10}mb")
    client.config_set("bind", server.listens)
    for name, value in server.settings.items():
        if name != "databases":
            client.config_set(name, value)
    client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{server.password}")
    _settle_doors(client, server, cut=server.isolated or (server.filtered and cut))
    for gone in {*client.acl_users(), *server.users} - {"default", "platform", *server.users}:
        client.acl_deluser(gone)
    for name, (password, rules) in server.users.items():
        client.execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules.split())


def settle_link(client: Any, server: Server, admin: str | None) -> None:
    """Follow its source, with the platform's password; without, the link is cut and stays so."""
    if server.source is None:
        client.execute_command("REPLICAOF", "NO", "ONE")
        return
    client.config_set("masterauth", admin or "cut")
    until = time.monotonic() + START_LIMIT
    while not admin and _is_linked(client) and time.monotonic() < until:
        client.execute_command("CLIENT", "KILL", "TYPE", "master")
        time.sleep(0.01)


def _settle_doors(client: Any, server: Server, *, cut: bool) -> None:
    if server.front and server.keeps_out:
        server.front.shut(cut=cut)
    elif server.front:
        server.front.open()
    elif cut:
        client.execute_command("CLIENT", "KILL", "LADDR", f"{CLIENTS}:{server.port}")


def _is_linked(client: Any) -> bool:
    """Up, or on the way: a first copy under way can't be cut and would end in a link."""
    link = client.info("replication")
    if link["role"] == "master":
        return False
    return link["master_link_status"] == "up" or bool(link["master_sync_in_progress"])
