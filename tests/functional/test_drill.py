"""A drill: all of it on a throw-away replica, the primary untouched, nothing left behind and nothing else gone."""

import json
from typing import Any

from tests.support.operator import EU, US, Make, Operator
from tests.support.pairs import add_service, backed_up, client, uri
from tests.support.wait import until
from tests.support.writers import Load

QUICK = (
    *("--replica-cloud", US, "--yes", "--json", "--samples", "3", "--poll-interval", "0.3"),
    *("--filter-timeout", "2", "--backup-timeout", "3", "--quiet-seconds", "0.5"),
)


def with_primary(operator: Operator, name: str = "eu") -> Operator:
    add_service(operator, name, "business-4", EU)
    until(lambda: backed_up(operator, name), f"a backup of {name}")
    with client(operator, name) as one:
        one.mset({f"key{number}": number for number in range(50)})
    return operator


def drilled(operator: Operator, *words: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the envelope of a drill of eu."""
    done = operator.ccr("drill", "eu", *QUICK, *words, **environment)
    assert done.out, done.err
    return done.code, json.loads(done.out)


def outcomes(envelope: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["outcome"] for one in envelope["result"]["assumptions"]}


def services(operator: Operator) -> set[str]:
    return set(operator.sandbox.platform.services)


def test_a_drill_under_load_leaves_the_primary_alone_and_nothing_behind(make: Make) -> None:
    operator = with_primary(make())
    with Load(uri(operator, "eu"), pause=0.005) as load:
        code, told = drilled(operator)
    result = told["result"]
    assert (code, told["ok"], services(operator)) == (0, True, {"eu"}), told
    assert result["terminated"]
    assert result["rto_ms"] > 0
    assert result["not_received_ms"] is not None
    assert result["compare"]["verdict"] == "equal"
    assert set(outcomes(told).values()) == {"holds", "could not be tried"}
    assert all(writer.connections == 1 for writer in load.writers), "a writer was cut"
    assert not changing_requests_of(operator, "eu")


def changing_requests_of(operator: Operator, name: str) -> list[str]:
    """What was asked of a service that is no mere look; a creation names none in its path."""
    lines = operator.ccr("sandbox", "requests").out.splitlines()
    return [line for line in lines if " GET " not in line and f"{line}/".count(f"/service/{name}/")]
