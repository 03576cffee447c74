"""One `avn service list` for all pairs: it answers every read of a service that was asked for at about the same time."""

import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from ccr_avn import clock
from ccr_avn.plan.model import Call
from ccr_avn.process import Answer

Rows = Mapping[str, Any] | None
"""By name, as they were printed; None: the list failed, or can't be read."""


@dataclass(slots=True, kw_only=True)
class ServiceList:
    """``ask`` runs the list. A read that was asked for at some time is never answered by a list that began before it.

    Those who ask while a list is under way wait for its end and share the next one, as it may have seen the old state.
    """

    ask: Callable[[], Answer]
    several: Callable[[], bool] = lambda: True  # one pair alone asks for its own service, and not for all
    now: Callable[[], float] = clock.monotonic
    _listing: threading.Lock = field(default_factory=threading.Lock, init=False)
    _last: tuple[float, Rows] = field(default=(-math.inf, None), init=False)  # when it began, what it said

    def answer(self, call: Call[Any], *, since: float) -> Answer | None:
        """What this read would print; None: it must be asked itself. ``since``: of what moment, at the earliest."""
        if call.from_list is None or not (self.several() or self._last[0] >= since):
            return None
        rows = self._rows_since(since)
        found = None if rows is None else call.from_list(rows)
        if found is None:
            return None
        argv = tuple(str(word) for word in call.argv)
        return Answer(argv=argv, code=0, stdout=json.dumps(found), stderr="", seconds=0.0)

    def _rows_since(self, since: float) -> Rows:
        if self._last[0] < since:
            with self._listing:
                if self._last[0] < since:
                    began = self.now()
                    self._last = (began, _rows(self.ask()))
        return self._last[1]


def _rows(answer: Answer) -> Rows:
    if answer.code != 0:
        return None
    try:
        return {one["service_name"]: one for one in from_json(answer.stdout)}
    except (ValueError, TypeError, KeyError):
        return None
