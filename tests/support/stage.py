"""The sandbox's platform without servers, with a clock that the test moves."""

from collections.abc import Callable
from typing import Any

from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import SandboxOptions


class Recorder:
    """Servers that only remember what was asked of them."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def start(self, name: str, password: str, memory_mb: int, source: str | None, settings: dict[str, str]) -> int:
        self.log.append(("start", name, source))
        return 7000

    def __getattr__(self, act: str) -> Callable[..., None]:
        return lambda *words, **wanted: self.log.append((act, *words, *([wanted] if wanted else [])))


class Stage:
    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.pending: list[tuple[float, Callable[[], None]]] = []
        self.servers = Recorder()
        given = SandboxOptions(**{"build_seconds": 10.0, "backup_seconds": 5.0, "promote_seconds": 3.0, **options})
        self.platform = Platform(
            given, self.servers, lambda: self.now, lambda after, act: self.pending.append((self.now + after, act))
        )

    def passes(self, seconds: float) -> None:
        self.now += seconds
        due, self.pending = (
            [one for one in self.pending if one[0] <= self.now],
            [one for one in self.pending if one[0] > self.now],
        )
        for _, act in due:
            act()

    def create(self, name: str, plan: str = "business-4", source: str | None = None, **more: Any) -> Any:
        joined = [{"integration_type": "read_replica", "source_service": source}] if source else []
        body = {"service_name": name, "service_type": "valkey", "plan": plan, "cloud": "aws-us-east-1"}
        return self.platform.create({**body, "service_integrations": joined, **more})

    def pair(self) -> str:
        self.create("eu")
        self.passes(15)
        self.create("us", "startup-4", "eu")
        self.passes(10)
        return next(iter(self.platform.rows))
