"""`ccr-avn gate …`: each gate of a plan by itself, as the very step that a run takes."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from ccr_avn.cli import options, pages, primitives
from ccr_avn.cli.alone import Print, ServiceName, Timeout, alone, answering
from ccr_avn.cli.options import (
    Avn,
    CaFile,
    CallTimeout,
    Json,
    PollInterval,
    Primary,
    ProjectName,
    Replica,
    Route,
    Samples,
)
from ccr_avn.errors import NotProven
from ccr_avn.procedures import enable
from ccr_avn.procedures.enable import confirm_backup, confirm_integration, see_services
from ccr_avn.procedures.gates.services import PrimaryWish, ReplicaWish
from ccr_avn.procedures.old_primary import compare_histories, power_off, set_filter
from ccr_avn.procedures.promotion import control_plane_agrees, look_at_integration, promote, remember_origin
from ccr_avn.procedures.steps import databases_step, link_step, marker_step, wait_running

app = typer.Typer(
    help="One check of a plan by itself, as --dry-run prints it: exit 0 if it holds, 4 if it never will, 5 not yet.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def exists(
    context: typer.Context,
    service: ServiceName,
    replica_of: Annotated[str | None, typer.Option(metavar="PRIMARY", help="As a read replica of PRIMARY.")] = None,
    service_type: Annotated[str | None, typer.Option(metavar="T", help="Of this type.")] = None,
    plan: Annotated[str | None, typer.Option(metavar="PLAN", help="On this plan.")] = None,
    cloud: Annotated[str | None, typer.Option(metavar="CLOUD", help="In this cloud, or to be created there.")] = None,
    allow_any_plan: Annotated[
        bool, typer.Option("--allow-any-plan", help="Let Aiven decide on the replica's plan.")
    ] = False,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 0,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """SERVICE exists as asked for; exit 4 if as something else. --print exists: `there`, or `missing`, both exit 0."""
    options.names(SERVICE=service, **({"replica-of": replica_of} if replica_of else {}))
    options.words(plan=plan, cloud=cloud)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    if replica_of:
        wish = ReplicaWish(
            name=service,
            primary=replica_of,
            plan=plan or "startup-4",
            cloud=cloud,
            any_plan=allow_any_plan,
            primary_plan=enable.PRIMARY_PLAN,
            primary_cloud=None,
        )
        step = enable.replica_there(asked.setting, wish)
    else:
        step = enable.primary_there(asked.setting, PrimaryWish(name=service, type=service_type, plan=plan, cloud=cloud))
    asked.judge(asked.within(answering(step) if fact == "exists" else step), fact=fact)


def running(
    context: typer.Context,
    service: ServiceName,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 60,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """SERVICE runs: its state is RUNNING or REBALANCING."""
    options.names(SERVICE=service)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    asked.judge(wait_running(asked.setting, service, "running", timeout), fact=fact)


def backup(
    context: typer.Context,
    primary: Primary,
    replica: Annotated[
        str | None, typer.Option("--for", metavar="REPLICA", help="None is needed once REPLICA exists.")
    ] = None,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 60,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """PRIMARY has a backup that a replica can be seeded from."""
    options.names(PRIMARY=primary, **({"for": replica} if replica else {}))
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    setting = asked.setting
    there = see_services(setting, primary, *((replica,) if replica else ()))
    running = wait_running(setting, primary, "running", timeout)
    asked.judge(there, running, confirm_backup(setting, primary, replica or "", running, there, timeout), fact=fact)


def active(
    context: typer.Context,
    primary: Primary,
    replica: Replica,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 60,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """The read_replica integration from PRIMARY to REPLICA is enabled and active."""
    options.names(PRIMARY=primary, REPLICA=replica)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    asked.judge(confirm_integration(asked.setting, primary, replica, timeout), fact=fact)


def integration(
    context: typer.Context,
    replica: Replica,
    primary: Annotated[str | None, typer.Option("--from", metavar="PRIMARY", help="From this primary.")] = None,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 0,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """A read_replica integration feeds REPLICA. --print integration: its id; exit 4 if there is none."""
    options.names(REPLICA=replica, **({"from": primary} if primary else {}))
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    asked.judge(asked.within(look_at_integration(asked.setting, primary, replica)), fact=fact or "integration")


def integration_gone(
    context: typer.Context,
    replica: Replica,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 60,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """No read_replica integration feeds REPLICA any more."""
    options.names(REPLICA=replica)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    gone, _ = control_plane_agrees(asked.setting, replica, timeout)
    asked.judge(gone, fact=fact)


def link(
    context: typer.Context,
    primary: Primary,
    replica: Replica,
    max_lag_bytes: Annotated[
        int | None, typer.Option(metavar="N", help="Bytes that REPLICA may be behind. [default: any]")
    ] = None,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 60,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """REPLICA follows PRIMARY: the link is up, no sync is in progress."""
    options.names(PRIMARY=primary, REPLICA=replica)
    options.not_negative(max_lag_bytes=max_lag_bytes or 0)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    setting, find = asked.setting, asked.find(primary, replica)
    asked.judge(link_step(setting, primary, replica, find, timeout, max_lag=max_lag_bytes), fact=fact)


def databases(
    context: typer.Context,
    primary: Primary,
    replica: Replica,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 0,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """REPLICA has every database that PRIMARY uses."""
    options.names(PRIMARY=primary, REPLICA=replica)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    setting, find = asked.setting, asked.find(primary, replica)
    asked.judge(asked.within(databases_step(setting, primary, replica, find, NotProven)), fact=fact)


def marker(
    context: typer.Context,
    primary: Primary,
    replica: Replica,
    samples: Samples = 20,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 0,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Markers written to PRIMARY are read from REPLICA; exit 6 if they are not."""
    options.names(PRIMARY=primary, REPLICA=replica)
    options.at_least_one(samples=samples)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    setting, find = asked.setting, asked.find(primary, replica)
    asked.judge(asked.within(marker_step(setting, primary, replica, find, samples)), fact=fact)


def promoted(
    context: typer.Context,
    replica: Replica,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 60,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """REPLICA is a primary: its role is master."""
    options.names(REPLICA=replica)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    asked.judge(promote(asked.promotion(replica, asked.find(replica))), fact=fact)


def tagged(
    context: typer.Context,
    service: ServiceName,
    tag: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A tag that it must have; repeatable.")],
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 10,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """SERVICE has these tags."""
    options.names(SERVICE=service)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    asked.judge(asked.within(remember_origin(asked.promotion(service), "", lambda _: tuple(tag))), fact=fact)


def ip_filter(
    context: typer.Context,
    service: ServiceName,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 30,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """The ip_filter of SERVICE lets nobody in; `closed` tells whether that is in force."""
    options.names(SERVICE=service)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    asked.judge(asked.within(set_filter(asked.closing(service, service))), fact=fact)


def powered_off(
    context: typer.Context,
    service: ServiceName,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 120,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """SERVICE is powered off."""
    options.names(SERVICE=service)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    asked.judge(asked.within(power_off(asked.closing(service, service))), fact=fact)


def audit(
    context: typer.Context,
    primary: Primary,
    replica: Replica,
    fact: Print = None,
    project: ProjectName = None,
    timeout: Timeout = 0,
    poll_interval: PollInterval = 5,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """After a promotion: tell what only the old PRIMARY has. Always exit 0 if both exist."""
    options.names(PRIMARY=primary, REPLICA=replica)
    asked = alone(context, project, ca_file, route, avn, timeout, poll_interval, call_timeout, json)
    asked.judge(compare_histories(asked.closing(primary, replica, asked.find(primary, replica))), fact=fact)


GATES: dict[str, Callable[..., Any]] = {
    "exists": exists,
    "running": running,
    "backup": backup,
    "active": active,
    "integration": integration,
    "integration-gone": integration_gone,
    "link": link,
    "databases": databases,
    "marker": marker,
    "caught-up": primitives.caught_up,
    "fence-held": primitives.check_fence,
    "promoted": promoted,
    "history": primitives.check_history,
    "accepts-writes": primitives.accepts_writes,
    "tagged": tagged,
    "audit": audit,
    "ip-filter": ip_filter,
    "closed": primitives.closed,
    "powered-off": powered_off,
    "last-known": primitives.last_known,
    "lineage": primitives.lineage,
}

for _name, _function in GATES.items():
    app.command(_name, cls=pages.HelpCommand, **pages.page(f"gate {_name}"))(_function)
