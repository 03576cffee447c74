"""`ccr-avn evacuate`."""

from dataclasses import asdict
from typing import Annotated

import typer

from ccr_avn.cli.options import Asking, How, given, refuse_unused
from ccr_avn.evacuate import EvacuationOptions
from ccr_avn.hooks import Hooks
from ccr_avn.options import DryRun, Json, Yes, flag

Check = Annotated[bool, flag("Show what would be done; exit 0 if every pair can be moved, 4 if not.")]


def evacuate(
    *,
    context: typer.Context,
    check: Check = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    wanted: EvacuationOptions,
    hooks: Hooks,
    asking: Asking,
) -> None:
    """Move every pair whose primary is in CLOUD, each as `switchover` or `failover` would, with one question and one report.

    Examples:
      ccr-avn evacuate google-europe-west1 --check
      ccr-avn evacuate 'google-*' --canary 2 --write-env-dir env
      ccr-avn evacuate google-europe-west1 --auto --allow-data-loss
    """
    if wanted.forced:
        refuse_unused(context, "--forced", "switchovers (--planned, --auto)", "old_primary", "max_lag_bytes")
    how = How(check=check, dry_run=dry_run, yes=yes, json=json, hooks=hooks)
    how.must_be_able_to_ask()
    asking.preload()
    names = (*wanted.only, *wanted.excepted) if wanted.only else ()
    services = asking.begin(*names)
    from ccr_avn.cli.evacuation import Evacuation  # heavy: avn is asked already meanwhile
    from ccr_avn.evacuate.choose import Want

    Evacuation(
        want=asking.settled(Want(**asdict(wanted)), wanted.poll_interval),
        world=asking.world(),
        how=how,
        pair_words=given(context, Hooks, "yes", "poll_interval", "call_timeout", "no_preload"),
        first_list=services,
    ).run()
