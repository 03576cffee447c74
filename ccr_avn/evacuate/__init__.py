"""Moves every pair of a cloud. Here are its options: avn is started with them before all else is loaded."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ccr_avn.errors import UsageError
from ccr_avn.options import (
    MAX_LAG_BYTES,
    AllowRejected,
    DoubtTimeout,
    Opt,
    PollInterval,
    PromoteTimeout,
    a_directory,
    a_name,
    above_zero,
    choice,
    count,
    flag,
    number,
    seconds,
    word,
)

Mode = Literal["planned", "forced", "auto"]


def _cloud(where: str, cloud: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_-]*\*?", cloud):
        raise UsageError(
            f"invalid value for {where}: {cloud!r}",
            detail="a cloud name, or the start of some, followed by *",
            hint="see `avn cloud list`; quote the star: 'google-*'",
        )


def _tag(option: str, tag: str) -> None:
    if "=" not in tag or tag.startswith("="):
        raise UsageError(f"invalid value for {option}: {tag!r}", detail="a key and a value", hint=f"{option} wave=1")


Clouds = Opt(help="Clouds to evacuate; PREFIX* matches several.", metavar="CLOUD...", argument=True, rule=_cloud)
EXCEPT = Opt(help="Exclude pairs with this service; repeatable.", metavar="NAME", names=("--except",), rule=a_name)
FILES = word("DIR", "Write REDIS_URL and VALKEY_URL of each to DIR/NEW-PRIMARY.env (mode 0600).", a_directory)


@dataclass(frozen=True, kw_only=True)  # no slots: a class has them from one base only
class EvacuationOptions:
    """What is moved, in which order, and how. Times are in seconds."""

    cloud: Annotated[tuple[str, ...], Clouds]
    planned: Annotated[bool, flag("Only switch over, without loss (the default).")] = False
    forced: Annotated[bool, flag("Fail over: the primaries are lost.")] = False
    auto: Annotated[bool, flag("Switch over healthy pairs, fail over those whose primary is lost.")] = False
    allow_data_loss: Annotated[bool, flag("Required by --forced and --auto: the last writes may be lost.")] = False
    only: Annotated[tuple[str, ...], word("NAME", "Only pairs with this service; repeatable.", a_name)] = ()
    excepted: Annotated[tuple[str, ...], EXCEPT] = ()
    tag: Annotated[tuple[str, ...], word("K=V", "Only primaries that have this tag; repeatable.", _tag)] = ()
    canary: Annotated[int, number("Number of pairs to finish before the others start.")] = 1
    parallel: Annotated[int, count("How many pairs may have their writes paused at the same time.")] = 10
    stop_after: Annotated[int, count("Start no more pairs once N have failed.")] = 1
    max_lag_bytes: Annotated[int, number("Maximum lag of a replica at the start, in bytes.")] = MAX_LAG_BYTES
    allow_rejected_commands: AllowRejected = False
    old_primary: Annotated[
        Literal["close", "power-off"], choice("After a switchover: closed to clients (ip_filter), or powered off.")
    ] = "close"
    write_env_dir: Annotated[Path | None, FILES] = None
    data_timeout: Annotated[float, seconds("Time limit for all servers to answer the first check.", above_zero)] = 3
    promote_timeout: PromoteTimeout = 600
    doubt_timeout: DoubtTimeout = 60
    poll_interval: PollInterval = 5

    @property
    def clouds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.cloud))

    @property
    def mode(self) -> Mode:
        return "forced" if self.forced else "auto" if self.auto else "planned"

    def __post_init__(self) -> None:
        """Raises:
        UsageError: two modes were given, or loss was not allowed.
        """
        if self.planned + self.forced + self.auto > 1:
            raise UsageError(
                "--planned, --forced and --auto can't be combined",
                detail="each says how all pairs are moved",
                hint="give one of them; --planned is the default",
            )
        if self.mode != "planned" and not self.allow_data_loss:
            raise UsageError(
                f"--{self.mode} needs --allow-data-loss",
                detail="a failover may lose acknowledged writes",
                hint="check first with --planned --check; if the loss is acceptable, add --allow-data-loss",
            )
