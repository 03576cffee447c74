"""`ccr-avn gate …`: runs a single gate, with the same step as in a run."""

import inspect
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any

from ccr_avn import options
from ccr_avn.aiven import lineage as tags
from ccr_avn.cli.commands import command, group
from ccr_avn.cli.options import ActOptions
from ccr_avn.errors import Refused, UsageError
from ccr_avn.options import PollInterval, Primary, Replica, Service
from ccr_avn.output import console
from ccr_avn.output.progress import PlainProgress
from ccr_avn.plan import events
from ccr_avn.plan.execute import Run
from ccr_avn.plan.gates import GATES, GateCommand, typed_parameters
from ccr_avn.plan.model import Finding, Plan, Step, go
from ccr_avn.procedures import enable, failover, promotion, switchover  # noqa: F401 (their steps are gates)
from ccr_avn.procedures.gates import history as rules
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import endpoint
from ccr_avn.valkey.fence import pause_for
from ccr_avn.valkey.replication import NO_HISTORY, ReplicationInfo
from ccr_avn.valkey.server_facts import fetch_replication
from ccr_avn.valkey.writers import STILL, Snapshot, quiet_for

app = group(
    """Run a single check of a procedure. Exit 0: it holds; 4: it never will; 5: not yet.

    Examples:
      ccr-avn gate running eu --timeout 600
      ccr-avn gate link eu us --json
    """
)

ORDER = (
    "exists",
    "running",
    "backup",
    "active",
    "integration",
    "integration-gone",
    "link",
    "databases",
    "marker",
    "caught-up",
    "siblings",
    "fence-held",
    "promoted",
    "history",
    "accepts-writes",
    "tagged",
    "audit",
    "ip-filter",
    "closed",
    "powered-off",
    "last-known",
    "lineage",
)
"""As a run takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """What every gate takes besides. Times are in seconds."""

    fact: Annotated[
        str | None, options.word("FACT", "Print only the value of this fact, for scripts.", None, "--print")
    ] = None
    timeout: Annotated[float, options.seconds("How long to keep checking; 0: check once.")] = 0
    poll_interval: PollInterval = 5


def command_of(one: GateCommand) -> Callable[..., None]:
    """The command line of a gate, made of the signature of what makes its step."""
    own, waits = typed_parameters(one.make), "limit" in inspect.signature(one.make).parameters

    def run(*, gate: GateOptions, given: ActOptions, **typed: Any) -> None:
        at, more = given.setting(gate.poll_interval), {"limit": gate.timeout} if waits else {}
        step = one.make(at, **typed, **more)
        awaited = {"limit": gate.timeout} if "limit" in inspect.signature(one.before).parameters else {}
        before = one.before(at, **typed, **awaited)
        seen = looked_up(given, *(typed[name] for name in one.asks if typed[name]))
        pace = at.poll_interval if not waits else min(step.poll.interval, at.poll_interval)
        step = replace(step, poll=replace(step.poll, limit=gate.timeout, interval=pace))
        found = judged(given, seen, *before, answering(step) if gate.fact == "exists" else step)
        fact = gate.fact or one.fact
        if fact and found.facts.get(fact) is None:
            raise Refused(f"no {fact} is known: {found.reason}", hint="omit --print to list the known facts")
        given.show(str(found.facts[fact]) if fact else found.reason, found.facts)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.values()]
    for name, group_ in (("gate", GateOptions), ("given", ActOptions)):
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=group_))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__doc__ = one.make.__doc__
    return run


def looked_up(given: ActOptions, *names: str) -> Seen:
    """What a run would have seen of these before: the services."""
    seen = Seen()
    if names:
        seen.remember("services", given.services(*names))
    return seen


class Found(PlainProgress):
    """Keeps what the last step found, without a line for each that is done."""

    finding: Finding

    def done(self, event: events.StepDone) -> None:
        self.finding = event.finding


def judged(given: ActOptions, seen: Seen, *steps: Step[Any]) -> Finding:
    """Run these steps, which must all say go, without what they would change. Gives what the last one found.

    Raises:
        CcrError: as a gate, or avn, ended it.
    """
    looks = tuple(
        replace(step, change=None, undo=None, undone_by=(), final=False, optional=False, advisory=False)
        for step in steps
    )
    found = Found()
    Run(Plan("gate", (), looks), given.world(), found, seen).act()
    return found.finding


def answering(step: Step[Any]) -> Step[Any]:
    """``todo`` is an answer too: the fact ``exists`` shows which it was."""

    def judge(answer: Any, seen: Seen) -> Finding:
        found = step.judge(answer, seen)
        if found.verdict == "todo":
            return go(found.reason, warnings=found.warnings, exists="missing")
        return replace(found, facts={**found.facts, "exists": "there"})

    return replace(step, judge=judge)


def fence_held(
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
    noted, setting = parsed(token), given.setting(allow_rejected=allow_rejected_commands)
    source, target = (endpoint(service, setting) for service in given.services(primary, replica))
    now: ReplicationInfo | None = fetch_replication(source)
    if now and noted.no_writes_until(now):  # else the token is of another time or service: nothing is paused for it
        now = pause_for(source, ttl) if ttl else quiet_for(source, STILL)
    side = fetch_replication(target)
    trouble = rules.lacks(side, noted.replid, noted.offset, replica)
    if now is None or not noted.no_writes_until(now):
        why = ": the write pause did not hold" if ttl else ""
        trouble = f"{primary} has been written to since, or its server was restarted{why}"
    if trouble or now is None:
        lift = shlex.join(("ccr-avn", "unfence", primary, *setting.options))
        hint = f"{lift}, then start again" if ttl else "stop the writers, then start again"
        raise Refused(f"{replica} must not be promoted now", detail=trouble, hint=hint)
    applied = setting.rejections.of_promotion(
        (now, side), lambda: (fetch_replication(source), fetch_replication(target)), primary, replica
    )
    for warning in applied.warnings:
        console.note(f"warning: {warning}")
    given.show(f"nothing was written to {primary}, and {replica} has applied everything", {"offset": noted.offset})


def history(
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
    noted, setting = parsed(token) if token else None, given.setting()
    seen = looked_up(given, replica, *((primary,) if primary else ()))
    expected = rules.Expected(ids=(noted.replid,), offset=noted.offset) if noted else rules.Expected()
    step = promotion.carries_history(
        setting, replica, lambda _: primary or "", lambda *_: expected, limit=timeout, variable=""
    )
    carried = judged(given, seen, step)
    result, text = dict(carried.facts), carried.reason
    if primary:
        old = setting.replication(seen, primary)
        ahead = rules.judge_audit(rules.audit(old, seen.of(step), None), primary)
        result |= ahead.facts
        text = f"{text}; {ahead.reason}"
    given.show(text, result)


def lineage(
    *,
    replica: Replica,
    origin: Annotated[bool, options.flag("Print the tag with the primary's name instead.")] = False,
    promoting: Annotated[bool, options.flag("Print the tag that marks REPLICA as being promoted instead.")] = False,
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
    mark = f"{tags.PROMOTING}={tags.UNKNOWN}"
    with suppress(Refused):  # the primary may be gone
        [old] = given.services(new.source)
        followed = NO_HISTORY if no_verify else fetch_replication(endpoint(new, setting)).replid
        found, mark = tags.tags(old, new, followed), tags.mark(old, new, setting.now)
    given.show(mark if promoting else found[0 if origin else 1], {"tags": list(found), "promoting": mark})


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
    [found] = given.services(service)
    side = fetch_replication(endpoint(found, given.setting()))
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


HANDED_ON: dict[str, Callable[..., None]] = {
    "fence-held": fence_held,
    "history": history,
    "last-known": last_known,
    "lineage": lineage,
}
"""Those that print what a later line of a preview needs, or take what an earlier one printed: no run has the same step."""

for _name in ORDER:
    if _name in GATES:
        command(app, _name, defaults={"timeout": GATES[_name].timeout})(command_of(GATES[_name]))
    else:
        command(app, _name)(HANDED_ON[_name])
