"""The single acts that a preview is made of: fence, caught-up, accepts-writes, unfence, closed, last-known."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccr_avn.cli import options
from ccr_avn.cli.options import Avn, CaFile, CallTimeout, Json, Primary, ProjectName, Replica, Route

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ccr_avn.dataplane.connect import Endpoint

ServiceName = Annotated[
    str, typer.Argument(metavar="SERVICE", help="The service to ask.", autocompletion=options.recent)
]
Timeout = Annotated[float, typer.Option(metavar="S", help="How long to go on asking.")]
AT_ONCE = 0.05
"""Seconds between two looks."""


def fence(
    primary: Primary,
    project: ProjectName = None,
    ttl: Annotated[
        float, typer.Option(metavar="S", help="It ends by itself after this time; nothing renews it.")
    ] = 600,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Hold back writes on PRIMARY for a time. By hand; a switchover does it by itself."""
    options.names(PRIMARY=primary)
    options.at_least_one(ttl=ttl)
    [endpoint] = _endpoints((primary,), project, avn, ca_file, route, call_timeout)
    from ccr_avn.dataplane.fence import Fence

    held = Fence(endpoint, "by-hand", ttl)
    held.place()
    offset = held.side().offset
    held.close()
    _tell("fence", json, f"writes on {primary} are held back for {ttl:g} s", {"ttl_seconds": ttl, "offset": offset})


def unfence(
    primary: Primary,
    project: ProjectName = None,
    disconnect: Annotated[
        bool,
        typer.Option("--disconnect", help="Cut all clients first: after a promotion nothing may be acknowledged late."),
    ] = False,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Let writes on PRIMARY go on. Exit 4 while a run of a switchover holds its own fence there."""
    options.names(PRIMARY=primary)
    [endpoint] = _endpoints((primary,), project, avn, ca_file, route, call_timeout)
    from ccr_avn.dataplane.fence import lift

    lift(endpoint, disconnect=disconnect)
    _tell("unfence", json, f"writes on {primary} are let through", {"disconnected": disconnect})


def caught_up(
    primary: Primary,
    replica: Replica,
    project: ProjectName = None,
    timeout: Timeout = 60,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Wait until REPLICA has applied what PRIMARY had written when this was called. Exit 5 when it has not."""
    options.names(PRIMARY=primary, REPLICA=replica)
    options.not_negative(timeout=timeout)
    source, target = _endpoints((primary, replica), project, avn, ca_file, route, call_timeout)
    from ccr_avn.dataplane.link import look_at

    offset = look_at(source).offset
    _until(
        lambda: max(0, offset - look_at(target).offset), timeout, lambda missing: f"{replica} is {missing} bytes behind"
    )
    _tell("caught-up", json, f"{replica} has applied all {offset} bytes of {primary}", {"offset": offset})


def accepts_writes(
    service: ServiceName,
    project: ProjectName = None,
    timeout: Timeout = 60,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Wait until SERVICE accepts a write and gives it back. Exit 5 when it does not."""
    options.names(SERVICE=service)
    options.not_negative(timeout=timeout)
    [endpoint] = _endpoints((service,), project, avn, ca_file, route, call_timeout)
    from ccr_avn.dataplane.writes import accepts_write

    _until(lambda: not accepts_write(endpoint), timeout, lambda _: f"{service} does not accept writes")
    _tell("accepts-writes", json, f"{service} accepts writes", {})


def closed(
    service: ServiceName,
    project: ProjectName = None,
    timeout: Timeout = 120,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Wait until SERVICE lets no client in. Exit 5 when it does."""
    options.names(SERVICE=service)
    options.not_negative(timeout=timeout)
    [endpoint] = _endpoints((service,), project, avn, ca_file, route, call_timeout)
    from ccr_avn.dataplane.writes import lets_clients_in

    _until(lambda: lets_clients_in(endpoint), timeout, lambda _: f"{service} lets clients in")
    _tell("closed", json, f"{service} lets nobody in", {})


def last_known(
    service: ServiceName,
    project: ProjectName = None,
    call_timeout: CallTimeout = 60,
    ca_file: CaFile = None,
    route: Route = None,
    json: Json = False,
    avn: Avn = None,
) -> None:
    """Show what a replica last knew of its primary: link, seconds since it heard of it, what it has applied."""
    options.names(SERVICE=service)
    [endpoint] = _endpoints((service,), project, avn, ca_file, route, call_timeout)
    from ccr_avn.dataplane.link import look_at

    side = look_at(endpoint)
    told = {
        "role": side.role,
        "link": side.link_status,
        "last_io_seconds": side.last_io_seconds,
        "link_down_seconds": side.link_down_seconds,
        "applied_offset": side.offset,
    }
    _tell("last-known", json, ", ".join(f"{key} {value}" for key, value in told.items()), told)


def _endpoints(
    names: tuple[str, ...],
    project: str | None,
    avn: str | None,
    ca_file: "Path | None",
    route: "options.RouteName | None",
    call_timeout: float,
) -> "tuple[Endpoint, ...]":
    """Ask avn where these services answer."""
    options.not_negative(call_timeout=call_timeout)
    from ccr_avn import console
    from ccr_avn.lookup import look_up
    from ccr_avn.procedures.steps import endpoint

    setting = options.setting(project, ca_file, route)
    return tuple(
        endpoint(service, setting) for service in look_up(avn, setting.project, names, call_timeout, console.note)
    )


def _until(missing: "Callable[[], Any]", timeout: float, why: "Callable[[Any], str]") -> None:
    """Ask until nothing is missing.

    Raises:
        TimedOut: something still is at the limit.
    """
    from ccr_avn.errors import TimedOut

    until = time.monotonic() + timeout
    while found := missing():
        if time.monotonic() >= until:
            raise TimedOut(why(found), detail=f"after {timeout:g} s", hint="look at it, or wait longer: --timeout")
        time.sleep(AT_ONCE)


def _tell(command: str, json: bool, text: str, result: dict[str, Any]) -> None:
    from ccr_avn import console

    if json:
        console.envelope(command, ok=True, changed=False, result=result)
    else:
        console.say(text)
