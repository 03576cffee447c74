"""`ccr-avn failover`."""

import time
from typing import Annotated

import typer

from ccr_avn.aiven.avn import AVN, Project, service_named
from ccr_avn.cli import options, promotion_options
from ccr_avn.cli.options import ProjectName, Replica, flattened
from ccr_avn.cli.promotion_options import Hooking, Limits, Manner
from ccr_avn.errors import UsageError
from ccr_avn.process import Ahead, find_avn


@flattened
def failover(
    *,
    replica: Replica,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="Required: accept that the last writes may be lost.")
    ] = False,
    manner: Manner,
    hooking: Hooking,
    force_partial: Annotated[
        bool, typer.Option("--force-partial", help="Promote a replica whose initial sync is incomplete.")
    ] = False,
    no_verify: Annotated[
        bool,
        typer.Option("--no-verify", help="Trust Aiven's API alone, where REPLICA can't be reached."),
    ] = False,
    wait_automatic: Annotated[float, options.seconds("Wait up to S seconds for automatic promotion by Aiven.")] = 0,
    project: ProjectName = None,
    limits: Limits,
    asking: options.Asking,
) -> None:
    """Promote REPLICA when its primary is dead or cut off (forced): the last writes may be lost.

    Examples:
      ccr-avn failover us --check --allow-data-loss
      ccr-avn failover us --allow-data-loss
      ccr-avn failover us --allow-data-loss --no-verify
    """
    began = time.monotonic()
    _go_together(no_verify=no_verify, looks=bool(wait_automatic) or force_partial)
    hooks = hooking.hooks(limits.hook_timeout)
    promotion_options.must_be_able_to_ask(
        yes=manner.yes or manner.check or manner.dry_run or not allow_data_loss
    )  # without that the gates refuse
    # No avn is started only to be asked who it is, and the one that matters starts before all that takes time to
    # load: every moment here is outage. So nothing heavy is imported before, by this module or what it imports.
    path = find_avn(asking.avn)
    asking.preload(unless=manner.dry_run)
    words = tuple(path if word == AVN else str(word) for word in service_named(Project(project), replica).argv)
    ahead = None if manner.dry_run else Ahead(words, deadline=asking.call_timeout)
    from ccr_avn.cli.failing_over import fail_over
    from ccr_avn.history.drills import creations
    from ccr_avn.history.promotions import promotions
    from ccr_avn.procedures.failover import FailoverRequest

    want = FailoverRequest(
        replica=replica,
        setting=asking.setting(project, limits.poll_interval),
        allow_data_loss=allow_data_loss,
        force_partial=force_partial,
        verify=not no_verify,
        wait_automatic=wait_automatic,
        promote_timeout=limits.promote_timeout,
        doubt_timeout=limits.doubt_timeout,
        recorded=promotions(project),
        drills=creations(project),
        drill_service=manner.drill_service or "",
    )
    fail_over(want, hooks, manner, ahead, path, began, asking.call_timeout)


def _go_together(*, no_verify: bool, looks: bool) -> None:
    """Raises:
    UsageError: an option would do nothing.
    """
    if no_verify and looks:
        raise UsageError(
            "--no-verify can't be combined with --wait-automatic or --force-partial",
            detail="both need a connection to the replica, and --no-verify makes none",
            hint="leave out --no-verify; or leave out --wait-automatic and --force-partial",
        )
