"""Runs a failover and prints its result; loads what it needs while avn is already being asked."""

from typing import TYPE_CHECKING

from ccr_avn.aiven.program import known
from ccr_avn.cli import promotion_options
from ccr_avn.cli.failover_told import FailoverMove, differences
from ccr_avn.cli.promotion_options import Around
from ccr_avn.cli.promotion_told import DECLARED
from ccr_avn.cli.session import Session, show_preview
from ccr_avn.procedures.failover import FailoverRequest, plan_failover
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.unverified import UNSEEN

if TYPE_CHECKING:
    from ccr_avn.cli.promotion_options import Manner
    from ccr_avn.hooks import Hooks
    from ccr_avn.plan.execute import Run
    from ccr_avn.procedures.failover import Failover
    from ccr_avn.process import Ahead


def fail_over(
    want: FailoverRequest,
    hooks: "Hooks",
    manner: "Manner",
    ahead: "Ahead | None",
    avn: str,
    began: float,
    call_timeout: float,
) -> None:
    """``ahead``: the first question to avn, which is under way; ``began``: when the command did, on the monotonic clock.

    ``call_timeout``: seconds.
    """
    procedure, project = plan_failover(want), want.setting.project.name
    if manner.dry_run:
        show_preview("failover", procedure.plan, want.setting.avn, json=manner.json)
        return
    program, replica = known(avn), want.replica
    session = Session("failover", json=manner.json, replica=replica, project=project)

    def ask(begun: "Run") -> None:
        row = procedure.deletes(begun.seen)
        source = (row.source if row else None) or ""
        promotion_options.ask(session, replica, _consequences(begun, procedure, source), yes=manner.yes)

    move = FailoverMove(procedure)
    run = promotion_options.carry_out(
        move,
        session,
        hooks,
        Around(project=project, write_env=manner.write_env, ask=ask, checks_only=manner.check),
        lambda confirm: session.perform(
            procedure.plan,
            program,
            call_timeout,
            confirm,
            checks_only=manner.check,
            never_suspend=True,
            ahead=ahead,
            explain=move.explain,
        ),
    )
    if manner.check:
        _finish_check(session, run, procedure)
        return
    loaded = session.started - began  # before the run's own clock began
    done = FailoverMove(procedure, loaded).outcome(session, run, hooks.seconds)
    session.finish(run, done.result, done.lines, done.problem)


def _finish_check(session: "Session", run: "Run", procedure: "Failover") -> None:
    replica, found = procedure.want.replica, procedure.state(run.seen)
    found_different = differences(run, procedure, procedure.replica(run.seen))
    result = {
        "replica": replica,
        "would_go": True,
        "state": found.state if found else None,
        "differences": [one.told() for one in found_different],
    }
    texts = {"promoted": f"{replica} was promoted already", "promoting": f"{replica} is being promoted"}
    text = texts.get(found.state if found else "", "all pre-checks passed")
    lines = (f"{replica}: {text}", *(f"warning: {parity.warning(one)}" for one in found_different))
    session.finish(run, result, lines)


def _consequences(run: "Run", procedure: "Failover", source: str) -> dict[str, str]:
    """What is said before the question."""
    replica, known = procedure.want.replica, procedure.last_known(run.seen)
    seconds, how = known.estimate if known else (None, UNSEEN)
    loss = "unknown" if seconds is None else f"about the last {seconds:g} s of writes"
    return {
        "promoted": f"{replica} becomes a standalone primary, permanently; {source} can't become its replica",
        "old primary": f"{source} is not closed: if it is alive, it still accepts writes",
        "write pause": f"none by ccr-avn; writes resume when {replica} is promoted",
        "may be lost": f"{loss} ({how})",
        "declared": DECLARED,
    }
