"""What the options that most commands share make: how avn and the servers are asked, and whether options fit together."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from ccr_avn.aiven.avn import Project
from ccr_avn.errors import UsageError
from ccr_avn.options import Avn, CaFile, CallTimeout, NoPreload, Route, RouteName
from ccr_avn.process import find_avn, preload_avn

if TYPE_CHECKING:
    from ccr_avn.procedures.setting import Setting
    from ccr_avn.procedures.verb import Verb

    V = TypeVar("V", bound=Verb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How avn and the servers are asked: the last options of most commands. Times are in seconds."""

    call_timeout: CallTimeout = 60
    ca_file: CaFile = None
    route: Route = None
    avn: Avn = None
    no_preload: NoPreload = False

    def setting(self, project: str | None, poll_interval: float = 5.0, **more: Any) -> "Setting":
        """``more``: what :func:`setting_of` takes besides."""
        return setting_of(project, self.ca_file, self.route, avn=self.avn, poll_interval=poll_interval, **more)

    def settled(self, verb: "V", project: str | None, poll_interval: float = 5.0) -> "V":
        """The verb where it is to work."""
        allowed = getattr(verb, "allow_rejected_commands", None)
        return replace(verb, at=self.setting(project, poll_interval, allow_rejected=allowed))

    def preload(self, *, unless: bool = False) -> None:
        """Have avn loaded in the background; ``unless``: it will not be asked.

        Raises:
            UsageError: there is no avn.
        """
        if not (self.no_preload or unless):
            preload_avn(find_avn(self.avn))


def setting_of(
    project: str | None,
    ca_file: Path | None = None,
    route: RouteName | None = None,
    *,
    avn: str | None = None,
    poll_interval: float = 5.0,
    allow_rejected: bool | None = None,
    run: str = "",
) -> "Setting":
    """What all procedures need, from the options that were typed. ``poll_interval``: seconds."""
    from ccr_avn.history.journals import JournalsHere  # heavy: what --help and an avn begun early do without
    from ccr_avn.procedures.setting import Setting

    return Setting(
        project=Project(project),
        ca_file=ca_file,
        poll_interval=max(poll_interval, 0.1),
        avn=avn,
        route=route,
        run=run,
        journals=JournalsHere(project),
        allow_rejected=allow_rejected,
    )


def given(context: typer.Context, *wanted: str | type) -> tuple[str, ...]:
    """These options, and the fields of these groups, as words: those that were given."""
    names = {name for one in wanted for name in ([one] if isinstance(one, str) else [own.name for own in fields(one)])}
    found: list[str] = []
    for one in context.command.params:
        source = context.get_parameter_source(str(one.name))
        if one.name in names and source and source.name != "DEFAULT":
            value = context.params[one.name]
            found += [one.opts[0]] if value is True else [one.opts[0], str(value).removesuffix(".0")]
    return tuple(found)


def refuse_unused(context: typer.Context, beside: str, where: str, *options: str, use: str = "") -> None:
    """Refuse ``options`` where they do nothing: with ``beside``, as it was typed. They apply to ``where``; ``use``: typed so.

    Raises:
        UsageError: one was given.
    """
    sources = {name: context.get_parameter_source(name) for name in options}
    given = ["--" + name.replace("_", "-") for name, source in sources.items() if source and source.name != "DEFAULT"]
    if given:
        raise UsageError(
            f"{' and '.join(given)} {'do' if len(given) > 1 else 'does'} nothing with {beside}",
            detail=f"{'they apply' if len(given) > 1 else 'it applies'} to {where} only",
            hint=f"leave out {' and '.join(given)}, or {use or beside}",
        )
