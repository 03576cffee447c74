"""Controls a sandbox from outside, over ``POST /sandbox/…``: faults of the API, and outages."""

import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError, route
from ccr_avn.sandbox.servers import NoServers, ValkeyServers

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


class Control(BaseModel):
    """The body of a command: nothing else may be in it."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Outage(Control):
    target: str
    kind: Literal["kill", "freeze", "api-only", "cut", "loading", "restart"] = "kill"


class Heal(Control):
    target: str | None = None


class Fault(Control):
    """The next ``times`` requests that match, after ``skip`` of them, go wrong; or a ``share`` of those.

    ``…-after``: the request is acted on, and then it goes wrong. ``seconds``: for a delay or a hang.
    """

    model_config = ConfigDict(strict=False)  # from a shell everything is a text

    kind: Literal[
        "status", "status-after", "html", "cut-json", "close-before", "close-after", "delay", "hang", "hang-after"
    ]
    method: re.Pattern[str] = re.compile(".*")  # or "changing"
    path: re.Pattern[str] = re.compile(".*")  # searched for
    times: int = Field(default=1, ge=0)
    skip: int = Field(default=0, ge=0)
    share: float = Field(default=1.0, gt=0, le=1)
    status: int = Field(default=500, ge=100, le=599)
    message: str = "Internal server error"
    seconds: float = Field(default=0.0, ge=0)
    _chance: random.Random = PrivateAttr(default_factory=lambda: random.Random(0))  # noqa: S311 (no secret: the same each time)

    def applies(self, method: str, path: str) -> bool:
        """Whether this request goes wrong, which uses it up."""
        wanted = method in CHANGING if self.method.pattern == "changing" else self.method.fullmatch(method)
        if not wanted or not self.path.search(path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if not self.times or (self.share < 1.0 and self._chance.random() >= self.share):
            return False
        self.times -= 1
        return True


class Faults(list[Fault]):
    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()  # each request is in a thread of its own

    def add(self, **fields: Any) -> None:
        self.append(Fault(**fields))

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault that applies to this request."""
        with self._lock:
            return next((fault for fault in self if fault.applies(method, path)), None)


class RateLimit:
    """``most``: requests that are answered in a second of the clock; 0: as many as come."""

    def __init__(self, most: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._second = self._answered = 0

    def count(self) -> None:
        """One more request. Raises: ApiError: 429, as the platform words it."""
        now = int(self._clock())
        if now != self._second:
            self._second, self._answered = now, 0
        if self._most and self._answered >= self._most:
            limit = f"Rate limit {self._most:g} exceeded - try again in 1s"
            raise ApiError(429, f"The user has sent too many requests in a given amount of time: {limit}")
        self._answered += 1


class Commands:
    """The handlers of the control route."""

    def __init__(
        self, platform: Platform, servers: ValkeyServers | NoServers, faults: Faults, log: list[dict[str, Any]]
    ) -> None:
        self._platform, self._servers, self._faults, self._log = platform, servers, faults, log

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
