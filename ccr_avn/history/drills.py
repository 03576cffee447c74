"""Reads drills from the journals on this machine: what each created, and when a primary was last drilled."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn.history import journal, runs
from ccr_avn.history.summary import mapping, mappings
from ccr_avn.procedures.gates.drill import Made

if TYPE_CHECKING:
    from ccr_avn.plan.model import Sent

CREATE, TAGGED = "throw-away", "tagged"
"""The steps of a drill that these are read from."""

UNTRIED = "could not be tried"

DUE = 90 * 86_400.0
"""Seconds after which a drill says little about Aiven's present behaviour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """One drill that came to its end. ``at``: seconds since 1970; figures in milliseconds, None: not measured."""

    run: str
    at: float
    ok: bool
    rto_ms: float | None
    failed: tuple[str, ...]

    def data(self, now: float) -> dict[str, Any]:
        return {
            "run": self.run,
            "age_seconds": max(0, round(now - self.at)),
            "ok": self.ok,
            "rto_ms": self.rto_ms,
            "does_not_hold": list(self.failed),
        }

    def told(self, now: float) -> str:
        """For a line of its own."""
        age = (now - self.at) / 86_400
        when = "today" if age < 1 else f"{age:.0f} day{'s' if age >= 1.5 else ''} ago"
        rto = f", RTO {self.rto_ms / 1000:.1f} s" if self.rto_ms is not None else ""
        not_held = f", does not hold: {', '.join(self.failed)}" if self.failed else ""
        return f"{when} ({self.run}{rto}{not_held})"


def made(name: str, project: str | None) -> Made | None:
    """How the drill that made a service of this name left it, by its journal."""
    for path in _drills():
        entries = _read(path)
        facts = _facts(entries)
        if facts.get("throw_away") == name and project in (None, facts.get("project")):
            return _made(name, facts, entries)
    return None


def newest(project: str | None) -> dict[str, Drilled]:
    """Of each primary that was drilled from this machine the last drill that promoted its throw-away, by its name.

    ``project``: None: of whichever.
    """
    found: dict[str, Drilled] = {}
    for path in _drills():
        entries = _read(path)
        facts = _facts(entries)
        name = facts.get("primary")
        if not isinstance(name, str) or name in found or project not in (None, facts.get("project")):
            continue
        ended: dict[str, Any] = next((one for one in entries if one.get("event") == "RunEnded"), {})
        result = ended.get("result")
        if isinstance(result, dict) and any(
            one.get("outcome") != UNTRIED for one in mappings(result.get("assumptions"))
        ):
            found[name] = _drilled(entries, ended, result)
    return found


def last(primary: str, project: str | None) -> Drilled | None:
    return newest(project).get(primary)


def not_for_long(names: Iterable[str], found: Mapping[str, Drilled], now: float) -> list[str]:
    """Those without a drill in the last ``DUE`` seconds; one from the future, by a clock that was wrong, is none."""
    return [name for name in dict.fromkeys(names) if name not in found or abs(now - found[name].at) > DUE]


def told_of(primary: str, found: Drilled | None, now: float, order: str) -> str:
    """One line. ``order``: options of the drill that would be like it."""
    if found is None:
        return f"last drill: none from this machine; ccr-avn drill {primary} {order}"
    return f"last drill: {found.told(now)}"


def _drilled(entries: list[dict[str, Any]], ended: dict[str, Any], result: dict[str, Any]) -> Drilled:
    rto = result.get("rto_ms")
    failed = [
        str(one.get("name")) for one in mappings(result.get("assumptions")) if one.get("outcome") == "does not hold"
    ]
    return Drilled(
        run=str(entries[0].get("run")),
        at=runs.moment(ended.get("time")) or 0.0,
        ok=ended.get("ok") is True,
        rto_ms=float(rto) if isinstance(rto, (int, float)) else None,
        failed=tuple(failed),
    )


def _made(name: str, facts: dict[str, Any], entries: list[dict[str, Any]]) -> Made:
    began = next((runs.moment(one.get("time")) for one in entries if _is(one, "ChangeStarted", CREATE)), None)
    ended = next((one for one in entries if _is(one, "ChangeEnded", CREATE)), None)
    sent: Sent | None = None if began is None else "unanswered"
    if ended is not None:
        undone = ended.get("refused") or ended.get("started") is False
        sent = "refused" if undone else "unanswered" if ended.get("doubt") else "answered"
    created = [
        one["finding"]["facts"].get("created")
        for one in entries
        if _is(one, "Looked", CREATE) and isinstance(one.get("finding"), dict) and one["finding"].get("facts")
    ]
    tagged = any(_is(one, "StepDone", TAGGED) and one.get("outcome") in ("changed", "found") for one in entries)
    return Made(
        name=name,
        primary=str(facts.get("primary")),
        run=str(entries[0].get("run")),
        sent=sent,
        created=next((one for one in created if isinstance(one, int)), None),
        tagged=tagged,
        began=began,
    )


def _drills() -> list[Path]:
    return [path for path in runs.paths() if (about := runs.about(path)) and about.command == "drill"]


def _read(path: Path) -> list[dict[str, Any]]:
    with suppress(OSError):
        return list(journal.entries(path))
    return []


def _facts(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return mapping(entries[0].get("facts")) if entries else {}


def _is(entry: dict[str, Any], event: str, slug: str) -> bool:
    return entry.get("event") == event and entry.get("slug") == slug
