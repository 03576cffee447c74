"""What the journals on this machine prove of earlier promotions: for runs that resume, and for status."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn.aiven import lineage
from ccr_avn.aiven.lineage import Origin, Recorded
from ccr_avn.errors import UsageError
from ccr_avn.history import records, runs
from ccr_avn.history.facts import Noted
from ccr_avn.plan.events import ChangeStarted, Event, Looked, RunEnded, RunStarted, StepDone
from ccr_avn.procedures.gates.history import Audit

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.procedures.gates.links import Compared

NOTING = ("pair", "health", "last-known")
"""The checks of a promotion that note what it starts from; what another step calls by the same name is its own."""


def promotions(project: str | None) -> tuple[Recorded, ...]:
    """The promotions that runs on this machine sent, the newest first; those of drills are none."""
    found = []
    for path, about in runs.of(project, "switchover", "failover"):
        with suppress(OSError):
            if about.services and (recorded := _promotion(path, path.stat().st_size, about.services[-1])):
                found.append(recorded)
    return tuple(found)


@cache
def _promotion(path: Path, size: int, replica: str) -> Recorded | None:  # noqa: ARG001 (a journal only grows)
    """Kept for the next call: a run of many pairs asks for all of them again and again."""
    events = _events(path, "ChangeStarted")
    sent = next((one for one in events if isinstance(one, ChangeStarted) and one.slug == "promote"), None)
    if sent is None:
        return None
    done = lacking = unchanged = False
    for event in events:
        match event:
            case StepDone(slug="promote"):
                done = True
            case (Looked(slug="history") | StepDone(slug="history")) as compared:
                lacking = lacking or compared.finding.verdict == "stop"
            case RunEnded(changed=False):
                unchanged = True
    noted = _noted(events)
    created, old = noted.created, noted.follows
    if (unchanged and not done) or not old or not isinstance(created, dict) or replica not in created:
        return None  # it ended knowing that nothing was deleted, or does not say which services they were
    origin = Origin(
        name=old, old_created=created.get(old), new_created=created[replica], replication_id=noted.replication_id
    )
    return Recorded(new=replica, origin=origin, proven=done, sent_at=sent.written, without_data=lacking)


def filter_before(service: "Service", project: str | None, closed: list[str]) -> tuple[Any] | None:
    """The newest ip_filter of this very service that is not ``closed``, which may be none; None: no journal has it."""
    for events in _runs_of(service.name, project, "ip_filter"):
        noted = _noted(events)
        if _is_same(noted, service) and "ip_filter" in noted.model_fields_set and noted.ip_filter != closed:
            return (noted.ip_filter,)
    return None


def found_ahead(old: "Service", new: "Service", project: str | None, run: str = "") -> Audit | None:
    """What the newest run that compared these very services found on the old primary alone; None: nothing, or none did.

    ``run``: the one that asks.
    """
    for events in _runs_of(old.name, project, "ahead_bytes", but=run):
        noted = _noted(events)
        found = [one for one in _facts(events, "audit") if one.ahead_bytes is not None or one.lapsed]
        if found and _is_same(noted, old) and _is_same(noted, new):
            last = found[-1]
            why = "an earlier run on this machine could not compare them, and nothing held writes back then"
            audit = Audit(ahead_bytes=last.ahead_bytes, ahead_writes=last.ahead_writes, why=why, lapsed=last.lapsed)
            return audit if audit.ahead_bytes or audit.lapsed else None
    return None


def may_have_paused(primary: str, replica: str, project: str | None) -> bool:
    """Whether a run on this machine about this very pair has paused writes on its primary, and may not have ended it."""
    pair = {"primary": primary, "replica": replica}
    return any(
        isinstance(events[0], RunStarted)
        and events[0].facts.items() >= pair.items()
        and any(isinstance(one, ChangeStarted) and one.slug == "fence" for one in events)
        for events in _runs_of(replica, project, "fence")
    )


def equal_by_value(replica: str, project: str | None) -> "frozenset[Compared]":
    """As which servers, with how many rejected commands, a comparison of all values found this replica equal."""
    found = (_facts(events, "compare") for events in _runs_of(replica, project, "equal_by_value"))
    return frozenset(one.equal_by_value for noted in found for one in noted if one.equal_by_value)


def _runs_of(service: str, project: str | None, word: str, but: str = "") -> Iterator[tuple[Event, ...]]:
    """The events of every run that names the service and has the word in its journal, the newest run first."""
    for path, about in runs.of(project):
        if service in about.services and path.stem != but and (events := _events(path, word)):
            yield events


def _events(path: Path, word: str) -> tuple[Event, ...]:
    """None where the word is missing: to read it all takes fifty times as long, and most runs only verified something."""
    try:
        return records.read(path).events if f'"{word}"'.encode() in path.read_bytes() else ()
    except (OSError, UsageError):
        return ()


def _facts(events: tuple[Event, ...], slug: str) -> list[Noted]:
    found = [one for one in events if isinstance(one, (Looked, StepDone)) and one.slug == slug]
    return [Noted.model_validate(one.finding.facts) for one in found]


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
