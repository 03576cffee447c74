"""Compares the new primary with the old one: each difference with both values and the command that removes it."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import READ_REPLICA, Integration, Service
from ccr_avn.plan.model import Finding, Gate, go
from ccr_avn.procedures.gates import settings
from ccr_avn.procedures.seen import Seen
from ccr_avn.valkey.server_facts import NOTICEABLE, PairFacts, ServerFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One. ``old`` and ``new`` are plain values and never secret; ``fix``: a command, or what to do."""

    topic: str
    name: str
    text: str
    fix: str = ""
    old: Any = None
    new: Any = None
    refuses: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "topic": self.topic,
            "name": self.name,
            "what": self.text,
            "fix": self.fix,
            "old": self.old,
            "new": self.new,
        }


def of_services(project: Project, old: Service, new: Service) -> tuple[Difference, ...]:
    """As far as the platform tells."""
    return (
        *_shape(project, old, new),
        *_users(project, old, new),
        *_settings(project, old, new),
        *_integrations(project, old, new),
        *_siblings(project, old, new),
        *_maintenance(project, old, new),
    )


def of_servers(project: Project, old: Service, new: Service, facts: PairFacts) -> tuple[Difference, ...]:
    """As far as the servers tell."""
    before, after = facts.primary, facts.replica
    return (
        *_version(project, old, new, before.side.version, after.side.version),
        *_modules(project, old, new, before.modules, after.modules),
        *_functions(old, new, before, after),
        *_scripts(old, new, before, after),
        *_clocks(old, new, facts.skew),
    )


def are_alike(project: Project, primary: str, replica: str) -> Gate[PairFacts | None]:
    """Differences are shown; only what can't work refuses."""

    def judge(facts: PairFacts | None, seen: Seen) -> Finding:
        found = {one.name: one for one in seen.family}
        old, new = found.get(primary), found.get(replica)
        if old is None or new is None or new.source != primary:
            return go(f"not compared: {replica} is not a replica of {primary}")
        differences = of_services(project, old, new)
        if facts:
            differences += of_servers(project, old, new, facts)
            return judge_differences(differences, compared="both sides")
        finding = judge_differences(differences, compared="what Aiven reports about them")
        unasked = (
            "versions, modules, functions and clocks were not compared: only one server could be reached, or neither"
        )
        return replace(finding, warnings=(*finding.warnings, unasked))

    return Gate("no difference between the sides prevents it", judge)


def judge_differences(differences: tuple[Difference, ...], *, compared: str) -> Finding:
    warnings = tuple(warning(one) for one in differences if not one.refuses)
    refusals = [one for one in differences if one.refuses]
    facts = {"differences": [one.as_dict() for one in differences]}
    if not refusals:
        count = f"{len(differences)} difference{'s' * (len(differences) != 1)}" if differences else "no difference"
        return go(f"compared {compared}: {count}", warnings=warnings, **facts)
    return Finding(
        verdict="stop",
        reason="; ".join(one.text for one in refusals),
        detail="; ".join(warnings),
        hint="; ".join(one.fix for one in refusals),
        warnings=warnings,
        facts=facts,
    )


def warning(one: Difference) -> str:
    return f"{one.text}; to fix: {one.fix}" if one.fix else one.text


def risks(differences: Iterable[Difference]) -> list[dict[str, str]]:
    """What remains of them after a promotion, as the result lists it."""
    return [{"what": one.text, "fix": one.fix or "-"} for one in differences if not _is_over(one)]


def _is_over(one: Difference) -> bool:
    """That it is a single node is said there already; what befalls the old primary is no risk any more."""
    return one.topic == "plan" or (one.topic == "maintenance" and one.old is True)


def power_off_commands(project: Project, name: str, *, protected: bool) -> str:
    """The commands that power it off: a protected service refuses that until its protection is taken away."""
    off = typed(avn.service_update(project, name, "--power-off").argv)
    if not protected:
        return off
    return f"{typed(avn.service_update(project, name, '--disable-termination-protection').argv)} && {off}"


def typed(argv: Iterable[object]) -> str:
    return shlex.join(str(word) for word in argv)


def _shape(project: Project, old: Service, new: Service) -> Iterator[Difference]:
    if old.type != new.type:
        text = f"type: {old.name} is {old.type}, {new.name} is {new.type}: their settings have different names"
        yield Difference(topic="type", name="type", text=text, old=old.type, new=new.type)
    if (old.plan, old.node_count) != (new.plan, new.node_count):
        text = f"plan: {old.name} has {_plan(old)}, {new.name} has {_plan(new)}"
        fix = f"once promoted: {_update(project, new, '--plan', old.plan)}" if old.plan != new.plan else ""
        yield Difference(topic="plan", name="plan", text=text, fix=fix, old=old.plan, new=new.plan)
    if old.vpc != new.vpc:
        text = (
            f"VPC: {old.name} is {_vpc(old)}, {new.name} is {_vpc(new)}: make sure that applications have a route to it"
        )
        yield Difference(topic="vpc", name="vpc", text=text, old=old.vpc, new=new.vpc)
    if old.protected and not new.protected:
        text = f"termination protection: {old.name} has it, {new.name} has not"
        fix = _update(project, new, "--enable-termination-protection")
        yield Difference(topic="protection", name="protection", text=text, fix=fix, old=True, new=False)


def _plan(service: Service) -> str:
    nodes = f" ({service.node_count} node{'s' * (service.node_count != 1)})" if service.node_count else ""
    return f"{service.plan}{nodes}"


def _vpc(service: Service) -> str:
    return f"in {service.vpc}" if service.vpc else "in none"


def _update(project: Project, service: Service, *words: str) -> str:
    return typed(avn.service_update(project, service.name, *words).argv)


def _users(project: Project, old: Service, new: Service) -> Iterator[Difference]:
    if not new.users and old.users:
        yield Difference(topic="user", name="", text=f"users: those of {new.name} are not visible to this token")
        return
    before, after = ({one.username: one for one in service.users} for service in (old, new))
    for name in sorted({*before, *after}):
        was, is_now = before.get(name), after.get(name)
        differs = partial(Difference, topic="user", name=name, old=settings.of(was), new=settings.of(is_now))
        if was is None:
            fix = typed(avn.user_words(project, "user-delete", new.name, name))
            yield differs(text=f"user {name}: only {new.name} has it", fix=fix)
        elif is_now is None:
            fix = typed((*avn.user_words(project, "user-create", new.name, name), *settings.words(was)))
            text = f"user {name}: only {old.name} has it, with {settings.shown_rights(was)}"
            yield differs(text=text, fix=fix)
        elif settings.of(was) != settings.of(is_now):
            fix = typed((*avn.user_words(project, "user-set-access-control", new.name, name), *settings.words(was)))
            text = f"user {name}: {old.name} has {settings.shown_rights(was)}, {new.name} has {settings.shown_rights(is_now)}"
            yield differs(text=text, fix=fix)
        if was and is_now and was.type != "primary" and settings.passwords_differ(was, is_now):
            fix = f"give the application the password from {typed(avn.user_words(project, 'user-get', new.name, name))}"
            text = f"user {name}: the passwords differ (not shown)"
            yield Difference(topic="password", name=name, text=text, fix=fix)


def _settings(project: Project, old: Service, new: Service) -> Iterator[Difference]:
    for key, (was, is_now) in settings.differing(old, new).items():
        words = settings.changes(key, was)
        secret = bool(settings.MAY_BE_SECRET.search(key))
        yield Difference(
            topic="setting",
            name=key,
            text=f"{key}: {old.name} has {settings.shown(key, was)}, {new.name} has {settings.shown(key, is_now)}",
            fix=_update(project, new, *words) if words else "",
            old=settings.HIDDEN if secret else was,
            new=settings.HIDDEN if secret else is_now,
        )


def _integrations(project: Project, old: Service, new: Service) -> Iterator[Difference]:
    """Logs, metrics and the like: they belong to the service, so the new primary is not watched by itself."""
    has = {_other_end(row, new.name) for row in new.integrations if row.enabled}
    for row in old.integrations:
        if not row.enabled or row.type == READ_REPLICA or _other_end(row, old.name) in has:
            continue
        kind, way, other = _other_end(row, old.name)
        flags = {"to": ("-s", "-d"), "to endpoint": ("-s", "-D"), "from": ("-d", "-s"), "from endpoint": ("-d", "-S")}
        its_own, of_the_other = flags[way]
        words = avn.integration_words(project, "-t", kind, its_own, new.name, of_the_other, other)
        fix = typed(words) if other else ""
        text = f"integration {kind} {way} {other}: {old.name} has it, {new.name} has not"
        yield Difference(topic="integration", name=kind, text=text, fix=fix, old=other)


def _other_end(row: Integration, service: str) -> tuple[str, str, str]:
    """Type, direction, and who is at the other end."""
    if row.source == service:
        return (row.type, "to", row.dest) if row.dest else (row.type, "to endpoint", row.dest_endpoint or "")
    return (row.type, "from", row.source) if row.source else (row.type, "from endpoint", row.source_endpoint or "")


def _siblings(project: Project, old: Service, new: Service) -> Iterator[Difference]:
    for name in old.replicas:
        if name == new.name:
            continue
        again = typed(("ccr-avn", "enable", new.name, "NAME", "--replica-cloud", "CLOUD", *project.flag))
        text = f"{name} is a replica of {old.name} too and stays one: it does not receive what is written to {new.name}"
        fix = f"create one of {new.name}: {again}; then terminate {name}"
        yield Difference(topic="replica", name=name, text=text, fix=fix, old=name)


def _maintenance(project: Project, old: Service, new: Service) -> Iterator[Difference]:
    for service in (old, new):
        if not service.due:
            continue
        updates = "; ".join(_planned(one) for one in service.due)
        text = f"maintenance is pending on {service.name} and will restart its server: {updates}"
        fix = typed(avn.maintenance_start(project, service.name).argv)
        yield Difference(topic="maintenance", name=service.name, text=text, fix=fix, old=service is old)


def _planned(update: dict[str, Any]) -> str:
    when = [f"{word} {update[key]}" for key, word in (("start_at", "at"), ("deadline", "until")) if update.get(key)]
    return " ".join([str(update.get("description") or "no description"), *when])


def _version(project: Project, old: Service, new: Service, was: str, is_now: str) -> Iterator[Difference]:
    if _numbers(was) == _numbers(is_now):
        return
    differs = partial(Difference, topic="version", name="version", old=was, new=is_now)
    both = f"{old.name} runs {was}, {new.name} runs {is_now}"
    if _numbers(was)[:2] > _numbers(is_now)[:2]:
        release = ".".join(was.split(".")[:2])
        fix = _update(project, new, "-c", f"{new.type}_version={release}")
        text = (
            f"version: {both}: an older server may not be able to read what a newer one sends, and lacks its commands"
        )
        yield differs(text=text, fix=fix, refuses=True)
    elif _numbers(was) > _numbers(is_now):
        fix = typed(avn.maintenance_start(project, new.name).argv)
        yield differs(text=f"version: {both}: an older patch release", fix=fix)
    else:
        yield differs(text=f"version: {both}: applications will use the newer one")


def _modules(
    project: Project, old: Service, new: Service, before: dict[str, int], after: dict[str, int]
) -> Iterator[Difference]:
    """A replica skips the commands of a module that it lacks."""
    for name, was in before.items():
        is_now = after.get(name)
        if was == is_now:
            continue
        differs = partial(Difference, topic="module", name=name, old=was, new=is_now, refuses=(is_now or 0) < was)
        both = f"module {name}: {old.name} has version {was}, {new.name} has {is_now or 'none'}"
        if is_now and is_now > was:
            yield differs(text=f"{both}: applications will use the newer one")
            continue
        another = ("ccr-avn", "enable", old.name, "NAME", "--replica-cloud", "CLOUD", *project.flag)
        fix = typed(avn.maintenance_start(project, new.name).argv if is_now else another)
        yield differs(text=f"{both}: it skips commands that it lacks", fix=fix)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _functions(old: Service, new: Service, before: ServerFacts, after: ServerFacts) -> Iterator[Difference]:
    """They are replicated like data, so one that is missing is odd, and worth knowing."""
    fix = f"once {new.name} is the primary, load it: FUNCTION LOAD REPLACE"
    if before.libraries is None or after.libraries is None:
        counts = before.side.libraries, after.side.libraries
        if None not in counts and counts[0] != counts[1]:
            text = f"functions: {old.name} has {counts[0]} libraries, {new.name} has {counts[1]}"
            yield Difference(topic="function", name="", text=text, fix=fix, old=counts[0], new=counts[1])
        return
    for name in sorted(before.libraries):
        if before.libraries[name] != after.libraries.get(name):
            what = "different code" if name in after.libraries else "not"
            text = f"functions: {old.name} has the library {name}, {new.name} has {what}"
            yield Difference(topic="function", name=name, text=text, fix=fix)


def _scripts(old: Service, new: Service, before: ServerFacts, after: ServerFacts) -> Iterator[Difference]:
    was, is_now = before.side.cached_scripts, after.side.cached_scripts
    if was <= is_now:
        return
    text = f"scripts: {old.name} has {was} in its cache, {new.name} has {is_now}: EVALSHA fails with NOSCRIPT there"
    fix = "make sure that applications load them again (SCRIPT LOAD or EVAL)"
    yield Difference(topic="script", name="", text=text, fix=fix, old=was, new=is_now)


def _clocks(old: Service, new: Service, skew: float) -> Iterator[Difference]:
    """Expiry is kept as a moment, so a replica's own clock decides when its keys end."""
    if abs(skew) < NOTICEABLE:
        return
    if skew > 0:
        text = (
            f"clocks: {new.name} is {skew:.1f} s ahead of {old.name}: keys with a shorter time to live expire there now"
        )
    else:
        text = f"clocks: {new.name} is {-skew:.1f} s behind {old.name}: keys with a time to live expire that much later"
    fix = "it can't be fixed with avn: tell Aiven, or wait until keys with a short time to live have expired"
    yield Difference(topic="clock", name="clock", text=text, fix=fix, old=0.0, new=round(skew, 3))
