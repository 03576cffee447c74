"""What can be done to a sandbox from outside: faults and outages, over ``POST /sandbox/…``."""

from collections.abc import Callable
from typing import Any

from ccr_avn.sandbox.faults import Faults
from ccr_avn.sandbox.records import ApiError
from ccr_avn.sandbox.world import Platform

BEFALLS = ("kill", "freeze", "api-only", "cut", "loading", "restart")


def control(platform: Platform, servers: Any, faults: Faults) -> dict[str, Callable[..., Any]]:
    """The commands by name; each takes the request's JSON."""

    def add_fault(body: Any) -> Any:
        try:
            faults.add(**body)
        except TypeError as error:
            raise ApiError(400, str(error)) from None
        return {"message": "set"}

    def clear_faults(_: Any) -> Any:
        faults.clear()
        return {"message": "cleared"}

    def outage(body: Any) -> Any:
        names = _named(platform, body["target"])
        kind = body.get("kind", "kill")
        if kind not in BEFALLS:
            raise ApiError(400, f"kind must be one of {', '.join(BEFALLS)}")
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
        "faults": add_fault,
        "clear": clear_faults,
        "outage": outage,
        "heal": heal,
        "stall": lambda body: _stall(platform, int(body.get("times", 1))),
        "configure": lambda body: _configure(platform, servers, body["service"], body["settings"]),
        "overlay": lambda body: _overlay(platform, body),
        "row": lambda body: _row(platform, body),
        "services": lambda _: _services(platform, servers),
    }


def _stall(platform: Platform, times: int) -> Any:
    platform.stall_builds += times
    return {"message": "the next builds never end"}


def _configure(platform: Platform, servers: Any, name: str, settings: dict[str, str]) -> Any:
    """Settings of a server by its own names, as nobody but the platform may set them: maxmemory, say."""
    servers.set_settings(platform.find(name).name, settings)
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
