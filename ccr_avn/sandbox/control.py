"""Controls a sandbox from outside: faults and outages, over ``POST /sandbox/…``."""

from collections.abc import Callable
from typing import Any

from ccr_avn.sandbox import bodies
from ccr_avn.sandbox.faults import Faults
from ccr_avn.sandbox.records import ApiError
from ccr_avn.sandbox.world import Platform

Command = tuple[Callable[..., Any], type[bodies.Control]]
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
        "faults": (add_fault, bodies.SetFault),
        "clear": (clear_faults, bodies.Nothing),
        "outage": (outage, bodies.Outage),
        "heal": (heal, bodies.Heal),
        "stall": (lambda body: _stall(platform, body.get("times", 1)), bodies.Stall),
        "configure": (
            lambda body: _configure(platform, servers, body["service"], body["settings"]),
            bodies.Configure,
        ),
        "overlay": (lambda body: _overlay(platform, body), bodies.Overlay),
        "row": (lambda body: _row(platform, body), bodies.AddRow),
        "services": (lambda _: _services(platform, servers), bodies.Nothing),
    }


def _stall(platform: Platform, times: int) -> Any:
    platform.stall_builds += times
    return {"message": "the next builds never end"}


def _configure(platform: Platform, servers: Any, name: str, settings: dict[str, str]) -> Any:
    """Settings of a server by its own names, that only the platform may change, such as maxmemory."""
    try:
        servers.set_settings(platform.find(name).name, settings)
    except ValueError as refusal:
        raise ApiError(400, str(refusal)) from None
    return {"message": "set"}


def _overlay(platform: Platform, body: Any) -> Any:
    """Raw JSON over a service's fields, or over those of its integration row as a replica."""
    lay = platform.oddities.overlay_row if body.get("of") == "row" else platform.oddities.overlay_service
    lay(body["service"], body.get("fields") or {}, drop=body.get("drop") or ())
    return {"message": "laid over"}


def _row(platform: Platform, body: Any) -> Any:
    """Without a row: the service's own as a replica is hidden."""
    if row := body.get("row"):
        platform.oddities.add_row(body["service"], row)
    else:
        platform.oddities.hide_row(body["service"])
    return {"message": "so it is"}


def _services(platform: Platform, servers: Any) -> Any:
    """What only a test may know: who runs where, with which password."""
    return {
        "services": [
            {
                "name": one.name,
                "state": platform.state(one),
                "port": one.port,
                "password": one.password,
                "pid": servers.pid(one.name),
            }
            for one in platform.services.values()
        ]
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
