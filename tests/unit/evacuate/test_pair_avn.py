"""One pair's access to avn: how old a read may be, and what one list of services answers. Injected time."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.evacuate.avn_turns import SAME_MOMENT, AvnTurns, PairAvn, ServiceList
from ccr_avn.evacuate.schedule import RunSignals, Stop
from ccr_avn.plan import events
from ccr_avn.plan.model import Call, Finding, go, todo
from ccr_avn.process import Answer
from tests.support.ticks import Ticks

PROJECT = Project("p")
GET = avn.service_get(PROJECT, "eu")
INTEGRATION = {"source_service": "eu", "dest_service": "us"}
SERVICES: tuple[dict[str, Any], ...] = (
    {
        "service_name": "eu",
        "tags": {"a": "b"},
        "service_integrations": [{"service_integration_id": None, **INTEGRATION}],
    },
    {"service_name": "us"},
)


@dataclass(slots=True)
class Stage:
    """An avn that takes no time."""

    lists: int = 0
    code: int = 0
    moved: list[str] = field(default_factory=list)

    def listing(self) -> Answer:
        self.lists += 1
        return self.answer(json.dumps(SERVICES))

    def answer(self, stdout: str = "") -> Answer:
        return Answer(argv=(), code=self.code, stdout=stdout, stderr="", seconds=0.0)

    def services(self, **more: Any) -> ServiceList:
        return ServiceList(ask=self.listing, **more)

    def pair(self, services: ServiceList | None = None) -> PairAvn:
        return PairAvn(
            turns=AvnTurns(2),
            services=services or self.services(),
            signals=RunSignals(Stop()),
            run_avn=lambda _, **__: self.answer(),
            moved=lambda: self.moved.append("moved"),
        )


def read(services: ServiceList, call: Call[Any], since: float = 0.0) -> Any:
    answer = services.answer(call, since=since)
    return answer and json.loads(answer.stdout)


def test_one_list_answers_what_was_asked_of_the_same_moment(ticks: Ticks) -> None:
    stage = Stage()
    services = stage.services()
    assert read(services, avn.service_get(PROJECT, "us")) == {"service_name": "us"}
    assert read(services, avn.service_list(PROJECT, "us", "nobody")) == [{"service_name": "us"}]
    assert read(services, avn.service_family(PROJECT, "eu")) == [SERVICES[0]]
    assert read(services, avn.tags_list(PROJECT, "eu")) == [{"key": "a", "value": "b"}]
    assert read(services, avn.integration_list(PROJECT, "eu")) == [
        {**INTEGRATION, "service_integration_id": "(integration not enabled)"}
    ]
    assert stage.lists == 1
    ticks.at += 0.5
    read(services, GET, since=ticks.at)  # asked for after the list began: it may have seen the old state
    assert stage.lists == 2


@pytest.mark.parametrize(
    "call",
    [
        avn.service_get(PROJECT, "nobody"),
        avn.integration_list(PROJECT, "us"),
        avn.tags_list(PROJECT, "us"),
        avn.backup_list(PROJECT, "eu"),
        avn.service_list(PROJECT),
    ],
)
def test_what_a_list_does_not_show_is_asked_itself(call: Call[Any]) -> None:
    assert Stage().services().answer(call, since=0.0) is None


def test_a_list_that_fails_answers_nobody() -> None:
    stage = Stage(code=1)
    services = stage.services()
    assert services.answer(GET, since=0.0) is None
    assert services.answer(avn.service_list(PROJECT, "eu"), since=0.0) is None
    assert stage.lists == 1


def test_one_alone_asks_for_its_own_service_and_not_for_all() -> None:
    stage = Stage()
    services = stage.services(several=lambda: False)
    assert stage.pair(services).known(GET) is None
    services.several = lambda: True
    assert stage.pair(services).known(GET)
    services.several = lambda: False
    assert stage.pair(services).known(GET)  # what is known already is not asked for
    assert stage.lists == 1


def test_what_was_listed_a_moment_ago_is_not_asked_again(ticks: Ticks) -> None:
    stage = Stage()
    pair = stage.pair()
    for lists in (1, 1):
        pair.known(GET)
        assert stage.lists == lists
        ticks.at += SAME_MOMENT
    ticks.at += 0.1
    pair.known(GET)
    assert stage.lists == 2


def looked(finding: Finding) -> events.Looked:
    return events.Looked(at=0.0, slug="close", argv=(), finding=finding, elapsed=0.0, limit=1.0)


def test_nothing_from_before_a_change_proves_it(ticks: Ticks) -> None:
    stage = Stage()
    pair = stage.pair()
    pair.known(GET)
    ticks.at += 0.1
    pair(events.ChangeEnded(at=0.0, slug="close", seconds=0.1))
    pair.known(GET)
    assert stage.lists == 2
    ticks.at += 0.1
    pair(looked(go("it is closed")))  # what that list proves, the next step may read in it
    pair.known(GET)
    assert stage.lists == 2


def test_what_is_waited_for_is_looked_at_anew(ticks: Ticks) -> None:
    stage = Stage()
    pair = stage.pair()
    for lists in (1, 2, 3):
        pair.known(GET)
        assert stage.lists == lists
        ticks.at += 0.1
        pair(looked(todo("it is not closed")))


def test_who_pauses_writes_holds_a_place_until_the_promotion_was_sent() -> None:
    stage = Stage()
    pair = stage.pair()

    def free() -> int:
        return pair.turns._pauses._value

    for event, stage_then, places in (
        (events.StepStarted(at=0.0, slug="fence", purpose="", rule="", limit=0.0), "paused", 1),
        (events.ChangeEnded(at=0.0, slug="promote", seconds=0.1), "paused", 2),
        (events.StepDone(at=0.0, slug="accepts-writes", finding=go("so"), seconds=0.1, outcome="proven"), "after", 2),
    ):
        pair(event)
        assert (pair._stage, free()) == (stage_then, places)
    pair.leave()
    assert (free(), stage.moved) == (2, ["moved"])


def test_an_avn_of_a_pair_under_way_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more can be started, it is waited for without one: a promotion must not end by that."""

    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    assert Stage().pair().run(("avn",), deadline=60).code == 0
