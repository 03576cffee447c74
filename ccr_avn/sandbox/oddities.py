"""What the API shows otherwise than it is: odd fields, rows that are hidden, foreign or gone already."""

from collections.abc import Callable, Iterable
from typing import Any

from ccr_avn.sandbox.records import Row

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
