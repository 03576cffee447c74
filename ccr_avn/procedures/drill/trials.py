"""The steps of a drill that test each assumption, on the promoted temporary replica only."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.models import Backup, Service
from ccr_avn.plan.model import Finding, Later, Probe, Step, go, todo, wait
from ccr_avn.procedures.drill.assumptions import BY_NAME, is_tried
from ccr_avn.procedures.drill.ours import TAG
from ccr_avn.procedures.drill.temporary_replica import DrillOptions, same
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.gates.settings import filter_word, lets_nobody_in
from ccr_avn.procedures.old_primary import set_filter
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import endpoint
from ccr_avn.valkey import drill_trials
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.drill_trials import TrialResult, fails, holds, not_tested, result_of
from ccr_avn.valkey.endpoint import addresses
from ccr_avn.valkey.writers import LastConnection

KEPT, CLOSE, OPEN, EFFECT = "connection-kept", "filter-close", "filter-open", "filter-effect"

BEFORE, AFTER = "temporary-replica-running", "running"
"""The steps that read how Aiven shows it, right before and right after its promotion."""

CARRIED = ("user", "password", "setting", "version")
"""What a replica may take over from its primary; the rest is as it was ordered."""

Attempt = Callable[[Seen], TrialResult]


def server(want: DrillOptions, seen: Seen) -> Endpoint:
    """Its own, as the last look at the service showed it: a promotion may have changed its password."""
    return endpoint(seen.latest[want.temporary_replica], want.at)


def trials(want: DrillOptions) -> tuple[Step[Any], ...]:
    """Cheap ones first; those that close it and those that take their time come last."""
    return (
        *(_trial(want, name, attempt) for name, attempt in _open_trials(want).items()),
        _keep_connection(want),
        _close(want),
        _measure(want),
        _by_the_filter(want, "filter-refuses", 0),
        _by_the_filter(want, "filter-cuts", 1),
        _open(want),
        _trial(want, "filter-opens", lambda seen: _filter_opens(want, seen)),
        _first_backup(want),
    )


def _trial(want: DrillOptions, name: str, attempt: Attempt) -> Step[TrialResult]:
    return Step(
        slug=name,
        purpose=f"test on {want.temporary_replica} whether {BY_NAME[name].what}",
        read=Probe(lambda seen: result_of(lambda: attempt(seen))),
        rule=f"tested whether {BY_NAME[name].what}",
        judge=lambda found, _: is_tried(name, found),
        optional=True,
    )


def _open_trials(want: DrillOptions) -> dict[str, Attempt]:
    def on_server(attempt: Callable[..., TrialResult], *more: Any) -> Attempt:
        return lambda seen: attempt(server(want, seen), *more)

    def strangers(seen: Seen) -> TrialResult:
        return drill_trials.nobody_of_the_platform(server(want, seen), seen.answer(AFTER).usernames)

    return {
        "plan-names": lambda seen: holds("a service was created with {0.plan} in {0.cloud}".format(seen.answer(AFTER))),
        "replicas-are-offered": lambda _: holds("a read replica was created"),
        "deletion-promotes": on_server(drill_trials.is_promoted),
        "token-rights": lambda _: holds("a service was created, and an integration was deleted"),
        "tags-are-kept": lambda seen: _tags(seen, want.at.run),
        "password-is-kept": lambda seen: _password(seen.answer(BEFORE), seen.answer(AFTER)),
        "history-is-kept": lambda seen: drill_trials.carries(server(want, seen), seen.answer("last-known").replid),
        "info-shows-history": on_server(drill_trials.info_shows_history),
        "client-list-is-whole": on_server(drill_trials.clients_are_shown),
        "platform-does-not-write": on_server(drill_trials.quiet, want.quiet_seconds),
        "no-platform-clients": strangers,
        "client-commands": on_server(drill_trials.client_commands),
        "pause-holds-writes": on_server(drill_trials.pause_holds_writes),
        "info-shows-the-pause": on_server(drill_trials.info_shows_the_pause),
        "certificate": on_server(drill_trials.certificate),
        "routes": lambda seen: _routes(seen.answer(AFTER)),
        "carried-over": lambda seen: _carried(want, seen),
    }


def _tags(seen: Seen, run: str) -> TrialResult:
    found = seen.answer("tagged")
    if found and found[0].tags.get(TAG) == run:
        return holds(f"tag {TAG} was set and read back")
    return fails(f"tag {TAG} could not be set or read back")


def _password(earlier: Service, now: Service) -> TrialResult:
    if _login(earlier) != _login(now):
        return fails("Aiven shows a different password for the user default than before the promotion")
    return holds(f"unchanged for {', '.join(sorted(one.username for one in now.users)) or 'default'}, and accepted")


def _login(service: Service) -> tuple[str, str]:
    """The default user's password, and who its service_uri connects as."""
    secrets = {one.username: one.password.get_secret_value() for one in service.users if one.password}
    uri = service.uri.get_secret_value() if service.uri else ""
    return secrets.get("default", ""), uri.rpartition("@")[0].rpartition("/")[2]


def _routes(service: Service) -> TrialResult:
    known = addresses(service)
    own = {f"{one.host}:{one.port}" for one in service.components if one.usage == "primary"}
    uri = known.get("dynamic", "").rpartition("@")[2].partition("/")[0]
    if not own:
        return fails("Aiven lists no component with usage primary")
    routes = f"its routes: {', '.join(sorted(known))}"
    return holds(routes) if uri in own else fails(f"its service_uri is none of them; {routes}")


def _carried(want: DrillOptions, seen: Seen) -> TrialResult:
    every = parity.differences(want.at.project, seen.service(want.primary), seen.answer(AFTER))
    if found := [one.text for one in every if one.topic in CARRIED]:
        return fails("; ".join(found))
    return holds("users, rights, IP filter and settings match those of the primary")


# -- the filter


def _keep_connection(want: DrillOptions) -> Step[LastConnection]:
    """One from right before the filter, to see whether it is cut; that it is accepted shows that the filter refuses."""
    return Step(
        slug=KEPT,
        purpose=f"open a connection to {want.temporary_replica}, and keep it while its filter is changed",
        read=Probe(lambda seen: LastConnection(server(want, seen))),
        rule="a connection is kept",
        judge=lambda _, __: go("a connection is kept"),
        release=lambda seen: kept.close() if (kept := seen.answer(KEPT)) else None,
        optional=True,
    )


def _close(want: DrillOptions) -> Step[Service]:
    name = want.temporary_replica
    purpose = f"close {name} to client connections, as a switchover closes an old primary"
    step = set_filter(want.at, name, limit=30)
    return same(replace(step, slug=CLOSE, purpose=purpose, guard=None, command=(), optional=True), want)


def _open(want: DrillOptions) -> Step[Service]:
    def judge(service: Service, _: Seen) -> Finding:
        return todo("its ip_filter accepts no client") if lets_nobody_in(service) else go("its ip_filter is as before")

    name = want.temporary_replica
    before = Later(variable="ip_filter", fill=lambda seen: filter_word(seen.answer(AFTER).user_config.get("ip_filter")))
    step = replace(
        _close(want),
        slug=OPEN,
        purpose=f"restore the IP filter of {name}",
        rule="its ip_filter is as before",
        judge=judge,
        change=avn.service_update(want.at.project, name, "-c", before),
    )
    return same(step, want)


def _measure(want: DrillOptions) -> Step[tuple[TrialResult, TrialResult] | None]:
    """Whether new connections are refused, and whether the one from before is cut; None: nothing would show why."""

    def read(seen: Seen) -> tuple[TrialResult, TrialResult] | None:
        kept, limit = seen.answer(KEPT), want.filter_timeout
        if kept is None or seen.result(CLOSE) != "answered":
            return None
        refuses = result_of(lambda: drill_trials.filter_refuses(server(want, seen), limit))
        return refuses, result_of(lambda: drill_trials.filter_cuts(kept, limit))

    return Step(
        slug=EFFECT,
        purpose=f"check what the new IP filter of {want.temporary_replica} does",
        read=Probe(read),
        rule="it was measured",
        judge=lambda _, __: go("measured"),
        optional=True,
    )


def _by_the_filter(want: DrillOptions, name: str, which: int) -> Step[Service]:
    """What was measured counts where the filter was the cause: nothing else changed between accepted and refused."""

    def judge(service: Service, seen: Seen) -> Finding:
        found, closed = seen.answer(EFFECT), lets_nobody_in(service)
        if seen.answer(KEPT) is None:
            result = not_tested("no connection was accepted before its filter was changed")
        elif found is None:
            result = not_tested("the change of its filter was not accepted")
        elif not service.serving or not closed:
            result = not_tested(f"it is {service.state}, and its filter is {'' if closed else 'not '}closed")
        else:
            result = found[which]
        return is_tried(name, result)

    step = Step(
        slug=name,
        purpose=f"test on {want.temporary_replica} whether {BY_NAME[name].what}",
        read=avn.service_get(want.at.project, want.temporary_replica),
        rule="it is running, and its filter is the new one",
        judge=judge,
        optional=True,
    )
    return same(step, want)


def _filter_opens(want: DrillOptions, seen: Seen) -> TrialResult:
    if seen.result(OPEN) == "refused":
        return fails("restoring its filter was refused")
    if seen.result(OPEN) != "answered":
        return not_tested("its filter was not closed, or restoring it got no answer")
    return drill_trials.opens_again(server(want, seen), want.filter_timeout)


def _first_backup(want: DrillOptions) -> Step[tuple[Backup, ...]]:
    def judge(backups: tuple[Backup, ...], _: Seen) -> Finding:
        if not backups:
            return wait("no backup yet")
        newest = max(backups, key=lambda one: one.taken)
        return is_tried("first-backup", holds(f"{newest.name} is listed"))

    return Step(
        slug="first-backup",
        purpose=f"wait for the first backup of {want.temporary_replica}",
        read=avn.backup_list(want.at.project, want.temporary_replica),
        rule="a backup is listed",
        judge=judge,
        poll=want.at.poll(want.backup_timeout, hint="the first backup of a promoted service can take a while"),
        optional=True,
    )
