"""`ccr-avn doctor`."""

from dataclasses import asdict
from typing import Annotated

import typer

from ccr_avn import clock, options
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.doctor import Check, examine, failed
from ccr_avn.history.journals import newest_drills
from ccr_avn.options import Avn, CallTimeout, Json, NoPreload, ProjectName
from ccr_avn.output import console, tables
from ccr_avn.process import find_avn, preload_avn


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
        preload_avn(find_avn(avn))
    found, now = newest_drills(project), clock.now()
    last_drills = [f"{primary}: {one.describe(now)}" for primary, one in sorted(found.items())]
    none = "none from this machine; `ccr-avn drill PRIMARY --replica-cloud CLOUD` tests what a switchover relies on"
    checks = (
        *examine(avn, Project(project), service_type, call_timeout),
        Check(
            name="last drill",
            verdict="OK" if found and all(one.ok for one in found.values()) else "WARN",
            seen="; ".join(last_drills) or none,
        ),
    )
    if json:
        console.envelope("doctor", {"checks": [asdict(check) for check in checks]}, code=4 if failed(checks) else 0)
    else:
        for check in checks:
            for line in tables.prose(f"{check.name}: {check.verdict} ({check.seen})", "stdout"):
                console.say(line)
    if failed(checks):
        raise typer.Exit(4)
