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
from ccr_avn.cli.switching import After, Before, HookTimeout, OnFailure, PromoteTimeout, WriteEnv, Yes

if TYPE_CHECKING:
    from ccr_avn.cli.session import Session
    from ccr_avn.dataplane.parity import Planes
    from ccr_avn.errors import Changed
    from ccr_avn.execute import Run
    from ccr_avn.gates.parity import Difference
    from ccr_avn.gates.switch import Health
    from ccr_avn.models import Service
    from ccr_avn.plan import Plan, Step
    from ccr_avn.procedures.held import Held
    from ccr_avn.procedures.switchover import SwitchoverRequest


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
    project: ProjectName = None,
    check: Annotated[bool, typer.Option("--check", help="Only look: exit 0 when it would go, 4 when not.")] = False,
    yes: Yes = False,
    max_lag_bytes: Annotated[
        int, typer.Option(metavar="N", help="How far behind REPLICA may be to begin.")
    ] = 31_457_280,
    allow_smaller: Annotated[
        bool, typer.Option("--allow-smaller", help="Promote REPLICA also when the data is more than its memory.")
    ] = False,
    fence: Annotated[
        FenceMode, typer.Option(help="client-pause: hold writes back; observe: you stop the writers; auto: as it can.")
    ] = FenceMode.AUTO,
    fence_ttl: Annotated[float, typer.Option(metavar="S", help="A crash of ours un-fences within this time.")] = 30,
    catch_up_timeout: Annotated[float, typer.Option(metavar="S", help="How long writes may wait for REPLICA.")] = 60,
    promote_timeout: PromoteTimeout = 600,
    old_primary: Annotated[
        OldPrimary, typer.Option(help="close: shut to clients; hold: fenced until Ctrl-C; open: writes go there too!")
    ] = OldPrimary.CLOSE,
    write_env: WriteEnv = None,
    before: Before = None,
    after: After = None,
    on_failure: OnFailure = None,
    hook_timeout: HookTimeout = 60,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    dry_run: DryRun = False,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Promote REPLICA, planned: both sides are healthy and no acknowledged write is lost."""
    options.names(PRIMARY=primary, REPLICA=replica)
    options.not_negative(
        catch_up_timeout=catch_up_timeout,
        hook_timeout=hook_timeout,
        poll_interval=poll_interval,
        call_timeout=call_timeout,
        max_lag_bytes=max_lag_bytes,
    )
    options.at_least_one(fence_ttl=fence_ttl, promote_timeout=promote_timeout)
    hooks = switching.parse_hooks(before, after, on_failure, hook_timeout)
    from ccr_avn.cli.enable import show_preview
    from ccr_avn.cli.session import Session
    from ccr_avn.journal import tells_of_promotion
    from ccr_avn.procedures.switchover import SwitchoverRequest, plan_switchover
    from ccr_avn.program import identify

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
        old_primary=old_primary.value,
        in_journal=tells_of_promotion(primary, replica, name),
    )
    plan, held = plan_switchover(want)
    if dry_run:
        show_preview("switchover", plan, avn or "avn", json=json)
        return
    if not check:
        switching.must_be_able_to_ask(yes=yes)
    program = identify(avn)
    pair = plan.checks[0]
    run: Run | None = None

    def new() -> "Service | None":
        return switching.service_in(current[0].seen, pair, replica) if current else None

    def told(*, changed: "Changed") -> dict[str, str]:
        return switching.environment(session, "switchover", name, primary, new(), changed=changed)

    def confirm(begun: "Run") -> None:
        current.append(begun)
        if not check and _to_promote(begun, plan, want):
            _show(begun, plan, want)
            switching.ask(session, replica, _consequences(want), yes=yes)
            hooks.run_before(told(changed=False))

    current: list[Run] = []
    session.sinks.append(switching.writing_env(write_env, new))
    run = switching.with_hooks(
        hooks,
        told,
        lambda: session.perform(
            plan,
            program,
            call_timeout,
            confirm,
            checks_only=check,
            never_suspend=True,
            ended_by_signal="hold",
        ),
    )
    if check:
        text = "it would go" if _to_promote(run, plan, want) else f"{replica} was promoted already"
        by_slug = {step.slug: step for step in plan.checks}
        sides = [switching.service_in(run.seen, pair, name) for name in (primary, replica)]
        differences = _differences(run, by_slug, want, *sides)
        told_of = [one.told() for one in differences]
        result = {"primary": primary, "replica": replica, "would_go": True, "differences": told_of}
        session.finish(run, result, [f"{primary} → {replica}: {text}"])
        return
    if old_primary is OldPrimary.HOLD and held.fence:
        held.fence.release_disconnecting()  # nothing that was held back may be acknowledged now
    hooks.run("after", told(changed=run.changed))
    _finish(session, run, plan, want, held, hooks.seconds)


def _to_promote(run: "Run", plan: "Plan", want: "SwitchoverRequest") -> bool:
    """False when it was promoted already: there is nothing to ask then."""
    from ccr_avn.gates.switch import feeding

    return feeding(run.seen.of(plan.checks[1]), want.primary, want.replica) is not None


def _show(run: "Run", plan: "Plan", want: "SwitchoverRequest") -> None:
    """Before the question: the pair, who becomes what, and the consequence."""
    from ccr_avn import console

    by_slug = {step.slug: step for step in plan.checks}
    health: Health = run.seen.of(by_slug["health"])
    lag = str(max(0, health.primary.offset - health.replica.offset)) if health.primary else "?"
    rows = [("service", "role", "becomes", "cloud", "plan", "state", "link", "lag")]
    fate = {"close": "closed", "power-off": "powered off", "hold": "held back", "open": "open"}[want.old_primary]
    for name, role, becomes in ((want.primary, "primary", fate), (want.replica, "replica", "primary")):
        service = switching.service_in(run.seen, by_slug["pair"], name)
        if service:
            link = (health.replica.link_status or "-", lag) if role == "replica" else ("-", "-")
            rows.append((name, role, becomes, service.cloud, service.plan, service.state, *link))
    console.note(console.table(rows))
    console.note("It is on a startup plan: a single node, with no backup and no replica of its own yet.")


def _consequences(want: "SwitchoverRequest") -> dict[str, str]:
    """What is said before the question."""
    fates = {
        "close": "is closed to client connections (ip_filter)",
        "power-off": "is powered off",
        "hold": "has its writes held back until Ctrl-C, and is then open again",
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


def _finish(
    session: "Session", run: "Run", plan: "Plan", want: "SwitchoverRequest", held: "Held", hooks: dict[str, float]
) -> None:
    from ccr_avn import events
    from ccr_avn.gates import parity
    from ccr_avn.procedures import closing

    by_slug = {step.slug: step for step in plan.all_steps}
    promoted: Service = run.seen.of(by_slug["running"])
    old = switching.service_in(run.seen, by_slug["pair"], want.primary)
    differences = _differences(run, by_slug, want, old, promoted)
    exposed = [*switching.exposure(want.setting.project.flag, promoted), *parity.risks(differences)]
    outage = held.measured.outage_ms
    result: dict[str, Any] = {
        "old_primary": want.primary,
        "new_primary": want.replica,
        "write_outage_ms": outage,
        "bytes_not_replicated": held.measured.lost_bytes,
        "before": switching.sides(primary=old, replica=switching.service_in(run.seen, by_slug["pair"], want.replica)),
        "after": switching.sides(primary=promoted, old_primary=_as_left(run, by_slug, old)),
        "exposure": exposed,
        "differences": [one.told() for one in differences],
        "hooks_seconds": hooks,
    }
    fates = {
        "close": "is shut to all clients",
        "power-off": "is powered off",
        "hold": "was held until now and is open again",
        "open": "accepts writes again",
    }
    lines = [f"{want.replica} is the primary now; {want.primary} {fates[want.old_primary]}"]
    promoted_here = any(
        isinstance(event, events.StepDone) and (event.slug, event.outcome) == ("promote", "changed")
        for event in session.timeline
    )
    if not promoted_here:
        result["write_outage_ms"] = result["bytes_not_replicated"] = None
    elif outage is not None:
        lines.append(f"  write outage          {outage:.0f} ms")
        lines.append(f"  bytes not replicated  {held.measured.lost_bytes}")
    lines.append(f"  connection details    ccr-avn endpoint {want.replica}")
    if want.old_primary == "close" and old and old.user_config.get("ip_filter") != [closing.NOBODY]:
        result["ip_filter_before"] = old.user_config.get("ip_filter")
        result["restore"] = closing.restoring(want.setting, old)
        again = "; ".join(result["restore"])
        lines.append(f"  to open {want.primary} again  {again}")
    session.finish(run, result, [*lines, *switching.exposure_lines(exposed)])


def _differences(
    run: "Run",
    by_slug: "dict[str, Step[Any]]",
    want: "SwitchoverRequest",
    old: "Service | None",
    new: "Service | None",
) -> "tuple[Difference, ...]":
    """In what the new primary differs: as the platform shows both, and as their servers were before."""
    from ccr_avn.gates import parity

    if old is None or new is None:
        return ()
    project = want.setting.project
    planes: Planes | None = run.seen.of(by_slug["parity"])
    return (
        *parity.of_services(project, old, new),
        *(parity.of_servers(project, old, new, planes) if planes else ()),
    )


def _as_left(run: "Run", by_slug: "dict[str, Step[Any]]", old: "Service | None") -> "Service | None":
    """The old primary as the last look at it shows it."""
    for slug in ("close", "power-off"):
        if slug in by_slug and run.seen.has(by_slug[slug]):
            found: Service = run.seen.of(by_slug[slug])
            return found
    return old
