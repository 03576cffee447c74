"""`ccr-avn gate …`: runs a single gate, with the same step as in a run."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from ccr_avn import options
from ccr_avn.cli import fence
from ccr_avn.cli.commands import command, group
from ccr_avn.cli.single_step import ActOptions
from ccr_avn.errors import Refused
from ccr_avn.options import PollInterval
from ccr_avn.plan.gates import GATES, GateCommand, typed_parameters
from ccr_avn.plan.model import Finding, Step, go
from ccr_avn.procedures import enable, failover, switchover  # noqa: F401 (their steps are gates)
from ccr_avn.procedures.seen import Seen

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
        names = {name: typed.pop(name) for name in list(typed) if own[name].kind is not own[name].KEYWORD_ONLY}
        step = one.make(at, *names.values(), **typed, **more)
        awaited = {"limit": gate.timeout} if "limit" in inspect.signature(one.before).parameters else {}
        before = one.before(at, *names.values(), **typed, **awaited)
        values = {**names, **typed}
        seen = given.seen(*(values[name] for name in one.asks if values[name])) if one.asks else None
        pace = at.poll_interval if not waits else min(step.poll.interval, at.poll_interval)
        step = replace(step, poll=replace(step.poll, limit=gate.timeout, interval=pace))
        found, _ = given.judged(*before, answering(step) if gate.fact == "exists" else step, seen=seen)
        fact = gate.fact or one.fact
        if fact and found.facts.get(fact) is None:
            raise Refused(f"no {fact} is known: {found.reason}", hint="omit --print to list the known facts")
        given.show(found.reason, found.facts, fact)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.values()]
    for name, group_ in (("gate", GateOptions), ("given", ActOptions)):
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=group_))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__doc__ = one.make.__doc__
    return run


def answering(step: Step[Any]) -> Step[Any]:
    """``todo`` is an answer too: the fact ``exists`` shows which it was."""

    def judge(answer: Any, seen: Seen) -> Finding:
        found = step.judge(answer, seen)
        if found.verdict == "todo":
            return go(found.reason, warnings=found.warnings, exists="missing")
        return replace(found, facts={**found.facts, "exists": "there"})

    return replace(step, judge=judge)


for _name in ORDER:
    if _name in GATES:
        command(app, _name, defaults={"timeout": GATES[_name].timeout})(command_of(GATES[_name]))
    else:
        command(app, _name)(fence.GATES[_name])
