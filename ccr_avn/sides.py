"""The pair before a run and after it, as its journal tells."""

from dataclasses import dataclass
from typing import Any

from ccr_avn.story import Story, string

CLOSED = {
    "close": "closed to client connections",
    "power-off": "powered off",
    "hold": "held until the run ended",
    "open": "open: still accepts writes",
}
"""What a switchover leaves the old primary as, by what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One service. ``role``: primary, replica, or what else it is; ``details``: plan, cloud, state as far as known."""

    name: str
    role: str
    details: tuple[str, ...] = ()

    @property
    def serves(self) -> bool:
        return self.role in ("primary", "replica")


def pair_before(story: Story) -> tuple[Side, ...]:
    if given := _given(story, "before"):
        return given
    if story.command == "enable":
        return _enabled(story, before=True)
    if story.command in ("switchover", "failover") and _outcome(story, "promote") == "found":
        return _promoted(story)
    return _following(story)


def pair_now(story: Story) -> tuple[Side, ...]:
    if given := _given(story, "after"):
        return given
    if story.command == "enable":
        return _enabled(story, before=False)
    if story.command not in ("switchover", "failover"):
        return _following(story)
    promote = story.step("promote")
    if promote and promote.outcome in ("changed", "found"):
        return _promoted(story)
    if promote and promote.sent and story.changed is not False:
        return tuple(Side(name=side.name, role="not known", details=side.details) for side in _following(story))
    return _following(story)


def _enabled(story: Story, *, before: bool) -> tuple[Side, ...]:
    """Both sides of `enable`: what the first look saw, or what the steps have made of it."""
    sides = []
    first = story.step("pair")
    for role, name in (("primary", story.primary), ("replica", story.replica)):
        outcome = _outcome(story, role)
        looked = first is not None and first.outcome == "proven"
        absent = first is not None and first.facts.get(f"{role}_exists") is False
        if outcome in ("changed", "found", "proven") and not (before and outcome == "changed"):
            sides.append(Side(name=name, role=role, details=_details(story.result.get(role))))
        elif looked and absent and (before or outcome == "not reached"):
            sides.append(Side(name=name, role="not there"))
        else:
            there = looked and outcome in ("not reached", "changed")
            sides.append(Side(name=name, role=role if there else "not known"))
    return tuple(sides)


def _following(story: Story) -> tuple[Side, ...]:
    names = (("primary", story.primary), ("replica", story.replica))
    return tuple(Side(name=name, role=role, details=_details(story.result.get(role))) for role, name in names if name)


def _promoted(story: Story) -> tuple[Side, ...]:
    old = [Side(name=story.primary, role=_fate(story))] if story.primary else []
    return (*old, Side(name=story.replica, role="primary"))


def _fate(story: Story) -> str:
    """What became of the old primary."""
    if story.command == "failover":
        return "not fenced: may live"
    asked = string(story.facts.get("old_primary")) or "close"
    steps = {"close": "closed", "power-off": "power-off", "hold": "hold", "open": "open"}
    done = _outcome(story, steps.get(asked, "")) in ("found", "changed", "proven")
    return CLOSED.get(asked, asked) if done else "not shown to be closed"


def _outcome(story: Story, slug: str) -> str:
    step = story.step(slug)
    return step.outcome if step else "not reached"


def _given(story: Story, when: str) -> tuple[Side, ...]:
    """Where the result itself describes the pair: a list of services with a role each."""
    told = story.result.get(when)
    services = [one for one in told if isinstance(one, dict) and one.get("name")] if isinstance(told, list) else []
    return tuple(
        Side(name=string(one["name"]), role=string(one.get("role")) or "service", details=_details(one))
        for one in services
    )


def _details(service: Any) -> tuple[str, ...]:
    if not isinstance(service, dict):
        return ()
    plan = " ".join(string(service.get(key)) for key in ("type", "plan") if service.get(key))
    return tuple(one for one in (plan, string(service.get("cloud")), string(service.get("state"))) if one)
