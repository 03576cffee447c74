"""drill --clean: terminates what interrupted drills left behind, after asking for each."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar

from ccr_avn import clock
from ccr_avn.aiven import avn
from ccr_avn.aiven.lineage import was_promoted
from ccr_avn.aiven.models import Offer, Offers, Service
from ccr_avn.errors import CcrError, NotConfirmed, Refused
from ccr_avn.plan.model import Finding, Plan, Step, go, stop
from ccr_avn.plan.reads import World
from ccr_avn.procedures.drill import ours
from ccr_avn.procedures.drill.ours import Made
from ccr_avn.procedures.drill.temporary_replica import in_use, termination
from ccr_avn.procedures.lookup import Note, answers
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.verb import Ended, Outcome, Question, Verb
from ccr_avn.units import iso


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A service that a drill may have left, with what there is to know before it is decided on; ``running``: why it is."""

    name: str
    made: Made | None
    finding: Finding
    run: str
    running: str
    created: datetime | None = None
    state: str = ""
    usd_an_hour: float | None = None

    @property
    def sure(self) -> bool:
        return self.finding.verdict == "go"

    @property
    def described(self) -> str:
        made = f"drill {self.run}" * bool(self.run), f"created {self.created:%F %T} UTC" if self.created else ""
        price = "" if self.usd_an_hour is None else f"{self.usd_an_hour:g} USD an hour"
        return ", ".join(filter(None, (*made, self.state, price, self.running)))

    def as_dict(self, why: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "why": why,
            "hint": self.finding.hint,
            "run": self.run or None,
            "created": iso(self.created.timestamp()) if self.created else None,
            "state": self.state or None,
            "usd_an_hour": self.usd_an_hour,
            "running": self.running or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean(Verb):
    """Terminates what is ``chosen`` of what was ``found``. ``only``: the one service that was named."""

    found: tuple[Left, ...]
    only: str | None
    chosen: set[str] = field(default_factory=set)

    command: ClassVar[str] = "drill"
    resumable: ClassVar[bool] = False

    def facts(self) -> dict[str, Any]:
        return {"clean": True}

    def plan(self) -> Plan:
        steps = tuple(self._terminate(one) for one in self.found if one.sure)
        return Plan("terminate what drills have left behind", (), steps)

    def _terminate(self, left: Left) -> Step[Any]:
        name, gone = left.name, go(f"{left.name} is gone", gone=left.name)
        step = termination(self.at, name, f"terminate-{name}", lambda _: left.made, lambda _: gone)
        return replace(step, optional=True, unneeded=lambda _: "" if name in self.chosen else "it is kept")

    def confirm(self, seen: Seen, ask: Callable[[Question], None]) -> bool:  # noqa: ARG002
        for one in self.found:
            if one.sure:
                text = f"Type yes to terminate {one.name}; anything else keeps it: "
                with suppress(NotConfirmed):
                    ask(Question(answer="yes", text=text, consequences={one.name: one.described}))
                    self.chosen.add(one.name)
        return bool(self.chosen)

    def checked(self, ended: Ended) -> Outcome:
        return self._reported(ended, "would be terminated", " terminates them, and asks for each")

    def outcome(self, ended: Ended) -> Outcome:
        return self._reported(ended, "you chose to keep it", "")

    def _reported(self, ended: Ended, kept: str, more: str) -> Outcome:
        done = {one.name: step for one in self.found if (step := ended.done(f"terminate-{one.name}"))}
        gone = sorted(name for name, step in done.items() if "gone" in step.finding.facts)
        left = [one for one in self.found if one.name not in gone]
        whys = {one.name: kept if one.sure else one.finding.detail for one in left}
        whys |= {name: step.finding.warnings[0] for name, step in done.items() if step.outcome == "failed"}
        result = {"terminated_services": gone, "left": [one.as_dict(whys[one.name]) for one in left]}
        lines = [f"{name} is terminated and gone" for name in gone]
        lines += [f"{one.name}: {one.described}: {whys[one.name]}" for one in left]
        nothing = f"there is no service {self.only}" if self.only else "no drill has left anything behind"
        return Outcome(result=result, lines=tuple(lines) or (nothing,), problem=_problem(left, whys, more))


def find(at: Setting, only: str | None, world: World, note: Note) -> tuple[Left, ...]:
    """What drills may have left, and each creation that may yet appear; or ``only`` the one service that was named."""
    made = at.journals.drills
    names = {one.name for one in made}
    [listed] = answers(world, note, avn.service_named(at.project, only) if only else avn.service_list(at.project))
    for said in getattr(listed, "left_out", ()):
        note(f"warning: {said}")
    named = [one for one in listed if ours.TAG in one.tags or ours.NAMED.fullmatch(one.name) or one.name in names]
    every = listed if only else [one for one in named if not was_promoted(one, at.journals.promotions)]
    offers: Offers = {}
    if every:
        with suppress(CcrError):
            [offers] = answers(world, note, avn.service_plans(at.project, every[0].cloud))
    found = [judged(at, one, ours.made_of(one, made), offers, named=bool(only)) for one in every]
    unseen = [one for one in made if one.name not in {known.name for known in every} and only in (None, one.name)]
    sent = [one for one in unseen if one.created is None and clock.now() < (one.began or 0) + ours.SENT_WITHIN]
    return (*found, *map(_unlisted, sent))


def judged(at: Setting, service: Service, made: Made | None, offers: Offers, *, named: bool) -> Left:
    """``named``: it alone is meant, so that it may be one that was to be kept."""
    finding, running = ours.judge_ours(service, made, at.project), ours.still_running(service, made)
    if finding.verdict == "go" and running and not named:
        hint = at.command("ccr-avn", "drill", "--clean", "--only", service.name)
        finding = stop(running, detail=running, hint=hint)
    elif finding.verdict == "go" and (why := in_use(service, at, made)):
        finding = ours.not_touched(service, at.project, why)
    return Left(
        name=service.name,
        made=made,
        finding=finding,
        run=ours.run_of(service, (made,) if made else ()),
        created=service.created,
        state=service.state,
        usd_an_hour=offers.get((service.type, service.plan, service.cloud), Offer()).usd_an_hour,
        running=running,
    )


def _unlisted(made: Made) -> Left:
    why = "the request to create it was sent less than 15 minutes ago, and it is not listed yet: it may still appear"
    running = "it is still running on this machine" if made.running else ""
    finding = stop(why, detail=why, hint="check again: ccr-avn drill --clean")
    return Left(name=made.name, made=made, finding=finding, run=made.run, running=running)


def _problem(left: list[Left], whys: dict[str, str], more: str) -> CcrError | None:
    if not left:
        return None
    what = left[0].finding.reason if not left[0].sure else f"{left[0].name} is left"
    again = f"ccr-avn drill --clean{more}" if any(one.sure for one in left) else ""
    return Refused(
        what if len(left) == 1 else f"{len(left)} services that drills may have created are left",
        detail="; ".join(f"{one.name}: {whys[one.name]}" for one in left),
        hint="; ".join(one.finding.hint for one in left if one.finding.hint) or again,
    )
