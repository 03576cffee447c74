"""Shares reads among pairs: one `avn service list` answers all that ask at about the same time."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import from_json

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.process import Answer

NOT_ENABLED = "(integration not enabled)"
"""What avn shows in the place of an integration's id that is null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """``began``: when its avn was started, on the clock; ``rows`` None: it failed, or said what can't be read."""

    began: float
    answer: Answer
    rows: dict[str, Any] | None


@dataclass(slots=True, kw_only=True)
class SharedReads:
    """``ask`` runs one avn. A read that was asked for at some time is never answered by a list that began before it.

    Those who ask while a list is under way wait for its end and share the next one, as it may have seen the old state.
    """

    project: Project
    ask: Callable[[tuple[str, ...], float], Answer]
    askers: Callable[[], int] = lambda: 2  # how many may ask now; one alone asks for its own service, and not for all
    clock: Callable[[], float] = time.monotonic
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _busy: bool = field(default=False, init=False)
    _last: Listing | None = field(default=None, init=False)

    def know(self, answer: Answer, began: float) -> None:
        """A list that was asked for elsewhere, not before ``began``."""
        self._last = _read(began, answer)

    def answer(self, argv: tuple[str, ...], *, since: float, deadline: float) -> Answer | None:
        """What this avn would have printed; None: it must be asked itself. ``since``: of what moment, at the earliest."""
        wanted = self._wanted(argv)
        if wanted is None:
            return None
        kind, names = wanted
        if kind != "list" and self.askers() < 2 and not self._fresh(since):
            return None
        listing = self._listing(since, deadline)
        if listing.rows is None:
            return None
        told = _told(kind, names, listing.rows)
        return None if told is None else replace(listing.answer, argv=argv, stdout=json.dumps(told))

    def _wanted(self, argv: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
        """Which read it is, of those that a list can answer, spelled just as `avn.py` spells them."""
        words = argv[1:]
        kind = "tags list" if words[1:3] == ("tags", "list") else words[1] if len(words) > 1 else ""
        names = tuple(words[1 + len(kind.split()) : len(words) - 1 - len(self.project.flag)])
        spelled: dict[str, Callable[[], Any]] = {
            "list": lambda: avn.service_list(self.project, *names),
            "get": lambda: avn.service_get(self.project, names[0]),
            "integration-list": lambda: avn.integration_list(self.project, names[0]),
            "tags list": lambda: avn.tags_list(self.project, names[0]),
        }
        if kind not in spelled or not names or spelled[kind]().argv[1:] != words:
            return None
        return kind, names

    def _fresh(self, since: float) -> Listing | None:
        """What is known of that moment or a later one."""
        return self._last if self._last and self._last.began >= since else None

    def _listing(self, since: float, deadline: float) -> Listing:
        with self._changed:
            while self._busy and not self._fresh(since):
                self._changed.wait()
            if found := self._fresh(since):
                return found
            self._busy = True
        listing = None
        try:
            began = self.clock()
            listing = _read(began, self.ask(tuple(str(one) for one in avn.service_list(self.project).argv), deadline))
            return listing
        finally:
            with self._changed:
                self._busy, self._last = False, listing or self._last
                self._changed.notify_all()


def _read(began: float, answer: Answer) -> Listing:
    rows = None
    if answer.code == 0:
        try:
            found = from_json(answer.stdout)  # of hundreds of services, again and again
            rows = {one["service_name"]: one for one in found}
        except (ValueError, TypeError, KeyError):
            rows = None
    return Listing(began=began, answer=replace(answer, stdout=""), rows=rows)


def _told(kind: str, names: tuple[str, ...], rows: dict[str, Any]) -> Any:
    """None: the list does not tell."""
    if kind == "list":
        return [row for name, row in rows.items() if name in names]
    row = rows.get(names[0])
    if row is None or kind == "get":
        return row
    if kind == "tags list":
        tags = row.get("tags")
        return [{"key": key, "value": value} for key, value in tags.items()] if isinstance(tags, dict) else None
    integrations = row.get("service_integrations")
    if not isinstance(integrations, list) or not all(isinstance(one, dict) for one in integrations):
        return None
    return [{**one, "service_integration_id": one.get("service_integration_id") or NOT_ENABLED} for one in integrations]
