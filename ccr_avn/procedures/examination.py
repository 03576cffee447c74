"""The steps of a drill that test each assumption, on the promoted temporary replica only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Backup, Service
from ccr_avn.plan.model import Act, Finding, Gate, Later, Poll, Probe, Step, go, todo, wait
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.gates.assumptions import BY_NAME, is_tried
from ccr_avn.procedures.gates.drill import TAG
from ccr_avn.procedures.gates.settings import NOBODY, filter_word, lets_nobody_in
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import Find, endpoint
from ccr_avn.procedures.temporary_replica import Created, DrillRequest, same
from ccr_avn.valkey import drill_trials
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.drill_trials import TrialResult, fails, holds, not_tested, result_of
from ccr_avn.valkey.endpoint import addresses
from ccr_avn.valkey.last_connection import LastConnection
from ccr_avn.valkey.replication import ReplicationInfo

KEPT, CLOSE, OPEN = "connection-kept", "filter-close", "filter-open"

Attempt = Callable[[Seen], TrialResult]

CARRIED = ("user", "password", "setting", "version")
"""What a replica may take over from its primary; the rest is as it was ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is examined, and the steps that looked at it: ``before`` and ``after`` its promotion, as the platform shows it."""

    want: DrillRequest
    find: Find
    created: Created
    tagged: Step[tuple[Service, ...]]
    before: Step[Service]
    followed: Step[ReplicationInfo]
    after: Step[Service]

    def at(self, seen: Seen) -> Endpoint:
        return endpoint(self.find(seen, self.want.drill), self.want.setting)


def examination(subject: Subject) -> tuple[Step[Any], ...]:
    """Cheap ones first; those that close it and those that take their time come last."""
    measured = _measure(subject)
    return (
        *(_trial(subject, name, attempt) for name, attempt in _open_trials(subject).items()),
        _keep_connection(subject),
        _close(subject),
        measured,
        _by_the_filter(subject, "filter-refuses", measured, 0),
        _by_the_filter(subject, "filter-cuts", measured, 1),
        _open(subject),
        _trial(subject, "filter-opens", lambda seen: _filter_opens(subject, seen)),
        _first_backup(subject),
    )


def _trial(subject: Subject, name: str, attempt: Attempt) -> Step[TrialResult]:
    """One assumption, tried on the promoted temporary replica."""
    return Step(
        slug=name,
        purpose=f"test on {subject.want.drill} whether {BY_NAME[name].what}",
        read=Probe((), lambda seen: result_of(lambda: attempt(seen))),
        gate=is_tried(name),
        optional=True,
    )


def _open_trials(subject: Subject) -> dict[str, Attempt]:
    def on_server(attempt: Callable[..., TrialResult], *more: Any) -> Attempt:
        return lambda seen: attempt(subject.at(seen), *more)

    def created(seen: Seen) -> TrialResult:
        after = seen.of(subject.after)
        return holds(f"{after.plan} in {after.cloud} was created")

    return {
        "plan-names": created,
        "replicas-are-offered": lambda _: holds("one was created"),
        "deletion-promotes": on_server(drill_trials.is_promoted),
        "token-rights": lambda _: holds("a service was created, and an integration was deleted"),
        "tags-are-kept": lambda seen: _tags(subject, seen),
        "password-is-kept": lambda seen: _password(seen.of(subject.before), seen.of(subject.after)),
        "history-is-kept": lambda seen: drill_trials.carries(subject.at(seen), seen.of(subject.followed).replid),
        "info-shows-history": on_server(drill_trials.info_shows_history),
        "client-list-is-whole": on_server(drill_trials.clients_are_shown),
        "platform-does-not-write": on_server(drill_trials.quiet, subject.want.quiet),
        "no-platform-clients": lambda seen: drill_trials.nobody_of_the_platform(
            subject.at(seen), subject.find(seen, subject.want.drill).usernames
        ),
        "client-commands": on_server(drill_trials.client_commands),
        "pause-holds-writes": on_server(drill_trials.pause_holds_writes),
        "info-shows-the-pause": on_server(drill_trials.info_shows_the_pause),
        "certificate": on_server(drill_trials.certificate),
        "routes": lambda seen: _routes(seen.of(subject.after)),
        "carried-over": lambda seen: _carried(subject, seen),
    }


def _tags(subject: Subject, seen: Seen) -> TrialResult:
    found = seen.get(subject.tagged)
    if found and found[0].tags.get(TAG) == subject.want.run:
        return holds(f"tag {TAG} was set and is read back")
    return fails(f"tag {TAG} could not be set, or is not read back")


def _password(earlier: Service, now: Service) -> TrialResult:
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


def _routes(service: Service) -> TrialResult:
    known = addresses(service)
    own = {f"{one.host}:{one.port}" for one in service.components if one.usage == "primary"}
    uri = known.get("dynamic", "").rpartition("@")[2].partition("/")[0]
    if not own:
        return fails("Aiven lists no component with usage primary")
    told = f"its routes: {', '.join(sorted(known))}"
    return holds(told) if uri in own else fails(f"its service_uri is none of them; {told}")


def _carried(subject: Subject, seen: Seen) -> TrialResult:
    old, new = subject.find(seen, subject.want.primary), seen.of(subject.after)
    every = parity.of_services(subject.want.setting.project, old, new)
    if found := [one.text for one in every if one.topic in CARRIED]:
        return fails("; ".join(found))
    return holds("users, rights, IP filter and settings are those of the primary")


def _keep_connection(subject: Subject) -> Step[bool]:
    """One from right before the filter, to see whether it is cut; that it is accepted shows that the filter refuses."""

    def judge(kept: bool, _: Seen) -> Finding:
        return go("a connection is kept") if kept else todo("none is kept")

    return Step(
        slug=KEPT,
        purpose=f"keep a connection to {subject.want.drill} from before its filter is changed",
        read=Probe((), lambda seen: seen.result(KEPT) is not None),
        gate=Gate("a connection is kept", judge),
        poll=Poll(limit=5),
        change=Act(("PING",), lambda seen: LastConnection(subject.at(seen))),
        release=lambda seen: kept.close() if (kept := seen.result(KEPT)) else None,
        optional=True,
    )


def _close(subject: Subject) -> Step[Service]:
    def judge(service: Service, _: Seen) -> Finding:
        return go(f"its ip_filter is {NOBODY}") if lets_nobody_in(service) else todo("its ip_filter accepts clients")

    return _set_filter(
        subject,
        CLOSE,
        f"close {subject.want.drill} to client connections, as a switchover closes an old primary",
        Gate(f"its ip_filter is {NOBODY}, a reserved address", judge),
        f'ip_filter=["{NOBODY}"]',
    )


def _open(subject: Subject) -> Step[Service]:
    def before(seen: Seen) -> str:
        return filter_word(seen.of(subject.after).user_config.get("ip_filter"))

    def judge(service: Service, _: Seen) -> Finding:
        return todo("its ip_filter accepts no client") if lets_nobody_in(service) else go("its ip_filter is as before")

    return _set_filter(
        subject,
        OPEN,
        f"put the filter of {subject.want.drill} back",
        Gate("its ip_filter is as before", judge),
        Later(variable="ip_filter", fill=before),
    )


def _set_filter(subject: Subject, slug: str, purpose: str, gate: Gate[Service], word: str | Later) -> Step[Service]:
    project, name = subject.want.setting.project, subject.want.drill
    step = Step(
        slug=slug,
        purpose=purpose,
        read=avn.service_get(project, name),
        gate=gate,
        poll=Poll(limit=30, first=0.2, interval=2),
        change=avn.service_update(project, name, "-c", word),
        optional=True,
    )
    return same(step, subject.created)


def _measure(subject: Subject) -> Step[tuple[TrialResult, TrialResult] | None]:
    """Whether new connections are refused, and whether the one from before is cut; None: nothing would show why."""

    def read(seen: Seen) -> tuple[TrialResult, TrialResult] | None:
        kept, limit = seen.result(KEPT), subject.want.filter_timeout
        if kept is None or seen.result(CLOSE) != "answered":
            return None
        refuses = result_of(lambda: drill_trials.filter_refuses(subject.at(seen), limit))
        return refuses, result_of(lambda: drill_trials.filter_cuts(kept, limit))

    return Step(
        slug="filter-effect",
        purpose=f"see what the new filter of {subject.want.drill} does",
        read=Probe((), read),
        gate=Gate("it was measured", lambda _, __: go("measured")),
        optional=True,
    )


def _by_the_filter(
    subject: Subject, name: str, measured: Step[tuple[TrialResult, TrialResult] | None], which: int
) -> Step[Service]:
    """What was measured counts where the filter was the cause: nothing else changed between accepted and refused."""

    def judge(service: Service, seen: Seen) -> Finding:
        found = seen.get(measured)
        if seen.result(KEPT) is None:
            result = not_tested("no connection was accepted before its filter was changed")
        elif found is None:
            result = not_tested("the change of its filter was not accepted")
        elif not service.serving or not lets_nobody_in(service):
            result = not_tested(
                f"it is {service.state}, and its filter {'' if lets_nobody_in(service) else 'not '}closed"
            )
        else:
            result = found[which]
        return is_tried(name).judge(result, seen)

    step = Step(
        slug=name,
        purpose=f"test on {subject.want.drill} whether {BY_NAME[name].what}",
        read=avn.service_get(subject.want.setting.project, subject.want.drill),
        gate=Gate("it is running, and its filter is the new one", judge),
        optional=True,
    )
    return same(step, subject.created)


def _filter_opens(subject: Subject, seen: Seen) -> TrialResult:
    if seen.result(OPEN) == "refused":
        return fails("the change back was refused")
    if seen.result(OPEN) != "answered":
        return not_tested("its filter was not closed, or the change back was not answered")
    return drill_trials.opens_again(subject.at(seen), subject.want.filter_timeout)


def _first_backup(subject: Subject) -> Step[tuple[Backup, ...]]:
    def judge(backups: tuple[Backup, ...], seen: Seen) -> Finding:
        if not backups:
            return wait("no backup yet")
        newest = max(backups, key=lambda one: one.taken)
        return is_tried("first-backup").judge(holds(f"{newest.name} is listed"), seen)

    want = subject.want
    return Step(
        slug="first-backup",
        purpose=f"wait for the first backup of {want.drill}",
        read=avn.backup_list(want.setting.project, want.drill),
        gate=Gate("a backup is listed", judge),
        poll=want.setting.poll(want.backup_timeout, hint="the first backup of a promoted service can take a while"),
        optional=True,
    )
