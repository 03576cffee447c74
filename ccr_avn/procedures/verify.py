"""verify: prove that an existing pair replicates."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ccr_avn.aiven import avn
from ccr_avn.aiven.lineage import promoted_from
from ccr_avn.aiven.models import Service
from ccr_avn.errors import NotProven
from ccr_avn.plan.model import Finding, Gate, Plan, Probe, Step, stop
from ccr_avn.procedures.gates.links import as_compared, is_equal
from ccr_avn.procedures.gates.services import by_name, judge_power, paired_otherwise, together
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.steps import (
    Find,
    Proof,
    Setting,
    databases_step,
    endpoint,
    found_by,
    link_step,
    marker_step,
    two_sides,
)
from ccr_avn.valkey.compare import JOBS, CompareRequest, Comparison, Progress, compare
from ccr_avn.valkey.info import fetch_link, fetch_replication
from ccr_avn.valkey.replication import NOT_LINKED, Link

Level = Literal["link", "marker", "keys", "values"]


NO_KEY = "no key matches --match or --db"
"""Where these were given, equality of none is a typing error before it is a proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How the keys are compared. ``max_operations``: commands a second on the primary, 0: no limit."""

    match: str | None = None
    sample: int | None = None
    databases: tuple[int, ...] | None = None
    jobs: int = JOBS
    max_operations: int = 20_000
    rounds: int = 3
    round_interval: float = 2.0  # seconds
    differences: Path | None = None

    @property
    def whole(self) -> bool:
        """Whether no key is left out."""
        return self.match is None and self.sample is None and self.databases is None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """Which pair, and how deep. ``link_timeout``: seconds to wait for the link; ``max_lag``: bytes it may be behind."""

    primary: str
    replica: str
    setting: Setting
    level: Level = "marker"
    samples: int = 20
    link_timeout: float = 15.0
    max_lag: int | None = None
    linked: bool = True  # False: two services that do not replicate, compared key by key
    depth: Depth = field(default_factory=Depth)

    def __post_init__(self) -> None:
        two_sides(self.primary, self.replica)

    @property
    def proves_values(self) -> bool:
        """Whether it shows by itself that a replica lacks nothing, whatever that rejected."""
        return self.linked and self.level == "values" and self.depth.whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """The plan, and its steps whose results are told of."""

    plan: Plan
    pair: Step[tuple[Service, ...]]
    proof: Proof


def plan_verify(want: VerifyRequest, progress: Callable[[Progress], None] | None = None) -> Verify:
    """``progress`` is told of a comparison while it goes on."""
    pair = confirm_pair(want.setting, want.primary, want.replica, linked=want.linked)
    find = found_by(pair)
    setting, ends = want.setting, (want.primary, want.replica, find)
    if want.proves_values:
        setting = replace(setting, rejections=replace(setting.rejections, allowed=True))
    link = link_step(setting, *ends, want.link_timeout, NotProven, want.max_lag)
    compare = compare_step(want, find, link, progress) if want.level in ("keys", "values") else None
    if not want.linked:
        title, proof = f"compare {want.replica} with {want.primary}", Proof(compare=compare)
    else:
        title = f"prove that {want.replica} replicates {want.primary}"
        proof = Proof(
            link=link,
            databases=databases_step(want.setting, *ends, NotProven),
            marker=None if want.level == "link" else marker_step(want.setting, *ends, want.samples),
            compare=compare,
        )
    return Verify(plan=Plan(title, checks=(pair,), steps=proof.steps), pair=pair, proof=proof)


def compare_step(
    want: VerifyRequest, find: Find, link: Step[Link], progress: Callable[[Progress], None] | None
) -> Step[Comparison]:
    """Every key, and with the level ``values`` what is in it. ``link``: as it was found before."""
    depth, unlinked = want.depth, () if want.linked else ("--unlinked",)
    most = ("--max-ops", str(depth.max_operations)) if depth.max_operations != Depth().max_operations else ()

    def read(seen: Seen) -> Comparison:
        request = CompareRequest(
            primary=endpoint(find(seen, want.primary), want.setting),
            replica=endpoint(find(seen, want.replica), want.setting),
            level="values" if want.level == "values" else "keys",
            match=depth.match,
            sample=depth.sample,
            databases=depth.databases,
            jobs=depth.jobs,
            max_operations=depth.max_operations,
            rounds=depth.rounds,
            round_interval=depth.round_interval,
            differences_file=depth.differences,
            require_link=want.linked,
        )
        if not want.linked:  # else the link was looked at, which shows it
            _must_be_two(fetch_link(request.primary, request.replica))
        found = compare(request, progress)
        if found.verdict == "equal" and not found.keys and (depth.match is not None or depth.databases):
            return replace(found, verdict="inconclusive", reasons=(*found.reasons, NO_KEY))
        if not want.proves_values or found.verdict != "equal":
            return found
        before, now = as_compared(seen.of(link).replica), as_compared(fetch_replication(request.replica))
        if before == now:
            return found
        why = f"{want.replica} rejected commands of its primary meanwhile, or was started again"
        return replace(found, verdict="inconclusive", reasons=(*found.reasons, why))

    def judge(found: Comparison, seen: Seen) -> Finding:
        if NO_KEY in found.reasons:
            return stop(NO_KEY, detail="nothing was compared", hint="check them, or leave them out")
        finding = is_equal().judge(found, seen)
        if not want.proves_values or finding.verdict != "go" or not found.keys:
            return finding
        return replace(finding, facts={"equal_by_value": as_compared(seen.of(link).replica)})

    return Step(
        slug="compare",
        purpose=f"compare every key of {want.primary} with {want.replica}",
        read=Probe(
            (
                "ccr-avn",
                "verify",
                want.primary,
                want.replica,
                *want.setting.options,
                "--level",
                want.level,
                *most,
                *unlinked,
            ),
            read,
        ),
        by_hand=want.setting.server(want.replica, "DUMP of each key, as at its primary"),
        gate=replace(is_equal(), judge=judge),
    )


def _must_be_two(link: Link) -> None:
    """Raises: NotProven: a server is equal to itself."""
    if link.state == "same server":
        hint = "check both addresses: avn service list --json"
        raise NotProven(NOT_LINKED[link.state], detail=f"run_id {link.primary.run_id}", hint=hint)


def confirm_pair(setting: Setting, primary: str, replica: str, *, linked: bool = True) -> Step[tuple[Service, ...]]:
    """Both exist and serve, and, if ``linked``, the integration goes from PRIMARY to REPLICA."""

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        findings = [_judge_there(setting, found, name) for name in (primary, replica)]
        if linked and (target := by_name(found, replica)) and target.source != primary:
            findings.append(_not_its_replica(target, primary, found))
        return together(findings)

    return Step(
        slug="pair",
        purpose=f"check that {replica} is a read replica of {primary}",
        read=avn.service_list(setting.project, primary, replica),
        gate=Gate("both are running, and the read_replica integration links them", judge),
    )


def _not_its_replica(target: Service, primary: str, found: tuple[Service, ...]) -> Finding:
    other, replica = by_name(found, primary), target.name
    if otherwise := paired_otherwise("verify", other, target):
        return otherwise
    if other and promoted_from(target, found) == other:
        compare = f"ccr-avn verify {primary} {replica} --unlinked --level values"
        return stop(f"{replica} was promoted from {primary}: it replicates nothing", hint=f"to compare them: {compare}")
    return stop(
        f"{replica} is not a read replica", hint=f"`ccr-avn enable {primary} NAME` creates a replica of {primary}"
    )


def _judge_there(setting: Setting, found: tuple[Service, ...], name: str) -> Finding:
    if (service := by_name(found, name)) is None:
        return stop(f"{name} does not exist", hint="check the name and the project: `avn service list`")
    if not service.serving and service.state != "POWEROFF":
        return stop(f"{name} is {service.state}", hint=f"wait for it: avn service wait {name}")
    return judge_power(setting.project, service, found)
