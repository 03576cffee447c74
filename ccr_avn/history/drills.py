"""Reads drills from the journals on this machine: what each created, and when a primary was last drilled."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn.aiven import lineage
from ccr_avn.history import journal, runs
from ccr_avn.history.promotions import promotions
from ccr_avn.history.summary import mapping, mappings
from ccr_avn.procedures.gates import drill as rules
from ccr_avn.procedures.gates.assumptions import UNTRIED
from ccr_avn.procedures.gates.drill import Made

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.plan.model import Sent

CREATE, PROMOTE = "temporary-replica", "promote"
"""The steps of a drill that these are read from."""

DUE = 90 * 86_400.0
"""Seconds after which a drill says little about Aiven's present behaviour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """One drill that created its temporary replica. ``at``: seconds since 1970; in milliseconds, None: not measured.

    ``untested``: critical assumptions that it did not test; ``trouble``: why it did not come to a good end.
    """

    run: str
    at: float
    ok: bool
    rto_ms: float | None
    failed: tuple[str, ...]
    untested: tuple[str, ...] = ()
    trouble: str = ""

    def data(self, now: float) -> dict[str, Any]:
        return {
            "run": self.run,
            "age_seconds": max(0, round(now - self.at)),
            "ok": self.ok,
            "rto_ms": self.rto_ms,
            "does_not_hold": list(self.failed),
            "not_tested": list(self.untested),
        }

    def told(self, now: float) -> str:
        """For a line of its own."""
        age = (now - self.at) / 86_400
        told = (
            self.run,
            f"RTO {self.rto_ms / 1000:.1f} s" if self.rto_ms is not None else "",
            self.trouble,
            f"does not hold: {', '.join(self.failed)}" if self.failed else "",
            f"critical and not tested: {', '.join(self.untested)}" if self.untested else "",
        )
        when = "today" if age < 1 else f"{age:.0f} day{'s' if age >= 1.5 else ''} ago"
        return f"{when} ({', '.join(one for one in told if one)})"


def drills_of(services: "Iterable[Service]", project: str | None) -> dict[str, str]:
    """Which of these services are drills', each with the run: proven by its tags, or by a journal of this machine."""
    known, recorded = creations(project), promotions(project)
    found = ((one.name, rules.run_of(one, known, recorded)) for one in services)
    return {name: run for name, run in found if run}


def creations(project: str | None) -> tuple[Made, ...]:
    """The services that drills of this machine sent the creation of, newest first; what was refused is none."""
    found = [(path, entries) for path in _drills() if (entries := _read(path))]
    told = [(path, _facts(entries), entries) for path, entries in found]
    made = (
        _made(path, facts, entries)
        for path, facts, entries in told
        if isinstance(facts.get("temporary_replica"), str) and project in (None, facts.get("project"))
    )
    return tuple(one for one in made if one.sent in ("answered", "unanswered"))


def user_of(service: "Service", project: str | None) -> str:
    """The run of another command that names this service since it is there; empty: none does, or it was refused."""
    for path, about in runs.of(project, "enable", "switchover", "failover"):
        if service.name not in about.services or "--check" in about.argv or not (entries := _read(path)):
            continue
        refused = entries[-1].get("ok") is False and entries[-1].get("changed") is False
        began, created = runs.moment(entries[0].get("time")) or 0.0, lineage.created(service)
        if not refused and created is not None and began + rules.CLOCKS >= created:
            return f"run {path.stem} ({about.command}) on this machine names it"
    return ""


def newest(project: str | None) -> dict[str, Drilled]:
    """Of each primary that was drilled from this machine the last drill, however it ended, by its name.

    ``project``: None: of whichever. One that created nothing is none.
    """
    found: dict[str, Drilled] = {}
    for path in _drills():
        entries = _read(path)
        facts = _facts(entries)
        name = facts.get("primary")
        if not isinstance(name, str) or name in found or project not in (None, facts.get("project")):
            continue
        if any(_is(one, "ChangeStarted", CREATE) for one in entries):
            found[name] = _drilled(entries)
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


def _drilled(entries: list[dict[str, Any]]) -> Drilled:
    ended: dict[str, Any] = next((one for one in entries if one.get("event") == "RunEnded"), {})
    result = mapping(ended.get("result"))
    rto, rows = result.get("rto_ms"), mappings(result.get("assumptions"))
    failed = tuple(str(one.get("name")) for one in rows if one.get("outcome") == "does not hold")
    return Drilled(
        run=str(entries[0].get("run")),
        at=runs.moment((ended or entries[-1]).get("time")) or 0.0,
        ok=ended.get("ok") is True and bool(rows),
        rto_ms=float(rto) if isinstance(rto, (int, float)) else None,
        failed=failed,
        untested=tuple(str(one.get("name")) for one in rows if one.get("critical") and one.get("outcome") == UNTRIED),
        trouble=str(result.get("error") or "") if ended else "it has not ended",
    )


def _made(path: Path, facts: dict[str, Any], entries: list[dict[str, Any]]) -> Made:
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
    return Made(
        name=str(facts.get("temporary_replica")),
        primary=str(facts.get("primary")),
        run=str(entries[0].get("run")),
        sent=sent,
        created=next((one for one in created if isinstance(one, int)), None),
        began=began,
        promoted=any(_is(one, "ChangeStarted", PROMOTE) for one in entries),
        running=runs.is_running(path),
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
