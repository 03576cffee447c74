"""`ccr-avn switchover`."""

from dataclasses import replace

import typer

from ccr_avn.cli.conduct import conduct
from ccr_avn.cli.options import Asking, How, refuse_unused
from ccr_avn.errors import UsageError
from ccr_avn.hooks import Hooks
from ccr_avn.options import PollInterval
from ccr_avn.procedures.switchover import Switchover


def switchover(
    *,
    context: typer.Context,
    hooks: Hooks,
    how: How,
    poll_interval: PollInterval = 5,
    verb: Switchover,
    asking: Asking,
) -> None:
    """Promote REPLICA while both sides are healthy (planned): no acknowledged write is lost.

    Examples:
      ccr-avn switchover eu us --check
      ccr-avn switchover eu us
      ccr-avn switchover eu us --yes --write-env app.env --after ./deploy.sh
    """
    if verb.fence == "observe":
        refuse_unused(context, "--fence observe", "--fence auto or client-pause", "fence_ttl")
        if verb.old_primary == "hold":
            raise UsageError(
                "--old-primary hold can't be combined with --fence observe",
                detail="hold keeps the write pause, and observe makes none",
                hint="--old-primary close",
            )
    asking.preload(unless=how.dry_run)
    how.must_be_able_to_ask()
    conduct(asking.settled(verb, poll_interval), replace(how, hooks=hooks), asking)
