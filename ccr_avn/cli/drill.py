"""`ccr-avn drill`."""

from dataclasses import replace
from typing import Annotated

import typer

from ccr_avn import options
from ccr_avn.aiven.program import identify
from ccr_avn.cli.conduct import conduct
from ccr_avn.cli.options import Asking, How, refuse_unused, was_typed
from ccr_avn.cli.verify import must_fit
from ccr_avn.errors import UsageError
from ccr_avn.options import Check, DryRun, Json, PollInterval, Yes
from ccr_avn.output import console
from ccr_avn.plan.preview import changes
from ccr_avn.procedures.drill.clean import Clean, find
from ccr_avn.procedures.drill.drill import Drill
from ccr_avn.procedures.verb import options_of

DEFAULTS = {"primary": None, "replica_cloud": None}  # --clean needs neither
USAGE = "ccr-avn drill PRIMARY --replica-cloud CLOUD, or ccr-avn drill --clean"


def drill(
    *,
    context: typer.Context,
    verb: Drill,
    check: Check = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    clean: Annotated[bool, options.flag("Find what interrupted drills left behind; ask, then terminate.")] = False,
    only: Annotated[str | None, options.word("NAME", "With --clean: only this one.", options.a_name)] = None,
    poll_interval: PollInterval = 5,
    asking: Asking,
) -> None:
    """Create a temporary replica of PRIMARY, compare it, promote it, test every assumption on it, and terminate it.

    PRIMARY is not changed and keeps serving. Exit 16: a switchover here would not complete as intended.

    Examples:
      ccr-avn drill eu --replica-cloud aws-us-east-1 --check
      ccr-avn drill eu --replica-cloud aws-us-east-1
      ccr-avn drill --clean
    """
    must_fit(context, verb.level, "max_ops")
    if clean:
        if verb.primary or was_typed(context, "replica_cloud"):
            raise UsageError("--clean takes no PRIMARY", detail="it covers the whole project", hint=USAGE)
        if dry_run:
            raise UsageError(
                "--clean has no --dry-run",
                detail="which services it would terminate is only known after querying Aiven",
                hint="ccr-avn drill --clean --check",
            )
        refuse_unused(context, "--clean", "a drill", *options_of(Drill))
    elif only:
        raise UsageError("--only requires --clean", detail="it names a service that a drill left behind", hint=USAGE)
    elif missing := "PRIMARY" if not verb.primary else "" if verb.replica_cloud else "--replica-cloud":
        why = "the primary to drill and the cloud of the temporary replica are required"
        raise UsageError(f"{missing} is missing", detail=why, hint=USAGE)
    how = How(json=json, check=check, dry_run=dry_run, yes=yes, shown=changes)
    how.must_be_able_to_ask("it terminates services" if clean else "a drill creates a service that is billed")
    asking.preload(unless=dry_run)
    program = identify(asking.avn, with_help=not clean)
    world = asking.world(program)
    if clean:
        at = asking.setting(poll_interval)
        found = find(at, only, world, console.note)
        conduct(Clean(at=at, only=only, found=found), how, asking, world)
        return
    conduct(replace(asking.settled(verb, poll_interval), flag_of_avn=program.replica_flag), how, asking, world)
