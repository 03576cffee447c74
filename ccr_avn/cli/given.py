"""The options of `evacuate`, as a value."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ccr_avn.evacuate.choose import Want
from ccr_avn.hooks import Hooks
from ccr_avn.procedures.steps import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Times are in seconds."""

    want: Want
    setting: Setting
    old_primary: Literal["close", "power-off"]
    parallel: int
    canary: int
    stop_after: int
    hooks: Hooks
    write_env_dir: Path | None
    data_timeout: float
    promote_timeout: float
    doubt_timeout: float
    call_timeout: float
    json: bool
    yes: bool
    preloaded: bool = True  # whether an avn costs little, so that more of them at once are no load
