"""`ccr-avn failover`."""

from dataclasses import asdict

from ccr_avn import clock
from ccr_avn.aiven.avn import AVN, Project, service_named
from ccr_avn.cli.options import Asking, PromotionOptions, must_be_able_to_ask
from ccr_avn.procedures.failover_options import FailoverOptions
from ccr_avn.process import Ahead, find_avn


def failover(*, promoting: PromotionOptions, wanted: FailoverOptions, asking: Asking) -> None:
    """Promote REPLICA when its primary is dead or cut off (forced): the last writes may be lost.

    Examples:
      ccr-avn failover us --check --allow-data-loss
      ccr-avn failover us --allow-data-loss
      ccr-avn failover us --allow-data-loss --no-verify
    """
    began = clock.monotonic()
    how = promoting.how()  # what can't be read of the hooks shows before anything begins
    look_only = promoting.check or promoting.dry_run
    if not look_only and wanted.allow_data_loss:  # without that the gates refuse
        must_be_able_to_ask(yes=promoting.yes)
    # No avn is started only to be asked who it is, and the one that matters starts before all that takes time to
    # load: every moment here is outage. So nothing heavy is imported before, by this module or what it imports.
    path = find_avn(asking.avn)
    asking.preload(unless=promoting.dry_run)
    words = tuple(
        path if word == AVN else str(word) for word in service_named(Project(asking.project), wanted.replica).argv
    )
    ahead = None if promoting.dry_run else Ahead(words, deadline=asking.call_timeout)
    from ccr_avn.aiven.program import known
    from ccr_avn.cli.conduct import conduct
    from ccr_avn.procedures.failover import Failover

    verb = asking.settled(Failover(**asdict(wanted)), promoting.poll_interval)
    program = None if promoting.dry_run else known(path)
    conduct(verb, how, asking, program, ahead=ahead, began=began)
