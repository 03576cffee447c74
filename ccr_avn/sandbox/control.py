"""Controls a sandbox from outside: faults and outages, over ``POST /sandbox/…``."""

from collections.abc import Callable
from typing import Any

from ccr_avn.sandbox import requests
from ccr_avn.sandbox.faults import Fault, Faults
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError

Command = tuple[Callable[..., Any], type[requests.Control]]
"""Takes the request's JSON, which must be so."""


def control(platform: Platform, servers: Any, faults: Faults) -> dict[str, Command]:
    """The commands by name."""

    def add_fault(body: Any) -> Any:
        faults.add(**body)
        return {"message": "set"}

    def clear_faults(_: Any) -> Any:
        faults.clear()
        return {"message": "cleared"}

    def outage(body: Any) -> Any:
        names = _named(platform, body["target"])
        kind = body.get("kind", "kill")
        for name in names:
            _strike(servers, name, kind)
        if kind != "restart":
            platform.outage_began(names)
        return {"struck": names}

    def heal(body: Any) -> Any:
        names = _named(platform, body.get("target"))
        for name in names:
            servers.heal(name)
        platform.outage_ended(names)
        return {"healed": names}

    return {
        "faults": (add_fault, Fault),
        "clear": (clear_faults, requests.Nothing),
        "outage": (outage, requests.Outage),
        "heal": (heal, requests.Heal),
    }


def _strike(servers: Any, name: str, kind: str) -> None:
    act = {
        "kill": servers.kill,
        "freeze": servers.freeze,
        "api-only": servers.isolate,
        "cut": servers.cut_replication,
        "loading": servers.load,
        "restart": servers.restart,
    }
    act[kind](name)


def _named(platform: Platform, target: str | None) -> list[str]:
    """A service by name, all services of a cloud, or all."""
    services = platform.services.values()
    names = [one.name for one in services if target in (None, one.name, one.cloud) and one.powered]
    if not names:
        raise ApiError(404, f"no service and no cloud in use is called {target}")
    return names
