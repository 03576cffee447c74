"""Plans run by the executor with avn and the clock as one fake: answers by argv, time passes only by being waited for."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from ccr_avn.aiven.program import Program, world_of
from ccr_avn.errors import CcrError, Refused
from ccr_avn.plan.execute import Run
from ccr_avn.plan.model import Act, Answers, Call, Finding, Plan, Poll, Probe, Step, go, stop, todo, wait
from ccr_avn.process import Answer

if TYPE_CHECKING:
    from ccr_avn.plan import events


Failure = TypeVar("Failure", bound=CcrError)
Told = TypeVar("Told")


class Fake:
    """avn and the clock in one: answers by the third word of argv, time passes only by sleeping and by running."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name: list(given) for name, given in answers.items()}
        self.calls: list[str] = []
        self.deadlines: dict[str, float] = {}
        self.now = 0.0
        self.events: list[events.Event] = []

    def run(self, argv: tuple[str, ...], *, deadline: float) -> Answer:
        name = argv[1]
        self.calls.append(name)
        self.deadlines[name] = deadline
        self.now += 0.1
        script = self.answers[name]
        said = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(said, Answer):
            return said
        return answer(argv, stdout=json.dumps(said))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def perform(self, plan: Plan, **more: Any) -> Run:
        world = world_of(
            Program(path="avn", version="1"),
            run=self.run,
            clock=lambda: self.now,
            sleep=self.sleep,
            jitter=lambda: 0.5,
            **more,
        )
        self.last = Run(plan, world, self.events.append)
        self.last.check()
        self.last.act()
        return self.last

    def fails(self, plan: Plan, kind: type[Failure], match: str | None = None) -> Failure:
        """The error that it ends with."""
        with pytest.raises(kind, match=match) as caught:
            self.perform(plan)
        return caught.value

    def told(self, kind: type[Told]) -> list[Told]:
        return [event for event in self.events if isinstance(event, kind)]


def answer(
    argv: tuple[str, ...] = ("avn",),
    code: int = 0,
    stdout: str = "",
    stderr: str = "no",
    expired: bool = False,
    started: bool = True,
) -> Answer:
    return Answer(argv=argv, code=code, stdout=stdout, stderr=stderr, seconds=0.1, expired=expired, started=started)


def refused(status: int, message: str = "no") -> Answer:
    return answer(code=1, stderr=f"ERROR\tcommand failed: Error: {message} (status {status})\n")


def call(name: str, *more: Any) -> Call[Any]:
    return Call(("avn", name, *more), parse=json.loads)


def change(name: str, *more: Any, hint: str = "") -> Call[None]:
    return Call(("avn", name, *more), parse=lambda _: None, hint=hint)


def says(answer: Any, _: Answers) -> Finding:
    """The answer itself is the verdict."""
    verdicts: dict[str, Callable[[str], Finding]] = {"go": go, "wait": wait}
    return stop("never", hint="do not") if answer == "stop" else verdicts[answer](str(answer))


def says_of_a_change(answer: Any, seen: Answers) -> Finding:
    """What is not so yet is to be done; only "later" waits before that."""
    given = {"wait": todo("not yet"), "later": wait("not now")}
    return given.get(answer) or says(answer, seen)


def step(name: str, **more: Any) -> Step[Any]:
    judge = says_of_a_change if "change" in more else says
    return Step(slug=name, purpose=name, read=call(name), rule="it says go", judge=judge, **more)


def made(name: str, **more: Any) -> Step[Any]:
    return step(name, change=change(f"make-{name}"), **{"poll": Poll(limit=5.0), **more})


def plan(*steps: Step[Any], checks: tuple[Step[Any], ...] = ()) -> Plan:
    return Plan("a plan", checks, steps)


def probe(slug: str, log: list[str], *, final: bool = False, broken: bool = False, said: str = "") -> Step[Any]:
    """``said``: in what it is for, and in what it says."""
    state = {"done": False}

    def read(_: Answers) -> str:
        return "go" if state["done"] else "wait"

    def act(_: Answers) -> Finding:
        log.append(slug)
        state["done"] = True
        if broken:
            raise Refused("broken", hint="none")
        return go(f"done{said}", warnings=(f"mind {slug}",))

    def undo(_: Answers) -> str:
        log.append(f"un-{slug}")
        if slug == "stuck":
            raise Refused("stuck", hint="none")
        return f"{slug} is as it was"

    return Step(
        slug=slug,
        purpose=f"{slug}{said}",
        read=Probe(read),
        rule="r",
        judge=says_of_a_change,
        poll=Poll(limit=1),
        change=Act(("ccr-avn", slug), act),
        undo=undo,
        final=final,
    )
