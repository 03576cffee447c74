"""The options of a failover, in a separate module: avn is started with them before all else is loaded."""

from dataclasses import dataclass
from typing import Annotated

from ccr_avn.errors import UsageError
from ccr_avn.options import DoubtTimeout, DrillService, PromoteTimeout, Replica, flag, seconds


@dataclass(frozen=True, kw_only=True)  # no slots: a class has them from one base only
class FailoverOptions:
    """Promote REPLICA when its primary is dead or cut off (forced): the last writes may be lost."""

    replica: Replica
    allow_data_loss: Annotated[bool, flag("Required: accept that the last writes may be lost.")] = False
    force_partial: Annotated[bool, flag("Promote a replica whose initial sync is incomplete.")] = False
    no_verify: Annotated[bool, flag("Trust Aiven's API alone, where REPLICA can't be reached.")] = False
    drill_service: DrillService = None
    wait_automatic: Annotated[float, seconds("Wait up to S seconds for automatic promotion by Aiven.")] = 0
    promote_timeout: PromoteTimeout = 600
    doubt_timeout: DoubtTimeout = 60

    def __post_init__(self) -> None:
        if self.no_verify and (self.wait_automatic or self.force_partial):
            raise UsageError(
                "--no-verify can't be combined with --wait-automatic or --force-partial",
                detail="both need a connection to the replica, and --no-verify makes none",
                hint="leave out --no-verify; or leave out --wait-automatic and --force-partial",
            )
