"""Where a procedure works: the project, the way to its servers, and what earlier runs on this machine noted."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccr_avn import clock
from ccr_avn.aiven import avn
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import Service
from ccr_avn.errors import CcrError, TimedOut, Unreachable
from ccr_avn.plan.model import Poll, Probe, Word
from ccr_avn.procedures.gates.links import ComparedState, Rejections
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.procedures.seen import Seen
from ccr_avn.redact import REDACTED
from ccr_avn.valkey.connect import Endpoint, admission
from ccr_avn.valkey.diagnose import Admission, OutOfReach
from ccr_avn.valkey.endpoint import addresses, best_address
from ccr_avn.valkey.replication import ReplicationInfo
from ccr_avn.valkey.server_facts import fetch_replication

if TYPE_CHECKING:
    from ccr_avn.aiven.lineage import Recorded
    from ccr_avn.procedures.drill.ours import Made
    from ccr_avn.procedures.gates.history import Audit

POLL_INTERVAL = 5.0  # default seconds between two checks


class Journals:
    """What earlier runs on this machine noted. Here: of a machine on which there were none."""

    @property
    def promotions(self) -> "tuple[Recorded, ...]":
        return ()

    @property
    def drills(self) -> "tuple[Made, ...]":
        return ()

    def user_of(self, service: Service) -> str:  # noqa: ARG002
        """The run of another command that took this very service into use; empty: none did."""
        return ""

    def equal_by_value(self, replica: str) -> Collection[ComparedState]:  # noqa: ARG002
        """As what a comparison of all values found the replica equal to its primary."""
        return ()

    def may_have_paused(self, primary: str, replica: str) -> bool:  # noqa: ARG002
        """Whether a run about this very pair has paused writes, and may not have ended the pause."""
        return False

    def filter_before(self, service: Service, closed: list[str]) -> tuple[Any] | None:  # noqa: ARG002
        """The newest ip_filter of this very service that is not ``closed``, in a tuple; None: no journal has it."""
        return None

    def last_drill(self, primary: str, replica: Service | None) -> tuple[dict[str, Any] | None, str]:  # noqa: ARG002
        """When the primary was last drilled, as data and as a line that says how to drill it, as for this replica."""
        return None, ""

    def ahead_before(self, old: Service, new: Service, run: str) -> "Audit | None":  # noqa: ARG002
        """What a run but this one found that only the old primary has."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all procedures need besides the names and their own options. Times are in seconds."""

    project: Project = field(default_factory=Project)
    ca_file: Path | None = None
    poll_interval: float = POLL_INTERVAL
    avn: str | None = None  # as given with --avn, for the ccr-avn commands of a preview
    route: str | None = None  # None: the dynamic one, or the public one where that alone answers
    run: str = ""  # its identifier
    now: float = field(default_factory=clock.now)  # since 1970, when the run began
    journals: Journals = field(default_factory=Journals)
    allow_rejected: bool | None = None  # None: the command has no such option

    @property
    def rejections(self) -> Rejections:
        return Rejections(allowed=self.allow_rejected, compared=self.journals.equal_by_value)

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
        return ("--allow-rejected-commands",) if self.allow_rejected else ()

    def gate(self, name: str, *words: Word, limit: float | None = None, tight: bool = False) -> tuple[Word, ...]:
        """The command that runs one step of a plan alone; ``limit``: seconds that it may wait; ``tight``: at its own pace."""
        timeout = () if limit is None else ("--timeout", f"{limit:g}")
        paced = limit and not tight and self.poll_interval != POLL_INTERVAL
        pause = ("--poll-interval", f"{self.poll_interval:g}") if paced else ()
        return ("ccr-avn", "gate", name, *words, *self.options, *timeout, *pause)

    def command(self, *words: str) -> str:
        return self.project.command(*words)

    def server(self, name: str, command: str) -> str:
        """How a person asks a server directly: avn shows where it is."""
        return f"{avn.service_get(self.project, name).text}, then {command} at its service_uri"

    def replication(self, seen: Seen, name: str) -> ReplicationInfo:
        """Ask a service's server. Raises: Unreachable: it does not answer; Refused: there is no such service."""
        return fetch_replication(endpoint(seen.service(name), self))

    def info(self, name: str) -> Probe[ReplicationInfo]:
        return Probe(lambda seen: self.replication(seen, name), self.server(name, "INFO replication"))

    def poll(self, limit: float, *, hint: str = "", error: type[CcrError] = TimedOut) -> Poll:
        return Poll(limit=limit, interval=self.poll_interval, hint=hint, error=error)


def endpoint(service: Service, setting: Setting) -> Endpoint:
    """How to reach a service's data plane.

    Raises: Unreachable: it has no address yet, or the token may not read its password.
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
    idle, closed = service.idle_timeout, lets_nobody_in(service)
    return Endpoint(service=service.name, uri=uri, ca_file=setting.ca_file, idle_timeout=idle, closed=closed)


def admission_of(service: Service, setting: Setting) -> Admission:
    """Whether it accepts clients now, as far as this machine can see."""
    if service.state == "POWEROFF":
        return Admission(state="closed", why="it is powered off")
    try:
        return admission(endpoint(service, setting))
    except Unreachable as trouble:
        return Admission(state="unknown", why=trouble.what)


def _no_address(service: Service) -> Unreachable:
    what = f"{service.name} has no address"
    hint = f"check whether Aiven shows one: avn service get {service.name} --json; else ask Aiven's support"
    if not service.serving:
        what += " yet"
        wait = f"avn service wait {service.name}"
        hint = f"it is {service.state}: wait for it ({wait}), then run the same command again"
    return OutOfReach(what, detail=f"its state is {service.state} and its service_uri is empty", hint=hint)


def _no_route(service: Service, setting: Setting, known: dict[str, str]) -> Unreachable:
    hint = f"its routes: {', '.join(sorted(known))}"
    if setting.route == "public":
        opens = avn.service_update(setting.project, service.name, "-c", f"public_access.{service.type}=true").text
        hint += f"; to open the public one: {opens}"
    what = f"{service.name} has no {setting.route} route"
    return Unreachable(what, detail="according to its components (avn service get --json)", hint=hint, passing=False)
