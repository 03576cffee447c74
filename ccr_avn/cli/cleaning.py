"""`ccr-avn drill --clean`: lists what interrupted drills left behind and terminates it, after asking for each."""

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ccr_avn.aiven import avn as commands
from ccr_avn.aiven.lineage import was_promoted
from ccr_avn.aiven.models import Offer, Offers, Service
from ccr_avn.aiven.program import identify, world_of
from ccr_avn.cli.drill import confirmed
from ccr_avn.cli.session import Session
from ccr_avn.errors import CcrError, Refused
from ccr_avn.history import drills
from ccr_avn.history.promotions import promotions
from ccr_avn.output import console
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run, World
from ccr_avn.plan.model import Call, Finding, Gate, Plan, Step, T, go, stop
from ccr_avn.procedures.gates import drill as rules
from ccr_avn.procedures.gates.drill import Made
from ccr_avn.procedures.lookup import telling
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import Setting
from ccr_avn.procedures.temporary_replica import in_use, termination


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

    def told(self) -> str:
        return ", ".join(str(one) for one in self.shown.values() if one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """``only``: the one service that is meant; None: whatever looks like one of a drill."""

    setting: Setting
    only: str | None
    call_timeout: float  # seconds
    yes: bool
    json: bool
    chosen: set[str] = field(default_factory=set)

    def run(self, *, check: bool) -> None:
        program = identify(self.setting.avn)
        found = self._look(world_of(program.path, call_timeout=self.call_timeout))
        session = Session("drill", json=self.json, clean=True, project=self.setting.project.name)
        steps = tuple(self._step(one) for one in found if one.sure and not check)
        run = session.perform(
            Plan("terminate what drills have left behind", (), steps),
            program,
            self.call_timeout,
            lambda _: self._ask(session, found if steps else ()),
        )
        self._finish(session, run, found, check=check)

    def _look(self, world: World) -> tuple[Left, ...]:
        project = self.setting.project
        made, recorded = drills.creations(project.name), promotions(project.name)
        call = commands.service_named(project, self.only) if self.only else commands.service_list(project)
        names = {one.name for one in made}
        every = [
            one
            for one in _answer(world, call)
            if self.only
            or (
                (rules.TAG in one.tags or rules.NAMED.fullmatch(one.name) or one.name in names)
                and not was_promoted(one, recorded)
            )
        ]
        offers: Offers = {}
        if every:
            with suppress(CcrError):
                offers = _answer(world, commands.service_plans(project, every[0].cloud))
        found = [self._left(one, rules.made_of(one, made), offers) for one in every]
        listed = {one.name for one in every}
        return (*found, *(_unlisted(one) for one in made if one.name not in listed and self._may_appear(one)))

    def _may_appear(self, made: Made) -> bool:
        sent = made.created is None and made.began
        return bool(sent and self.only in (None, made.name) and time.time() < sent + rules.SENT_WITHIN)

    def _left(self, service: Service, made: Made | None, offers: Offers) -> Left:
        finding = rules.judge_ours(service, made, self.setting.project)
        running = rules.still_running(service, made)
        if finding.verdict == "go" and running and not self.only:
            words = ("ccr-avn", "drill", "--clean", "--only", service.name, *self.setting.project.flag)
            finding = stop(running, detail=running, hint=" ".join(words))
        elif finding.verdict == "go":
            why = self._used(service) or in_use(service, self.setting, promoted=bool(made and made.promoted))
            finding = rules.not_touched(service, self.setting.project, why) if why else finding
        hour = offers.get((service.type, service.plan, service.cloud), Offer()).usd_an_hour
        run = rules.run_of(service, (made,) if made else ())
        shown = {
            "drill": f"drill {run}" if run else "",
            "created": f"created {service.created:%F %T} UTC" if service.created else "",
            "state": service.state,
            "price": f"{hour:g} USD an hour" if hour is not None else "",
            "running": running,
        }
        return Left(name=service.name, made=made, finding=finding, shown=shown)

    def _ask(self, session: Session, found: tuple[Left, ...]) -> None:
        for one in found:
            if not one.sure:
                continue
            console.note(f"{one.name}: {one.told()}")
            question = f"Type yes to terminate {one.name}; anything else keeps it: "
            began = time.monotonic()
            if self.yes or confirmed(question):
                self.chosen.add(one.name)
            if not self.yes:
                seconds, agreed = time.monotonic() - began, one.name in self.chosen
                session.emit(
                    events.Asked(at=session.now(), question=question.strip(), confirmed=agreed, seconds=seconds)
                )

    def _used(self, service: Service) -> str:
        return drills.user_of(service, self.setting.project.name)

    def _step(self, left: Left) -> Step[Any]:
        name = left.name

        def absent(_: Seen) -> Finding:
            return go(f"{name} is gone", gone=name)

        step = termination(self.setting, name, f"terminate-{name}", lambda _: left.made, absent, self._used)
        return replace(step, optional=True, unneeded=lambda _: "" if name in self.chosen else "it is kept")

    def _finish(self, session: Session, run: Run, found: tuple[Left, ...], *, check: bool) -> None:
        gone = {str(event.finding.facts["gone"]) for event in session.done if "gone" in event.finding.facts}
        left = [one for one in found if one.name not in gone]
        why = "would be terminated" if check else "you chose to keep it"
        whys = {one.name: why if one.sure and one.name not in self.chosen else one.finding.detail for one in left}
        for event in session.done:
            if event.outcome == "failed":
                whys[event.slug.removeprefix("terminate-")] = event.finding.warnings[0]
        result = {
            "terminated": sorted(gone),
            "left": [{"name": one.name, "why": whys[one.name], "hint": one.finding.hint, **one.shown} for one in left],
        }
        lines = [f"{name} is terminated and gone" for name in sorted(gone)]
        lines += [f"{one.name}: {one.told()}: {whys[one.name]}" for one in left]
        lines = lines or [f"there is no service {self.only}" if self.only else "no drill has left anything behind"]
        session.finish(run, result, lines, _problem(left, whys, check=check), only_looked=not run.changed)


def _answer(world: World, call: Call[T]) -> T:
    gate: Gate[T] = Gate("it is answered", lambda _, __: go("answered"))
    step = Step(slug="look", purpose="find what drills have left behind", read=call, gate=gate)
    run = Run(Plan("look", (step,), ()), world, telling(console.note))
    run.check()
    found: T = run.seen.of(step)
    return found


def _unlisted(made: Made) -> Left:
    told = "its creation was sent less than 15 minutes ago, and it is not listed: it may still appear"
    hint = "look again: ccr-avn drill --clean"
    shown = {"drill": f"drill {made.run}", "running": "it is still running on this machine" if made.running else ""}
    return Left(name=made.name, made=made, finding=stop(told, detail=told, hint=hint), shown=shown)


def _problem(left: list[Left], whys: dict[str, str], *, check: bool) -> CcrError | None:
    if not left:
        return None
    hints = [one.finding.hint for one in left if one.finding.hint]
    again = "ccr-avn drill --clean" + (" terminates them, and asks for each" if check else "")
    several = f"{len(left)} services that drills may have made are left"
    return Refused(
        several if len(left) > 1 else left[0].finding.reason if not left[0].sure else f"{left[0].name} is left",
        detail="; ".join(f"{one.name}: {whys[one.name]}" for one in left),
        hint="; ".join(hints) or (again if any(one.sure for one in left) else ""),
    )
