"""A drill: all of it on a throw-away replica, the primary untouched, nothing left behind and nothing else gone."""

import json
import signal
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest

from tests.support.operator import EU, US, Make, Operator, ended
from tests.support.pairs import add_service, backed_up, client, paired, uri
from tests.support.wait import until
from tests.support.writers import Load

QUICK = (
    *("drill", "eu", "--replica-cloud", US, "--yes", "--samples", "3", "--poll-interval", "0.3"),
    *("--filter-timeout", "1", "--backup-timeout", "2", "--quiet-seconds", "0.3"),
)
STRANGER = "eu-drill-abcdef"
"""Named as if a drill had made it."""


def with_primary(operator: Operator) -> Operator:
    add_service(operator, "eu", "business-4", EU)
    until(lambda: backed_up(operator, "eu"), "a backup of eu")
    with client(operator, "eu") as one:
        one.mset({f"key{number}": number for number in range(50)})
    return operator


@pytest.fixture
def primary(operator: Operator) -> Operator:
    return with_primary(operator)


def drilled(operator: Operator, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the envelope of a drill of eu."""
    done = operator.ccr(*QUICK, "--json", *words)
    assert done.out, done.err
    return done.code, json.loads(done.out)


def outcomes(envelope: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["outcome"] for one in envelope["result"]["assumptions"]}


def services(operator: Operator) -> set[str]:
    return set(operator.sandbox.platform.services)


def throw_away(operator: Operator) -> str:
    """Its name, once it is there."""
    found = until(lambda: services(operator) - {"eu", STRANGER}, "the throw-away to be made")
    return str(next(iter(found)))


def changes_of(operator: Operator, name: str) -> list[tuple[str, str]]:
    return [one for one in operator.sandbox.changes() if f"/service/{name}/" in f"{one[1]}/"]


def runs_to(operator: Operator, line: str, *words: str) -> "subprocess.Popen[str]":
    """A drill that has just told this on standard error."""
    child = operator.start("ccr-avn", *QUICK, *words)
    assert child.stderr is not None
    for told in child.stderr:
        if told.startswith(line):
            break
    return child


def test_a_drill_under_load_leaves_the_primary_alone_and_nothing_behind(primary: Operator) -> None:
    with Load(uri(primary, "eu"), pause=0.005) as load:
        code, told = drilled(primary)
    result = told["result"]
    assert (code, told["ok"], services(primary)) == (0, True, {"eu"}), told
    assert result["terminated"]
    assert result["rto_ms"] > 0
    assert result["not_received_ms"] is not None
    assert result["compare"]["verdict"] == "equal"
    assert result["cost"]["usd_an_hour"] == 0.1
    assert set(outcomes(told).values()) == {"holds", "could not be tried"}
    assert [writer.connections for writer in load.writers] == [1] * len(load.writers), "a writer was cut"
    assert changes_of(primary, "eu") == []


def test_what_is_kept_is_told_with_the_command_that_terminates_it(primary: Operator) -> None:
    code, told = drilled(primary, "--keep", "--level", "link")
    assert code == 0
    [kept] = services(primary) - {"eu"}
    assert told["result"]["terminate"].split() == [
        "avn",
        "service",
        "terminate",
        kept,
        "--project",
        "sandbox",
        "--force",
    ]
    looked = primary.ccr("drill", "--clean", "--check")
    assert (looked.code, kept in looked.out) == (4, True), "a look alone tells, and terminates nothing"
    primary.avn(*told["result"]["terminate"].split()[1:])
    assert primary.ccr("drill", "--clean", "--check").code == 0


def test_checks_and_previews_make_nothing(primary: Operator) -> None:
    checked = primary.ccr(*QUICK, "--check", "--json")
    assert checked.code == 0, checked.err
    assert json.loads(checked.out)["result"]["cost"]["usd_an_hour"] == 0.1
    unsaid = primary.ccr("drill", "eu", "--replica-cloud", US)
    assert unsaid.code == 2, "nobody is there to be asked"
    primary.sandbox.platform.find("eu").user_config["valkey_persistence"] = "off"
    assert primary.ccr(*QUICK, "--check").code == 4
    assert primary.sandbox.changes() == []


def test_the_last_drill_is_named_where_somebody_looks(make: Make) -> None:
    """It changes no health and no exit code."""
    operator = paired(make())
    before = operator.ccr("status")
    assert (before.code, "no drill in 90 days from this machine: eu; ccr-avn drill eu" in before.out) == (0, True)
    code, told = drilled(operator, "--level", "link")
    assert code == 0, told
    assert "no drill" not in operator.ccr("status").out
    [pair] = json.loads(operator.ccr("status", "--json").out)["result"]["pairs"]
    assert (pair["health"], pair["last_drill"]["run"]) == ("ok", told["run"])
    checked = operator.ccr("switchover", "eu", "us", "--check")
    assert f"last drill: today ({told['run']}, RTO " in checked.out
    assert f"last drill: OK (eu: today ({told['run']}, RTO " in operator.ccr("doctor").out


STEPS = {
    "create": "throw-away: avn",
    "created": "throw-away: done",
    "tag": "tagged: avn",
    "tagged": "tagged: done",
    "compared": "compare: ok",
    "promote": "promote: avn",
    "promoted": "promote: done",
    "closed": "filter-close: done",
    "opened": "filter-open: done",
    "terminate": "terminate: avn",
}
"""The line that shows when a run is there."""


def some(*unmarked: str) -> list[Any]:
    return [pytest.param(name, marks=[] if name in unmarked else [pytest.mark.slow]) for name in STEPS]


@pytest.mark.parametrize("step", some("created", "promote"))
def test_killed_at_any_step_what_it_made_is_found_and_nothing_else_goes(primary: Operator, step: str) -> None:
    add_service(primary, STRANGER, "startup-4", US)
    if step == "create":  # it acts, and nobody hears of it
        primary.sandbox.faults.add(kind="hang-after", method="POST", path="/service$", seconds=30)
    child = runs_to(primary, STEPS[step], "--backup-timeout", "60")
    if step == "create":
        throw_away(primary)
    child.kill()
    ended(child)
    cleaned = primary.ccr("drill", "--clean", "--yes", "--json")
    if step == "terminate":
        until(lambda: services(primary) == {"eu", STRANGER}, "the orphaned avn to end")
    assert services(primary) == {"eu", STRANGER}, cleaned.out + cleaned.err
    told = json.loads(cleaned.out)
    assert cleaned.code in (4, 14), "what is not certain is told"
    assert [one["name"] for one in told["result"]["left"]] == [STRANGER]
    assert primary.ccr(*QUICK, "--check").code == 0, "what is left is nothing to stumble over"


@pytest.mark.parametrize("step", some("compared"))
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_ended_at_any_step_it_cleans_up(primary: Operator, step: str, number: signal.Signals) -> None:
    child = runs_to(primary, STEPS[step])
    child.send_signal(number)
    done = ended(child)
    assert services(primary) == {"eu"}, done.err
    assert done.code in (0, 138 + number), done.err
    assert "terminate: " in done.err


def test_its_own_time_limit_ends_it_too(make: Make) -> None:
    primary = with_primary(make(sync_delay=float("inf")))
    done = primary.ccr(*QUICK, "--max-minutes", "0.05")
    assert done.code == 15, done.err
    assert services(primary) == {"eu"}


CHANGES = {
    "create": ("POST", "/service$"),
    "tag": ("PATCH", "/tags$"),
    "promote": ("DELETE", "/integration/"),
    "filter": ("PUT", "/service/"),
    "terminate": ("DELETE", "/service/"),
}
KINDS = ("status", "status-after", "html", "cut-json", "close-before", "close-after", "hang", "hang-after")
NORMAL = {("create", "status-after"), ("terminate", "status")}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(change, kind, marks=[] if (change, kind) in NORMAL else [pytest.mark.slow])
        for change in CHANGES
        for kind in KINDS
    ],
)
def test_a_fault_at_any_change_leaves_nothing_that_clean_does_not_find(
    primary: Operator, change: str, kind: str
) -> None:
    add_service(primary, STRANGER, "startup-4", US)
    method, path = CHANGES[change]
    primary.sandbox.faults.add(kind=kind, method=method, path=path, seconds=30)
    done = primary.ccr(*QUICK, "--level", "link", "--call-timeout", "3", "--doubt-timeout", "3")
    left = services(primary) - {"eu", STRANGER}
    assert not left or done.code > 10, done.err
    cleaned = primary.ccr("drill", "--clean", "--yes")
    assert services(primary) == {"eu", STRANGER}, done.err + cleaned.err


def test_a_namesake_made_meanwhile_by_somebody_else_is_not_touched(primary: Operator) -> None:
    primary.sandbox.faults.add(kind="delay", method="POST", path="/service$", seconds=1.5)
    child = runs_to(primary, "throw-away: avn", "--name", STRANGER)
    add_service(primary, STRANGER, "startup-4", US, source="eu")
    done = ended(child)
    assert done.code in (3, 13), done.err
    assert changes_of(primary, STRANGER) == [], "neither tagged nor terminated"
    assert STRANGER in services(primary)


def as_another_service(operator: Operator, name: str) -> None:
    """Somebody terminates it and makes a namesake with the same tags."""
    platform = operator.sandbox.platform
    tags = dict(platform.find(name).tags)
    platform.delete(name)
    add_service(operator, name, "startup-4", US, source="eu")
    platform.find(name).tags = tags
    platform.find(name).created += timedelta(seconds=60)


def as_a_source(operator: Operator, name: str) -> None:
    row = {"integration_type": "metrics", "enabled": True, "active": True, "service_integration_id": "m"}
    more = {"source_service": name, "dest_service": "m3", "source_endpoint_id": None, "dest_endpoint_id": None}
    operator.sandbox.platform.oddities.add_row(name, {**row, **more})


def as_of_another_run(operator: Operator, name: str) -> None:
    operator.sandbox.platform.find(name).tags["ccr_drill"] = "20200101T000000Z-aaaaaa"


@pytest.mark.parametrize(
    "becomes",
    [
        as_another_service,
        pytest.param(as_a_source, marks=pytest.mark.slow),
        pytest.param(as_of_another_run, marks=pytest.mark.slow),
    ],
)
def test_in_doubt_it_is_left(make: Make, becomes: Callable[[Operator, str], None]) -> None:
    primary = with_primary(make(sync_delay=float("inf")))
    child = runs_to(primary, "link: waiting")
    name = throw_away(primary)
    becomes(primary, name)
    child.terminate()
    done = ended(child)
    assert done.code == 153, done.err
    assert f"{name} is not touched" in done.err
    assert name in services(primary)
    primary.ccr("drill", "--clean", "--yes")
    assert name in services(primary), "the same rule"
    assert ("DELETE", f"/v1/project/sandbox/service/{name}") not in primary.sandbox.changes()


def no_tags(operator: Operator) -> None:
    operator.sandbox.faults.add(kind="status", status=403, method="PUT|PATCH", path="/tags$", times=10**6)


def filter_stays(operator: Operator) -> None:
    operator.sandbox.faults.add(kind="status", status=403, method="PUT", path="/service/", skip=1, times=10**6)


def another_user(operator: Operator) -> None:
    operator.avn("service", "user-create", "eu", "--username", "reporting", "--project", "sandbox")


def nothing(_: Operator) -> None:
    """It is set by the sandbox's options."""


FALSE: dict[str, tuple[dict[str, Any], Callable[[Operator], None], int, set[int]]] = {
    # the assumption: what makes it false; the exit of a drill; those of a switchover afterwards
    "client-commands": ({"refuse_client_pause": True}, nothing, 0, {0}),
    "pause-holds-writes": (
        {"platform_lifts_pauses": 0.02},
        nothing,
        16,
        {4, 16},
    ),  # found before the promotion, or told after it
    "no-platform-clients": ({"platform_connects": True}, nothing, 16, {0}),
    "client-list-is-whole": ({"refuse_commands": ("client|list",)}, nothing, 0, {0}),
    "history-is-kept": ({"promote_empty": True}, nothing, 16, {14}),
    "platform-does-not-write": ({"platform_writes": 0.02}, nothing, 0, {0}),
    "deletion-promotes": ({"promote_seconds": 1000.0}, nothing, 15, {15}),
    "password-is-kept": ({"promote_password": True}, nothing, 16, {16}),
    "filter-refuses": ({"filter_cuts": "never"}, nothing, 16, {15}),
    "filter-cuts": ({"filter_cuts": "new-only"}, nothing, 0, {0}),
    "filter-opens": ({}, filter_stays, 0, {0}),
    "first-backup": ({"promoted_backups": False}, nothing, 0, {0}),
    "tags-are-kept": ({}, no_tags, 0, {0}),
    "carried-over": ({}, another_user, 0, {0}),
}
COMMON = ("history-is-kept", "tags-are-kept")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in COMMON else [pytest.mark.slow]) for name in FALSE]
)
def test_an_assumption_that_does_not_hold_is_told_and_nothing_is_left(make: Make, name: str) -> None:
    """And a switchover of a pair there ends as the drill says it would."""
    options, more, code, then = FALSE[name]
    operator = paired(make(**options))
    more(operator)
    got, told = drilled(operator, "--promote-timeout", "3")
    found = outcomes(told)[name]
    assert (got, services(operator)) == (code, {"eu", "us"}), told
    assert found == ("could not be tried" if name == "first-backup" else "does not hold")
    if name == "filter-opens":
        return
    under_load = name == "pause-holds-writes"  # only a write that comes through shows it
    with Load(uri(operator, "eu"), pause=0.005) if under_load else nullcontext():
        over = operator.ccr("switchover", "eu", "us", "--yes", "--promote-timeout", "3", "--call-timeout", "5")
    assert over.code in then, over.err
