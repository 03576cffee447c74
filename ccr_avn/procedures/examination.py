"""The steps of a drill that test each assumption, on the promoted throw-away only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Backup, Service
from ccr_avn.plan.model import Act, Finding, Gate, Later, Poll, Probe, Results, Step, go, todo, wait
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.gates.assumptions import BY_NAME, is_tried
from ccr_avn.procedures.gates.drill import TAG
from ccr_avn.procedures.gates.settings import NOBODY, networks
from ccr_avn.procedures.steps import Find, Setting, endpoint
from ccr_avn.valkey import trials
from ccr_avn.valkey.route import addresses
from ccr_avn.valkey.trials import Tried, fails, holds, tried, untried
from ccr_avn.valkey.writes import Kept

KEPT = "connection-kept"

CARRIED = ("user", "password", "setting", "version")
"""What a replica may take over from its primary; the rest is as it was ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is examined. ``before`` and ``after``: as the platform showed it on either side of its promotion.

    ``followed``: the replication ID before; times are in seconds.
    """

    primary: str
    name: str
    setting: Setting
    find: Find
    before: Callable[[Results], Service]
    after: Callable[[Results], Service]
    followed: Callable[[Results], str]
    tags: Callable[[Results], Mapping[str, Any]]
    run: str
    filter_timeout: float
    backup_timeout: float
    quiet: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The steps in their order."""

    steps: tuple[Step[Any], ...]


def examination(subject: Subject) -> Examined:
    """Cheap ones first; those that close it and those that take their time come last."""
    return Examined(
        steps=(
            *(_trial(subject, name, attempt) for name, attempt in _attempts(subject)),
            _keep_connection(subject),
            _close(subject),
            _trial(subject, "filter-refuses", lambda seen: _filter_refuses(subject, seen)),
            _trial(subject, "filter-cuts", lambda seen: _filter_cuts(subject, seen)),
            _open(subject),
            _trial(subject, "filter-opens", lambda seen: _filter_opens(subject, seen)),
            _first_backup(subject),
        )
    )


def _attempts(subject: Subject) -> tuple[tuple[str, Callable[[Results], Tried]], ...]:
    def on_server(attempt: Callable[..., Tried], *more: Any) -> Callable[[Results], Tried]:
        return lambda seen: attempt(endpoint(subject.find(seen, subject.name), subject.setting), *more)

    def strangers(seen: Results) -> Tried:
        service = subject.find(seen, subject.name)
        users = frozenset({"default", *(one.username for one in service.users)})
        return trials.nobody_of_the_platform(endpoint(service, subject.setting), users)

    def history(seen: Results) -> Tried:
        return trials.carries(endpoint(subject.find(seen, subject.name), subject.setting), subject.followed(seen))

    return (
        ("plan-names", lambda seen: holds(f"{subject.after(seen).plan} in {subject.after(seen).cloud} was created")),
        ("replicas-are-offered", lambda _: holds("one was created")),
        ("deletion-promotes", lambda _: holds("its role was master after the integration was deleted")),
        ("token-rights", lambda _: holds("a service was created, and an integration was deleted")),
        ("tags-are-kept", lambda seen: _tags(subject, seen)),
        ("password-is-kept", lambda seen: _password(subject, seen)),
        ("history-is-kept", history),
        ("info-shows-history", on_server(trials.info_shows_history)),
        ("no-platform-clients", strangers),
        ("client-list-is-whole", on_server(trials.clients_are_shown)),
        ("platform-does-not-write", on_server(trials.quiet, subject.quiet)),
        ("client-commands", on_server(trials.client_commands)),
        ("pause-holds-writes", on_server(trials.pause_holds_writes)),
        ("info-shows-the-pause", on_server(trials.info_shows_the_pause)),
        ("certificate", on_server(trials.certificate)),
        ("routes", lambda seen: _routes(subject, seen)),
        ("carried-over", lambda seen: _carried(subject, seen)),
    )


def _trial(subject: Subject, name: str, attempt: Callable[[Results], Tried]) -> Step[Tried]:
    return Step(
        slug=name,
        purpose=f"try whether {BY_NAME[name].what}",
        read=Probe(subject.setting.gate("drill-try", subject.name, name), lambda seen: tried(lambda: attempt(seen))),
        gate=is_tried(name),
        optional=True,
    )


def _tags(subject: Subject, seen: Results) -> Tried:
    if subject.tags(seen).get(TAG) == subject.run:
        return holds(f"tag {TAG} was set and is read back")
    return fails(f"tag {TAG} could not be set, or is not read back")


def _password(subject: Subject, seen: Results) -> Tried:
    before, after = (
        {one.username: one.password.get_secret_value() if one.password else "" for one in side.users}
        for side in (subject.before(seen), subject.after(seen))
    )
    was, is_now = (
        side.uri.get_secret_value() if side.uri else "" for side in (subject.before(seen), subject.after(seen))
    )
    if before.get("default") != after.get("default") or _user_part(was) != _user_part(is_now):
        return fails("Aiven shows a different password for the user default than before the promotion")
    return holds(f"the same for {', '.join(sorted(after)) or 'default'}, and accepted")


def _user_part(uri: str) -> str:
    return uri.rpartition("@")[0].rpartition("/")[2]


def _routes(subject: Subject, seen: Results) -> Tried:
    service = subject.after(seen)
    known = addresses(service)
    own = {f"{one.host}:{one.port}" for one in service.components if one.usage == "primary"}
    uri = known.get("dynamic", "").rpartition("@")[2].partition("/")[0]
    if not own:
        return fails("Aiven lists no component with usage primary")
    told = f"its routes: {', '.join(sorted(known))}"
    return holds(told) if uri in own else fails(f"its service_uri is none of them; {told}")


def _carried(subject: Subject, seen: Results) -> Tried:
    old, new = subject.find(seen, subject.primary), subject.after(seen)
    found = [one.text for one in parity.of_services(subject.setting.project, old, new) if one.topic in CARRIED]
    if found:
        return fails("; ".join(found))
    return holds("users, rights, IP filter and settings are those of the primary")


def _keep_connection(subject: Subject) -> Step[bool]:
    """One from before the filter, to see whether it is cut."""

    def judge(kept: bool, _: Results) -> Finding:
        return go("a connection is kept") if kept else todo("none is kept")

    words = subject.setting.gate("last-known", subject.name)
    return Step(
        slug=KEPT,
        purpose=f"keep a connection to {subject.name} from before its filter is changed",
        read=Probe(words, lambda seen: seen.result(KEPT) is not None),
        gate=Gate("a connection is kept", judge),
        poll=Poll(limit=5),
        change=Act(words, lambda seen: Kept(endpoint(subject.find(seen, subject.name), subject.setting))),
        release=lambda seen: kept.close() if (kept := seen.result(KEPT)) else None,
        optional=True,
    )


def _is_shut(service: Service) -> bool:
    return networks(service.user_config.get("ip_filter")) == [NOBODY]


def _close(subject: Subject) -> Step[Service]:
    def judge(service: Service, _: Results) -> Finding:
        return go(f"its ip_filter is {NOBODY}") if _is_shut(service) else todo("its ip_filter admits clients")

    project = subject.setting.project
    return Step(
        slug="filter-close",
        purpose=f"close {subject.name} to client connections, as a switchover closes an old primary",
        read=avn.service_get(project, subject.name),
        gate=Gate(f"its ip_filter is {NOBODY}, a reserved address", judge),
        poll=Poll(limit=30, first=0.2, interval=2),
        change=avn.service_update(project, subject.name, "-c", f'ip_filter=["{NOBODY}"]'),
        alone=subject.setting.gate("ip-filter", subject.name, limit=30),
        optional=True,
    )


def _open(subject: Subject) -> Step[Service]:
    def before(seen: Results) -> str:
        return filter_word(subject.after(seen))

    def judge(service: Service, _: Results) -> Finding:
        return todo("its ip_filter admits no client") if _is_shut(service) else go("its ip_filter is as before")

    project = subject.setting.project
    return Step(
        slug="filter-open",
        purpose=f"put the filter of {subject.name} back",
        read=avn.service_get(project, subject.name),
        gate=Gate("its ip_filter is as before", judge),
        poll=Poll(limit=30, first=0.2, interval=2),
        change=avn.service_update(project, subject.name, "-c", Later(variable="ip_filter", fill=before)),
        alone=subject.setting.gate("running", subject.name, limit=30),
        optional=True,
    )


def filter_word(service: Service) -> str:
    """As avn reads it: a Python list in one word."""
    given = service.user_config.get("ip_filter")
    return f"ip_filter={given if isinstance(given, list) else ['0.0.0.0/0', '::/0']!r}"


def _filter_refuses(subject: Subject, seen: Results) -> Tried:
    if seen.result("filter-close") is None:
        return untried("its filter was not changed")
    return trials.filter_refuses(endpoint(subject.find(seen, subject.name), subject.setting), subject.filter_timeout)


def _filter_cuts(subject: Subject, seen: Results) -> Tried:
    kept = seen.result(KEPT)
    if seen.result("filter-close") is None:
        return untried("its filter was not changed")
    if kept is None:
        return untried("no connection from before could be kept")
    return trials.filter_cuts(kept, subject.filter_timeout)


def _filter_opens(subject: Subject, seen: Results) -> Tried:
    if seen.result("filter-open") is None:
        return untried("its filter was not closed")
    return trials.opens_again(endpoint(subject.find(seen, subject.name), subject.setting), subject.filter_timeout)


def _first_backup(subject: Subject) -> Step[tuple[Backup, ...]]:
    def judge(backups: tuple[Backup, ...], seen: Results) -> Finding:
        if not backups:
            return wait("no backup yet")
        newest = max(backups, key=lambda one: one.taken)
        return is_tried("first-backup").judge(holds(f"{newest.name} is listed"), seen)

    return Step(
        slug="first-backup",
        purpose=f"wait for the first backup of {subject.name}",
        read=avn.backup_list(subject.setting.project, subject.name),
        gate=Gate("a backup is listed", judge),
        poll=subject.setting.poll(
            subject.backup_timeout, hint="the first backup of a promoted service can take a while"
        ),
        alone=subject.setting.gate("backup", subject.name, limit=subject.backup_timeout),
        optional=True,
    )
