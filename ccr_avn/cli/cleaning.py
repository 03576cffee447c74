"""`ccr-avn drill --clean`: lists what interrupted drills left behind and terminates it, after asking for each."""

from dataclasses import dataclass, field, replace
from typing import Any

from ccr_avn.aiven import avn as commands
from ccr_avn.aiven.models import Service
from ccr_avn.aiven.program import identify
from ccr_avn.cli.drill import confirmed
from ccr_avn.cli.session import Session
from ccr_avn.errors import CcrError, Refused
from ccr_avn.history import drills
from ccr_avn.output import console
from ccr_avn.plan.execute import Run
from ccr_avn.plan.model import Finding, Gate, Plan, Results, Step, go, todo, wait
from ccr_avn.procedures.gates import drill as rules
from ccr_avn.procedures.steps import Setting
from ccr_avn.procedures.throw_away import termination


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
        session = Session("drill", json=self.json, project=self.setting.project.name)
        program = identify(self.setting.avn)
        read = self._look()
        run = session.perform(Plan("find what drills have left behind", (read,), ()), program, self.call_timeout)
        found = {one.name: self._judged(one) for one in self._candidates(run.seen.of(read))}
        sure = [name for name, finding in found.items() if finding.verdict == "go"]
        if sure and not check:
            self._ask(run.seen.of(read), sure)
            session, run = self._terminate(session, program)
        self._finish(session, run, found, check=check)

    def _look(self) -> Step[tuple[Service, ...]]:
        project = self.setting.project
        call = commands.service_named(project, self.only) if self.only else commands.service_list(project)
        gate: Gate[tuple[Service, ...]] = Gate(
            "the services are listed", lambda every, _: go(f"{len(self._candidates(every))} may belong to a drill")
        )
        return Step(slug="services", purpose="find what drills have left behind", read=call, gate=gate)

    def _candidates(self, every: tuple[Service, ...]) -> list[Service]:
        return [one for one in every if self.only or rules.TAG in one.tags or rules.NAMED.fullmatch(one.name)]

    def _judged(self, service: Service) -> Finding:
        project = self.setting.project
        return rules.judge_left_over(service, drills.made(service.name, project.name), project)

    def _ask(self, every: tuple[Service, ...], names: list[str]) -> None:
        for one in every:
            if one.name not in names:
                continue
            made = one.created.isoformat() if one.created else "at an unknown time"
            console.note(f"{one.name}: {one.type} {one.plan} in {one.cloud}, {one.state}, made {made}")
            if self.yes or confirmed(f"Type yes to terminate {one.name}; anything else keeps it: "):
                self.chosen.add(one.name)

    def _terminate(self, session: Session, program: Any) -> tuple[Session, Run]:
        """A run of its own: it has a journal, as everything that changes something."""
        session = Session("drill", json=self.json, project=self.setting.project.name)
        steps = tuple(self._step(name) for name in sorted(self.chosen))
        run = session.perform(Plan("terminate what drills have left behind", (), steps), program, self.call_timeout)
        return session, run

    def _step(self, name: str) -> Step[Any]:
        slug = f"terminate-{name}"

        def judge(found: tuple[Service, ...], seen: Results) -> Finding:
            if not found:
                return go(f"{name} is gone", gone=name)
            if seen.result(slug) == "answered":
                return wait(f"it is still there, {found[0].state}")
            finding = self._judged(found[0])
            return finding if finding.verdict == "stop" else todo(finding.reason)

        return replace(termination(self.setting, name, judge), slug=slug, always=False, optional=True)

    def _finish(self, session: Session, run: Run, found: dict[str, Finding], *, check: bool) -> None:
        gone = [
            str(fact)
            for event in session.timeline
            if (fact := getattr(getattr(event, "finding", None), "facts", {}).get("gone"))
        ]
        terminated = list(dict.fromkeys(gone))
        left = {name: one for name, one in found.items() if name not in terminated}
        result = {
            "terminated": terminated,
            "left": [{"name": name, "why": _why(one), "hint": one.hint} for name, one in left.items()],
        }
        lines = [f"{name} is terminated and gone" for name in terminated]
        lines += [f"{name} is kept: {_why(one)}" for name, one in left.items()]
        nothing = f"there is no service {self.only}" if self.only else "no drill has left anything behind"
        lines = lines or [nothing]
        session.finish(run, result, lines, _problem(left, check=check), only_looked=not run.changed)


def _why(finding: Finding) -> str:
    return "you chose to keep it" if finding.verdict == "go" else finding.detail


def _problem(left: dict[str, Finding], *, check: bool) -> CcrError | None:
    if not left:
        return None
    hints = [one.hint for one in left.values() if one.hint]
    return Refused(
        f"{len(left)} service{'s' * (len(left) != 1)} that a drill may have made {'is' if len(left) == 1 else 'are'} left",
        detail="; ".join(f"{name}: {_why(one)}" for name, one in left.items()),
        hint="; ".join(hints) or ("ccr-avn drill --clean" + (" terminates them, and asks for each" if check else "")),
    )
