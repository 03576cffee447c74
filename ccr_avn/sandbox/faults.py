"""Faults of the API: which of the next requests go wrong, and how."""

import random
import re
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "status", "status-after", "html", "cut-json", "close-before", "close-after", "delay", "hang", "hang-after"
]
"""``…-after``: the request is acted on, and then it goes wrong."""
CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(slots=True, kw_only=True)
class Fault:
    """The next ``times`` requests that match, after ``skip`` of them, go wrong; or a ``share`` of those.

    ``seconds``: for a delay or a hang.
    """

    kind: Kind
    method: str = ".*"  # a regular expression, or "changing"
    path: str = ".*"  # a regular expression, searched for
    times: int = 1
    skip: int = 0
    share: float = 1.0
    status: int = 500
    message: str = "Internal server error"
    seconds: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 (no secret: the same each time)

    def matches(self, method: str, path: str) -> bool:
        wanted = method in CHANGING if self.method == "changing" else re.fullmatch(self.method, method)
        return bool(wanted and re.search(self.path, path))


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, **how: Any) -> None:
        with self._lock:
            self._faults.append(Fault(**how))

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that befalls this request, used up by it."""
        with self._lock:
            for fault in self._faults:
                if not fault.matches(method, path):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.share < 1.0 and fault.chance.random() >= fault.share:
                    continue
                if fault.times:
                    fault.times -= 1
                    return fault
        return None
