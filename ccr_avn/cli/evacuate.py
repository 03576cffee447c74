"""`ccr-avn evacuate`."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccr_avn.cli import options
from ccr_avn.cli.options import DryRun, Json, ProjectName, flattened
from ccr_avn.cli.promotion_options import Hooking, Limits, Yes
from ccr_avn.cli.questions import must_be_able_to_ask
from ccr_avn.errors import UsageError
from ccr_avn.monitoring.ask import begin
from ccr_avn.output import console

if TYPE_CHECKING:
    from ccr_avn.evacuate.choose import Mode
    from ccr_avn.process import Answer

CLOUD = re.compile(r"[a-z][a-z0-9_-]*\*?")


Names = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", callback=options.a_name, help="Only pairs with this service; repeatable."),
]
Excepted = Annotated[
    list[str] | None,
    typer.Option(
        "--except", metavar="NAME", callback=options.a_name, help="Exclude pairs with this service; repeatable."
    ),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="K=V", help="Only primaries that have this tag; repeatable.")
]


@flattened
def evacuate(
    *,
    context: typer.Context,
    cloud: Annotated[
        list[str], typer.Argument(metavar="CLOUD...", help="Clouds to evacuate; PREFIX* matches several.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Show what would be done; exit 0 if every pair can be moved, 4 if not.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    planned: Annotated[bool, typer.Option("--planned", help="Only switch over, without loss (the default).")] = False,
    forced: Annotated[bool, typer.Option("--forced", help="Fail over: the primaries are lost.")] = False,
    auto: Annotated[
        bool, typer.Option("--auto", help="Switch over healthy pairs, fail over those whose primary is lost.")
    ] = False,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="Required by --forced and --auto: the last writes may be lost.")
    ] = False,
    only: Names = None,
    excepted: Excepted = None,
    tag: Tags = None,
    canary: Annotated[int, options.number("Number of pairs to finish before the others start.")] = 1,
    parallel: Annotated[int, options.count("How many pairs may have their writes paused at the same time.")] = 10,
    stop_after: Annotated[int, options.count("Start no more pairs once N have failed.")] = 1,
    max_lag_bytes: Annotated[int, options.number("Maximum lag of a replica to begin with, in bytes.")] = 31_457_280,
    allow_rejected_commands: options.AllowRejected = False,
    old_primary: Annotated[
        Literal["close", "power-off"],
        typer.Option(help="After a switchover: closed to clients (ip_filter), or powered off."),
    ] = "close",
    write_env_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write REDIS_URL and VALKEY_URL of each to DIR/NEW-PRIMARY.env (mode 0600).",
            callback=options.a_directory,
        ),
    ] = None,
    hooking: Hooking,
    project: ProjectName = None,
    data_timeout: Annotated[
        float, options.seconds("Time limit for all servers to answer the first check.", options.above_zero)
    ] = 3,
    limits: Limits,
    asking: options.Asking,
) -> None:
    """Move every pair whose primary is in CLOUD, each by the plan of `switchover` or `failover`; one question, one report.

    Examples:
      ccr-avn evacuate google-europe-west1 --check
      ccr-avn evacuate 'google-*' --canary 2 --write-env-dir env
      ccr-avn evacuate google-europe-west1 --auto --allow-data-loss
    """
    mode = _mode(planned=planned, forced=forced, auto=auto, allow_data_loss=allow_data_loss)
    if forced:
        options.refuse_unused(context, "--forced", "switchovers (--planned, --auto)", "old_primary", "max_lag_bytes")
    tags, clouds = _tags(tag or []), _clouds(cloud)
    hooks = hooking.hooks(limits.hook_timeout)
    if not (check or dry_run):
        must_be_able_to_ask(yes=yes)
    asking.preload()
    told: list[Answer] = []
    began = time.monotonic()
    names = (*only, *(excepted or ())) if only else ()
    answer = begin(asking.avn, project, asking.call_timeout, names, console.note, told.append)
    from ccr_avn.cli.evacuating import Evacuation, FirstList  # heavy: avn is asked already meanwhile
    from ccr_avn.cli.one_of_many import Given
    from ccr_avn.evacuate.choose import Want

    setting = asking.setting(project, limits.poll_interval, allow_rejected=allow_rejected_commands)
    Evacuation(
        Given(
            want=Want(
                clouds=clouds,
                mode=mode,
                max_lag_bytes=max_lag_bytes,
                only=tuple(only or ()),
                excepted=tuple(excepted or ()),
                tags=tags,
                rejections=setting.rejections,
            ),
            setting=setting,
            old_primary=old_primary,
            parallel=parallel,
            canary=canary,
            stop_after=stop_after,
            hooks=hooks,
            write_env_dir=write_env_dir,
            data_timeout=data_timeout,
            promote_timeout=limits.promote_timeout,
            doubt_timeout=limits.doubt_timeout,
            call_timeout=asking.call_timeout,
            json=json,
            yes=yes,
            words=options.given(context, Hooking, Limits, "yes", "call_timeout", "no_preload"),
            words_of_switchovers=options.given(context, "old_primary", "max_lag_bytes", "allow_rejected_commands"),
        ),
        FirstList(answer=answer, told=told, began=began),
    ).run(check=check, dry_run=dry_run)


def _mode(*, planned: bool, forced: bool, auto: bool, allow_data_loss: bool) -> "Mode":
    """Raises:
    UsageError: two were given, or loss was not allowed.
    """
    if planned + forced + auto > 1:
        raise UsageError(
            "--planned, --forced and --auto can't be combined",
            detail="each says how all pairs are moved",
            hint="give one of them; --planned is the default",
        )
    if (forced or auto) and not allow_data_loss:
        raise UsageError(
            f"--{'forced' if forced else 'auto'} needs --allow-data-loss",
            detail="a failover may lose acknowledged writes",
            hint="look first with --planned --check; if the loss is acceptable, add --allow-data-loss",
        )
    return "forced" if forced else "auto" if auto else "planned"


def _clouds(given: list[str]) -> tuple[str, ...]:
    for one in given:
        if not CLOUD.fullmatch(one):
            raise UsageError(
                f"invalid value for CLOUD: {one!r}",
                detail="a cloud name, or the start of some, followed by *",
                hint="see `avn cloud list`; quote the star: 'google-*'",
            )
    return tuple(dict.fromkeys(given))


def _tags(given: list[str]) -> tuple[tuple[str, str], ...]:
    for one in given:
        if "=" not in one or one.startswith("="):
            raise UsageError(f"invalid value for --tag: {one!r}", detail="a key and a value", hint="--tag wave=1")
    return tuple((key, value) for key, _, value in (one.partition("=") for one in given))
