"""`ccr-avn switchover`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccr_avn.cli import options, switching
from ccr_avn.cli.options import (
    Avn,
    CaFile,
    CallTimeout,
    DryRun,
    Json,
    PollInterval,
    Primary,
    ProjectName,
    Replica,
    Route,
)
from ccr_avn.cli.switching import After, Before, DoubtTimeout, HookTimeout, OnFailure, PromoteTimeout, WriteEnv, Yes

if TYPE_CHECKING:
    from ccr_avn.cli.session import Session
    from ccr_avn.dataplane.parity import Planes
    from ccr_avn.errors import CcrError, Changed
    from ccr_avn.execute import Run
    from ccr_avn.gates.history import Audit
    from ccr_avn.gates.parity import Difference
    from ccr_avn.models import Service
    from ccr_avn.procedures.switchover import Switchover, SwitchoverRequest


class FenceMode(StrEnum):
    AUTO = "auto"
    CLIENT_PAUSE = "client-pause"
    OBSERVE = "observe"


class OldPrimary(StrEnum):
    CLOSE = "close"
    POWER_OFF = "power-off"
    HOLD = "hold"
    OPEN = "open"


def switchover(
    primary: Primary,
    replica: Replica,
    check: Annotated[
        bool, typer.Option("--check", help="Run the pre-checks only; exit 0 if they pass, 4 if not.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    write_env: WriteEnv = None,
    before: Before = None,
    after: After = None,
    on_failure: OnFailure = None,
    old_primary: Annotated[
        OldPrimary,
        typer.Option(help="close: no clients (ip_filter); hold: paused until Ctrl-C; open: split brain."),
    ] = OldPrimary.CLOSE,
    max_lag_bytes: Annotated[
        int, typer.Option(metavar="N", help="Maximum lag of REPLICA to begin with, in bytes.")
    ] = 31_457_280,
    allow_smaller: Annotated[
        bool, typer.Option("--allow-smaller", help="Promote REPLICA even if the data exceeds its memory.")
    ] = False,
    fence: Annotated[
        FenceMode, typer.Option(help="observe: you stop the writers; auto: client-pause if it is permitted.")
    ] = FenceMode.AUTO,
    project: ProjectName = None,
    fence_ttl: Annotated[
        float,
        typer.Option(
            metavar="S", help="If ccr-avn dies before the promotion, the write pause expires after S seconds."
        ),
    ] = 30,
    catch_up_timeout: Annotated[
        float, typer.Option(metavar="S", help="How long writes may be paused for REPLICA to catch up.")
    ] = 60,
    promote_timeout: PromoteTimeout = 600,
    doubt_timeout: DoubtTimeout = 60,
    hook_timeout: HookTimeout = 60,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    avn: Avn = None,
) -> None:
    """Promote REPLICA, planned: both sides are healthy and no acknowledged write is lost."""
    options.names(PRIMARY=primary, REPLICA=replica)
    options.not_negative(
        catch_up_timeout=catch_up_timeout,
        hook_timeout=hook_timeout,
        poll_interval=poll_interval,
        call_timeout=call_timeout,
        doubt_timeout=doubt_timeout,
        max_lag_bytes=max_lag_bytes,
    )
    options.at_least_one(fence_ttl=fence_ttl, promote_timeout=promote_timeout)
    hooks = switching.parse_hooks(before, after, on_failure, hook_timeout)
    from ccr_avn.cli.enable import show_preview
    from ccr_avn.cli.session import Session
    from ccr_avn.procedures.switchover import SwitchoverRequest, plan_switchover
    from ccr_avn.program import identify
    from ccr_avn.remembered import promotions

    name = options.project_name(project)
    facts = {"primary": primary, "replica": replica, "project": name, "old_primary": old_primary.value}
    session = Session("switchover", json=json, **facts)
    want = SwitchoverRequest(
        primary=primary,
        replica=replica,
        setting=options.setting(project, ca_file, route, avn=avn, poll_interval=poll_interval),
        run=session.run_id,
        max_lag_bytes=max_lag_bytes,
        allow_smaller=allow_smaller,
        fence=fence.value,
        fence_ttl=fence_ttl,
        catch_up_timeout=catch_up_timeout,
        promote_timeout=promote_timeout,
        doubt_timeout=doubt_timeout,
        old_primary=old_primary.value,
        recorded=promotions(replica, name),
    )
    procedure = plan_switchover(want)
    if dry_run:
        show_preview("switchover", procedure.plan, avn or "avn", json=json)
        return
    if not check:
        switching.must_be_able_to_ask(yes=yes)
    program = identify(avn)
    current: list[Run] = []

    def new() -> "Service | None":
        return procedure.service(current[0].seen, replica) if current else None

    def told(*, changed: "Changed") -> dict[str, str]:
        return switching.environment(session, "switchover", name, primary, new(), changed=changed)

    def confirm(begun: "Run") -> None:
        current.append(begun)
        found = procedure.state(begun.seen)
        if not check and found and found.row:
            _show(begun, procedure)
            switching.ask(session, replica, _consequences(want), yes=yes)
            hooks.run_before(told(changed=False))

    session.sinks.append(switching.writing_env(write_env, new))
    run = switching.with_hooks(
        hooks,
        told,
        lambda: session.perform(
            procedure.plan,
            program,
            call_timeout,
            confirm,
            checks_only=check,
            never_suspend=True,
            ended_by_signal="hold",
            explain=lambda begun, problem: _explain(begun, problem, procedure),
        ),
    )
    if check:
        _finish_check(session, run, procedure)
        return
    hooks.run("after", told(changed=run.changed))
    _finish(session, run, procedure, hooks.seconds)


def _explain(run: "Run", problem: "CcrError", procedure: "Switchover") -> None:
    """An end behind the promotion says who is the primary, and until when what holds."""
    if not run.past_return:
        return
    notes, facts = procedure.left_half_way(run.seen)
    problem.notes += notes
    problem.result = {**facts, **problem.result}


def _finish_check(session: "Session", run: "Run", procedure: "Switchover") -> None:
    want, found = procedure.want, procedure.state(run.seen)
    texts = {
        "promoted": f"{want.replica} was promoted already",
        "promoting": f"{want.replica} is being promoted",
    }
    text = texts.get(found.state if found else "", "all pre-checks passed")
    sides = [procedure.service(run.seen, name) for name in (want.primary, want.replica)]
    told_of = [one.told() for one in _differences(run, procedure, *sides)]
    result = {
        "primary": want.primary,
        "replica": want.replica,
        "would_go": True,
        "state": found.state if found else None,
        "differences": told_of,
    }
    session.finish(run, result, [f"{want.primary} → {want.replica}: {text}"])


def _show(run: "Run", procedure: "Switchover") -> None:
    """Before the question: the pair, who becomes what, and the consequence."""
    from ccr_avn import console

    want = procedure.want
    health = run.seen.of(procedure.health)
    if health is None:
        return
    lag = str(max(0, health.primary.offset - health.replica.offset)) if health.primary else "?"
    rows = [("service", "role", "becomes", "cloud", "plan", "state", "link", "lag")]
    fate = {"close": "closed", "power-off": "powered off", "hold": "paused", "open": "open"}[want.old_primary]
    for name, role, becomes in ((want.primary, "primary", fate), (want.replica, "replica", "primary")):
        service = procedure.service(run.seen, name)
        if service:
            link = (health.replica.link_status or "-", lag) if role == "replica" else ("-", "-")
            rows.append((name, role, becomes, service.cloud, service.plan, service.state, *link))
    console.note(console.table(rows))
    new = procedure.service(run.seen, want.replica)
    single = f"{want.replica} is a single node, and has" if new and new.node_count == 1 else f"{want.replica} has"
    console.note(f"{single} no backup and no replica of its own yet.")


def _consequences(want: "SwitchoverRequest") -> dict[str, str]:
    """What is said before the question."""
    fates = {
        "close": "is closed to client connections (ip_filter)",
        "power-off": "is powered off",
        "hold": "has its writes paused until Ctrl-C, and is then open again",
        "open": "stays open: what is written to it after the promotion is on it alone",
    }
    most = want.catch_up_timeout + want.promote_timeout
    observed = want.fence == "observe"
    return {
        "promoted": f"{want.replica} becomes a primary of its own, for good; {want.primary} can't follow it",
        "old primary": f"{want.primary} {fates[want.old_primary]}",
        "write pause": "none: you have stopped the writers" if observed else f"{most:g} s at most, mostly seconds",
        "may be lost": "nothing that was acknowledged",
    }


def _finish(session: "Session", run: "Run", procedure: "Switchover", hooks: dict[str, float]) -> None:
    from ccr_avn.gates import parity

    want = procedure.want
    promoted = run.seen.of(procedure.running)
    old = procedure.service(run.seen, want.primary)
    differences = _differences(run, procedure, old, promoted)
    exposed = [
        *switching.exposure(want.setting.project.flag, promoted),
        *_split_brain(want),
        *parity.risks(differences),
    ]
    found = procedure.found_ahead(run.seen) or _found_before(procedure, run)
    result: dict[str, Any] = {
        "old_primary": want.primary,
        "new_primary": want.replica,
        "write_outage_ms": _outage(session),
        "bytes_not_replicated": found.ahead_bytes if found else None,
        "writes_not_replicated": found.ahead_writes if found else None,
        "before": switching.sides(primary=old, replica=procedure.service(run.seen, want.replica)),
        "after": switching.sides(primary=promoted, old_primary=procedure.as_left(run.seen)),
        "exposure": exposed,
        "differences": [one.told() for one in differences],
        "hooks_seconds": hooks,
    }
    lines = [f"{want.replica} is the primary now", f"  old primary           {_old_primary(session, want)}"]
    if result["write_outage_ms"] is not None:
        lines.append(f"  write outage          {result['write_outage_ms']:.0f} ms")
    if found and found.ahead_bytes is not None:
        lines.append(f"  bytes not replicated  {found.ahead_bytes}")
    lines.append(f"  connection details    ccr-avn endpoint {want.replica}")
    _tell_restoring(want, old, result, lines)
    problem = _ahead(want, found)
    session.finish(run, result, [*lines, *switching.exposure_lines(exposed)], problem)


def _old_primary(session: "Session", want: "SwitchoverRequest") -> str:
    """What was seen of it last, not what was asked for."""
    from ccr_avn import events

    seen = {event.slug: event.finding.reason for event in session.timeline if isinstance(event, events.StepDone)}
    last = next((seen[slug] for slug in ("closed", "power-off", "hold", "open") if slug in seen), "")
    if want.old_primary == "hold":
        last = last or "its writes were paused until now; it is open again"
    return f"{want.primary}: {last}"


def _tell_restoring(want: "SwitchoverRequest", old: "Service | None", result: dict[str, Any], lines: list[str]) -> None:
    """The filter from before, if it is known, and how to open the old primary again."""
    from ccr_avn.gates.settings import NOBODY
    from ccr_avn.procedures import closing
    from ccr_avn.remembered import Filter, filter_before

    if want.old_primary != "close" or old is None:
        return
    before: Filter | None = Filter(value=old.user_config.get("ip_filter"))
    if closing.networks(before.value if before else None) == [NOBODY]:  # closed by an earlier run
        before = filter_before(old, want.setting.project.name, [NOBODY])
    if before is None:
        lines.append(f"  to open {want.primary} again  no journal here tells its ip_filter from before it was closed")
        return
    result["ip_filter_before"] = before.value
    result["restore"] = closing.restoring(want.setting, old.name, before.value)
    lines.append(f"  to open {want.primary} again  {'; '.join(result['restore'])}")


def _split_brain(want: "SwitchoverRequest") -> list[dict[str, str]]:
    if want.old_primary not in ("open", "hold"):
        return []
    what = f"{want.primary} accepts writes: what it is told now is on it alone (split brain)"
    off = " ".join(("avn service update", want.primary, *want.setting.project.flag, "--power-off"))
    return [{"what": what, "mend": off}]


def _found_before(procedure: "Switchover", run: "Run") -> "Audit | None":
    """Where the old primary can't be asked any more: what an earlier run on this machine found on it."""
    from ccr_avn.gates.history import Audit
    from ccr_avn.remembered import found_ahead

    want = procedure.want
    old, new = procedure.service(run.seen, want.primary), procedure.service(run.seen, want.replica)
    if old is None or new is None:
        return None
    found = found_ahead(old, new, want.setting.project.name)
    return Audit(ahead_bytes=found.ahead_bytes, ahead_writes=found.ahead_writes) if found else None


def _ahead(want: "SwitchoverRequest", found: "Audit | None") -> "CcrError | None":
    """Writes that only the old primary has must not pass for success."""
    from ccr_avn.errors import NotProven
    from ccr_avn.procedures import closing

    if found is None or not (found.ahead_bytes or found.lapsed):
        return None
    counted = "" if found.ahead_writes is None else f" ({found.ahead_writes} writes)"
    mine = closing.filter_commands(want.setting, want.primary, ["ADDRESS/32"])[0]
    told = f"{found.ahead_bytes} bytes{counted} are on {want.primary} only"
    why = f"{want.primary} acknowledged them while {want.replica} was already promoted, or had no link"
    if found.ahead_bytes is None:
        told, why = f"{want.primary} may have writes that {want.replica} lacks{counted}", found.why
    problem = NotProven(
        told,
        detail=why,
        hint=f"do not terminate {want.primary}. To list the keys, open it for your own address alone: {mine}; then: "
        f"ccr-avn verify {want.primary} {want.replica} --level values --unlinked --differences FILE",
    )
    problem.resumable = False  # all is done; what is there to do is done by hand
    return problem


def _outage(session: "Session") -> float | None:
    """Milliseconds from before the pause to after the first accepted write; None: another run did a part of it."""
    from ccr_avn import events

    started = [one for one in session.timeline if isinstance(one, events.ChangeStarted)]
    ended = [one for one in session.timeline if isinstance(one, events.StepDone)]
    fenced = next((one.at for one in started if one.slug == "fence"), None)
    sent = any(one.slug == "promote" for one in started)
    accepted = next((one.at for one in ended if one.slug == "accepts-writes"), None)
    return None if fenced is None or accepted is None or not sent else round((accepted - fenced) * 1000, 1)


def _differences(
    run: "Run", procedure: "Switchover", old: "Service | None", new: "Service | None"
) -> "tuple[Difference, ...]":
    """In what the new primary differs: as the platform shows both, and as their servers were before."""
    from ccr_avn.gates import parity

    if old is None or new is None:
        return ()
    project = procedure.want.setting.project
    planes: Planes | None = run.seen.of(procedure.parity)
    return (
        *parity.of_services(project, old, new),
        *(parity.of_servers(project, old, new, planes) if planes else ()),
    )
