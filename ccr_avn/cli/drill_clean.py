"""`ccr-avn drill --clean`: lists what interrupted drills left behind and terminates it, after asking for each."""

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ccr_avn.aiven import avn
from ccr_avn.aiven.lineage import was_promoted
from ccr_avn.aiven.models import Offer, Offers, Service
from ccr_avn.aiven.program import identify, world_of
from ccr_avn.cli.conduct import How
from ccr_avn.cli.questions import ask
from ccr_avn.cli.session import Session
from ccr_avn.errors import CcrError, NotConfirmed, Refused
from ccr_avn.history import drills
from ccr_avn.output import console
from ccr_avn.plan.execute import Run, World
from ccr_avn.plan.model import Call, Finding, Gate, Plan, Step, T, go, stop
from ccr_avn.procedures.drill import ours
from ccr_avn.procedures.drill.ours import Made
from ccr_avn.procedures.drill.temporary_replica import in_use, termination
from ccr_avn.procedures.lookup import telling
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.verb import Ended, Outcome, Question, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A service that a drill may have left. ``shown``: what there is to know before it is decided on."""

    name: str
    made: Made | None
    finding: Finding
    shown: dict[str, Any]

    @property
    def sure(self) -> bool:
        return self.finding.verdict == "go"

    @property
    def described(self) -> str:
        return ", ".join(str(one) for one in self.shown.values() if one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean(Verb):
    """Terminates what is ``chosen`` of what was ``found``."""

    found: tuple[Left, ...]
    only: str | None
    chosen: set[str] = field(default_factory=set)

    command: ClassVar[str] = "drill"

    def facts(self) -> dict[str, Any]:
        return {"clean": True}

    def plan(self) -> Plan:
        steps = tuple(self._terminate(one) for one in self.found if one.sure)
        return Plan("terminate what drills have left behind", (), steps)

    def _terminate(self, left: Left) -> Step[Any]:
        name, gone = left.name, go(f"{left.name} is gone", gone=left.name)
        step = termination(
            self.at,
            name,
            f"terminate-{name}",
            lambda _: left.made,
            lambda _: gone,
            lambda found: drills.user_of(found, self.at.project.name),
        )
        return replace(step, optional=True, unneeded=lambda _: "" if name in self.chosen else "it is kept")

    def checked(self, ended: Ended) -> Outcome:
        return self._reported(ended, "would be terminated", " terminates them, and asks for each")

    def outcome(self, ended: Ended) -> Outcome:
        return self._reported(ended, "you chose to keep it", "")

    def _reported(self, ended: Ended, why: str, more: str) -> Outcome:
        done = {one.name: ended.done(f"terminate-{one.name}") for one in self.found}
        gone = sorted(name for name, step in done.items() if step and "gone" in step.finding.facts)
        left = [one for one in self.found if one.name not in gone]
        whys = {one.name: why if one.sure and one.name not in self.chosen else one.finding.detail for one in left}
        whys |= {name: step.finding.warnings[0] for name, step in done.items() if step and step.outcome == "failed"}
        result = {
            "terminated": gone,
            "left": [{"name": one.name, "why": whys[one.name], "hint": one.finding.hint, **one.shown} for one in left],
        }
        lines = [f"{name} is terminated and gone" for name in gone]
        lines += [f"{one.name}: {one.described}: {whys[one.name]}" for one in left]
        nothing = f"there is no service {self.only}" if self.only else "no drill has left anything behind"
        return Outcome(result=result, lines=tuple(lines) or (nothing,), problem=_problem(left, whys, more))


def clean_up(at: Setting, only: str | None, how: How, call_timeout: float) -> None:
    """``only``: the one service that is meant; None: whatever looks like one of a drill. ``call_timeout``: seconds.

    Raises:
        Refused: something is left.
    """
    program = identify(at.avn)
    verb = Clean(at=at, only=only, found=find(at, only, world_of(program.path, call_timeout=call_timeout)))
    session = Session(verb.command, json=how.json, **verb.facts(), project=at.project.name)

    def choose(_: Run) -> None:
        for one in verb.found if not how.check else ():
            if one.sure:
                text = f"Type yes to terminate {one.name}; anything else keeps it: "
                with suppress(NotConfirmed):
                    ask(session, Question(answer="yes", text=text, consequences={one.name: one.described}), yes=how.yes)
                    verb.chosen.add(one.name)

    run = session.perform(verb, program, call_timeout, choose, checks_only=how.check)
    ended = session.ended(run)
    done = verb.checked(ended) if how.check else verb.outcome(ended)
    session.finish(run, done.result, [str(one) for one in done.lines], done.problem, only_looked=not run.changed)


def find(at: Setting, only: str | None, world: World) -> tuple[Left, ...]:
    """What drills may have left, and each creation that may yet appear."""
    made, recorded = at.journals.drills, at.journals.promotions
    names = {one.name for one in made}

    def looks_so(one: Service) -> bool:
        named = ours.TAG in one.tags or ours.NAMED.fullmatch(one.name) or one.name in names
        return bool(named) and not was_promoted(one, recorded)

    listed = _answer(world, avn.service_named(at.project, only) if only else avn.service_list(at.project))
    every = [one for one in listed if only or looks_so(one)]
    offers: Offers = {}
    if every:
        with suppress(CcrError):
            offers = _answer(world, avn.service_plans(at.project, every[0].cloud))
    found = [judged(at, one, ours.made_of(one, made), offers, asked=bool(only)) for one in every]
    unseen = (one for one in made if one.name not in {known.name for known in every} and only in (None, one.name))
    return (*found, *(_unlisted(one) for one in unseen if _may_appear(one)))


def _answer(world: World, call: Call[T]) -> T:
    gate: Gate[T] = Gate("it is answered", lambda _, __: go("answered"))
    step = Step(slug="look", purpose="find what drills have left behind", read=call, gate=gate)
    run = Run(Plan("look", (step,), ()), world, telling(console.note))
    run.check()
    found: T = run.seen.of(step)
    return found


def judged(at: Setting, service: Service, made: Made | None, offers: Offers, *, asked: bool) -> Left:
    """``asked``: this one alone was named."""
    finding, running = ours.judge_ours(service, made, at.project), ours.still_running(service, made)
    if finding.verdict == "go" and running and not asked:
        hint = at.command("ccr-avn", "drill", "--clean", "--only", service.name)
        finding = stop(running, detail=running, hint=hint)
    elif finding.verdict == "go":
        promoted = bool(made and made.promoted)
        why = drills.user_of(service, at.project.name) or in_use(service, at, promoted=promoted)
        finding = ours.not_touched(service, at.project, why) if why else finding
    hour = offers.get((service.type, service.plan, service.cloud), Offer()).usd_an_hour
    run = ours.run_of(service, (made,) if made else ())
    shown = {
        "drill": f"drill {run}" if run else "",
        "created": f"created {service.created:%F %T} UTC" if service.created else "",
        "state": service.state,
        "price": f"{hour:g} USD an hour" if hour is not None else "",
        "running": running,
    }
    return Left(name=service.name, made=made, finding=finding, shown=shown)


def _may_appear(made: Made) -> bool:
    sent = made.created is None and made.began
    return bool(sent and time.time() < sent + ours.SENT_WITHIN)


def _unlisted(made: Made) -> Left:
    why = "its creation was sent less than 15 minutes ago, and it is not listed: it may still appear"
    shown = {"drill": f"drill {made.run}", "running": "it is still running on this machine" if made.running else ""}
    return Left(
        name=made.name, made=made, finding=stop(why, detail=why, hint="look again: ccr-avn drill --clean"), shown=shown
    )


def _problem(left: list[Left], whys: dict[str, str], more: str) -> CcrError | None:
    if not left:
        return None
    hints = [one.finding.hint for one in left if one.finding.hint]
    again = f"ccr-avn drill --clean{more}"
    several = f"{len(left)} services that drills may have made are left"
    return Refused(
        several if len(left) > 1 else left[0].finding.reason if not left[0].sure else f"{left[0].name} is left",
        detail="; ".join(f"{one.name}: {whys[one.name]}" for one in left),
        hint="; ".join(hints) or (again if any(one.sure for one in left) else ""),
    )
