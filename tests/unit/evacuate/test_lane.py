"""One pair's way to avn: how old a read may be, and who gives the processor to others. Injected time."""

import json
import threading
from dataclasses import dataclass, field

import pytest

from ccr_avn.aiven.avn import Project
from ccr_avn.evacuate.governor import Governor
from ccr_avn.evacuate.lane import NICE, SAME_MOMENT, Lane
from ccr_avn.evacuate.shared import SharedReads
from ccr_avn.evacuate.stop import RunSignals, Stop
from ccr_avn.plan import events
from ccr_avn.plan.model import Finding, go, todo
from ccr_avn.process import Answer

LIST = ("avn", "service", "list", "--project", "p", "--json")
GET = ("avn", "service", "get", "eu", "--project", "p", "--json")
UPDATE = ("avn", "service", "update", "eu", "--project", "p", "--power-off")


@dataclass(slots=True)
class Stage:
    """A lane whose avn takes no time, on a clock that stands still."""

    now: float = 100.0
    lists: int = 0
    niced: list[int] = field(default_factory=list)
    moved: int = 0

    def clock(self) -> float:
        return self.now

    def ask(self, argv: tuple[str, ...], deadline: float) -> Answer:
        self.lists += 1
        told = json.dumps([{"service_name": "eu", "tags": {}}])
        return Answer(argv=argv, code=0, stdout=told, stderr="", seconds=0.0)

    def run(self, argv: tuple[str, ...], *, deadline: float, nice: int) -> Answer:
        self.niced.append(nice)
        return Answer(argv=argv, code=0, stdout="", stderr="", seconds=0.0)

    def has_moved(self) -> None:
        self.moved += 1

    def lane(self, shared: SharedReads | None = None) -> Lane:
        return Lane(
            governor=Governor(most=2, clock=self.clock),
            shared=shared or self.shared(),
            signals=RunSignals(Stop()),
            run_avn=self.run,
            clock=self.clock,
            moved=self.has_moved,
        )

    def shared(self) -> SharedReads:
        return SharedReads(project=Project("p"), ask=self.ask, clock=self.clock)


def looked(finding: Finding) -> events.Looked:
    return events.Looked(at=0.0, slug="close", argv=GET, finding=finding, elapsed=0.0, limit=1.0)


def test_what_was_listed_a_moment_ago_is_not_asked_again() -> None:
    stage = Stage()
    lane = stage.lane()
    for lists in (1, 1):
        lane.run(GET, deadline=60)
        assert stage.lists == lists
        stage.now += SAME_MOMENT
    stage.now += 0.1
    lane.run(GET, deadline=60)
    assert stage.lists == 2


def test_the_list_that_chose_the_pairs_serves_them_all() -> None:
    stage = Stage()
    shared = stage.shared()
    shared.know(stage.ask(LIST, 60.0), began=stage.now)
    stage.lane(shared).run(GET, deadline=60)
    assert stage.lists == 1


def test_one_alone_asks_for_its_own_service_and_not_for_all() -> None:
    stage = Stage()
    shared = SharedReads(project=Project("p"), ask=stage.ask, clock=stage.clock, askers=lambda: 1)
    stage.lane(shared).run(GET, deadline=60)
    assert (stage.lists, stage.niced) == (0, [0])
    shared.know(stage.ask(LIST, 60.0), began=stage.now)
    stage.lane(shared).run(GET, deadline=60)  # what is known already is not asked for
    assert (stage.lists, stage.niced) == (1, [0])


def test_nothing_from_before_a_change_proves_it() -> None:
    stage = Stage()
    lane = stage.lane()
    lane.run(GET, deadline=60)
    stage.now += 0.1
    lane(events.ChangeEnded(at=0.0, slug="close", seconds=0.1))
    lane.run(GET, deadline=60)
    assert stage.lists == 2
    stage.now += 0.1
    lane(looked(go("it is closed")))  # what that list proves, the next step may read in it
    lane.run(GET, deadline=60)
    assert stage.lists == 2


def test_what_is_waited_for_is_looked_at_anew() -> None:
    stage = Stage()
    lane = stage.lane()
    for lists in (1, 2, 3):
        lane.run(GET, deadline=60)
        assert stage.lists == lists
        stage.now += 0.1
        lane(looked(todo("it is not closed")))


def test_only_bookkeeping_gives_the_processor_to_others() -> None:
    stage = Stage()
    lane = stage.lane()
    lane.run(UPDATE, deadline=60)
    lane(events.StepDone(at=0.0, slug="accepts-writes", finding=go("it does"), seconds=0.1, outcome="proven"))
    lane.run(UPDATE, deadline=60)
    assert stage.niced == [0, NICE]
    assert stage.moved == 1


def test_an_avn_of_a_pair_under_way_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more can be started, it is waited for without one: a promotion must not end by that."""

    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    stage = Stage()
    assert stage.lane().run(UPDATE, deadline=60).code == 0


def test_only_so_many_have_their_writes_paused_and_one_that_hangs_keeps_nobody_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ccr_avn.evacuate.lane.PATIENCE", 0.0)
    stage = Stage()
    lanes = [stage.lane() for _ in range(4)]
    for lane in lanes:
        lane.governor = lanes[0].governor  # of two at once
        lane(events.StepStarted(at=0.0, slug="fence", purpose="", rule="", limit=0.0))
    assert [lane._paused for lane in lanes] == [True, True, False, False]
    lanes[0](events.ChangeEnded(at=0.0, slug="promote", seconds=0.1))
    lanes[1].leave()
    lanes[3].leave()
    assert [lanes[0].governor.paused.acquire(blocking=False) for _ in range(3)] == [True, True, False]
