"""`ccr-avn failover`."""

from dataclasses import asdict, replace

from ccr_avn import clock
from ccr_avn.aiven.avn import Project, service_named
from ccr_avn.cli.options import Asking, How
from ccr_avn.hooks import Hooks
from ccr_avn.options import FailoverOptions, PollInterval
from ccr_avn.process import Ahead, find_avn


def failover(
    *, hooks: Hooks, how: How, poll_interval: PollInterval = 5, wanted: FailoverOptions, asking: Asking
) -> None:
    """Promote REPLICA when its primary is dead or cut off (forced): the last writes may be lost.

    Examples:
      ccr-avn failover us --check --allow-data-loss
      ccr-avn failover us --allow-data-loss
      ccr-avn failover us --allow-data-loss --no-verify
    """
    began = clock.monotonic()
    if wanted.allow_data_loss:  # without that the gates refuse
        how.must_be_able_to_ask()
    # No avn is started only to be asked who it is, and the one that matters starts before all that takes time to
    # load: every moment here is outage. So nothing heavy is imported before, by this module or what it imports.
    path = find_avn(asking.avn)
    asking.preload(unless=how.dry_run)
    words = map(str, service_named(Project(asking.project), wanted.replica).argv[1:])
    ahead = None if how.dry_run else Ahead((path, *words), deadline=asking.call_timeout)
    from ccr_avn.cli.conduct import conduct
    from ccr_avn.procedures.failover import Failover

    verb = asking.settled(Failover(**asdict(wanted)), poll_interval)
    world = replace(asking.world(), run=ahead.run) if ahead else None
    conduct(verb, replace(how, hooks=hooks), asking, world, began=began)
