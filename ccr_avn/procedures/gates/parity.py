"""Compares the new primary with the old one: each difference with both values and the command that removes it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import READ_REPLICA, Integration, Service
from ccr_avn.plan.model import Finding, go, stop
from ccr_avn.procedures.gates import settings
from ccr_avn.procedures.gates.links import numbers_of
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
        parts = {"topic": self.topic, "name": self.name, "what": self.text, "fix": self.fix}
        return {**parts, "old": self.old, "new": self.new}

    @property
    def warning(self) -> str:
        return f"{self.text}; to fix: {self.fix}" if self.fix else self.text


def differences(project: Project, old: Service, new: Service, facts: PairFacts | None = None) -> tuple[Difference, ...]:
    """As the platform shows both, and in ``facts`` their servers, if they were asked."""
    two = _Pair(project, old, new)
    of_others = (*two.integrations(), *two.siblings(), *two.maintenance())
    found = (*two.shape(), *two.users(), *two.options(), *of_others)
    if facts is None:
        return found
    sides = (facts.primary, facts.replica)
    of_servers = (*two.version(*sides), *two.modules(*sides), *two.functions(*sides), *two.scripts(*sides))
    return (*found, *of_servers, *two.clocks(facts))


def are_alike(project: Project, old: Service, new: Service, facts: PairFacts | None) -> Finding:
    """Differences are shown; only what can't work refuses."""
    found = differences(project, old, new, facts)
    if facts:
        return judge_differences(found, compared="both sides")
    finding = judge_differences(found, compared="what Aiven reports about them")
    unasked = "versions, modules, functions and clocks were not compared: only one server could be reached, or neither"
    return replace(finding, warnings=(*finding.warnings, unasked))


def judge_differences(found: tuple[Difference, ...], *, compared: str) -> Finding:
    warnings = tuple(one.warning for one in found if not one.refuses)
    refusals = [one for one in found if one.refuses]
    facts: dict[str, Any] = {"differences": [one.as_dict() for one in found]}
    if not refusals:
        count = f"{len(found)} difference{'s' * (len(found) != 1)}" if found else "no difference"
        return go(f"compared {compared}: {count}", warnings=warnings, **facts)
    reason, hint = "; ".join(one.text for one in refusals), "; ".join(one.fix for one in refusals)
    return stop(reason, detail="; ".join(warnings), hint=hint, warnings=warnings, **facts)


def risks(found: Iterable[Difference]) -> list[dict[str, str]]:
    """What remains of them after a promotion, as the result lists it.

    That it is a single node is already said there; what happens to the old primary is no longer a risk.
    """
    over = [one for one in found if one.topic == "plan" or (one.topic == "maintenance" and one.old is True)]
    return [{"what": one.text, "fix": one.fix or "-"} for one in found if one not in over]


def power_off_commands(project: Project, name: str, *, protected: bool) -> str:
    """The commands that power it off: a protected service refuses that until its protection is taken away."""
    words = ("--disable-termination-protection", "--power-off") if protected else ("--power-off",)
    return " && ".join(avn.service_update(project, name, one).text for one in words)


@dataclass(frozen=True, slots=True)
class _Pair:
    project: Project
    old: Service
    new: Service

    def _both(self, what: str, was: object, is_now: object, has: str = "has") -> str:
        return f"{what}: {self.old.name} {has} {was}, {self.new.name} {has} {is_now}"

    def _update(self, *words: str) -> str:
        return avn.service_update(self.project, self.new.name, *words).text

    def _enable(self, primary: Service) -> str:
        return self.project.command("ccr-avn", "enable", primary.name, "NAME", "--replica-cloud", "CLOUD")

    def shape(self) -> Iterator[Difference]:
        old, new = self.old, self.new
        if old.type != new.type:
            text = f"{self._both('type', old.type, new.type, 'is')}: their settings have different names"
            yield Difference(topic="type", name="type", text=text, old=old.type, new=new.type)
        if (old.plan, old.node_count) != (new.plan, new.node_count):
            text = self._both("plan", _plan(old), _plan(new))
            fix = f"once promoted: {self._update('--plan', old.plan)}" if old.plan != new.plan else ""
            yield Difference(topic="plan", name="plan", text=text, fix=fix, old=old.plan, new=new.plan)
        if old.vpc != new.vpc:
            was, is_now = (f"in {one.vpc or 'none'}" for one in (old, new))
            text = f"{self._both('VPC', was, is_now, 'is')}: make sure that applications have a route to it"
            yield Difference(topic="vpc", name="vpc", text=text, old=old.vpc, new=new.vpc)
        if old.protected and not new.protected:
            text = f"termination protection: {old.name} has it, {new.name} does not"
            fix = self._update("--enable-termination-protection")
            yield Difference(topic="protection", name="protection", text=text, fix=fix, old=True, new=False)

    def users(self) -> Iterator[Difference]:
        old, new = self.old.name, self.new.name

        def command(act: str, user: str, *more: str) -> str:
            return self.project.command("avn", "service", act, new, "--username", user, *more)

        if not self.new.users and self.old.users:
            yield Difference(topic="user", name="", text=f"users: those of {new} are not visible to this token")
            return
        before, after = ({one.username: one for one in service.users} for service in (self.old, self.new))
        for name in sorted({*before, *after}):
            was, is_now = before.get(name), after.get(name)
            rights = [settings.rights_of(one) for one in (was, is_now)]
            differs = partial(Difference, topic="user", name=name, old=rights[0], new=rights[1])
            if was is None:
                yield differs(text=f"user {name}: only {new} has it", fix=command("user-delete", name))
                continue
            has = settings.shown_rights(was)
            if is_now is None:
                fix = command("user-create", name, *settings.rights_words(was))
                yield differs(text=f"user {name}: only {old} has it, with {has}", fix=fix)
                continue
            if rights[0] != rights[1]:
                fix = command("user-set-access-control", name, *settings.rights_words(was))
                yield differs(text=self._both(f"user {name}", has, settings.shown_rights(is_now)), fix=fix)
            if was.type != "primary" and settings.passwords_differ(was, is_now):
                fix = f"give the application the password from {command('user-get', name)}"
                text = f"user {name}: the passwords differ (not shown)"
                yield Difference(topic="password", name=name, text=text, fix=fix)

    def options(self) -> Iterator[Difference]:
        for key, values in settings.differing(self.old, self.new).items():
            words, secret = settings.changes(key, values[0]), settings.MAY_BE_SECRET.search(key)
            was, is_now = (settings.HIDDEN, settings.HIDDEN) if secret else values
            text = self._both(key, *(settings.shown(key, value) for value in values))
            fix = self._update(*words) if words else ""
            yield Difference(topic="setting", name=key, text=text, fix=fix, old=was, new=is_now)

    def integrations(self) -> Iterator[Difference]:
        """Logs, metrics and the like: they belong to the service, so the new primary does not get them automatically."""
        old, new = self.old.name, self.new.name
        has = {_other_end(row, new) for row in self.new.integrations if row.enabled}
        for row in self.old.integrations:
            kind, way, other = end = _other_end(row, old)
            if not row.enabled or kind == READ_REPLICA or end in has:
                continue
            own, others = {"to": "-s -d", "to endpoint": "-s -D", "from": "-d -s", "from endpoint": "-d -S"}[
                way
            ].split()
            words = ("avn", "service", "integration-create", "-t", kind, own, new, others, other)
            fix = self.project.command(*words) if other else ""
            text = f"integration {kind} {way} {other}: {old} has it, {new} does not"
            yield Difference(topic="integration", name=kind, text=text, fix=fix, old=other)

    def siblings(self) -> Iterator[Difference]:
        old, new = self.old, self.new.name
        for name in old.replicas:
            if name != new:
                text = (
                    f"{name} replicates {old.name} too, and continues to: it does not receive what is written to {new}"
                )
                fix = f"create one of {new}: {self._enable(self.new)}; then terminate {name}"
                yield Difference(topic="replica", name=name, text=text, fix=fix, old=name)

    def maintenance(self) -> Iterator[Difference]:
        for one in (self.old, self.new):
            if one.due:
                updates = "; ".join(map(_planned, one.due))
                text = f"maintenance is pending on {one.name} and will restart its server: {updates}"
                fix = avn.maintenance_start(self.project, one.name).text
                yield Difference(topic="maintenance", name=one.name, text=text, fix=fix, old=one is self.old)

    def version(self, before: ServerFacts, after: ServerFacts) -> Iterator[Difference]:
        was, is_now = before.side.version, after.side.version
        older, newer = numbers_of(is_now), numbers_of(was)
        both = self._both("version", was, is_now, "runs")
        differs = partial(Difference, topic="version", name="version", old=was, new=is_now)
        if newer[:2] > older[:2]:
            fix = self._update("-c", f"{self.new.type}_version={'.'.join(was.split('.')[:2])}")
            why = "an older server may not be able to read what a newer one sends, and lacks its commands"
            yield differs(text=f"{both}: {why}", fix=fix, refuses=True)
        elif newer > older:
            fix = avn.maintenance_start(self.project, self.new.name).text
            yield differs(text=f"{both}: an older patch release", fix=fix)
        elif newer < older:
            yield differs(text=f"{both}: applications will use the newer one")

    def modules(self, before: ServerFacts, after: ServerFacts) -> Iterator[Difference]:
        """A replica skips the commands of a module that it lacks."""
        for name, was in before.modules.items():
            is_now = after.modules.get(name)
            differs = partial(Difference, topic="module", name=name, old=was, new=is_now)
            both = f"module {name}: {self.old.name} has version {was}, {self.new.name} has {is_now or 'none'}"
            if (is_now or 0) > was:
                yield differs(text=f"{both}: applications will use the newer one")
            elif is_now != was:
                update = avn.maintenance_start(self.project, self.new.name).text if is_now else self._enable(self.old)
                yield differs(text=f"{both}: it skips commands that it lacks", fix=update, refuses=(is_now or 0) < was)

    def functions(self, before: ServerFacts, after: ServerFacts) -> Iterator[Difference]:
        """They are replicated like data, so one that is missing is odd, and worth knowing."""
        differs = partial(Difference, topic="function")
        fix = f"once {self.new.name} is the primary, load it: FUNCTION LOAD REPLACE"
        if before.libraries is None or after.libraries is None:
            was, is_now = before.side.libraries, after.side.libraries
            if None not in (was, is_now) and was != is_now:
                text = self._both("functions", f"{was} libraries", is_now)
                yield differs(name="", text=text, fix=fix, old=was, new=is_now)
            return
        for name in sorted(before.libraries):
            if before.libraries[name] != after.libraries.get(name):
                what = "different code" if name in after.libraries else "not"
                yield differs(name=name, text=self._both("functions", f"the library {name}", what), fix=fix)

    def scripts(self, before: ServerFacts, after: ServerFacts) -> Iterator[Difference]:
        was, is_now = before.side.cached_scripts, after.side.cached_scripts
        if was > is_now:
            text = f"{self._both('scripts', f'{was} in its cache', is_now)}: EVALSHA fails with NOSCRIPT there"
            fix = "make sure that applications load them again (SCRIPT LOAD or EVAL)"
            yield Difference(topic="script", name="", text=text, fix=fix, old=was, new=is_now)

    def clocks(self, facts: PairFacts) -> Iterator[Difference]:
        """Expiry is kept as a moment, so a replica's own clock decides when its keys end."""
        skew = facts.skew
        if abs(skew) >= NOTICEABLE:
            way = "ahead of" if skew > 0 else "behind"
            then = "a shorter time to live expire there now" if skew > 0 else "a time to live expire that much later"
            text = f"clocks: {self.new.name} is {abs(skew):.1f} s {way} {self.old.name}: keys with {then}"
            fix = "it can't be fixed with avn: contact Aiven, or wait until keys with a short time to live have expired"
            yield Difference(topic="clock", name="clock", text=text, fix=fix, old=0.0, new=round(skew, 3))


def _plan(service: Service) -> str:
    nodes = f" ({service.node_count} node{'s' * (service.node_count != 1)})" if service.node_count else ""
    return f"{service.plan}{nodes}"


def _other_end(row: Integration, service: str) -> tuple[str, str, str]:
    """Type, direction, and who is at the other end."""
    if row.source == service:
        return (row.type, "to", row.dest) if row.dest else (row.type, "to endpoint", row.dest_endpoint or "")
    return (row.type, "from", row.source) if row.source else (row.type, "from endpoint", row.source_endpoint or "")


def _planned(update: dict[str, Any]) -> str:
    when = [f"{word} {update[key]}" for key, word in (("start_at", "at"), ("deadline", "until")) if update.get(key)]
    return " ".join([str(update.get("description") or "no description"), *when])
