"""The options of a switchover."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ccr_avn import options
from ccr_avn.procedures.verb import PairVerb

OldPrimaryAction = Literal["close", "power-off", "hold", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverOptions(PairVerb):
    """What its steps are made from."""

    old_primary: Annotated[
        OldPrimaryAction, options.choice("close: no clients (ip_filter); hold: paused until Ctrl-C; open: split brain.")
    ] = "close"
    max_lag_bytes: Annotated[int, options.number("Maximum lag of REPLICA at the start, in bytes.")] = (
        options.MAX_LAG_BYTES
    )
    allow_smaller: Annotated[
        bool, options.flag("--allow-smaller", "Promote REPLICA even if the data exceeds its memory.")
    ] = False
    allow_rejected_commands: options.AllowRejected = False
    fence: Annotated[
        Literal["auto", "client-pause", "observe"],
        options.choice("observe: you stop the writers; auto: client-pause if permitted."),
    ] = "auto"
    drill_service: options.DrillService = None
    fence_ttl: Annotated[
        float,
        options.seconds(
            "If ccr-avn dies before the promotion, the write pause expires after S seconds.", options.at_least_one
        ),
    ] = 30
    catch_up_timeout: Annotated[float, options.seconds("How long writes may be paused for REPLICA to catch up.")] = 60
    promote_timeout: options.PromoteTimeout = 600
    doubt_timeout: options.DoubtTimeout = 60
