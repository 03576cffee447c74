"""Whether an old primary is closed, by what Aiven says of it and by whether it answers. Pure."""

from ccr_avn.gates.settings import NOBODY, networks
from ccr_avn.models import Service
from ccr_avn.status.looks import Look
from ccr_avn.status.succession import lets_nobody_in

SHOWN = 3
"""Entries of an ip_filter that are told."""


def closed(service: Service, look: Look) -> str:
    """What shows that it lets nobody in; empty where nothing does."""
    if service.state == "POWEROFF":
        return "it is powered off"
    if look.side is None and not look.answered and lets_nobody_in(service):
        return f"its ip_filter is {NOBODY}"
    return ""


def left_open(service: Service, look: Look) -> str:
    """What shows that it is open."""
    if look.side is not None:
        return f"it answers as a {look.side.role}"
    if look.answered:
        return "it answers"
    entries = networks(service.user_config.get("ip_filter", ["0.0.0.0/0", "::/0"]))
    more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return f"its ip_filter lets in {', '.join(entries[:SHOWN])}{more}" if entries else "nothing shows that it is closed"
