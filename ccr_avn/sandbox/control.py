"""Controls a sandbox from outside: faults and outages, over ``POST /sandbox/…``."""

from typing import Any

from ccr_avn.sandbox.faults import Fault, Faults
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError
from ccr_avn.sandbox.requests import Control, Heal, Outage, route
from ccr_avn.sandbox.servers import NoServers, ValkeyServers


class Commands:
    """The handlers of the control route."""

    def __init__(
        self, platform: Platform, servers: ValkeyServers | NoServers, faults: Faults, log: list[dict[str, Any]]
    ) -> None:
        self._platform = platform
        self._servers = servers
        self._faults = faults
        self._log = log

    @route("POST", "/sandbox/faults", body=Fault)
    def add_fault(self, body: Any) -> Any:
        self._faults.add(**body)
        return {"message": "set"}

    @route("POST", "/sandbox/clear", body=Control)
    def clear_faults(self, _: Any) -> Any:
        self._faults.clear()
        return {"message": "cleared"}

    @route("POST", "/sandbox/outage", body=Outage)
    def outage(self, body: Any) -> Any:
        names, kind = self._named(body["target"]), body.get("kind", "kill")
        begin = {
            "kill": self._servers.kill,
            "freeze": self._servers.freeze,
            "api-only": self._servers.isolate,
            "cut": self._servers.cut_replication,
            "loading": self._servers.load,
            "restart": self._servers.restart,
        }[kind]
        for name in names:
            begin(name)
        if kind != "restart":
            self._platform.outage_began(names)
        return {"struck": names}

    @route("POST", "/sandbox/heal", body=Heal)
    def heal(self, body: Any) -> Any:
        names = self._named(body.get("target"))
        for name in names:
            self._servers.heal(name)
        self._platform.outage_ended(names)
        return {"healed": names}

    @route("POST", "/sandbox/requests", body=Control)
    def requests(self, _: Any) -> Any:
        return {"requests": self._log}

    def _named(self, target: str | None) -> list[str]:
        """A service by name, all services of a cloud, or all."""
        services = self._platform.services.values()
        names = [one.name for one in services if target in (None, one.name, one.cloud) and one.powered]
        if not names:
            raise ApiError(404, f"no service and no cloud in use is called {target}")
        return names
