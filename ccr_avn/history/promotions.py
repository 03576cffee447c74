"""Reads promotions and earlier IP filters from the journals on this machine, for runs that resume."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn.aiven import lineage
from ccr_avn.aiven.lineage import Origin, Recorded
from ccr_avn.history import journal, runs
from ccr_avn.procedures.gates.history import Audit

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.procedures.gates.links import Compared


SENT, AUDIT = b'"ChangeStarted"', b'"ahead_bytes"'
"""What a journal has of a change, and of a comparison of both histories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """An ``ip_filter`` as the platform gave it; ``value`` None: none was set."""

    value: Any


_ENDED: dict[Path, Recorded | None] = {}
"""What the journals of runs that have ended say: a run of many pairs asks for all of them again and again."""


def promotions(project: str | None) -> tuple[Recorded, ...]:
    """The promotions that runs on this machine sent, the newest first; those of drills are none."""
    found = (_promotion_in(path, about) for path, about in runs.of(project, "switchover", "failover"))
    return tuple(one for one in found if one)


def _promotion_in(path: Path, about: runs.About) -> Recorded | None:
    if path in _ENDED:
        return _ENDED[path]
    entries = _entries_with(path, SENT)
    found = _promotion(entries, about.services[-1]) if about.services else None
    if entries and entries[-1].get("event") == "RunEnded":
        _ENDED[path] = found
    return found


def filter_before(service: "Service", project: str | None, closed: list[str]) -> Filter | None:
    """The newest filter of this very service that is not ``closed``; None: no journal has it."""
    for entries in _runs_of(service.name, project, b'"ip_filter"'):
        noted = _noted(entries)
        born = noted.get("created")
        if "ip_filter" not in noted or not isinstance(born, dict) or lineage.created(service) is None:
            continue
        if born.get(service.name) == lineage.created(service) and noted["ip_filter"] != closed:
            return Filter(value=noted["ip_filter"])
    return None


def found_ahead(old: "Service", new: "Service", project: str | None, run: str = "") -> Audit | None:
    """What the newest run that compared these very services found on the old primary alone; None: nothing, or none did.

    ``run``: the one that asks.
    """
    for entries in _runs_of(old.name, project, AUDIT, but=run):
        born = _noted(entries).get("created")
        if not isinstance(born, dict) or None in (lineage.created(old), lineage.created(new)):
            continue
        if (born.get(old.name), born.get(new.name)) != (lineage.created(old), lineage.created(new)):
            continue
        facts = [_facts(one) for one in entries if one.get("slug") == "audit"]
        told = [one for one in facts if isinstance(one.get("ahead_bytes"), int) or one.get("lapsed") is True]
        if told:
            found = Audit(
                ahead_bytes=told[-1].get("ahead_bytes"),
                ahead_writes=told[-1].get("ahead_writes"),
                why="an earlier run on this machine could not compare them, and nothing held writes back then",
                lapsed=told[-1].get("lapsed") is True,
            )
            return found if found.ahead_bytes or found.lapsed else None
    return None


def may_have_paused(primary: str, replica: str, project: str | None) -> bool:
    """Whether a run on this machine about this very pair has paused writes on its primary, and may not have ended it."""
    return any(
        isinstance(facts := entries[0].get("facts"), dict)
        and (facts.get("primary"), facts.get("replica")) == (primary, replica)
        and any(one.get("event") == "ChangeStarted" and one.get("slug") == "fence" for one in entries)
        for entries in _runs_of(replica, project, b'"slug": "fence"')
    )


def equal_by_value(replica: str, project: str | None) -> "frozenset[Compared]":
    """As which servers, with how many rejected commands, a comparison of all values found this replica equal."""
    found = (
        _facts(entry).get("equal_by_value")
        for entries in _runs_of(replica, project, b'"equal_by_value"')
        for entry in entries
        if entry.get("slug") == "compare"
    )
    return frozenset((one[0], one[1], one[2]) for one in found if isinstance(one, list) and len(one) == 3)


def _facts(entry: dict[str, Any]) -> dict[str, Any]:
    finding = entry.get("finding")
    facts = finding.get("facts") if isinstance(finding, dict) else None
    return facts if isinstance(facts, dict) else {}


def _runs_of(service: str, project: str | None, *marks: bytes, but: str = "") -> Iterator[list[dict[str, Any]]]:
    """The entries of every run that names the service and has these marks in its journal, the newest run first."""
    for path, about in runs.of(project):
        if service in about.services and path.stem != but and (entries := _entries_with(path, *marks)):
            yield entries


def _entries_with(path: Path, *marks: bytes) -> list[dict[str, Any]]:
    """None where a mark is missing: to read it all takes fifty times as long, and most runs only verified something."""
    try:
        written = path.read_bytes()
        return list(journal.entries(path)) if all(mark in written for mark in marks) else []
    except OSError:
        return []


def _promotion(entries: list[dict[str, Any]], replica: str) -> Recorded | None:
    about = [one for one in entries if one.get("slug") == "promote"]
    sent = next((one for one in about if one.get("event") == "ChangeStarted"), None)
    if sent is None:
        return None
    done = any(one.get("event") == "StepDone" for one in about)
    if not done and any(one.get("event") == "RunEnded" and one.get("changed") is False for one in entries):
        return None  # it ended knowing that nothing was deleted
    noted = _noted(entries)
    created, name = noted.get("created"), noted.get("follows")
    if not isinstance(created, dict) or not isinstance(name, str) or replica not in created:
        return None
    origin = Origin(
        name=name,
        old_created=created.get(name),
        new_created=created[replica],
        replication_id=str(noted.get("replication_id") or ""),
    )
    compared = [one.get("finding") for one in entries if one.get("slug") == "history"]
    lacking = any(isinstance(one, dict) and one.get("verdict") == "stop" for one in compared)
    return Recorded(
        new=replica,
        origin=origin,
        proven=done,
        sent_at=runs.moment(sent.get("time")) or 0.0,
        without_data=lacking,
    )


NOTING = ("pair", "health", "last-known")
"""The checks of a promotion that note what it starts from; what another step calls by the same name is its own."""


def _noted(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The facts that the checks of a run noted before it changed anything."""
    noted: dict[str, Any] = {}
    for one in entries:
        if one.get("event") == "ChangeStarted":
            break
        if one.get("slug") in NOTING:
            noted |= _facts(one)
    return noted
