"""What `ccr-avn gate drill-…` is told in words, as a drill's own steps have it."""

from typing import TYPE_CHECKING

from ccr_avn.cli.alone import Alone
from ccr_avn.cli.primitives import parsed
from ccr_avn.errors import UsageError
from ccr_avn.procedures.examination import TRIED, Subject, is_shut, trial
from ccr_avn.procedures.gates.drill import MADE, Made

if TYPE_CHECKING:
    from ccr_avn.plan.model import Step
    from ccr_avn.valkey.trials import Tried


def known(assumption: str) -> None:
    """Raises:
    UsageError: it is none that can be tried by itself.
    """
    if assumption not in TRIED:
        raise UsageError(f"no such ASSUMPTION: {assumption}", detail=f"there are {', '.join(TRIED)}", hint="name one")


def alone(
    asked: Alone, name: str, assumption: str, *, primary: str | None, followed: str | None, run: str | None
) -> "Step[Tried]":
    """What only a whole run knows is not known here, and told so."""
    find = asked.find(name, *((primary,) if primary else ()))
    return trial(
        Subject(
            primary=primary or "",
            name=name,
            setting=asked.setting,
            find=find,
            before=lambda _: None,
            after=lambda seen: find(seen, name),
            followed=lambda _: _replid(followed),
            noted=followed or "",
            closed=lambda seen: is_shut(find(seen, name)),
            opened=lambda seen: not is_shut(find(seen, name)),
            tags=lambda seen: find(seen, name).tags,
            run=run or "",
            filter_timeout=asked.timeout,
            backup_timeout=0.0,
            quiet=asked.timeout,
        ),
        assumption,
    )


def made_by(name: str, run: str, tag: str) -> Made:
    """Raises:
    UsageError: it is no tag that `gate drill-made` prints.
    """
    key, _, value = tag.partition("=")
    if key != MADE or not value.isdigit():
        hint = "take what `ccr-avn gate drill-made … --print made` prints"
        raise UsageError("--made is no such tag", detail=f"it is {tag[:80]!r}", hint=hint)
    return Made(name=name, primary="", run=run, sent="answered", created=int(value))


def _replid(token: str | None) -> str:
    return parsed(token).replid if token else ""
