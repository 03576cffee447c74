"""doctor's checks: is everything in place for a run? Reads only."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from ccr_avn import avn, failure, process
from ccr_avn.avn import Project
from ccr_avn.errors import AvnError, CcrError
from ccr_avn.models import READ_REPLICA, IntegrationType
from ccr_avn.plan import Call
from ccr_avn.program import identify

Verdict = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    verdict: Verdict
    seen: str


def examine(given: str | None, project: Project, service_type: str, deadline: float) -> tuple[Check, ...]:
    """Every check, each with what was seen; ``deadline`` is in seconds, for each avn command."""
    try:
        program = identify(given)
    except CcrError as error:
        return (Check(name="avn", verdict="FAIL", seen=f"{error.what}; {error.hint}"),)
    calls: tuple[Call[Any], ...] = (
        avn.user_info(),
        avn.project_details(project),
        avn.service_list(project),
        avn.integration_types(project),
    )
    with ThreadPoolExecutor(2) as pool:
        user, details, services, types = pool.map(lambda call: _ask(program.path, call, deadline), calls)
    return (
        Check(name="avn", verdict="OK", seen=f"{program.version} at {program.path}"),
        _judged("token", user, "accepted", "log in with `avn user login`, or set AIVEN_AUTH_TOKEN"),
        _judged("project", details, project.name or "avn's default", "check the name: `avn project list`"),
        _judged("services", services, "may be listed", "the token needs project:services:read"),
        _offers(types, service_type),
        _backups(program.path, project, services, deadline),
        Check(
            name="permission to change",
            verdict="WARN",
            seen="no read can tell; enable needs project:services:write, promotion project:integrations:write",
        ),
    )


def failed(checks: Sequence[Check]) -> bool:
    return any(check.verdict == "FAIL" for check in checks)


def _ask(path: str, call: Call[Any], deadline: float) -> Any:
    answer = process.run((path, *(str(word) for word in call.argv[1:])), deadline=deadline)
    if answer.code != 0:
        return AvnError("failed", detail=failure.read(answer).reason)
    try:
        return call.parse(answer.stdout)
    except AvnError as error:
        return error


def _judged(name: str, answer: Any, seen: str, hint: str) -> Check:
    if isinstance(answer, AvnError):
        return Check(name=name, verdict="FAIL", seen=f"{answer.detail}; {hint}")
    return Check(name=name, verdict="OK", seen=seen)


def _offers(answer: Any, service_type: str) -> Check:
    name = "read replicas"
    if isinstance(answer, AvnError):
        return Check(name=name, verdict="WARN", seen=f"could not ask for integration types: {answer.detail}")
    types: tuple[IntegrationType, ...] = answer
    if any(row.type == READ_REPLICA and service_type in row.sources and service_type in row.dests for row in types):
        return Check(name=name, verdict="OK", seen=f"offered for {service_type}")
    return Check(name=name, verdict="FAIL", seen=f"read_replica is not offered for {service_type} in this project")


def _backups(path: str, project: Project, services: Any, deadline: float) -> Check:
    """Whether backups may be listed can only be seen on a service that exists."""
    name = "backups"
    if isinstance(services, AvnError) or not services:
        return Check(name=name, verdict="WARN", seen="there is no service yet to list backups of")
    answer = _ask(path, avn.backup_list(project, services[0].name), deadline)
    return _judged(name, answer, "may be listed", "the token needs service:configuration:write")
