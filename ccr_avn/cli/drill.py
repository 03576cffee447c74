"""`ccr-avn drill`."""

import sys
from typing import Annotated

import typer

from ccr_avn.cli import options
from ccr_avn.cli.options import Check, DryRun, Json, PollInterval, ProjectName, Samples, flattened
from ccr_avn.cli.promotion_options import DoubtTimeout, Yes, answer_to, must_be_able_to_ask
from ccr_avn.cli.verify import must_fit
from ccr_avn.errors import UsageError
from ccr_avn.procedures.verify import Level

Name = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", callback=options.a_name, help="Name of the temporary replica. [default: PRIMARY-drill-…]"
    ),
]


OF_A_DRILL = (
    "keep",
    "level",
    "name",
    "replica_plan",
    "replica_arg",
    "allow_any_plan",
    "samples",
    "max_ops",
    "max_minutes",
    "promote_timeout",
    "doubt_timeout",
    "filter_timeout",
    "backup_timeout",
    "quiet_seconds",
)
"""What --clean does not heed."""


@flattened
def drill(
    *,
    context: typer.Context,
    primary: Annotated[str | None, options.service("[PRIMARY]", "The primary; it is not changed.")] = None,
    replica_cloud: Annotated[
        str | None, typer.Option(metavar="C", callback=options.a_word, help="Cloud of the temporary replica.")
    ] = None,
    replica_plan: Annotated[
        str, typer.Option(metavar="PLAN", callback=options.a_word, help="Its plan: a startup plan.")
    ] = "startup-4",
    level: Annotated[Level, typer.Option(help="How thoroughly its data is compared before the promotion.")] = "values",
    name: Name = None,
    check: Check = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Don't terminate the temporary replica; print the command.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Find what interrupted drills left behind; ask, then terminate.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(metavar="NAME", callback=options.a_name, help="With --clean: only this one.")
    ] = None,
    samples: Samples = 20,
    max_ops: Annotated[
        int, options.number("Maximum commands per second on PRIMARY for --level keys, values.")
    ] = 20_000,
    replica_arg: Annotated[
        list[str] | None, typer.Option(metavar="ARG", help="Passed to `avn service create`; repeatable.")
    ] = None,
    allow_any_plan: Annotated[bool, typer.Option("--allow-any-plan", help="Let Aiven decide on the plan.")] = False,
    project: ProjectName = None,
    max_minutes: Annotated[
        float, typer.Option(metavar="M", help="Time limit for everything except the clean-up.")
    ] = 60,
    promote_timeout: Annotated[float, options.seconds("Time limit for its promotion.", options.at_least_one)] = 600,
    doubt_timeout: DoubtTimeout = 60,
    filter_timeout: Annotated[float, options.seconds("How long to wait for an IP filter to take effect.")] = 60,
    backup_timeout: Annotated[float, options.seconds("How long to wait for the first backup.")] = 600,
    quiet_seconds: Annotated[
        float, options.seconds("How long the promoted temporary replica must receive no writes.")
    ] = 5,
    poll_interval: PollInterval = 5,
    asking: options.Asking,
) -> None:
    """Create a temporary replica of PRIMARY, compare it, promote it, test every assumption on it, and terminate it.

    PRIMARY is not changed and keeps serving. Exit 16: a switchover here would not complete as intended.

    Examples:
      ccr-avn drill eu --replica-cloud aws-us-east-1 --check
      ccr-avn drill eu --replica-cloud aws-us-east-1
      ccr-avn drill --clean
    """
    if not 0 < max_minutes < float("inf"):
        raise UsageError(
            f"invalid value for --max-minutes: {max_minutes:g}", detail="more than 0", hint="--max-minutes 60"
        )
    must_fit(context, level, "max_ops")
    if clean:
        options.refuse_unused(context, "--clean", "a drill", *OF_A_DRILL)
    setting = asking.setting(project, poll_interval)
    _fits(primary, replica_cloud, clean=clean, only=only, dry_run=dry_run)
    if not (check or dry_run):
        must_be_able_to_ask(yes=yes, why="a drill creates a service that is billed" if not clean else "it terminates")
    asking.preload(unless=dry_run)
    if clean:
        from ccr_avn.cli.cleaning import Cleaning

        Cleaning(setting=setting, only=only, call_timeout=asking.call_timeout, yes=yes, json=json).run(check=check)
        return
    from ccr_avn.aiven.program import identify
    from ccr_avn.cli.drilling import Drilling
    from ccr_avn.cli.session import Session
    from ccr_avn.procedures.temporary_replica import DrillRequest
    from ccr_avn.procedures.verify import Depth

    program = identify(asking.avn, with_help=True)
    session = Session("drill", json=json)
    want = DrillRequest(
        primary=str(primary),
        run=session.run_id,
        cloud=str(replica_cloud),
        setting=setting,
        plan=replica_plan,
        name=name or "",
        level=level,
        samples=samples,
        depth=Depth(max_operations=max_ops),
        keep=keep,
        any_plan=allow_any_plan,
        replica_flag="service-integration" if program.offers_service_integration else "read-replica-for",
        replica_args=tuple(replica_arg or ()),
        limit=max_minutes * 60,
        promote_timeout=promote_timeout,
        doubt_timeout=doubt_timeout,
        filter_timeout=filter_timeout,
        backup_timeout=backup_timeout,
        quiet=quiet_seconds,
    )
    if want.drill == want.primary:
        raise UsageError("--name is PRIMARY", detail=want.primary, hint="leave --name out")
    Drilling(want=want, session=session, program=program, call_timeout=asking.call_timeout, yes=yes).run(
        check=check, dry_run=dry_run
    )


def _fits(primary: str | None, cloud: str | None, *, clean: bool, only: str | None, dry_run: bool) -> None:
    """Raises:
    UsageError: what was typed belongs to neither form, or to both.
    """
    usage = "ccr-avn drill PRIMARY --replica-cloud CLOUD, or ccr-avn drill --clean"
    if clean and (primary or cloud):
        raise UsageError("--clean takes no PRIMARY", detail="it covers the whole project", hint=usage)
    if clean and dry_run:
        raise UsageError(
            "--clean has no --dry-run",
            detail="what it would terminate is only known after a look",
            hint="ccr-avn drill --clean --check",
        )
    if not clean and only:
        raise UsageError("--only is for --clean", detail="it names a service that is left over", hint=usage)
    if not clean and not (primary and cloud):
        missing = "PRIMARY" if not primary else "--replica-cloud"
        raise UsageError(
            f"{missing} is missing",
            detail="the primary to drill and the cloud of the temporary replica are required",
            hint=usage,
        )


def confirmed(question: str) -> bool:
    """Whether ``yes`` was typed."""
    return sys.stdin is not None and answer_to(question).lower() == "yes"
