"""`ccr-avn doctor`: its checks, which only read."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, Literal

import typer

from ccr_avn import options, process
from ccr_avn.aiven import avn as calls
from ccr_avn.aiven import failure
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import READ_REPLICA
from ccr_avn.aiven.program import identify
from ccr_avn.background import side_by_side
from ccr_avn.errors import AvnError, CcrError
from ccr_avn.history.journals import newest_drills
from ccr_avn.options import Avn, CallTimeout, Json, NoPreload, ProjectName
from ccr_avn.output import console, tables
from ccr_avn.plan.model import Call
from ccr_avn.plan.reads import AvnFailed
from ccr_avn.redact import REDACTED

Verdict = Literal["OK", "WARN", "FAIL"]
EXPLAINED = (401, 429)
"""What avn's failure explains better than a permission would."""
VPC_HINT = (
    "without this `avn service create` needs --no-project-vpc or --project-vpc-id; "
    "the token needs project:networking:read"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    verdict: Verdict
    seen: str


def doctor(
    project: ProjectName = None,
    service_type: Annotated[str, options.word("valkey|redis", "Type of service to check for.")] = "valkey",
    call_timeout: CallTimeout = 60,
    json: Json = False,
    avn: Avn = None,
    no_preload: NoPreload = False,
) -> None:
    """Check avn, token, project, permissions and whether read replicas are offered. Exit 4 if a check fails.

    Examples:
      ccr-avn doctor
      ccr-avn doctor --project my-project --json
    """
    if not no_preload:
        process.preload_avn(process.find_avn(avn))
    found = newest_drills(project)
    last_drills = [f"{primary}: {one.describe()}" for primary, one in sorted(found.items())]
    none = "none from this machine; `ccr-avn drill PRIMARY --replica-cloud CLOUD` tests what a switchover relies on"
    checks = (
        *examine(avn, Project(project), service_type, call_timeout),
        Check(
            name="last drill",
            verdict="OK" if found and all(one.ok for one in found.values()) else "WARN",
            seen="; ".join(last_drills) or none,
        ),
    )
    failed = any(check.verdict == "FAIL" for check in checks)
    if json:
        console.envelope("doctor", {"checks": [asdict(check) for check in checks]}, code=4 if failed else 0)
    else:
        for check in checks:
            for line in tables.prose(f"{check.name}: {check.verdict} ({check.seen})", "stdout"):
                console.say(line)
    if failed:
        raise typer.Exit(4)


def examine(given: str | None, project: Project, service_type: str, deadline: float) -> tuple[Check, ...]:
    """Every check, each with what was seen; ``deadline`` is in seconds, for each avn command."""
    try:
        program = identify(given)
    except CcrError as error:
        return (Check(name="avn", verdict="FAIL", seen=f"{error.what}: {error.detail}; {error.hint}"),)

    def ask(call: Call[Any]) -> Any:
        answer = process.run((program.path, *map(str, call.argv[1:])), deadline=deadline)
        if answer.code != 0:
            return AvnFailed("failed", failure.read(answer))
        try:
            return call.parse(answer.stdout)
        except AvnError as error:
            return error

    about = (calls.project_details, calls.service_list, calls.integration_types, calls.vpc_list)
    user, details, services, types, vpcs = side_by_side(ask, (calls.USER_INFO, *(call(project) for call in about)))
    first = (
        Check(name="avn", verdict="OK", seen=f"{program.version} at {program.path}"),
        _judged("token", user, "accepted", ""),
    )
    if isinstance(user, AvnError) and isinstance(services, AvnError):  # one cause, reported once
        return (*first, Check(name="everything else", verdict="FAIL", seen="not tested: it needs what failed above"))
    some = None if isinstance(services, AvnError) or not services else services[0].name
    integrations, backups = (
        some and ask(call(project, some)) for call in (calls.integration_list, calls.backup_list)
    )  # whether the token may list these can only be seen on a service
    named = "check the name: `avn project list` shows those that the token may see"
    unnamed = "name the project: --project, AIVEN_PROJECT, or `avn project switch NAME`"
    return (
        *first,
        _judged("project", details, project.name or "avn's default", named if project.name else unnamed),
        _judged("services", services, "can be listed", "the token needs project:services:read"),
        _passwords(services),
        _offers(types, service_type),
        _judged("integrations", integrations, "can be listed", "the token needs project:integrations:read"),
        _judged("backups", backups, "can be listed", "the token needs service:configuration:write"),
        _judged("VPCs", vpcs, "can be listed", VPC_HINT, "WARN"),
        Check(
            name="permission to change",
            verdict="WARN",
            seen="cannot be checked without making a change; enable needs project:services:write, "
            "promotion project:integrations:write",
        ),
    )


def _judged(name: str, answer: Any, seen: str, refused: str, bad: Verdict = "FAIL") -> Check:
    """``refused``: what to do where the platform said no. A network that is down, or an old token, explains itself."""
    if answer is None:
        return Check(name=name, verdict="WARN", seen=f"there is no service yet whose {name} could be listed")
    if not isinstance(answer, AvnError):
        return Check(name=name, verdict="OK", seen=seen)
    status = getattr(answer, "status", None)
    explained = status in EXPLAINED or (status is None and answer.hint)
    hint = answer.hint if explained or not refused else refused
    return Check(name=name, verdict=bad, seen="; ".join(filter(None, (answer.detail, hint))))


def _offers(types: Any, service_type: str) -> Check:
    check = partial(Check, name="read replicas")
    if isinstance(types, AvnError):
        return check(verdict="WARN", seen=f"integration types cannot be listed: {types.detail}")
    if any(one.type == READ_REPLICA and service_type in one.sources and service_type in one.dests for one in types):
        return check(verdict="OK", seen=f"offered for {service_type}")
    return check(verdict="FAIL", seen=f"read_replica is not offered for {service_type} in this project")


def _passwords(services: Any) -> Check:
    """Whether they are shown can only be seen on a service that has an address."""
    check = partial(Check, name="passwords")
    known = [] if isinstance(services, AvnError) else [one.uri.get_secret_value() for one in services if one.uri]
    if not known:
        return check(verdict="WARN", seen="there is no running service yet to check this on")
    if REDACTED in known[0]:
        hint = "the token needs service:secrets:read: without it no data plane can be reached"
        return check(verdict="FAIL", seen=f"hidden from this token; {hint}")
    return check(verdict="OK", seen="shown to this token")
