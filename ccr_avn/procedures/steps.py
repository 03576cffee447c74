"""Steps that several procedures share."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import Offers, Service, Vpc
from ccr_avn.errors import CcrError, NotProven, Refused, TimedOut, Unreachable, UsageError
from ccr_avn.plan.model import Keep, Poll, Probe, Step, Word
from ccr_avn.procedures.gates import links, offers, parity, services
from ccr_avn.procedures.gates.offers import Orders
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.procedures.seen import Seen
from ccr_avn.redact import REDACTED
from ccr_avn.valkey.compare import Comparison
from ccr_avn.valkey.connect import Endpoint, admission
from ccr_avn.valkey.diagnose import Admission, OutOfReach
from ccr_avn.valkey.endpoint import addresses, best_address
from ccr_avn.valkey.info import fetch_link
from ccr_avn.valkey.marker import MarkerResult, run_marker
from ccr_avn.valkey.replication import Link
from ccr_avn.valkey.server_facts import Databases, PairFacts, read_databases, read_pair_facts

POLL_INTERVAL = 5.0
"""Default seconds between two checks."""

Find = Callable[[Seen, str], Service]
"""Where a service's facts are among the answers seen so far."""


def found_by(listing: Step[tuple[Service, ...]]) -> Find:
    """Each service as that step read it."""

    def find(seen: Seen, name: str) -> Service:
        service = services.by_name(seen.of(listing), name)
        if service is None:
            raise Refused(f"{name} does not exist", hint="check its name: avn service list")
        return service

    return find


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all procedures need besides the names: the project, how to reach data planes, how often to ask."""

    project: Project = field(default_factory=Project)
    ca_file: Path | None = None
    poll_interval: float = POLL_INTERVAL  # seconds
    avn: str | None = None  # as given with --avn, for the ccr-avn commands of a preview
    route: str | None = None  # None: the dynamic one, or the public one where that alone answers
    rejections: links.Rejections = field(default_factory=links.Rejections)

    @property
    def options(self) -> tuple[str, ...]:
        """The options that make a ``ccr-avn`` command in a preview do the same as this one."""
        ca = ("--ca-file", str(self.ca_file)) if self.ca_file else ()
        program = ("--avn", self.avn) if self.avn else ()
        route = ("--route", self.route) if self.route else ()
        return (*self.project.flag, *ca, *program, *route)

    @property
    def tolerance(self) -> tuple[str, ...]:
        """The option of those gates that judge whether a replica has applied what it received."""
        return ("--allow-rejected-commands",) if self.rejections.allowed else ()

    def gate(self, name: str, *words: Word, limit: float | None = None, tight: bool = False) -> tuple[Word, ...]:
        """The command that runs one step of a plan alone; ``limit``: seconds that it may wait; ``tight``: at its own pace."""
        timeout = () if limit is None else ("--timeout", f"{limit:g}")
        paced = limit and not tight and self.poll_interval != POLL_INTERVAL
        pause = ("--poll-interval", f"{self.poll_interval:g}") if paced else ()
        return ("ccr-avn", "gate", name, *words, *self.options, *timeout, *pause)

    def server(self, name: str, command: str) -> str:
        """How a person asks a server itself: avn tells where it is."""
        words = avn.service_get(self.project, name).argv
        return f"{' '.join(str(word) for word in words)}, then {command} at its service_uri"

    def poll(self, limit: float, *, hint: str = "", error: type[CcrError] = TimedOut) -> Poll:
        return Poll(limit=limit, interval=self.poll_interval, hint=hint, error=error)


def endpoint(service: Service, setting: Setting) -> Endpoint:
    """How to reach a service's data plane.

    Raises:
        Unreachable: it has no address yet, or the token may not read its password.
    """
    known = addresses(service)
    if not known:
        raise _no_address(service)
    if setting.route and setting.route not in known:
        raise _no_route(service, setting, known)
    uri = known["dynamic"]
    if REDACTED in uri:
        raise Unreachable(
            f"the password of {service.name} is not visible to this token",
            detail=f"avn shows {REDACTED} in its place",
            hint="use a token with the permission service:secrets:read, or skip the proof: --no-verify",
            passing=False,
        )
    uri = known[setting.route] if setting.route else best_address(known)
    return Endpoint(
        service=service.name,
        uri=uri,
        ca_file=setting.ca_file,
        idle_timeout=service.idle_timeout,
        closed=lets_nobody_in(service),
    )


def admission_of(service: Service, setting: Setting) -> Admission:
    """Whether it lets clients in just now, as far as this machine can see."""
    if service.state == "POWEROFF":
        return Admission(state="closed", why="it is powered off")
    try:
        return admission(endpoint(service, setting))
    except Unreachable as trouble:
        return Admission(state="unknown", why=trouble.what)


def _no_address(service: Service) -> Unreachable:
    hint = f"it is {service.state}: wait for it (avn service wait {service.name}), then run the same command again"
    if service.serving:
        hint = f"check whether Aiven shows one: avn service get {service.name} --json; else ask Aiven's support"
    return OutOfReach(
        f"{service.name} has no address" + ("" if service.serving else " yet"),
        detail=f"its state is {service.state} and its service_uri is empty",
        hint=hint,
    )


def _no_route(service: Service, setting: Setting, known: dict[str, str]) -> Unreachable:
    hint = f"its routes: {', '.join(sorted(known))}"
    if setting.route == "public":
        opens = f"public_access.{service.type}=true"
        command = avn.service_update(setting.project, service.name, "-c", opens).argv
        hint += f"; to open the public one: {shlex.join(str(word) for word in command)}"
    return Unreachable(
        f"{service.name} has no {setting.route} route",
        detail="according to its components (avn service get --json)",
        hint=hint,
        passing=False,
    )


def wait_running(setting: Setting, name: str, slug: str, limit: float, keep: str = "") -> Step[Service]:
    """``keep``: the fact of it that a later word of a preview needs."""
    alone = setting.gate("running", name, limit=limit)
    return Step(
        slug=slug,
        purpose=f"wait until {name} is running",
        read=avn.service_get(setting.project, name),
        gate=services.is_running(setting.project),
        poll=setting.poll(limit, hint=f"check it with `avn service get {name}`, then run the same command again"),
        alone=alone,
        keeps=(Keep(variable=keep, argv=(*alone, "--print", keep)),) if keep else (),
    )


def link_step(
    setting: Setting,
    primary: str,
    replica: str,
    find: Find,
    limit: float,
    error: type[CcrError] = TimedOut,
    max_lag: int | None = None,
) -> Step[Link]:
    """``max_lag``: bytes that the replica may be behind."""

    def read(seen: Seen) -> Link:
        return fetch_link(endpoint(find(seen, primary), setting), endpoint(find(seen, replica), setting))

    within = () if max_lag is None else ("--max-lag-bytes", str(max_lag))
    return Step(
        slug="link",
        purpose=f"wait until {replica} follows {primary}",
        read=Probe(setting.gate("link", primary, replica, *within, *setting.tolerance, limit=limit), read),
        by_hand=setting.server(replica, "INFO replication, INFO stats"),
        gate=links.replicates(primary, replica, setting.rejections, max_lag, NotProven),
        poll=setting.poll(limit, error=error, hint="the initial sync may need longer: raise --link-timeout"),
    )


def databases_step(
    setting: Setting,
    primary: str,
    replica: str,
    find: Find,
    error: type[CcrError],
    linked: Callable[[Seen], bool] = lambda _: True,
) -> Step[Databases | None]:
    """``linked``: whether the one follows the other at all; ``error``: what it is when a database is missing."""

    def read(seen: Seen) -> Databases | None:
        if not linked(seen):
            return None
        return read_databases(endpoint(find(seen, primary), setting), endpoint(find(seen, replica), setting))

    return Step(
        slug="databases",
        purpose=f"check that {replica} has every database that {primary} uses",
        read=Probe(setting.gate("databases", primary, replica), read),
        by_hand=setting.server(primary, "INFO keyspace"),
        gate=links.has_every_database(primary, replica, lambda seen: find(seen, primary).type, error),
    )


def marker_step(setting: Setting, primary: str, replica: str, find: Find, samples: int) -> Step[MarkerResult]:
    def read(seen: Seen) -> MarkerResult:
        source, target = endpoint(find(seen, primary), setting), endpoint(find(seen, replica), setting)
        return run_marker(source, target, samples=samples)

    return Step(
        slug="marker",
        purpose=f"write {samples} markers to {primary} and read each from {replica}",
        read=Probe(setting.gate("marker", primary, replica, "--samples", str(samples)), read),
        by_hand=setting.server(replica, "INFO replication"),
        gate=links.markers_arrive(),
        writes_keys=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The steps of a plan that prove replication, as far as it has them."""

    link: Step[Link] | None = None
    databases: Step[Any] | None = None
    marker: Step[MarkerResult] | None = None
    compare: Step[Comparison] | None = None

    @property
    def steps(self) -> tuple[Step[Any], ...]:
        """In their order."""
        return tuple(step for step in (self.link, self.databases, self.marker, self.compare) if step)

    def evidence(self, seen: Seen) -> dict[str, Any]:
        """What they showed, as plain data; of a run that ended early what it came to."""
        told: dict[str, Any] = {}
        if self.link and seen.has(self.link):
            link = seen.of(self.link)
            told["link"] = {"lag_bytes": link.lag_bytes, "history": link.primary.replid}
        if self.marker and seen.has(self.marker):
            marker = seen.of(self.marker)
            told["marker"] = {
                "samples": marker.samples,
                "arrived": marker.arrived,
                "minimum_ms": round(marker.minimum, 3),
                "median_ms": round(marker.median, 3),
                "maximum_ms": round(marker.maximum, 3),
                "clock_skew_seconds": round(marker.skew, 3),
            }
        if self.compare and seen.has(self.compare):
            told["compare"] = compared(seen.of(self.compare))
        return told


def compared(found: Comparison) -> dict[str, Any]:
    """A comparison as plain data; keys are escaped."""
    return {
        "verdict": found.verdict,
        "level": found.level,
        "keys": found.keys,
        "replica_keys": found.replica_keys,
        "differences": {name: getattr(found.counts, name) for name in ("missing", "extra", "type", "expiry", "value")},
        "examples": [{"kind": one.kind, "database": one.database, "key": one.key} for one in found.examples],
        "reasons": list(found.reasons),
        "compared_by_dump": list(found.compared_by_dump),
        "keys_a_second": round(found.rate),
        "seconds": round(found.seconds, 3),
        "peak_memory_bytes": list(found.peak_memory_bytes),
    }


def two_sides(primary: str, replica: str) -> None:
    """Raises:
    UsageError: both are the same service.
    """
    if primary == replica:
        raise UsageError(
            "PRIMARY and REPLICA are the same service",
            detail=f"both are {primary}",
            hint="name both services of the pair",
        )


def described(service: Service) -> dict[str, Any]:
    """A service as plain data, without secrets."""
    return {
        "name": service.name,
        "type": service.type,
        "plan": service.plan,
        "cloud": service.cloud,
        "state": service.state,
    }


def compare_sides(
    setting: Setting,
    primary: str,
    replica: str,
    services: Step[tuple[Service, ...]],
    options: tuple[str, ...] = (),
) -> Step[PairFacts | None]:
    """Differences are warnings with their values. A side that can't be reached is another check's matter.

    ``options``: those of the switchover, so that a pasted ``--check`` allows what the run does.
    """

    def read(seen: Seen) -> PairFacts | None:
        found = {one.name: one for one in seen.of(services)}
        if primary not in found or replica not in found or found[replica].source != primary:
            return None
        try:
            return read_pair_facts(endpoint(found[primary], setting), endpoint(found[replica], setting))
        except Unreachable:
            return None

    return Step(
        slug="parity",
        purpose="compare rights, settings, versions, modules, functions and clocks of both sides",
        read=Probe(("ccr-avn", "switchover", primary, replica, *setting.options, *options, "--check"), read),
        by_hand=f"avn service get {primary} --json, avn service get {replica} --json",
        gate=parity.are_alike(setting.project, services, primary, replica),
    )


def see_offers(setting: Setting, orders: Orders, pair: Step[tuple[Service, ...]]) -> Step[Offers]:
    """The whole catalogue: avn has no smaller read that tells which plan is offered in which cloud."""
    cloud = next(order.cloud or "" for order in orders if order.cloud)
    return Step(
        slug="offers",
        purpose="check that Aiven offers these plans in these clouds",
        read=avn.service_plans(setting.project, cloud),
        gate=offers.are_sold(orders, pair),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders, pair),
    )


def see_vpcs(setting: Setting, orders: Orders, pair: Step[tuple[Service, ...]]) -> Step[tuple[Vpc, ...]]:
    return Step(
        slug="vpc",
        purpose="list the clouds that have a VPC",
        read=avn.vpc_list(setting.project),
        gate=offers.have_their_vpc(orders, pair),
        brief=True,
        advisory=True,
        unneeded=_nothing_to_make(orders, pair),
    )


def _nothing_to_make(orders: Orders, pair: Step[tuple[Service, ...]]) -> Callable[[Seen], str]:
    def why(seen: Seen) -> str:
        return "" if offers.still_to_make(orders, seen.of(pair)) else "there is nothing to create"

    return why
