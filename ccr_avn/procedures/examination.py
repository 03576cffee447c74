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
from ccr_avn.procedures.gates.settings import NOBODY, filter_word, lets_nobody_in
from ccr_avn.procedures.steps import Find, Setting, endpoint
from ccr_avn.valkey import trials
from ccr_avn.valkey.route import addresses
from ccr_avn.valkey.trials import Tried, fails, holds, tried, untried
from ccr_avn.valkey.writes import Kept

KEPT = "connection-kept"

Attempt = Callable[[Results], Tried]

CARRIED = ("user", "password", "setting", "version")
"""What a replica may take over from its primary; the rest is as it was ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is examined. ``before`` and ``after``: as the platform showed it on either side of its promotion.

    ``before`` None, ``followed`` empty: not known, as to a command that tries one assumption by itself. ``followed``:
    the replication ID before; ``closed``, ``opened``: whether its
    filter was changed so. Times are in seconds.
    """

    primary: str
    name: str
    setting: Setting
    find: Find
    before: Callable[[Results], Service | None]
    after: Callable[[Results], Service]
    followed: Callable[[Results], str]
    closed: Callable[[Results], bool]
    opened: Callable[[Results], bool]
    tags: Callable[[Results], Mapping[str, Any]]
    run: str
    filter_timeout: float
    backup_timeout: float
    quiet: float


def examination(subject: Subject) -> tuple[Step[Any], ...]:
    """Cheap ones first; those that close it and those that take their time come last."""
    return (
        *(trial(subject, name) for name in _open_trials(subject)),
        _keep_connection(subject),
        _close(subject),
        trial(subject, "filter-refuses"),
        trial(subject, "filter-cuts"),
        _open(subject),
        trial(subject, "filter-opens"),
        _first_backup(subject),
    )


def trial(subject: Subject, name: str) -> Step[Tried]:
    """One assumption, tried on a promoted throw-away.

    Raises:
        KeyError: it is none that a step of its own tries.
    """
    attempt = {**_open_trials(subject), **_filter_trials(subject)}[name]
    return Step(
        slug=name,
        purpose=f"try whether {BY_NAME[name].what}",
        read=Probe((), lambda seen: tried(lambda: attempt(seen))),
        gate=is_tried(name),
        optional=True,
    )


def _filter_trials(subject: Subject) -> dict[str, Attempt]:
    return {
        "filter-refuses": lambda seen: _filter_refuses(subject, seen),
        "filter-cuts": lambda seen: _filter_cuts(subject, seen),
        "filter-opens": lambda seen: _filter_opens(subject, seen),
    }


def _open_trials(subject: Subject) -> dict[str, Attempt]:
    def on_server(attempt: Callable[..., Tried], *more: Any) -> Attempt:
        return lambda seen: attempt(endpoint(subject.find(seen, subject.name), subject.setting), *more)

    def strangers(seen: Results) -> Tried:
        service = subject.find(seen, subject.name)
        users = frozenset({"default", *(one.username for one in service.users)})
        return trials.nobody_of_the_platform(endpoint(service, subject.setting), users)

    def history(seen: Results) -> Tried:
        followed = subject.followed(seen)
        if not followed:
            return untried("what it followed before is not known")
        return trials.carries(endpoint(subject.find(seen, subject.name), subject.setting), followed)

    return {
        "plan-names": lambda seen: holds(f"{subject.after(seen).plan} in {subject.after(seen).cloud} was created"),
        "replicas-are-offered": lambda _: holds("one was created"),
        "deletion-promotes": on_server(trials.is_promoted),
        "token-rights": lambda _: holds("a service was created, and an integration was deleted"),
        "tags-are-kept": lambda seen: _tags(subject, seen),
        "password-is-kept": lambda seen: _password(subject, seen),
        "history-is-kept": history,
        "info-shows-history": on_server(trials.info_shows_history),
        "no-platform-clients": strangers,
        "client-list-is-whole": on_server(trials.clients_are_shown),
        "platform-does-not-write": on_server(trials.quiet, subject.quiet),
        "client-commands": on_server(trials.client_commands),
        "pause-holds-writes": on_server(trials.pause_holds_writes),
        "info-shows-the-pause": on_server(trials.info_shows_the_pause),
        "certificate": on_server(trials.certificate),
        "routes": lambda seen: _routes(subject, seen),
        "carried-over": lambda seen: _carried(subject, seen),
    }


def _tags(subject: Subject, seen: Results) -> Tried:
    if not subject.run:
        return untried("which tag was set is not known")
    if subject.tags(seen).get(TAG) == subject.run:
        return holds(f"tag {TAG} was set and is read back")
    return fails(f"tag {TAG} could not be set, or is not read back")


def _password(subject: Subject, seen: Results) -> Tried:
    earlier, now = subject.before(seen), subject.after(seen)
    if earlier is None:
        return untried("what they were before its promotion is not known")
    before, after = (
        {one.username: one.password.get_secret_value() if one.password else "" for one in side.users}
        for side in (earlier, now)
    )
    was, is_now = (side.uri.get_secret_value() if side.uri else "" for side in (earlier, now))
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
    if not subject.primary:
        return untried("its primary was not named")
    old, new = subject.find(seen, subject.primary), subject.after(seen)
    found = [one.text for one in parity.of_services(subject.setting.project, old, new) if one.topic in CARRIED]
    if found:
        return fails("; ".join(found))
    return holds("users, rights, IP filter and settings are those of the primary")


def _keep_connection(subject: Subject) -> Step[bool]:
    """One from before the filter, to see whether it is cut."""

    def judge(kept: bool, _: Results) -> Finding:
        return go("a connection is kept") if kept else todo("none is kept")

    return Step(
        slug=KEPT,
        purpose=f"keep a connection to {subject.name} from before its filter is changed",
        read=Probe((), lambda seen: seen.result(KEPT) is not None),
        gate=Gate("a connection is kept", judge),
        poll=Poll(limit=5),
        change=Act(("PING",), lambda seen: Kept(endpoint(subject.find(seen, subject.name), subject.setting))),
        release=lambda seen: kept.close() if (kept := seen.result(KEPT)) else None,
        optional=True,
    )


def _close(subject: Subject) -> Step[Service]:
    def judge(service: Service, _: Results) -> Finding:
        return go(f"its ip_filter is {NOBODY}") if lets_nobody_in(service) else todo("its ip_filter admits clients")

    project = subject.setting.project
    return Step(
        slug="filter-close",
        purpose=f"close {subject.name} to client connections, as a switchover closes an old primary",
        read=avn.service_get(project, subject.name),
        gate=Gate(f"its ip_filter is {NOBODY}, a reserved address", judge),
        poll=Poll(limit=30, first=0.2, interval=2),
        change=avn.service_update(project, subject.name, "-c", f'ip_filter=["{NOBODY}"]'),
        optional=True,
    )


def _open(subject: Subject) -> Step[Service]:
    def before(seen: Results) -> str:
        return filter_word(subject.after(seen).user_config.get("ip_filter"))

    def judge(service: Service, _: Results) -> Finding:
        return todo("its ip_filter admits no client") if lets_nobody_in(service) else go("its ip_filter is as before")

    project = subject.setting.project
    return Step(
        slug="filter-open",
        purpose=f"put the filter of {subject.name} back",
        read=avn.service_get(project, subject.name),
        gate=Gate("its ip_filter is as before", judge),
        poll=Poll(limit=30, first=0.2, interval=2),
        change=avn.service_update(project, subject.name, "-c", Later(variable="ip_filter", fill=before)),
        optional=True,
    )


def _filter_refuses(subject: Subject, seen: Results) -> Tried:
    if not subject.closed(seen):
        return untried("its filter was not changed")
    return trials.filter_refuses(endpoint(subject.find(seen, subject.name), subject.setting), subject.filter_timeout)


def _filter_cuts(subject: Subject, seen: Results) -> Tried:
    kept = seen.result(KEPT)
    if not subject.closed(seen):
        return untried("its filter was not changed")
    if kept is None:
        return untried("no connection from before could be kept")
    return trials.filter_cuts(kept, subject.filter_timeout)


def _filter_opens(subject: Subject, seen: Results) -> Tried:
    if not subject.opened(seen):
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
        optional=True,
    )
