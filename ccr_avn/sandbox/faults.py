"""Injects faults into the API: errors, stalls, dropped connections, malformed answers."""

import random
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr

from ccr_avn.sandbox.records import Row
from ccr_avn.sandbox.requests import Control

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


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

    def matches(self, method: str, path: str) -> bool:
        wanted = method in CHANGING if self.method.pattern == "changing" else self.method.fullmatch(method)
        return bool(wanted and self.path.search(path))

    def spares(self) -> bool:
        """Whether a request that matches is one of those that go well."""
        if self.skip:
            self.skip -= 1
            return True
        return not self.times or (self.share < 1.0 and self._chance.random() >= self.share)


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
        """The fault that applies to this request, which uses it up."""
        with self._lock:
            for fault in self._faults:
                if fault.matches(method, path) and not fault.spares():
                    fault.times -= 1
                    return fault
        return None


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """``most``: requests that are answered in a second of the clock; 0: as many as come."""

    most: float
    clock: Callable[[], float]
    _second: int = 0
    _answered: int = 0

    def again_in(self) -> int | None:
        """Seconds after which one more request would be answered; None: this one is."""
        if not self.most:
            return None
        now = int(self.clock())
        if now != self._second:
            self._second, self._answered = now, 0
        if self._answered >= self.most:
            return 1
        self._answered += 1
        return None

    def message(self, seconds: int) -> str:
        """As the platform words it."""
        told = f"Rate limit {self.most:g} exceeded - try again in {seconds}s"
        return f"The user has sent too many requests in a given amount of time: {told}"


Fields = dict[str, Any]


class Oddities:
    """Laid over the API's answers; the platform itself does not know of them."""

    def __init__(self, clock: Callable[[], float], stale_rows: float) -> None:
        self._clock = clock
        self._stale_rows = stale_rows
        self._services: dict[str, Fields] = {}
        self._rows: dict[str, Fields] = {}
        self._hidden: set[str] = set()
        self._foreign: dict[str, list[Fields]] = {}
        self._gone: list[tuple[float, Row]] = []

    # -- what a test or an operator asks for

    def overlay_service(self, name: str, fields: Fields | None = None, *, drop: Iterable[str] = ()) -> None:
        """These fields of a service have these values, those of ``drop`` are left out."""
        self._services[name] = {**(fields or {}), **dict.fromkeys(drop, _LEFT_OUT)}

    def overlay_row(self, dest: str, fields: Fields | None = None, *, drop: Iterable[str] = ()) -> None:
        """The same for the integration row of a replica."""
        self._rows[dest] = {**(fields or {}), **dict.fromkeys(drop, _LEFT_OUT)}

    def hide_row(self, dest: str) -> None:
        """The integration of this replica is in no answer, as to a token that may not see it."""
        self._hidden.add(dest)

    def add_row(self, name: str, row: Fields) -> None:
        """One more integration of a service: to logs, to metrics, to another project."""
        self._foreign.setdefault(name, []).append(row)

    # -- what the answers are made of

    def deleted(self, row: Row) -> None:
        self._gone.append((self._clock() + self._stale_rows, row))

    def visible(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that are shown: those deleted lately too, those hidden not."""
        now = self._clock()
        self._gone = [(until, row) for until, row in self._gone if now < until]
        return [row for row in (*rows, *(row for _, row in self._gone)) if row.dest not in self._hidden]

    def of_service(self, name: str, shape: Fields) -> Fields:
        return _laid_over(shape, self._services.get(name))

    def of_row(self, dest: str, shape: Fields) -> Fields:
        return _laid_over(shape, self._rows.get(dest))

    def foreign_rows(self, name: str) -> list[Fields]:
        return self._foreign.get(name, [])


_LEFT_OUT = object()


def _laid_over(shape: Fields, fields: Fields | None) -> Fields:
    if not fields:
        return shape
    return {key: value for key, value in {**shape, **fields}.items() if value is not _LEFT_OUT}
