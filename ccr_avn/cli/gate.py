"""`ccr-avn gate …`: runs one gate by itself, by the same step as in a run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer

from ccr_avn.cli import options, primitives
from ccr_avn.cli.alone import Alone, ServiceName, answering
from ccr_avn.cli.help import HelpCommand
from ccr_avn.cli.options import Primary, Replica, Samples, flattened
from ccr_avn.errors import NotProven
from ccr_avn.plan.model import Finding, Gate, stop
from ccr_avn.procedures.enable import confirm_backup, confirm_integration, see_services, there
from ccr_avn.procedures.gates.services import Wanted
from ccr_avn.procedures.old_primary import Compared, compare_histories, power_off, set_filter
from ccr_avn.procedures.promotion import control_plane_agrees, look_at_integration, promote, remember_origin
from ccr_avn.procedures.proof import databases_step, link_step, marker_step
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.siblings import list_family, look_at_siblings
from ccr_avn.procedures.steps import wait_running

app = typer.Typer(
    help="""Run a single check of a procedure. Exit 0: it holds; 4: it never will; 5: not yet.

    Examples:
      ccr-avn gate running eu --timeout 600
      ccr-avn gate link eu us --json
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
)


def exists(
    *,
    service: ServiceName,
    replica_of: Annotated[
        str | None, typer.Option(metavar="PRIMARY", callback=options.a_name, help="As a read replica of PRIMARY.")
    ] = None,
    service_type: Annotated[str | None, typer.Option(metavar="T", help="Of this type.")] = None,
    plan: Annotated[str | None, typer.Option(metavar="PLAN", callback=options.a_word, help="On this plan.")] = None,
    cloud: Annotated[
        str | None,
        typer.Option(metavar="CLOUD", callback=options.a_word, help="In this cloud, also if it is yet to be created."),
    ] = None,
    allow_any_plan: Annotated[
        bool, typer.Option("--allow-any-plan", help="Let Aiven decide on the replica's plan.")
    ] = False,
    asked: Alone,
) -> None:
    """Check that SERVICE exists as given; exit 4 if it differs. --print exists: `there` or `missing`, both exit 0."""
    wanted = Wanted(
        name=service,
        of=Wanted(name=replica_of) if replica_of else None,
        type=service_type,
        plan=plan,
        cloud=cloud,
        any_plan=allow_any_plan,
    )
    step = there(asked.setting, wanted)
    asked.judge(asked.within(answering(step) if asked.fact == "exists" else step))


def running(service: ServiceName, asked: Alone) -> None:
    """Wait until SERVICE is running: its state is RUNNING or REBALANCING."""
    asked.judge(wait_running(asked.setting, service, "running", asked.timeout))


def backup(
    *,
    primary: Primary,
    replica: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="REPLICA", callback=options.a_name, help="Also succeed if REPLICA exists already."
        ),
    ] = None,
    asked: Alone,
) -> None:
    """Wait until PRIMARY has a backup to seed a replica from."""
    setting = asked.setting
    there = see_services(setting, primary, *((replica,) if replica else ()))
    running = wait_running(setting, primary, "running", asked.timeout)
    asked.judge(there, running, confirm_backup(setting, primary, replica or "", asked.timeout))


def active(primary: Primary, replica: Replica, asked: Alone) -> None:
    """Wait until the integration of a pair is active: read_replica, from PRIMARY to REPLICA, enabled."""
    asked.judge(confirm_integration(asked.setting, primary, replica, asked.timeout))


def integration(
    *,
    replica: Replica,
    primary: Annotated[
        str | None, typer.Option("--from", metavar="PRIMARY", callback=options.a_name, help="From this primary.")
    ] = None,
    asked: Alone,
) -> None:
    """Find the read_replica integration of REPLICA; exit 4 if there is none. --print integration prints its ID."""
    asked.judge(asked.within(look_at_integration(asked.setting, primary, replica)), fact="integration")


def integration_gone(replica: Replica, asked: Alone) -> None:
    """Wait until REPLICA has no read_replica integration."""
    gone, _ = control_plane_agrees(asked.setting, replica, asked.timeout)
    asked.judge(gone)


def link(
    *,
    primary: Primary,
    replica: Replica,
    max_lag_bytes: Annotated[int | None, options.number("Maximum lag of REPLICA, in bytes. [default: any]")] = None,
    allow_rejected_commands: options.AllowRejected = False,
    asked: Alone,
) -> None:
    """Wait until REPLICA follows PRIMARY: the link is up, no sync is in progress, and no command was rejected."""
    setting = replace(asked.setting, allow_rejected=allow_rejected_commands)
    step = link_step(setting, primary, replica, asked.timeout, max_lag=max_lag_bytes)
    asked.judge(step, seen=asked.seen(primary, replica))


def databases(primary: Primary, replica: Replica, asked: Alone) -> None:
    """Check that REPLICA has every database that PRIMARY uses."""
    step = databases_step(asked.setting, primary, replica, NotProven)
    asked.judge(asked.within(step), seen=asked.seen(primary, replica))


def marker(
    *,
    primary: Primary,
    replica: Replica,
    samples: Samples = 20,
    asked: Alone,
) -> None:
    """Write markers to PRIMARY and read them from REPLICA; exit 6 if they don't arrive."""
    step = marker_step(asked.setting, primary, replica, samples)
    asked.judge(asked.within(step), seen=asked.seen(primary, replica))


def siblings(replica: Replica, asked: Alone) -> None:
    """Check that no other replica of its primary was promoted: one is promoted, never two. Exit 4 if so."""
    family = list_family(asked.setting, replica)
    asked.judge(family, look_at_siblings(asked.setting, replica))


def promoted(replica: Replica, asked: Alone) -> None:
    """Wait until REPLICA is a primary: its role is master."""
    asked.judge(promote(asked.setting, replica, limit=asked.timeout), seen=asked.seen(replica))


def tagged(
    service: ServiceName,
    tag: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A tag that it must have; repeatable.")],
    asked: Alone,
) -> None:
    """Wait until SERVICE has these tags."""
    asked.judge(asked.within(remember_origin(asked.setting, service, "", lambda _: tuple(tag))))


def ip_filter(service: ServiceName, asked: Alone) -> None:
    """Wait until the ip_filter of SERVICE admits no client; `gate closed` checks that it has taken effect."""
    asked.judge(asked.within(set_filter(asked.setting, service, service)))


def powered_off(service: ServiceName, asked: Alone) -> None:
    """Wait until SERVICE is powered off."""
    asked.judge(asked.within(power_off(asked.setting, service, service)))


def audit(
    *,
    primary: Primary,
    replica: Replica,
    expect_none: Annotated[
        bool, typer.Option("--expect-none", help="Exit 6 if there are any, or if that can't be shown.")
    ] = False,
    asked: Alone,
) -> None:
    """Report writes that only the old PRIMARY has: after a promotion; exit 0 without --expect-none."""
    step = compare_histories(asked.setting, primary, replica)

    def judge(compared: Compared, seen: Seen) -> Finding:
        found = step.gate.judge(compared, seen)
        hint = f"do not power {primary} off, and do not terminate it"
        return found if found.facts["ahead_bytes"] == 0 else stop(found.reason, hint=hint)

    step = replace(step, gate=Gate(step.gate.rule, judge, refused=NotProven)) if expect_none else step
    asked.judge(step, seen=asked.seen(primary, replica))


def _gate(name: str, function: Callable[..., Any], *examples: str) -> None:
    """``examples``: what stands behind its name."""
    typed = "".join(f"      ccr-avn gate {name} {words}\n" for words in examples)
    app.command(name, cls=HelpCommand, help=f"{function.__doc__}\n\n    Examples:\n{typed}")(function)


_gate(
    "exists",
    flattened(exists, timeout=0),
    "eu --cloud do-fra",
    "us --replica-of eu --cloud aws-us-east-1",
    "us --replica-of eu --cloud aws-us-east-1 --print exists",
)
_gate("running", flattened(running, timeout=60), "eu", "eu --timeout 1200")
_gate("backup", flattened(backup, timeout=60), "eu", "eu --for us --timeout 3600")
_gate("active", flattened(active, timeout=60), "eu us", "eu us --timeout 1200")
_gate("integration", flattened(integration, timeout=0), "us", "us --from eu")
_gate("integration-gone", flattened(integration_gone, timeout=60), "us", "us --timeout 600")
_gate("link", flattened(link, timeout=60), "eu us", "eu us --max-lag-bytes 1000000 --timeout 900")
_gate("databases", flattened(databases, timeout=0), "eu us", "eu us --json")
_gate("marker", flattened(marker, timeout=0), "eu us", "eu us --samples 100")
_gate("caught-up", primitives.caught_up, "eu us", "eu us --timeout 300")
_gate("siblings", flattened(siblings, timeout=0), "us", "us --json")
_gate("fence-held", primitives.check_fence, 'eu us --token "$token"', 'eu us --token "$token" --ttl 60')
_gate("promoted", flattened(promoted, timeout=60), "us", "us --timeout 600")
_gate("history", primitives.check_history, 'us --token "$token"', "us --primary eu")
_gate("accepts-writes", primitives.accepts_writes, "us", "us --timeout 600")
_gate(
    "tagged",
    flattened(tagged, timeout=10),
    "us --tag ccr_promoted_from=eu",
    "us --tag ccr_promoted_from=eu --timeout 0",
)
_gate("audit", flattened(audit, timeout=0), "eu us", "eu us --json")
_gate("ip-filter", flattened(ip_filter, timeout=30), "eu", "eu --timeout 0")
_gate("closed", primitives.closed, "eu", "eu --timeout 300")
_gate("powered-off", flattened(powered_off, timeout=120), "eu", "eu --timeout 0")
_gate("last-known", primitives.last_known, "us", "us --json")
_gate("lineage", primitives.lineage, "us", "us --origin")
