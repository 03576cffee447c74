"""What the journals on this machine prove of drills: what each created, and when a primary was last drilled."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.aiven import lineage
from ccr_avn.errors import UsageError
from ccr_avn.history import runs
from ccr_avn.history.facts import Noted, Result, Started
from ccr_avn.history.promotions import promotions
from ccr_avn.history.records import Record, read
from ccr_avn.plan.events import ChangeEnded, ChangeStarted, Looked
from ccr_avn.procedures.drill import ours as rules
from ccr_avn.procedures.drill.assumptions import UNTRIED
from ccr_avn.procedures.drill.ours import CREATE, Made

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.plan.model import Sent

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

    def as_dict(self, now: float) -> dict[str, Any]:
        return {
            "run": self.run,
            "age_seconds": max(0, round(now - self.at)),
            "ok": self.ok,
            "rto_ms": self.rto_ms,
            "does_not_hold": list(self.failed),
            "not_tested": list(self.untested),
        }

    def describe(self, now: float) -> str:
        age = (now - self.at) / 86_400
        about = (
            self.run,
            f"RTO {self.rto_ms / 1000:.1f} s" if self.rto_ms is not None else "",
            self.trouble,
            f"does not hold: {', '.join(self.failed)}" if self.failed else "",
            f"critical and not tested: {', '.join(self.untested)}" if self.untested else "",
        )
        when = "today" if age < 1 else f"{age:.0f} day{'s' if age >= 1.5 else ''} ago"
        return f"{when} ({', '.join(one for one in about if one)})"


def drills_of(services: "Iterable[Service]", project: str | None) -> dict[str, str]:
    """Which of these services are drills', each with the run: proven by its tags, or by a journal of this machine."""
    known, recorded = creations(project), promotions(project)
    found = ((one.name, rules.run_of(one, known, recorded)) for one in services)
    return {name: run for name, run in found if run}


def creations(project: str | None) -> tuple[Made, ...]:
    """The services that drills of this machine sent the creation of, newest first; what was refused is none."""
    made = (_made(record, about) for record, about in _drills(project) if about.temporary_replica)
    return tuple(one for one in made if one.sent in ("answered", "unanswered"))


def user_of(service: "Service", project: str | None) -> str:
    """The run of another command that names this service since it is there; empty: none does, or it was refused."""
    for path, about in runs.of(project, "enable", "switchover", "failover"):
        if service.name not in about.services or "--check" in about.argv:
            continue
        with suppress(UsageError):
            record = read(path)
            refused = record.ended and not record.ended.ok and record.ended.changed is False
            began, created = record.started.written if record.started else 0.0, lineage.created(service)
            if not refused and created is not None and began + rules.CLOCKS >= created:
                return f"run {path.stem} ({about.command}) on this machine names it"
    return ""


def newest(project: str | None) -> dict[str, Drilled]:
    """Of each primary that was drilled from this machine the last drill, however it ended, by its name.

    ``project``: None: of whichever. One that created nothing is none.
    """
    found: dict[str, Drilled] = {}
    for record, about in _drills(project):
        if about.primary and about.primary not in found and _creation(record):
            found[about.primary] = _drilled(record)
    return found


def last(primary: str, project: str | None) -> Drilled | None:
    return newest(project).get(primary)


def not_for_long(names: Iterable[str], found: Mapping[str, Drilled], now: float) -> list[str]:
    """Those without a drill in the last ``DUE`` seconds; one from the future, by a clock that was wrong, is none."""
    return [name for name in dict.fromkeys(names) if name not in found or abs(now - found[name].at) > DUE]


def describe_last(primary: str, found: Drilled | None, now: float, order: str) -> str:
    """One line. ``order``: options of the drill that would be like it."""
    if found is None:
        return f"last drill: none from this machine; ccr-avn drill {primary} {order}"
    return f"last drill: {found.describe(now)}"


def _drills(project: str | None) -> Iterator[tuple[Record, Started]]:
    for path in runs.paths():
        if (found := runs.about(path)) and found.command == "drill":
            with suppress(UsageError):
                record = read(path)
                about = Started.model_validate(record.started.facts if record.started else {})
                if project in (None, about.project):
                    yield record, about


def _creation(record: Record) -> ChangeStarted | None:
    return next((one for one in record.events if isinstance(one, ChangeStarted) and one.slug == CREATE), None)


def _drilled(record: Record) -> Drilled:
    ended = record.ended
    result = Result.model_validate(ended.result if ended else {})
    rows = result.assumptions
    return Drilled(
        run=record.run,
        at=(ended or record.events[-1]).written,
        ok=bool(ended and ended.ok and rows),
        rto_ms=result.rto_ms,
        failed=tuple(one.name for one in rows if one.outcome == "does not hold"),
        untested=tuple(one.name for one in rows if one.critical and one.outcome == UNTRIED),
        trouble=result.error if ended else "it has not ended",
    )


def _made(record: Record, about: Started) -> Made:
    begun = _creation(record)
    ends, created, promoted = list[ChangeEnded](), None, False
    for event in record.events:
        match event:
            case ChangeEnded(slug=slug) if slug == CREATE:
                ends.append(event)
            case Looked(slug=slug) if slug == CREATE and created is None:
                seen = Noted.model_validate(event.finding.facts).created
                created = seen if isinstance(seen, int) else None
            case ChangeStarted(slug="promote"):
                promoted = True
    sent: Sent | None = "unanswered" if begun else None
    if ends and all(one.refused or not one.started for one in ends):
        sent = "refused"
    elif ends:
        sent = "unanswered" if any(one.doubt for one in ends) else "answered"
    return Made(
        name=about.temporary_replica,
        primary=about.primary,
        run=record.run,
        sent=sent,
        created=created,
        began=begun.written if begun else None,
        promoted=promoted,
        running=runs.is_running(record.path),
    )
