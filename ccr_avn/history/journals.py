"""What the journals on this machine prove of earlier promotions and drills: for runs that resume, and for status."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn import clock
from ccr_avn.aiven import lineage
from ccr_avn.aiven.lineage import Origin, Recorded
from ccr_avn.errors import UsageError
from ccr_avn.history import journal
from ccr_avn.history.records import Noted, Record, Result, Started, read
from ccr_avn.plan.events import ChangeEnded, ChangeStarted, Event, Looked, RunEnded, RunStarted, StepDone, was_refused
from ccr_avn.procedures.drill import ours as rules
from ccr_avn.procedures.drill.assumptions import UNTRIED
from ccr_avn.procedures.drill.ours import CREATE, Made
from ccr_avn.procedures.gates.history import Audit
from ccr_avn.procedures.seen import CARRIES
from ccr_avn.procedures.setting import Journals

if TYPE_CHECKING:
    from collections.abc import Collection

    from ccr_avn.aiven.models import Service
    from ccr_avn.plan.model import Sent
    from ccr_avn.procedures.gates.links import ComparedState


NOTING = ("pair", "health", "last-known")
"""The checks of a promotion that note what it starts from; what another step calls by the same name is its own."""


@cache
def _promotion(path: Path, size: int, replica: str) -> Recorded | None:  # noqa: ARG001 (a journal only grows)
    """Kept for the next call: a run of many pairs asks for all of them again and again."""
    events = _events(path, "ChangeStarted")
    sent, done = _of(events, "promote", ChangeStarted), bool(_of(events, "promote", StepDone))
    unchanged = any(isinstance(one, RunEnded) and one.changed is False for one in events)
    noted = _noted(events)
    created, old = noted.created, noted.follows
    if not sent or (unchanged and not done) or not old or not isinstance(created, dict) or replica not in created:
        return None  # it ended knowing that nothing was deleted, or does not say which services they were
    origin = Origin(
        name=old, old_created=created.get(old), new_created=created[replica], replication_id=noted.replication_id
    )
    return Recorded(
        new=replica, origin=origin, proven=done, sent_at=sent[0].written, without_data=was_refused(events, CARRIES)
    )


def _runs_of(service: str, project: str | None, word: str, but: str = "") -> Iterator[tuple[Event, ...]]:
    """The events of every run that names the service and has the word in its journal, the newest run first."""
    for path, about in journal.of(project):
        if service in about.services and path.stem != but and (events := _events(path, word)):
            yield events


def _events(path: Path, word: str) -> tuple[Event, ...]:
    """None where the word is missing: to read it all takes fifty times as long, and most runs only verified something."""
    try:
        return read(path).events if f'"{word}"'.encode() in path.read_bytes() else ()
    except (OSError, UsageError):
        return ()


def _of(events: tuple[Event, ...], slug: str, *kinds: type[Event]) -> list[Any]:
    return [one for one in events if isinstance(one, kinds) and getattr(one, "slug", "") == slug]


def _facts(events: tuple[Event, ...], slug: str) -> list[Noted]:
    return [Noted.model_validate(one.finding.facts) for one in _of(events, slug, Looked, StepDone)]


def _noted(events: tuple[Event, ...]) -> Noted:
    """The facts that the checks of a run noted before it changed anything."""
    noted: dict[str, Any] = {}
    for event in events:
        match event:
            case ChangeStarted():
                break
            case Looked() | StepDone() if event.slug in NOTING:
                noted |= event.finding.facts
    return Noted.model_validate(noted)


def _is_same(noted: Noted, service: "Service") -> bool:
    """Whether it was this very service, and no namesake."""
    created = lineage.created(service)
    return created is not None and isinstance(noted.created, dict) and noted.created.get(service.name) == created


DUE = 90 * 86_400.0
"""Seconds after which a drill says little about Aiven's present behaviour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """One drill that created its temporary replica. ``age``: seconds since its end; ``rto_ms``: None: not measured.

    ``untested``: critical assumptions that it did not test; ``trouble``: why it did not come to a good end.
    """

    run: str
    age: float
    ok: bool
    rto_ms: float | None
    failed: tuple[str, ...]
    untested: tuple[str, ...] = ()
    trouble: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "age_seconds": max(0, round(self.age)),
            "ok": self.ok,
            "rto_ms": self.rto_ms,
            "does_not_hold": list(self.failed),
            "not_tested": list(self.untested),
        }

    def describe(self) -> str:
        days = self.age / 86_400
        about = (
            self.run,
            f"RTO {self.rto_ms / 1000:.1f} s" if self.rto_ms is not None else "",
            self.trouble,
            f"does not hold: {', '.join(self.failed)}" if self.failed else "",
            f"critical and not tested: {', '.join(self.untested)}" if self.untested else "",
        )
        when = "today" if days < 1 else f"{days:.0f} day{'s' if days >= 1.5 else ''} ago"
        return f"{when} ({', '.join(one for one in about if one)})"


def drills_of(services: "Iterable[Service]", journals: Journals) -> dict[str, str]:
    """Which of these services are drills', each with the run: proven by its tags, or by a journal on this machine."""
    found = ((one.name, rules.run_of(one, journals.drills, journals.promotions)) for one in services)
    return {name: run for name, run in found if run}


def newest_drills(project: str | None) -> dict[str, Drilled]:
    """Of each primary that was drilled from this machine the last drill, however it ended, by its name.

    ``project``: None: of whichever. One that created nothing is none.
    """
    found: dict[str, Drilled] = {}
    for record, about in _drills(project):
        if about.primary and about.primary not in found and _of(record.events, CREATE, ChangeStarted):
            found[about.primary] = _drilled(record)
    return found


def not_for_long(names: Iterable[str], found: Mapping[str, Drilled]) -> list[str]:
    """Those without a drill in the last ``DUE`` seconds; one from the future, by a clock that was wrong, is none."""
    return [name for name in dict.fromkeys(names) if name not in found or abs(found[name].age) > DUE]


def _drills(project: str | None) -> Iterator[tuple[Record, Started]]:
    for path in journal.paths():
        if (found := journal.about(path)) and found.command == "drill":
            with suppress(UsageError):
                record = read(path)
                about = Started.model_validate(record.started.facts if record.started else {})
                if project in (None, about.project):
                    yield record, about


def _drilled(record: Record) -> Drilled:
    ended = record.ended
    result = Result.model_validate(ended.result if ended else {})
    rows = result.assumptions
    return Drilled(
        run=record.run,
        age=clock.now() - (ended or record.events[-1]).written,
        ok=bool(ended and ended.ok and rows),
        rto_ms=result.rto_ms,
        failed=tuple(one.name for one in rows if one.outcome == "does not hold"),
        untested=tuple(one.name for one in rows if one.critical and one.outcome == UNTRIED),
        trouble=result.error if ended else "it has not ended",
    )


def _made(record: Record, about: Started) -> Made:
    begun, ends = (_of(record.events, CREATE, kind) for kind in (ChangeStarted, ChangeEnded))
    seen = (noted.created for noted in _facts(record.events, CREATE))
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
        created=next((created for created in seen if isinstance(created, int)), None),
        began=begun[0].written if begun else None,
        promoted=bool(_of(record.events, "promote", ChangeStarted))
        and not any(one.refused for one in _of(record.events, "promote", ChangeEnded)),
        running=journal.is_running(record.path),
    )


@dataclass(frozen=True)
class JournalsHere(Journals):
    """Each question is asked once: what a run has read of the others does not change under it."""

    project: str | None

    @cached_property
    def promotions(self) -> tuple[Recorded, ...]:
        """Those that were sent, the newest first; those of drills are none."""
        found = []
        for path, about in journal.of(self.project, "switchover", "failover"):
            with suppress(OSError):
                if about.services and (recorded := _promotion(path, path.stat().st_size, about.services[-1])):
                    found.append(recorded)
        return tuple(found)

    @cached_property
    def drills(self) -> tuple[Made, ...]:
        """The services of which a drill sent the creation, newest first; what was refused is none."""
        made = (_made(record, about) for record, about in _drills(self.project) if about.temporary_replica)
        return tuple(one for one in made if one.sent in ("answered", "unanswered"))

    def user_of(self, service: "Service") -> str:
        """The run of another command that names this service since it is there; empty: none does, or it was refused."""
        for path, about in journal.of(self.project, "enable", "switchover", "failover"):
            if service.name not in about.services or "--check" in about.argv:
                continue
            with suppress(UsageError):
                record = read(path)
                refused = record.ended and not record.ended.ok and record.ended.changed is False
                began, created = record.started.written if record.started else 0.0, lineage.created(service)
                if not refused and created is not None and began + rules.CLOCKS >= created:
                    return f"run {path.stem} ({about.command}) on this machine names it"
        return ""

    def equal_by_value(self, replica: str) -> "Collection[ComparedState]":
        """As which servers, with how many rejected commands, a comparison of all values found this replica equal."""
        found = (_facts(events, "compare") for events in _runs_of(replica, self.project, "equal_by_value"))
        return frozenset(one.equal_by_value for noted in found for one in noted if one.equal_by_value)

    def may_have_paused(self, primary: str, replica: str) -> bool:
        """Whether a run on this machine about this very pair has paused writes on its primary, and may not have ended it."""
        pair = {"primary": primary, "replica": replica}
        return any(
            isinstance(events[0], RunStarted)
            and events[0].facts.items() >= pair.items()
            and _of(events, "fence", ChangeStarted)
            for events in _runs_of(replica, self.project, "fence")
        )

    def filter_before(self, service: "Service", closed: list[str]) -> tuple[Any] | None:
        """The newest ip_filter of this very service that is not ``closed``, which may be none; None: no journal has it."""
        for events in _runs_of(service.name, self.project, "ip_filter"):
            noted = _noted(events)
            if _is_same(noted, service) and "ip_filter" in noted.model_fields_set and noted.ip_filter != closed:
                return (noted.ip_filter,)
        return None

    def ahead_before(self, old: "Service", new: "Service", run: str = "") -> "Audit | None":
        """What the newest run that compared these very services found on the old primary alone; None: nothing, or none did.

        ``run``: the one that asks.
        """
        for events in _runs_of(old.name, self.project, "ahead_bytes", but=run):
            noted = _noted(events)
            found = [one for one in _facts(events, "audit") if one.ahead_bytes is not None or one.lapsed]
            if found and _is_same(noted, old) and _is_same(noted, new):
                last = found[-1]
                why = "an earlier run on this machine could not compare them, and nothing held writes back then"
                audit = Audit(ahead_bytes=last.ahead_bytes, ahead_writes=last.ahead_writes, why=why, lapsed=last.lapsed)
                return audit if audit.ahead_bytes or audit.lapsed else None
        return None

    def last_drill(self, primary: str, replica: "Service | None") -> tuple[dict[str, Any] | None, str]:
        if found := newest_drills(self.project).get(primary):
            return found.as_dict(), f"last drill: {found.describe()}"
        order = f"--replica-cloud {replica.cloud} --replica-plan {replica.plan}" if replica else "--replica-cloud CLOUD"
        return None, f"last drill: none from this machine; ccr-avn drill {primary} {order}"
