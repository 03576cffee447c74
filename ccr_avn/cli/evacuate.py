"""`ccr-avn evacuate`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccr_avn import options
from ccr_avn.cli.options import Asking, HookOptions, Yes, given, must_be_able_to_ask, refuse_unused
from ccr_avn.errors import UsageError
from ccr_avn.monitoring.ask import begin
from ccr_avn.options import MAX_LAG_BYTES, Opt, a_name, choice, count, flag, number, word
from ccr_avn.output import console

if TYPE_CHECKING:
    from ccr_avn.evacuate.choose import Mode, Want
    from ccr_avn.procedures.setting import Setting


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


Names = list[str] | None
Clouds = Opt(help="Clouds to evacuate; PREFIX* matches several.", metavar="CLOUD...", argument=True, rule=_cloud)
EXCEPT = Opt(help="Exclude pairs with this service; repeatable.", metavar="NAME", names=("--except",), rule=a_name)
FILES = word("DIR", "Write REDIS_URL and VALKEY_URL of each to DIR/NEW-PRIMARY.env (mode 0600).", options.a_directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvacuationOptions:
    """What is moved, in which order, and how. Times are in seconds."""

    cloud: Annotated[list[str], Clouds]
    check: Annotated[bool, flag("--check", "Show what would be done; exit 0 if every pair can be moved, 4 if not.")] = (
        False
    )
    dry_run: options.DryRun = False
    yes: Yes = False
    json: options.Json = False
    planned: Annotated[bool, flag("--planned", "Only switch over, without loss (the default).")] = False
    forced: Annotated[bool, flag("--forced", "Fail over: the primaries are lost.")] = False
    auto: Annotated[bool, flag("--auto", "Switch over healthy pairs, fail over those whose primary is lost.")] = False
    allow_data_loss: Annotated[
        bool, flag("--allow-data-loss", "Required by --forced and --auto: the last writes may be lost.")
    ] = False
    only: Annotated[Names, word("NAME", "Only pairs with this service; repeatable.", a_name)] = None
    excepted: Annotated[Names, EXCEPT] = None
    tag: Annotated[Names, word("K=V", "Only primaries that have this tag; repeatable.", _tag)] = None
    canary: Annotated[int, number("Number of pairs to finish before the others start.")] = 1
    parallel: Annotated[int, count("How many pairs may have their writes paused at the same time.")] = 10
    stop_after: Annotated[int, count("Start no more pairs once N have failed.")] = 1
    max_lag_bytes: Annotated[int, number("Maximum lag of a replica at the start, in bytes.")] = MAX_LAG_BYTES
    allow_rejected_commands: options.AllowRejected = False
    old_primary: Annotated[
        Literal["close", "power-off"], choice("After a switchover: closed to clients (ip_filter), or powered off.")
    ] = "close"
    write_env_dir: Annotated[Path | None, FILES] = None
    data_timeout: Annotated[
        float, options.seconds("Time limit for all servers to answer the first check.", options.above_zero)
    ] = 3
    promote_timeout: options.PromoteTimeout = 600
    doubt_timeout: options.DoubtTimeout = 60
    poll_interval: options.PollInterval = 5

    @property
    def clouds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.cloud))

    @property
    def mode(self) -> "Mode":
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

    def want(self, setting: "Setting") -> "Want":
        """Which pairs are meant, and what is asked of them."""
        from ccr_avn.evacuate.choose import Want  # heavy: avn is asked meanwhile

        return Want(
            clouds=self.clouds,
            mode=self.mode,
            max_lag_bytes=self.max_lag_bytes,
            only=tuple(self.only or ()),
            excepted=tuple(self.excepted or ()),
            tags=tuple((key, value) for key, _, value in (one.partition("=") for one in self.tag or ())),
            rejections=setting.rejections,
        )


def evacuate(
    *,
    context: typer.Context,
    wanted: EvacuationOptions,
    hooking: HookOptions,
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
    hooks = hooking.hooks
    if not (wanted.check or wanted.dry_run):
        must_be_able_to_ask(yes=wanted.yes)
    asking.preload()
    names = (*wanted.only, *(wanted.excepted or ())) if wanted.only else ()
    services = begin(asking.avn, asking.project, asking.call_timeout, names, console.note)
    from ccr_avn.cli.evacuation import Evacuation  # heavy: avn is asked already meanwhile
    from ccr_avn.cli.pair_run import Common

    common = Common(
        wanted=wanted,
        setting=asking.setting(wanted.poll_interval, allow_rejected=wanted.allow_rejected_commands),
        call_timeout=asking.call_timeout,
        hooks=hooks,
        pair_words=given(context, HookOptions, "yes", "poll_interval", "call_timeout", "no_preload"),
    )
    Evacuation(common=common, first_list=services).run()
