"""Output of a failover: of a completed one, and of one that stopped half-way."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ccr_avn.cli import promotion_told
from ccr_avn.cli.promotion_options import Outcome
from ccr_avn.procedures.failover import Failover
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.unverified import UNSEEN, from_inside

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.cli.session import Session
    from ccr_avn.errors import CcrError
    from ccr_avn.plan.execute import Run
    from ccr_avn.plan.model import Plan
    from ccr_avn.procedures.gates.parity import Difference
    from ccr_avn.procedures.seen import Seen


@dataclass(frozen=True, slots=True)
class FailoverMove:
    """A failover as `failover` and `evacuate` run it. ``loaded``: seconds from its beginning to its run's clock."""

    procedure: Failover
    loaded: float = 0.0
    command: ClassVar[str] = "failover"

    @property
    def plan(self) -> "Plan":
        return self.procedure.plan

    def new(self, seen: "Seen") -> "Service | None":
        return self.procedure.replica(seen)

    def old(self, seen: "Seen") -> str:
        service = self.new(seen)
        return (service.source or "") if service else ""

    def is_due(self, seen: "Seen") -> bool:
        """Nothing is asked where nothing is deleted."""
        return self.procedure.deletes(seen) is not None

    def explain(self, run: "Run", problem: "CcrError") -> None:
        """An end behind the promotion says how far it came."""
        if run.past_return:
            _explain(run, problem, self.procedure)

    def outcome(self, session: "Session", run: "Run", hooks: dict[str, float]) -> Outcome:
        return _outcome(session, run, self, hooks)


def _explain(run: "Run", problem: "CcrError", procedure: Failover) -> None:
    replica = procedure.want.replica
    known = procedure.last_known(run.seen)
    looked = run.seen.of(procedure.promote) if run.seen.has(procedure.promote) else known.replica if known else None
    promoted = getattr(looked, "role", "") == "master"
    role = "it is not a master yet" if procedure.want.verify else UNSEEN
    who = f"{replica} is the primary now" if promoted else f"the promotion of {replica} was sent; {role}"
    problem.notes += (
        f"{who}; the same command finishes what is left, and `ccr-avn endpoint {replica}` connects to it",
    )
    problem.result = {"new_primary": replica, "promoted": promoted, **problem.result}


def _outcome(session: "Session", run: "Run", move: FailoverMove, hooks: dict[str, float]) -> Outcome:
    procedure, want = move.procedure, move.procedure.want
    promoted, known = run.seen.of(procedure.running), procedure.last_known(run.seen)
    before = procedure.replica(run.seen)
    source = before.source if before else None
    seconds, how = known.estimate if known else (None, UNSEEN)
    project = want.setting.project
    old = procedure.old(run.seen)
    different = differences(run, procedure, promoted)
    exposed = [*promotion_told.exposure(project.flag, promoted), *parity.risks(different)]
    if address := procedure.old_address(run.seen):
        mend = parity.power_off(*address, protected=old is not None and old.protected)
        exposed.insert(0, {"what": f"{source} was not fenced: if it is alive, it still accepts writes", "mend": mend})
    accepts = procedure.accepts_writes.slug if procedure.accepts_writes else None
    accepted = next((event.at for event in session.done if event.slug == accepts), 0.0)
    result: dict[str, Any] = {
        "old_primary": source,
        "new_primary": want.replica,
        "seconds_to_first_write": round(move.loaded + accepted, 3) if want.verify else None,
        "proven": want.verify,
        "rpo_estimate": {
            "seconds": seconds,
            "how": how,
            "applied_offset": known.replica.offset if known else None,
        },
        "before": promotion_told.sides(replica=before),
        "after": promotion_told.sides(primary=promoted),
        "exposure": exposed,
        "differences": [one.told() for one in different],
        "hooks_seconds": hooks,
    }
    lines = [f"{want.replica} is the primary now" if want.verify else f"{want.replica} has no integration any more"]
    if not want.verify:
        lines += [f"  nothing was proven    {UNSEEN}; from within its network:"]
        lines += [f"                        {command}" for command in from_inside(want.replica, want.setting)]
    elif source:
        loss = "unknown" if seconds is None else f"about {seconds:g} s of writes"
        lines += [
            f"  first write accepted  {result['seconds_to_first_write']:.1f} s after the start",
            f"  possible loss         {loss} ({how if how.startswith('a bound') else f'an estimate: {how}'})",
        ]
    lines.append(f"  connection details    ccr-avn endpoint {want.replica}")
    return Outcome(result=result, lines=(*lines, *promotion_told.exposure_lines(exposed)))


def differences(run: "Run", procedure: Failover, new: "Service | None") -> "tuple[Difference, ...]":
    """In what it differs from its primary, as far as the list tells that was asked for anyway: it costs no time."""
    old = procedure.old(run.seen)
    return parity.of_services(procedure.want.setting.project, old, new) if old and new else ()
