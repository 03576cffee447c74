"""`ccr-avn verify`."""

from enum import StrEnum
from typing import Annotated

import typer

from ccr_avn.cli import options
from ccr_avn.cli.options import Avn, CaFile, CallTimeout, Json, LinkTimeout, Primary, ProjectName, Replica, Samples


class Level(StrEnum):
    LINK = "link"
    MARKER = "marker"


def verify(
    primary: Primary,
    replica: Replica,
    project: ProjectName = None,
    level: Annotated[
        Level, typer.Option(help="link: the replication link stands; marker: data really arrives.")
    ] = Level.MARKER,
    samples: Samples = 20,
    link_timeout: LinkTimeout = 15,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Prove that REPLICA follows PRIMARY. Exit 6 when it can't be proven."""
    options.names(PRIMARY=primary, REPLICA=replica)
    options.not_negative(link_timeout=link_timeout, call_timeout=call_timeout)
    options.at_least_one(samples=samples)
    from ccr_avn.avn import Project
    from ccr_avn.cli.session import Session
    from ccr_avn.procedures.steps import Setting, evidence
    from ccr_avn.procedures.verify import VerifyRequest, plan_verify
    from ccr_avn.program import identify

    setting = Setting(project=Project(options.project_name(project)), ca_file=options.readable(ca_file))
    want = VerifyRequest(
        primary=primary,
        replica=replica,
        setting=setting,
        level="link" if level is Level.LINK else "marker",
        samples=samples,
        link_timeout=link_timeout,
    )
    plan = plan_verify(want)
    session = Session("verify", json=json, primary=primary, replica=replica, project=setting.project.name)
    run = session.perform(plan, identify(avn), call_timeout)
    result = {"primary": primary, "replica": replica, "level": want.level, **evidence(plan, run.seen)}
    session.finish(run, result, [f"{replica} replicates {primary}: proven by {want.level}"])
