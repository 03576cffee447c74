"""`ccr-avn enable`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccr_avn.aiven.program import identify
from ccr_avn.cli import options
from ccr_avn.cli.options import (
    Check,
    DryRun,
    Json,
    LinkTimeout,
    PollInterval,
    Primary,
    ProjectName,
    Replica,
    Samples,
    flattened,
)
from ccr_avn.cli.session import Session, show_preview
from ccr_avn.history.drills import creations
from ccr_avn.output import console
from ccr_avn.procedures.enable import Enable, EnableRequest, ReplicaFlag, plan_enable

if TYPE_CHECKING:
    from ccr_avn.plan.execute import Run


@flattened
def enable(
    *,
    context: typer.Context,
    primary: Primary,
    replica: Replica,
    primary_cloud: Annotated[
        str | None, typer.Option(metavar="C", callback=options.a_word, help="Cloud of a new primary.")
    ] = None,
    replica_cloud: Annotated[
        str | None, typer.Option(metavar="C", callback=options.a_word, help="Cloud of a new replica.")
    ] = None,
    primary_plan: Annotated[
        str | None,
        typer.Option(metavar="PLAN", callback=options.a_word, help="Plan of a new primary. [default: business-4]"),
    ] = None,
    replica_plan: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            callback=options.a_word,
            help="Plan of a new replica: a startup plan. [default: startup-4]",
        ),
    ] = None,
    check: Check = False,
    dry_run: DryRun = False,
    json: Json = False,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Prove replication on the data plane.")] = True,
    service_type: Annotated[
        Literal["valkey", "redis"] | None,
        typer.Option(help="Type of a new primary (valkey); an existing one must match."),
    ] = None,
    primary_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="ARG", help="Passed to `avn service create PRIMARY`; repeatable."),
    ] = None,
    replica_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="ARG", help="The same for REPLICA, as in: --replica-arg=--no-project-vpc"),
    ] = None,
    samples: Samples = 20,
    allow_any_plan: Annotated[
        bool, typer.Option("--allow-any-plan", help="Let Aiven decide on the replica's plan.")
    ] = False,
    replica_flag: Annotated[
        Literal["auto", ReplicaFlag],
        typer.Option(help="avn flag that creates the replica; auto: the one avn has."),
    ] = "auto",
    project: ProjectName = None,
    running_timeout: Annotated[float, options.seconds("Time limit for each service to be RUNNING.")] = 1200,
    backup_timeout: Annotated[float, options.seconds("Time limit for the first backup.")] = 3600,
    link_timeout: LinkTimeout = 900,
    poll_interval: PollInterval = 5,
    asking: options.Asking,
) -> None:
    """Create PRIMARY and its read replica REPLICA unless they exist, and prove that data arrives.

    Examples:
      ccr-avn enable eu us --primary-cloud do-fra --replica-cloud aws-us-east-1
      ccr-avn enable eu us --replica-cloud aws-us-east-1 --check
      ccr-avn enable eu us --replica-cloud aws-us-east-1 --dry-run
    """
    if not verify:
        options.refuse_unused(context, "--no-verify", "--verify", "samples", "link_timeout")
    asking.preload()
    program = identify(asking.avn, with_help=True)
    detected: ReplicaFlag = "service-integration" if program.offers_service_integration else "read-replica-for"
    want = EnableRequest(
        primary=primary,
        replica=replica,
        setting=asking.setting(project, poll_interval),
        service_type=service_type,
        primary_cloud=primary_cloud,
        primary_plan=primary_plan,
        replica_cloud=replica_cloud,
        replica_plan=replica_plan,
        replica_flag=detected if replica_flag == "auto" else replica_flag,
        flag_was_asked=replica_flag != "auto",
        primary_args=tuple(primary_arg or ()),
        replica_args=tuple(replica_arg or ()),
        allow_any_plan=allow_any_plan,
        verify=verify,
        samples=samples,
        running_timeout=running_timeout,
        backup_timeout=backup_timeout,
        link_timeout=link_timeout,
        drills=creations(project),
    )
    enabling = plan_enable(want)
    plan = enabling.plan
    if dry_run:
        show_preview("enable", plan, asking.avn, json=json)
        return
    session = Session("enable", json=json, primary=primary, replica=replica, project=project)
    run = session.perform(plan, program, asking.call_timeout, checks_only=check)
    if check:
        _checked(session, run, enabling)
        return
    _finish(session, run, enabling)


def _checked(session: Session, run: "Run", enabling: Enable) -> None:
    want, to_create = enabling.want, list(enabling.missing(run.seen))
    what = f"{' and '.join(to_create)} would be created" if to_create else "both exist, nothing would be created"
    result = {"primary": want.primary, "replica": want.replica, "would_go": True, "to_create": to_create}
    session.finish(run, result, [f"{want.primary} → {want.replica}: all pre-checks passed; {what}"])


def _finish(session: Session, run: "Run", enabling: Enable) -> None:
    want, result = enabling.want, enabling.summarize(run.seen)
    what = "are now a pair" if run.changed else "were a pair already: nothing was changed"
    proof = "replication is proven" if want.verify else "replication is NOT proven (--no-verify)"
    rows = [
        (role, side["name"], f"{side['type']} {side['plan']}", side["cloud"], side["state"])
        for role, side in (("primary", result["primary"]), ("replica", result["replica"]))
    ]
    lines = [f"{want.primary} and {want.replica} {what}; {proof}", console.table(rows)]
    lines.append(f"  integration  {result['integration']}")
    if link := result.get("link"):
        lines.append(f"  link         up, {link['lag_bytes']} bytes behind")
    if marker := result.get("marker"):
        lag = f"lag min {marker['minimum_ms']:.1f}, median {marker['median_ms']:.1f}, max {marker['maximum_ms']:.1f} ms"
        lines.append(f"  markers      {marker['arrived']} of {marker['samples']} arrived, {lag}")
    session.finish(run, result, lines)
