"""`ccr-avn fence`, and the gates that a pasted promotion hands a token or a tag from one line to the next."""

import shlex
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

from ccr_avn import options
from ccr_avn.aiven import lineage as tags
from ccr_avn.cli.single_step import ActOptions
from ccr_avn.errors import Refused, UsageError
from ccr_avn.options import Primary, Replica, Service
from ccr_avn.output import console
from ccr_avn.procedures import promotion
from ccr_avn.procedures.gates import history
from ccr_avn.procedures.gates.history import lacks
from ccr_avn.procedures.setting import endpoint as endpoint_of
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.fence import Fence
from ccr_avn.valkey.replication import NO_HISTORY, ReplicationInfo
from ccr_avn.valkey.server_facts import fetch_replication
from ccr_avn.valkey.writers import STILL, Snapshot, quiet_for


def fence(
    *,
    primary: Primary,
    ttl: Annotated[float, options.seconds("Length of the pause; it is not renewed.", options.at_least_one)] = 600,
    token: Annotated[bool, options.flag("Print only a token, for `gate fence-held` and `gate history`.")] = False,
    given: ActOptions,
) -> None:
    """Pause writes on PRIMARY for a limited time. A switchover does this itself.

    Examples:
      ccr-avn fence eu --ttl 60
      token="$(ccr-avn fence eu --token)"
    """
    [endpoint] = given.endpoints(primary)
    must_be_primary(fetch_replication(endpoint), primary)
    noted = Snapshot.of(_paused(endpoint, ttl))
    result = {"ttl_seconds": ttl, "offset": noted.offset, "token": noted.token}
    given.show(noted.token if token else f"writes on {primary} are paused for {ttl:g} s", result)


def _paused(endpoint: Endpoint, ttl: float) -> ReplicationInfo:
    """First the pause, or a longer one, then the look: what is written in between shows. ``ttl``: seconds."""
    held = Fence(endpoint, "by-hand", ttl)
    held.place()
    side = held.side()
    held.close()
    return side


def check_fence(
    *,
    primary: Primary,
    replica: Replica,
    token: Annotated[str, options.word("T", "Token printed by `ccr-avn fence --token`.")],
    ttl: Annotated[
        float,
        options.seconds(
            "New length of the write pause, counted from now; 0: no pause, because the writers are stopped."
        ),
    ] = 600,
    allow_rejected_commands: options.AllowRejected = False,
    given: ActOptions,
) -> None:
    """Check that the write pause of `fence` held: nothing was written to PRIMARY since, and REPLICA has applied it all.
    Exit 4 if not.

    Examples:
      ccr-avn gate fence-held eu us --token "$token"
      ccr-avn gate fence-held eu us --token "$token" --ttl 60
    """
    noted = parsed(token)
    source, target = given.endpoints(primary, replica)
    now: ReplicationInfo | None = fetch_replication(source)
    if now and noted.no_writes_until(now):  # else the token is of another time or service: nothing is paused for it
        now = _paused(source, ttl) if ttl else quiet_for(source, STILL)
    side = fetch_replication(target)
    trouble = lacks(side, noted.replid, noted.offset, replica)
    if now is None or not noted.no_writes_until(now):
        why = ": the write pause did not hold" if ttl else ""
        trouble = f"{primary} has been written to since, or its server was restarted{why}"
    if trouble or now is None:
        lift = shlex.join(("ccr-avn", "unfence", primary, *given.setting().options))
        hint = f"{lift}, then start again" if ttl else "stop the writers, then start again"
        raise Refused(f"{replica} must not be promoted now", detail=trouble, hint=hint)
    rejections = given.setting(allow_rejected=allow_rejected_commands).rejections
    applied = rejections.of_promotion(
        (now, side), lambda: (fetch_replication(source), fetch_replication(target)), primary, replica
    )
    for warning in applied.warnings:
        console.note(f"warning: {warning}")
    given.show(f"nothing was written to {primary}, and {replica} has applied everything", {"offset": noted.offset})


def check_history(
    *,
    replica: Replica,
    token: Annotated[str | None, options.word("T", "Token printed by `fence --token` or `last-known --token`.")] = None,
    primary: Annotated[
        str | None, options.word("NAME", "Also report writes that only this old primary has.", options.a_name)
    ] = None,
    timeout: Annotated[float, options.seconds("How long to wait.")] = 60,
    given: ActOptions,
) -> None:
    """Check that a promoted REPLICA has its primary's data. Exit 4 if not; --primary only adds a report.

    Examples:
      ccr-avn gate history us --token "$token"
      ccr-avn gate history us --primary eu
    """
    noted = parsed(token) if token else None
    looked = given.seen(replica, *((primary,) if primary else ()))
    expected = history.Expected(ids=(noted.replid,), offset=noted.offset) if noted else history.Expected()
    step = promotion.carries_history(
        given.setting(), replica, lambda _: primary or "", lambda *_: expected, limit=timeout, variable=""
    )
    carried, seen = given.judged(step, seen=looked)
    result, text = dict(carried.facts), carried.reason
    if primary:
        old = given.setting().replication(seen, primary)
        ahead = history.judge_audit(history.audit(old, seen.of(step), None), primary)
        result |= ahead.facts
        text = f"{text}; {ahead.reason}"
    given.show(text, result)


def lineage(
    *,
    replica: Replica,
    origin: Annotated[bool, options.flag("Print the tag with the primary's name instead.")] = False,
    no_verify: Annotated[bool, options.flag("Don't connect to the data plane.")] = False,
    given: ActOptions,
) -> None:
    """Print the tag that identifies the primary of REPLICA: even among services of the same name.

    Examples:
      ccr-avn gate lineage us
      ccr-avn gate lineage us --origin
    """
    setting = given.setting()
    [new] = given.services(replica)
    if not new.source:
        raise Refused(f"{replica} follows no primary", hint=f"see avn service integration-list {replica}")
    found: tuple[str, ...] = (f"{tags.FROM}={new.source}", f"{tags.LINEAGE}={tags.UNKNOWN}")
    with suppress(Refused):  # the primary may be gone
        [old] = given.services(new.source)
        followed = NO_HISTORY if no_verify else fetch_replication(endpoint_of(new, setting)).replid
        found = tags.tags(old, new, followed)
    given.show(found[0 if origin else 1], {"tags": list(found)})


def parsed(token: str) -> Snapshot:
    """Raises:
    UsageError: it is no token.
    """
    try:
        return Snapshot.parse(token)
    except ValueError:
        raise UsageError(
            "invalid --token",
            detail=f"it is {token[:80]!r}",
            hint="use what `ccr-avn fence PRIMARY --token` prints",
        ) from None


def must_be_primary(side: ReplicationInfo, service: str) -> None:
    """Raises:
    Refused: it is not, so that the answer would be about something else.
    """
    if side.role != "master":
        what = f"{service} is a replica: it accepts no writes"
        raise Refused(what, hint=f"to see which service is the primary: ccr-avn status {service}")


def last_known(
    *,
    service: Service,
    token: Annotated[bool, options.flag("Print only a token, for `gate history`.")] = False,
    given: ActOptions,
) -> None:
    """Show what a replica last knew of its primary: link, seconds since last contact, what it has applied.

    Examples:
      ccr-avn gate last-known us
      ccr-avn gate last-known us --json
    """
    [endpoint] = given.endpoints(service)
    side = fetch_replication(endpoint)
    noted = Snapshot.of(side)
    facts = {
        "role": side.role,
        "link": side.link_status,
        "last_io_seconds": side.last_io_seconds,
        "link_down_seconds": side.link_down_seconds,
        "applied_offset": side.offset,
    }
    known = ", ".join(f"{key} {value}" for key, value in facts.items() if value is not None)
    given.show(noted.token if token else known, {**facts, "token": noted.token})


GATES: dict[str, Callable[..., None]] = {
    "fence-held": check_fence,
    "history": check_history,
    "last-known": last_known,
    "lineage": lineage,
}
"""Those that print what a later line of a preview needs, or take what an earlier one printed."""
