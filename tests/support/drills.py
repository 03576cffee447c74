"""A primary that can be drilled, drills of it, and what they leave behind."""

import json
from typing import Any

from tests.support.operator import EU, US, Operator, Started
from tests.support.pairs import add_service, backed_up, client
from tests.support.wait import until

SHORT_WAITS = (
    *("drill", "eu", "--replica-cloud", US, "--yes", "--poll-interval", "0.3"),
    *("--filter-timeout", "1", "--backup-timeout", "2", "--quiet-seconds", "0.3"),
)
QUICK = (*SHORT_WAITS, "--samples", "3")
BY_LINK = (*SHORT_WAITS, "--level", "link")
"""Its data is not compared."""
STRANGER = "eu-drill-abcdef"
"""Named as if a drill had made it."""


def primary_at(operator: Operator) -> Operator:
    add_service(operator, "eu", "business-4", EU)
    until(lambda: backed_up(operator, "eu"), "a backup of eu")
    with client(operator, "eu") as one:
        one.mset({f"key{number}": number for number in range(50)})
    return operator


def drilled(operator: Operator, *words: str, how: tuple[str, ...] = QUICK) -> tuple[int, dict[str, Any]]:
    """The exit code and the envelope of a drill of eu."""
    done = operator.ccr(*how, "--json", *words)
    assert done.out, done.err
    return done.code, json.loads(done.out)


def outcomes(envelope: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["outcome"] for one in envelope["result"]["assumptions"]}


def services(operator: Operator) -> set[str]:
    return set(operator.sandbox.platform.services)


def temporary_replica(operator: Operator) -> str:
    """Its name, once it is there."""
    found = until(lambda: services(operator) - {"eu", "us", STRANGER}, "the temporary replica to be made")
    return str(next(iter(found)))


def changes_of(operator: Operator, name: str) -> list[tuple[str, str]]:
    return [one for one in operator.sandbox.changes() if f"/service/{name}/" in f"{one[1]}/"]


def runs_to(operator: Operator, line: str, *words: str) -> Started:
    """A drill that has just told this on standard error."""
    child = operator.start("ccr-avn", *QUICK, *words)
    child.tells(line)
    return child
