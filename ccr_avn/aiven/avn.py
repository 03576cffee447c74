"""One pure function for each avn command. argv is spelled here and nowhere else."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ccr_avn.plan.model import Call, Word

if TYPE_CHECKING:
    from ccr_avn.aiven import models
    from ccr_avn.aiven.lineage import Recorded

AVN = "avn"
"""Stands for the installed program: the interpreters put its path there."""

NOT_ENABLED = "(integration not enabled)"
"""What avn shows in the place of an integration's id that is null."""


@dataclass(frozen=True, slots=True)
class Project:
    """The project that every command names; without a name avn falls back to its own default."""

    name: str | None = None

    @property
    def flag(self) -> tuple[str, ...]:
        return ("--project", self.name) if self.name else ()

    def command(self, *words: str) -> str:
        """A ``ccr-avn`` or ``avn`` command to type, in this project."""
        return shlex.join((*words, *self.flag))


@cache
def _reader(name: str, *more: Any) -> Callable[[str], Any]:
    """The reader of that name, one for each; loaded when there is something to read: an argv has not its weight."""

    def parse(stdout: str) -> Any:
        from ccr_avn.aiven import models

        return getattr(models, name)(stdout, *more)

    return parse


def _ask(reader: str, *words: Word, from_list: Callable[[Mapping[str, Any]], Any] | None = None) -> Call[Any]:
    return Call((AVN, *words, "--json"), parse=_reader(reader), from_list=from_list)


def _change(*words: Word, hint: str = "", hints: Mapping[int, str] = {}) -> Call[None]:
    """Its output can't be relied on: a read afterwards shows whether it took effect."""
    return Call((AVN, *words), parse=lambda _: None, hint=hint, hints=hints)


CREATE_HELP = Call((AVN, "service", "create", "--help"), parse=str)
"""Local: which flags the installed avn has."""
VERSION = Call((AVN, "--version"), parse=str.strip)
"""Local: ``aiven-client 4.18.0``."""
USER_INFO: Call[tuple[dict[str, object], ...]] = _ask("objects", "user", "info")


def _of_project(reader: str, *words: Word) -> Callable[[Project], Call[Any]]:
    return lambda project: _ask(reader, *words, *project.flag)


Objects = Callable[[Project], Call[tuple[dict[str, object], ...]]]
project_details: Objects = _of_project("objects", "project", "details")
cloud_list: Objects = _of_project("objects", "cloud", "list")  # those that this project may use
vpc_list: "Callable[[Project], Call[tuple[models.Vpc, ...]]]" = _of_project("vpcs", "vpc", "list")
integration_types: "Callable[[Project], Call[tuple[models.IntegrationType, ...]]]" = _of_project(
    "integration_types", "service", "integration-types-list"
)


def service_list(project: Project, *names: str) -> "Call[tuple[models.Service, ...]]":
    """The services of these names that exist, or all that can have read replicas. Unknown names are left out, exit 0."""
    if not names:
        return _ask("services", "service", "list", *project.flag)
    words = ("service", "list", *names, *project.flag)
    return _ask("named_services", *words, from_list=lambda rows: [rows[name] for name in names if name in rows])


def service_family(
    project: Project, *names: str, recorded: "tuple[Recorded, ...]" = ()
) -> "Call[tuple[models.Service, ...]]":
    """The same with all that belongs to them: primaries, other replicas, and what was promoted from one, as is recorded."""

    def from_list(rows: Mapping[str, Any]) -> list[Any]:
        from ccr_avn.aiven import models

        named, others = models.family_in(rows, names, recorded)
        return [*named, *others]

    return replace(service_list(project), parse=_reader("family", names, recorded), from_list=from_list)


def service_get(project: Project, name: str) -> "Call[models.Service]":
    return _ask("service", "service", "get", name, *project.flag, from_list=lambda rows: rows.get(name))


def service_named(project: Project, name: Word) -> "Call[tuple[models.Service, ...]]":
    """One service, or none where it does not exist. It needs no list, which a stranger's odd service can break."""
    return replace(_ask("named_services", "service", "get", name, *project.flag), absent=())


def backup_list(project: Project, name: str) -> "Call[tuple[models.Backup, ...]]":
    """Since avn 2.14.8."""
    return _ask("backups", "service", "backup-list", name, *project.flag)


def integration_list(project: Project, name: str) -> "Call[tuple[models.Integration, ...]]":

    def from_list(rows: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        own = rows.get(name, {}).get("service_integrations")
        if not isinstance(own, list) or not all(isinstance(one, dict) for one in own):
            return None
        return [{**one, "service_integration_id": one.get("service_integration_id") or NOT_ENABLED} for one in own]

    return _ask("integrations", "service", "integration-list", name, *project.flag, from_list=from_list)


def integration_delete(project: Project, integration: Word, *, hint: str = "") -> Call[None]:
    """Asks nothing, waits for nothing, prints nothing; a read must prove it."""
    return _change("service", "integration-delete", integration, *project.flag, hint=hint)


def service_create(
    project: Project,
    name: str,
    *,
    service_type: Word,
    plan: str,
    cloud: str,
    extra: tuple[Word, ...] = (),
    hint: str = "",
    hints: Mapping[int, str] = {},
) -> Call[None]:
    """Prints nothing on success and has no ``--json``."""
    what = ("-t", service_type, "--plan", plan, "--cloud", cloud)
    return _change("service", "create", name, *project.flag, *what, *extra, hint=hint, hints=hints)


def service_update(project: Project, name: str, *changes: Word) -> Call[None]:
    return _change("service", "update", name, *project.flag, *changes)


def service_terminate(project: Project, name: str, *, hint: str = "") -> Call[None]:
    """avn asks nothing with ``--force``."""
    return _change("service", "terminate", name, *project.flag, "--force", hint=hint)


def tags_list(project: Project, name: str) -> "Call[tuple[models.Tag, ...]]":
    def from_list(rows: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        tags = rows.get(name, {}).get("tags")
        return [{"key": key, "value": value} for key, value in tags.items()] if isinstance(tags, dict) else None

    return _ask("tags", "service", "tags", "list", name, *project.flag, from_list=from_list)


def tags_update(project: Project, name: str, *tags: Word, remove: tuple[str, ...] = ()) -> Call[None]:
    """``tags``: as ``key=value``; ``remove``: keys."""
    words = [word for tag in tags for word in ("--add-tag", tag)] + [
        word for key in remove for word in ("--remove-tag", key)
    ]
    return _change("service", "tags", "update", name, *project.flag, *words)


def service_plans(project: Project, cloud: str) -> "Call[models.Offers]":
    """All types, plans and clouds in one read, which is large; without a cloud avn says a sentence before the JSON."""
    return _ask("offers", "service", "plans", *project.flag, "--cloud", cloud)


def maintenance_start(project: Project, name: str) -> Call[None]:
    return _change("service", "maintenance-start", name, *project.flag)


def read_replica_words(flag: str, primary: str) -> tuple[str, ...]:
    """The two spellings of one request: only the first is in any avn released so far."""
    if flag == "read-replica-for":
        return ("--read-replica-for", primary)
    return ("--service-integration", f"source_service={primary},integration_type=read_replica")
