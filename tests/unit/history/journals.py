"""Journals for tests, written by the journal itself from events."""

from pathlib import Path
from typing import Any

from ccr_avn.history.journal import Journal
from ccr_avn.history.records import read
from ccr_avn.history.story import Story, summarize
from ccr_avn.plan import events
from ccr_avn.plan.events import ChangeEnded, ChangeStarted, Looked, RunEnded, RunStarted, StepDone, StepStarted
from ccr_avn.plan.model import Finding, go

RUN = "20260102T030405Z-abc123"
DELETE = ("avn", "service", "integration-delete", "0a1b", "--project", "p")
SLUGS = ("pair", "health", "fence", "caught-up", "promote", "accepts-writes", "closed")
FACTS = {"primary": "eu", "replica": "us", "project": "p", "old_primary": "close", "avn": "4.18.0"}
IP_FILTER: list[Any] = ["10.0.0.0/8", {"network": "192.168.0.0/16", "description": "the office's"}]
PAUSED_UNTIL = 1_767_323_045.0
"""2026-01-02 03:04:05 UTC."""
EU = {"name": "eu", "role": "primary", "type": "valkey", "plan": "business-4", "cloud": "c-1", "state": "RUNNING"}
US = {**EU, "name": "us", "role": "replica"}
RESULT: dict[str, Any] = {
    "old_primary": "eu",
    "new_primary": "us",
    "write_outage_ms": 1218.9,
    "bytes_not_replicated": 0,
    "before": [EU, US],
    "after": [{**US, "role": "primary"}, {**EU, "role": "old primary"}],
    "risks": [{"what": "it has no replica", "fix": "ccr-avn enable us NEW --replica-cloud CLOUD"}],
    "restore": ["avn service update eu -c 'ip_filter=[\"0.0.0.0/0\"]'"],
}

TYPED = ("switchover", "eu", "us", "--yes", "--after", "./deploy.sh 'new primary'", "--promote-timeout", "60")


def started(
    run: str = RUN,
    command: str = "switchover",
    slugs: tuple[str, ...] = SLUGS,
    argv: tuple[str, ...] = TYPED,
    **facts: Any,
) -> RunStarted:
    title = "switch over from eu to us"
    return RunStarted(at=0.0, run=run, command=command, title=title, slugs=slugs, facts={**FACTS, **facts}, argv=argv)


def begun(slug: str, at: float) -> StepStarted:
    return StepStarted(at=at, slug=slug, purpose=f"see to {slug}", rule=f"{slug} is seen to", limit=60.0)


def looked(slug: str, at: float, finding: Finding) -> Looked:
    return Looked(at=at, slug=slug, argv=("avn", "look"), finding=finding, elapsed=0.1, limit=60.0)


def done(
    slug: str,
    at: float,
    reason: str = "as it must be",
    outcome: events.Outcome = "proven",
    seconds: float = 0.1,
    **facts: Any,
) -> StepDone:
    return StepDone(at=at, slug=slug, finding=go(reason, **facts), seconds=seconds, outcome=outcome)


def ended(at: float, *, ok: bool = True, changed: Any = True, code: int = 0, **result: Any) -> RunEnded:
    return RunEnded(at=at, ok=ok, changed=changed, code=code, result=result)


def switched(run: str = RUN) -> list[events.Event]:
    """A switchover that went through."""
    return [
        started(run),
        done("pair", 0.2, ip_filter=IP_FILTER),
        done("health", 0.4, "link up, no sync in progress, 4096 bytes behind", lag_bytes=4096),
        ChangeStarted(at=0.5, slug="fence", argv=("ccr-avn", "fence", "eu"), final=False),
        ChangeEnded(at=0.6, slug="fence", seconds=0.1),
        done("fence", 0.6, "writes are held back", "changed", 0.1, writes_paused_until=PAUSED_UNTIL),
        done("caught-up", 0.7, "replica offset equals primary offset (8192)", lag_bytes=0),
        ChangeStarted(at=0.8, slug="promote", argv=DELETE, final=True),
        ChangeEnded(at=1.0, slug="promote", seconds=0.2),
        done("promote", 1.8, "its role is master", "changed", 1.0),
        done("accepts-writes", 1.82, "a write was accepted and read back"),
        done("closed", 2.5, "new connections are refused"),
        ended(2.6, **RESULT),
    ]


def write(where: Path, run: str, happened: list[events.Event]) -> Path:
    journal = Journal(str(where / run))
    for event in happened:
        journal(event)
    journal.close()
    return journal.path


def story_of(path: Path) -> Story:
    return summarize(read(path))
