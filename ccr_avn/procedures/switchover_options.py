"""The options of a switchover."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ccr_avn.options import (
    MAX_LAG_BYTES,
    AllowRejected,
    DoubtTimeout,
    DrillService,
    PromoteTimeout,
    at_least_one,
    choice,
    flag,
    number,
    seconds,
)
from ccr_avn.procedures.verb import PairVerb

OldPrimaryAction = Literal["close", "power-off", "hold", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverOptions(PairVerb):
    """What its steps are made from."""

    old_primary: Annotated[
        OldPrimaryAction, choice("close: no clients (ip_filter); hold: paused until Ctrl-C; open: split brain.")
    ] = "close"
    max_lag_bytes: Annotated[int, number("Maximum lag of REPLICA to begin with, in bytes.")] = MAX_LAG_BYTES
    allow_smaller: Annotated[bool, flag("--allow-smaller", "Promote REPLICA even if the data exceeds its memory.")] = (
        False
    )
    allow_rejected_commands: AllowRejected = False
    fence: Annotated[
        Literal["auto", "client-pause", "observe"],
        choice("observe: you stop the writers; auto: client-pause if permitted."),
    ] = "auto"
    drill_service: DrillService = None
    fence_ttl: Annotated[
        float,
        seconds("If ccr-avn dies before the promotion, the write pause expires after S seconds.", at_least_one),
    ] = 30
    catch_up_timeout: Annotated[float, seconds("How long writes may be paused for REPLICA to catch up.")] = 60
    promote_timeout: PromoteTimeout = 600
    doubt_timeout: DoubtTimeout = 60
    family: tuple[str, ...] = ()  # what belongs to PRIMARY, by name; empty: all services are looked at
