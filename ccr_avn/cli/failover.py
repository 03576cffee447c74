"""`ccr-avn failover`."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccr_avn.cli import options, switching
from ccr_avn.cli.options import Avn, CaFile, CallTimeout, DryRun, Json, PollInterval, ProjectName, Replica, Route
from ccr_avn.cli.switching import After, Before, HookTimeout, OnFailure, PromoteTimeout, WriteEnv, Yes
from ccr_avn.errors import UsageError

if TYPE_CHECKING:
    from ccr_avn.avn import Project
    from ccr_avn.cli.session import Session
    from ccr_avn.errors import Changed
    from ccr_avn.execute import Run
    from ccr_avn.gates.parity import Difference
    from ccr_avn.models import Service
    from ccr_avn.plan import Plan
    from ccr_avn.procedures.failover import FailoverRequest
    from ccr_avn.procedures.held import Measured
    from ccr_avn.procedures.last_known import LastKnown


def failover(
    replica: Replica,
    project: ProjectName = None,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="What the primary acknowledged last may be lost; say that it may.")
    ] = False,
    force_partial: Annotated[
        bool, typer.Option("--force-partial", help="Promote a replica whose first copy has not ended.")
    ] = False,
    no_verify: Annotated[
        bool,
        typer.Option("--no-verify", help="Promote on Aiven's word alone, where REPLICA can't be reached from here."),
    ] = False,
    wait_automatic: Annotated[
        float, typer.Option(metavar="S", help="Give the platform that long to promote by itself.")
    ] = 0,
    check: Annotated[bool, typer.Option("--check", help="Only look: exit 0 when it would go, 4 when not.")] = False,
    yes: Yes = False,
    promote_timeout: PromoteTimeout = 600,
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
    """Promote REPLICA, forced: its primary is dead or cut off, and some writes may be lost."""
    began = time.monotonic()
    options.names(REPLICA=replica)
    options.not_negative(
        wait_automatic=wait_automatic, hook_timeout=hook_timeout, poll_interval=poll_interval, call_timeout=call_timeout
    )
    options.at_least_one(promote_timeout=promote_timeout)
    _go_together(replica, no_verify=no_verify, looks=bool(wait_automatic) or force_partial)
    hooks = switching.parse_hooks(before, after, on_failure, hook_timeout)
    switching.must_be_able_to_ask(yes=yes or check or dry_run or not allow_data_loss)  # without that the gates refuse
    from ccr_avn.avn import AVN, Project, service_named
    from ccr_avn.process import Ahead, find_avn

    name = options.project_name(project)
    # No avn is started only to be asked who it is, and the one that matters starts before all that takes time to
    # load: every moment here is outage.
    path = find_avn(avn)
    words = tuple(path if word == AVN else str(word) for word in service_named(Project(name), replica).argv)
    ahead = None if dry_run else Ahead(words, deadline=call_timeout)
    import valkey  # noqa: F401 (the data plane needs it soon)

    from ccr_avn.cli.enable import show_preview
    from ccr_avn.cli.session import Session
    from ccr_avn.procedures.failover import FailoverRequest, plan_failover
    from ccr_avn.program import known

    setting = options.setting(project, ca_file, route, avn=avn, poll_interval=poll_interval)
    want = FailoverRequest(
        replica=replica,
        setting=setting,
        allow_data_loss=allow_data_loss,
        force_partial=force_partial,
        verify=not no_verify,
        wait_automatic=wait_automatic,
        promote_timeout=promote_timeout,
    )
    plan, measured = plan_failover(want)
    if dry_run:
        show_preview("failover", plan, avn or "avn", json=json)
        return
    program = known(path)
    session = Session("failover", json=json, replica=replica, project=name, allow_data_loss=allow_data_loss)
    services = plan.checks[0]
    current: list[Run] = []

    def new() -> "Service | None":
        return switching.service_in(current[0].seen, services, replica) if current else None

    def told(*, changed: "Changed") -> dict[str, str]:
        service = new()
        old = (service.source or "") if service else ""
        return switching.environment(session, "failover", name, old, service, changed=changed)

    def confirm(begun: "Run") -> None:
        current.append(begun)
        service = new()
        if check or service is None or service.source is None:
            return
        switching.ask(session, replica, _consequences(begun, plan, replica, service.source), yes=yes)
        hooks.run_before(told(changed=False))

    session.sinks.append(switching.writing_env(write_env, new))
    run = switching.with_hooks(
        hooks,
        told,
        lambda: session.perform(
            plan, program, call_timeout, confirm, checks_only=check, never_suspend=True, ahead=ahead
        ),
    )
    measured.began = began
    if check:
        from ccr_avn.gates import parity

        differences = _differences(setting.project, _primary(run, plan), new())
        result = {"replica": replica, "would_go": True, "differences": [one.told() for one in differences]}
        told_of = [f"warning: {parity.warning(one)}" for one in differences]
        session.finish(run, result, [f"{replica}: it would go", *told_of])
        return
    hooks.run("after", told(changed=run.changed))
    _finish(session, run, plan, want, measured, hooks.seconds)


def _go_together(replica: str, *, no_verify: bool, looks: bool) -> None:
    """Raises:
    UsageError: an option would do nothing.
    """
    if no_verify and looks:
        raise UsageError(
            "--no-verify goes with neither --wait-automatic nor --force-partial",
            detail="both need a look at the replica, and --no-verify does without",
            hint=f"ccr-avn failover {replica} --allow-data-loss --no-verify",
        )


def _consequences(run: "Run", plan: "Plan", replica: str, source: str) -> dict[str, str]:
    """What is said before the question."""
    from ccr_avn.procedures.unverified import UNSEEN

    step = next(one for one in plan.checks if one.slug == "last-known")
    known: LastKnown | None = run.seen.of(step) if run.seen.has(step) else None
    seconds, how = known.estimate if known else (None, UNSEEN)
    loss = "unknown" if seconds is None else f"about the last {seconds:g} s of writes"
    return {
        "promoted": f"{replica} becomes a primary of its own, for good; {source} can't follow it",
        "old primary": f"{source} is not closed: if it lives, it still accepts writes",
        "write pause": f"none by us; writes work again when {replica} is promoted",
        "may be lost": f"{loss} ({how})",
    }


def _finish(
    session: "Session", run: "Run", plan: "Plan", want: "FailoverRequest", measured: "Measured", hooks: dict[str, float]
) -> None:
    from ccr_avn.gates import parity
    from ccr_avn.procedures.unverified import UNSEEN, from_inside

    by_slug = {step.slug: step for step in plan.all_steps}
    promoted: Service = run.seen.of(by_slug["running"])
    known: LastKnown | None = run.seen.of(by_slug["last-known"])
    before = switching.service_in(run.seen, by_slug["replica"], want.replica)
    source = before.source if before else None
    seconds, how = known.estimate if known else (None, UNSEEN)
    outage = measured.outage_ms
    exposed = switching.exposure(want.setting.project.flag, promoted)
    project = want.setting.project
    old = _primary(run, plan)
    differences = _differences(project, old, promoted)
    exposed += parity.risks(differences)
    if source:
        mend = parity.power_off(project, source, protected=old is not None and old.protected)
        exposed.insert(0, {"what": f"{source} was not fenced: if it lives, it still accepts writes", "mend": mend})
    result: dict[str, Any] = {
        "old_primary": source,
        "new_primary": want.replica,
        "seconds_to_first_write": round((outage or 0.0) / 1000, 3) if want.verify else None,
        "proven": want.verify,
        "rpo_estimate": {"seconds": seconds, "how": how, "applied_offset": known.replica.offset if known else None},
        "before": switching.sides(replica=before),
        "after": switching.sides(primary=promoted),
        "exposure": exposed,
        "differences": [one.told() for one in differences],
        "hooks_seconds": hooks,
    }
    lines = [f"{want.replica} is the primary now"]
    if not want.verify:
        lines += [f"  nothing was proven    {UNSEEN}; from inside its network:"]
        lines += [f"                        {command}" for command in from_inside(want.replica, want.setting)]
    elif source:
        loss = "unknown" if seconds is None else f"about {seconds:g} s of writes"
        lines += [
            f"  first write accepted  {result['seconds_to_first_write']:.1f} s after the start",
            f"  possible loss         {loss} ({how if how.startswith('a bound') else f'an estimate: {how}'})",
        ]
    lines.append(f"  connection details    ccr-avn endpoint {want.replica}")
    session.finish(run, result, [*lines, *switching.exposure_lines(exposed)])


def _primary(run: "Run", plan: "Plan") -> "Service | None":
    """The old primary as it was looked at, if it was there."""
    step = next(one for one in plan.checks if one.slug == "primary")
    services = next(one for one in plan.checks if one.slug == "replica")
    replica: Service | None = next(iter(run.seen.of(services)), None)
    return switching.service_in(run.seen, step, replica.source) if replica and replica.source else None


def _differences(project: "Project", old: "Service | None", new: "Service | None") -> "tuple[Difference, ...]":
    """In what it differs from its primary, as far as what was asked for anyway tells: it costs no time."""
    from ccr_avn.gates import parity

    return parity.of_services(project, old, new) if old and new else ()
