"""A primary with more databases than its replica: real servers, the plans that must refuse, and no retries."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.program import world_of
from ccr_avn.errors import NotProven, Refused, Unreachable
from ccr_avn.plan.execute import Run
from ccr_avn.plan.model import Plan
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.switchover import Switchover
from ccr_avn.procedures.verify import Level, Verify
from ccr_avn.process import Answer
from ccr_avn.valkey.server_facts import read_databases
from tests.functional.compare_pair import Pair, Server, until
from tests.support.factories import row, service

SETTING = Setting(project=Project("p"))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    root = tmp_path_factory.mktemp("databases")
    made = Pair(Server("eu", root / "eu", "--databases", "200"), Server("us", root / "us", "--databases", "16"))
    made.link()
    yield made
    made.stop()


@pytest.fixture
def pair(uneven: Pair) -> Pair:
    uneven.primary.client.flushall()
    uneven.settled()
    uneven.replica.client.config_resetstat()
    return uneven


class Avn:
    """Lists the pair; everything that is slept is remembered."""

    def __init__(self, pair: Pair) -> None:
        self.slept: list[float] = []
        self.rows = [row("eu", "us", source_project="p", dest_project="p")]
        servers = (pair.primary, pair.replica)
        self.services = [service(one.name, *self.rows, service_uri=one.endpoint.uri) for one in servers]

    def run(self, argv: tuple[str, ...], *, deadline: float) -> Answer:
        told: Any = self.rows if argv[2] == "integration-list" else self.services
        return Answer(argv=argv, code=0, stdout=json.dumps(told), stderr="", seconds=0.0, expired=False)

    def checked(self, plan: Plan, *, act: bool) -> Run:
        run = Run(plan, world_of("avn", run=self.run, sleep=self.slept.append), lambda _: None, Seen())
        run.check()
        if act:
            run.act()
        return run


def verify(level: Level) -> Plan:
    return Verify(primary="eu", replica="us", at=SETTING, level=level, samples=1).plan()


SWITCHOVER = Switchover(primary="eu", replica="us", at=SETTING).plan()


@pytest.mark.parametrize("level", ["link", "marker", "keys", "values"])
def test_a_database_that_the_replica_lacks_is_not_proven(pair: Pair, level: Level) -> None:
    pair.primary.database(100).set("key", "of 100")
    until(lambda: pair.replica.client.get("key") == b"of 100", "the write to land in the wrong database")
    avn = Avn(pair)
    if level != "values":  # which would show what is missing
        with pytest.raises(NotProven, match="us rejected 1 command from its primary") as caught:
            avn.checked(verify(level), act=True)
        assert "ccr-avn gate databases eu us" in caught.value.hint
    pair.replica.client.config_resetstat()
    with pytest.raises(NotProven, match="us lacks databases that eu uses: 100") as caught:
        avn.checked(verify(level), act=True)
    assert "number_of_databases=200" in caught.value.hint
    assert avn.slept == []


def test_a_switchover_is_refused_before_the_first_change(pair: Pair) -> None:
    pair.primary.database(100).set("key", "of 100")
    avn = Avn(pair)
    with pytest.raises(Refused, match="us lacks databases that eu uses: 100"):
        avn.checked(SWITCHOVER, act=False)
    assert avn.slept == []


def test_databases_that_are_on_both_sides_pass_with_a_warning_for_the_others(pair: Pair) -> None:
    pair.primary.database(15).set("key", "v")
    pair.settled()
    found = read_databases(pair.primary.endpoint, pair.replica.endpoint)
    assert (found.used, found.refused, found.primary, found.replica) == ((15,), (), 200, 16)
    run = Avn(pair).checked(SWITCHOVER, act=False)
    (step,) = (step for step in run.plan.checks if step.slug == "databases")
    (warning,) = step.gate.judge(run.seen.of(step), run.seen).warnings
    assert "a write to database 16 or above" in warning


@pytest.mark.parametrize("database", [0, 3])
def test_a_user_that_may_not_select_shows_nothing_unless_only_the_first_is_used(pair: Pair, database: int) -> None:
    pair.primary.database(database).set("key", "v")
    pair.settled()
    servers = (pair.primary, pair.replica) if database == 0 else (pair.replica,)
    for server in servers:
        server.client.execute_command("ACL", "SETUSER", "default", "-select")
    hidden = pytest.raises(NotProven, match="does not show whether it has database 3") if database else nullcontext()
    try:
        with hidden:
            Avn(pair).checked(verify("link"), act=True)
    finally:
        for server in servers:
            server.client.execute_command("ACL", "SETUSER", "default", "+select")


def test_a_comparison_of_such_a_database_is_not_asked_again(pair: Pair) -> None:
    """What can't pass by waiting is told at once."""
    pair.primary.database(100).set("key", "v")
    pair.settled()
    with pytest.raises(Unreachable) as caught:
        pair.compare(level="keys")
    assert not caught.value.passing
    assert "database 100" in caught.value.what
