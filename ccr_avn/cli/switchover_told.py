"""Output of a switchover: of a completed one, and of one that stopped half-way."""

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ccr_avn.cli import promotion_told
from ccr_avn.cli.promotion_options import Outcome
from ccr_avn.errors import CcrError, Locked, NotProven
from ccr_avn.history.promotions import Filter, filter_before, found_ahead
from ccr_avn.plan import events
from ccr_avn.procedures import old_primary
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.gates.history import Audit
from ccr_avn.procedures.gates.settings import NOBODY, networks
from ccr_avn.procedures.gates.succession import ANOTHER
from ccr_avn.procedures.switchover import Switchover, SwitchoverRequest

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service
    from ccr_avn.cli.session import Session
    from ccr_avn.plan.execute import Run
    from ccr_avn.plan.model import Plan
    from ccr_avn.procedures.gates.parity import Difference
    from ccr_avn.procedures.seen import Seen
    from ccr_avn.valkey.server_facts import PairFacts


@dataclass(frozen=True, slots=True)
class SwitchoverMove:
    """A switchover as `switchover` and `evacuate` run it."""

    procedure: Switchover
    command: ClassVar[str] = "switchover"

    @property
    def plan(self) -> "Plan":
        return self.procedure.plan

    def new(self, seen: "Seen") -> "Service | None":
        return self.procedure.service(seen, self.procedure.want.replica)

    def old(self, seen: "Seen") -> str:  # noqa: ARG002 (a failover learns it only then)
        return self.procedure.want.primary

    def is_due(self, seen: "Seen") -> bool:
        found = self.procedure.checked.state(seen)
        return bool(found and found.row)

    def explain(self, run: "Run", problem: CcrError) -> None:
        """A run that stopped after the promotion says who is the primary, and until when writes are paused."""
        if not run.past_return or isinstance(problem, Locked):  # what another run does is its own to report
            return
        if run.seen.result(ANOTHER):  # there is nothing left to close
            return
        notes, facts = self.procedure.left_half_way(run.seen)
        problem.notes += notes
        problem.result = {**facts, **problem.result}

    def outcome(self, session: "Session", run: "Run", hooks: dict[str, float]) -> Outcome:
        return _outcome(session, run, self.procedure, hooks)


def _outcome(session: "Session", run: "Run", procedure: Switchover, hooks: dict[str, float]) -> Outcome:
    want = procedure.want
    promoted = run.seen.of(procedure.running)
    old = procedure.service(run.seen, want.primary)
    different = differences(run, procedure, old, promoted)
    exposed = [
        *promotion_told.exposure(want.setting.project.flag, promoted),
        *_split_brain(want),
        *parity.risks(different),
    ]
    found = procedure.found_ahead(run.seen)
    if found is None or found.ahead_bytes is None:
        found = _found_before(procedure, run) or found
    result: dict[str, Any] = {
        "old_primary": want.primary,
        "new_primary": want.replica,
        "write_outage_ms": outage(session),
        "bytes_not_replicated": found.ahead_bytes if found else None,
        "writes_not_replicated": found.ahead_writes if found else None,
        "before": promotion_told.sides(primary=old, replica=procedure.service(run.seen, want.replica)),
        "after": promotion_told.sides(primary=promoted, old_primary=procedure.as_left(run.seen)),
        "exposure": exposed,
        "differences": [one.told() for one in different],
        "hooks_seconds": hooks,
    }
    lines = [f"{want.replica} is the primary now", f"  old primary           {_old_primary(session, procedure)}"]
    if result["write_outage_ms"] is not None:
        lines.append(f"  write outage          {result['write_outage_ms']:.0f} ms")
    if found and found.ahead_bytes is not None:
        lines.append(f"  bytes not replicated  {found.ahead_bytes}")
    lines.append(f"  connection details    ccr-avn endpoint {want.replica}")
    _tell_restoring(want, old, result, lines)
    lines += promotion_told.exposure_lines(exposed)
    return Outcome(result=result, lines=tuple(lines), problem=_ahead(want, found))


def _old_primary(session: "Session", procedure: Switchover) -> str:
    """What was seen of it last, not what was asked for."""
    want, last = procedure.want, ""
    for event in session.done:
        if event.slug == procedure.closing[-1].slug:
            last = event.finding.reason
    if want.old_primary == "hold":
        last = last or "its writes were paused until now; it is open again"
    return f"{want.primary}: {last}"


def _tell_restoring(want: SwitchoverRequest, old: "Service | None", result: dict[str, Any], lines: list[str]) -> None:
    """The filter from before, if it is known, and how to open the old primary again."""
    if want.old_primary != "close" or old is None:
        return
    before: Filter | None = Filter(value=old.user_config.get("ip_filter"))
    if networks(before.value if before else None) == [NOBODY]:  # closed by an earlier run
        before = filter_before(old, want.setting.project.name, [NOBODY])
    if before is None:
        lines.append(
            f"  to open {want.primary} again  no journal on this machine has its ip_filter from before it was closed"
        )
        return
    result["ip_filter_before"] = before.value
    result["restore"] = old_primary.restoring(want.setting, old.name, before.value)
    lines.append(f"  to open {want.primary} again  {'; '.join(result['restore'])}")


def _split_brain(want: SwitchoverRequest) -> list[dict[str, str]]:
    if want.old_primary not in ("open", "hold"):
        return []
    what = f"{want.primary} accepts writes: what is written to it now exists only there (split brain)"
    off = shlex.join(("avn", "service", "update", want.primary, *want.setting.project.flag, "--power-off"))
    return [{"what": what, "mend": off}]


def _found_before(procedure: Switchover, run: "Run") -> Audit | None:
    """Where the old primary can't be asked any more: what an earlier run on this machine found on it."""
    want = procedure.want
    old, new = procedure.service(run.seen, want.primary), procedure.service(run.seen, want.replica)
    if old is None or new is None:
        return None
    return found_ahead(old, new, want.setting.project.name, want.run)


def _ahead(want: SwitchoverRequest, found: Audit | None) -> CcrError | None:
    """Writes that only the old primary has must not pass for success."""
    if found is None or not (found.ahead_bytes or found.lapsed):
        return None
    counted = "" if found.ahead_writes is None else f" ({found.ahead_writes} writes)"
    mine = old_primary.filter_commands(want.setting, want.primary, ["ADDRESS/32"])[0]
    told = f"{found.ahead_bytes} bytes{counted} are on {want.primary} only"
    why = f"{want.primary} acknowledged them while {want.replica} was already promoted, or had no link"
    if found.ahead_bytes is None:
        told, why = f"{want.primary} may have writes that {want.replica} lacks{counted}", found.why
    problem = NotProven(
        told,
        detail=why,
        hint=f"do not terminate {want.primary}. To list the keys, open it for your own address only: {mine}; then: "
        f"ccr-avn verify {want.primary} {want.replica} --level values --unlinked --differences FILE",
    )
    problem.resumable = False  # all is done; what is there to do is done by hand
    return problem


def outage(session: "Session") -> float | None:
    """Milliseconds from before the pause to after the first accepted write; None: another run did a part of it."""
    started = [one for one in session.timeline if isinstance(one, events.ChangeStarted)]
    fenced = next((one.at for one in started if one.slug == "fence"), None)
    sent = any(one.slug == "promote" for one in started)
    accepted = next((one.at for one in session.done if one.slug == "accepts-writes"), None)
    return None if fenced is None or accepted is None or not sent else round((accepted - fenced) * 1000, 1)


def differences(
    run: "Run", procedure: Switchover, old: "Service | None", new: "Service | None"
) -> "tuple[Difference, ...]":
    """In what the new primary differs: as the platform shows both, and as their servers were before."""
    if old is None or new is None:
        return ()
    project = procedure.want.setting.project
    planes: PairFacts | None = run.seen.of(procedure.parity)
    return (
        *parity.of_services(project, old, new),
        *(parity.of_servers(project, old, new, planes) if planes else ()),
    )
