"""`ccr-avn enable`."""

from dataclasses import replace

import typer

from ccr_avn.aiven.program import identify
from ccr_avn.cli.conduct import conduct
from ccr_avn.cli.options import Asking, How, refuse_unused
from ccr_avn.options import Check, DryRun, Json, PollInterval
from ccr_avn.procedures.enable import Enable


def enable(
    *,
    context: typer.Context,
    check: Check = False,
    dry_run: DryRun = False,
    json: Json = False,
    verb: Enable,
    poll_interval: PollInterval = 5,
    asking: Asking,
) -> None:
    """Create PRIMARY and its read replica REPLICA unless they exist, and prove that data arrives.

    Examples:
      ccr-avn enable eu us --primary-cloud do-fra --replica-cloud aws-us-east-1
      ccr-avn enable eu us --replica-cloud aws-us-east-1 --check
      ccr-avn enable eu us --replica-cloud aws-us-east-1 --dry-run
    """
    if not verb.verify:
        refuse_unused(context, "--no-verify", "--verify", "samples", "link_timeout")
    asking.preload()
    program = identify(asking.avn, with_help=True)
    verb = replace(asking.settled(verb, poll_interval), flag_of_avn=program.replica_flag)
    conduct(verb, How(json=json, check=check, dry_run=dry_run), asking, asking.world(program))
