"""`ccr-avn switchover`."""

import typer

from ccr_avn.aiven.program import identify
from ccr_avn.cli import options
from ccr_avn.cli.conduct import conduct
from ccr_avn.cli.options import ProjectName, flattened
from ccr_avn.cli.promotion_options import Promoting
from ccr_avn.cli.questions import must_be_able_to_ask
from ccr_avn.errors import UsageError
from ccr_avn.procedures.switchover import Switchover


@flattened
def switchover(
    *,
    context: typer.Context,
    promoting: Promoting,
    verb: Switchover,
    project: ProjectName = None,
    asking: options.Asking,
) -> None:
    """Promote REPLICA while both sides are healthy (planned): no acknowledged write is lost.

    Examples:
      ccr-avn switchover eu us --check
      ccr-avn switchover eu us
      ccr-avn switchover eu us --yes --write-env app.env --after ./deploy.sh
    """
    if verb.fence == "observe":
        options.refuse_unused(context, "--fence observe", "--fence auto or client-pause", "fence_ttl")
        if verb.old_primary == "hold":
            raise UsageError(
                "--old-primary hold can't be combined with --fence observe",
                detail="hold keeps the write pause, and observe makes none",
                hint="--old-primary close",
            )
<<<<<<< HEAD
    hooks = hooking.hooks(limits.hook_timeout)
    asking.preload(unless=manner.dry_run)
    session = Session(
        "switchover",
        json=manner.json,
        primary=primary,
        replica=replica,
        project=project,
        old_primary=old_primary,
    )
    want = SwitchoverRequest(
        primary=primary,
        replica=replica,
        setting=options.tolerant(asking.setting(project, limits.poll_interval), allow_rejected_commands),
        run=session.run_id,
        max_lag_bytes=max_lag_bytes,
        allow_smaller=allow_smaller,
        fence=fence,
        fence_ttl=fence_ttl,
        catch_up_timeout=catch_up_timeout,
        promote_timeout=limits.promote_timeout,
        doubt_timeout=limits.doubt_timeout,
        old_primary=old_primary,
        recorded=promotions(project),
        may_have_paused=may_have_paused(primary, replica, project),
        drills=drills.creations(project),
        drill_service=manner.drill_service or "",
    )
    procedure = plan_switchover(want)
    if manner.dry_run:
        show_preview("switchover", procedure.plan, asking.avn, json=manner.json)
        return
    if not manner.check:
        promotion_options.must_be_able_to_ask(yes=manner.yes)
    program = identify(asking.avn)

    def ask(begun: "Run") -> None:
        _show(begun, procedure)
        promotion_options.ask(session, replica, _consequences(want), yes=manner.yes)

    move = SwitchoverMove(procedure)
    run = promotion_options.carry_out(
        move,
        session,
        hooks,
        Around(project=project, write_env=manner.write_env, ask=ask, checks_only=manner.check),
        lambda confirm: session.perform(
            procedure.plan,
            program,
            asking.call_timeout,
            confirm,
            checks_only=manner.check,
            never_suspend=True,
            ended_by_signal="hold",
            explain=move.explain,
        ),
    )
    if manner.check:
        _finish_check(session, run, procedure)
        return
    done = move.outcome(session, run, hooks.seconds)
    session.finish(run, done.result, done.lines, done.problem)


def _finish_check(session: "Session", run: "Run", procedure: "Switchover") -> None:
    want, found = procedure.want, procedure.checked.state(run.seen)
    texts = {
        "promoted": f"{want.replica} was promoted already",
        "promoting": f"{want.replica} is being promoted",
    }
    text = texts.get(found.state if found else "", "all pre-checks passed")
    sides = [procedure.service(run.seen, name) for name in (want.primary, want.replica)]
    told_of = [one.told() for one in differences(run, procedure, *sides)]
    drilled, now = drills.last(want.primary, want.setting.project.name), time.time()
    order = f"--replica-cloud {sides[1].cloud} --replica-plan {sides[1].plan}" if sides[1] else "--replica-cloud CLOUD"
    result = {
        "primary": want.primary,
        "replica": want.replica,
        "would_go": True,
        "state": found.state if found else None,
        "differences": told_of,
        "last_drill": drilled.as_dict(now) if drilled else None,
    }
    lines = [f"{want.primary} → {want.replica}: {text}", drills.describe_last(want.primary, drilled, now, order)]
    session.finish(run, result, lines)


def _show(run: "Run", procedure: "Switchover") -> None:
    """Before the question: the pair, who becomes what, and the consequence."""
    want = procedure.want
    health = run.seen.of(procedure.checked.health)
    if health is None:
        return
    lag = behind(health.primary, health.replica)
    rows = [("service", "role", "becomes", "cloud", "plan", "state", "link", "lag")]
    fate = {"close": "closed", "power-off": "powered off", "hold": "paused", "open": "open"}[want.old_primary]
    for name, role, becomes in ((want.primary, "primary", fate), (want.replica, "replica", "primary")):
        service = procedure.service(run.seen, name)
        if service:
            link = (
                (health.replica.link_status or "-", "?" if lag is None else str(lag))
                if role == "replica"
                else ("-", "-")
            )
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
        "open": "stays open: what is written to it after the promotion exists only there",
    }
    most = want.catch_up_timeout + want.promote_timeout
    observed = want.fence == "observe"
    return {
        "promoted": f"{want.replica} becomes a standalone primary, permanently; {want.primary} can't become its replica",
        "old primary": f"{want.primary} {fates[want.old_primary]}",
        "write pause": "none: you have stopped the writers" if observed else f"{most:g} s at most, usually seconds",
        "may be lost": "no acknowledged write",
        "declared": DECLARED,
    }
=======
    how = promoting.how()
    asking.preload(unless=how.dry_run)
    if not (how.check or how.dry_run):
        must_be_able_to_ask(yes=how.yes)
    conduct(asking.settled(verb, project), how, asking, lambda: identify(asking.avn))
>>>>>>> cb17de3 (one class per verb: switchover, failover, verify and enable are their options, plan, question and result; one function runs them)
