"""verify: prove that an existing pair replicates."""

from dataclasses import dataclass
from typing import Literal

from ccr_avn import avn
from ccr_avn.errors import NotProven, UsageError
from ccr_avn.gates.services import by_name, judge_power, together
from ccr_avn.models import Service
from ccr_avn.plan import Finding, Gate, Plan, Seen, Step, stop
from ccr_avn.procedures.steps import Setting, link_step, marker_step

Level = Literal["link", "marker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """Which pair, and how deep. ``link_timeout``: seconds to wait for the link to come up."""

    primary: str
    replica: str
    setting: Setting
    level: Level = "marker"
    samples: int = 20
    link_timeout: float = 15.0

    def __post_init__(self) -> None:
        if self.primary == self.replica:
            raise UsageError(
                "PRIMARY and REPLICA are the same service",
                detail=f"both are {self.primary}",
                hint="name the two sides of the pair",
            )


def plan_verify(want: VerifyRequest) -> Plan:
    pair = confirm_pair(want.setting, want.primary, want.replica)

    def find(seen: Seen, name: str) -> Service:
        services: tuple[Service, ...] = seen.of(pair)
        service = by_name(services, name)
        assert service is not None, "the gate on the pair saw both"  # noqa: S101 (an invariant, not a check of input)
        return service

    link = link_step(want.setting, want.primary, want.replica, find, want.link_timeout, NotProven)
    marker = marker_step(want.setting, want.primary, want.replica, find, want.samples)
    steps = (link,) if want.level == "link" else (link, marker)
    return Plan(f"prove that {want.replica} replicates {want.primary}", checks=(pair,), steps=steps)


def confirm_pair(setting: Setting, primary: str, replica: str) -> Step[tuple[Service, ...]]:
    """Both exist and serve, and the integration goes from PRIMARY to REPLICA."""

    def judge(found: tuple[Service, ...], _: Seen) -> Finding:
        findings = [_judge_there(setting, by_name(found, name), name) for name in (primary, replica)]
        target = by_name(found, replica)
        if target and target.source != primary:
            what = f"replicates {target.source}" if target.source else "is no read replica"
            findings.append(
                stop(f"{replica} {what}", hint=f"`ccr-avn enable {primary} NAME` makes a replica of {primary}")
            )
        return together(findings)

    return Step(
        slug="pair",
        purpose=f"see that {replica} is a read replica of {primary}",
        look=avn.service_list(setting.project, primary, replica),
        gate=Gate("both serve and the read_replica integration joins them", judge),
    )


def _judge_there(setting: Setting, service: Service | None, name: str) -> Finding:
    if service is None:
        return stop(f"{name} does not exist", hint="check the name and the project: `avn service list`")
    if not service.serving and service.state != "POWEROFF":
        return stop(f"{name} is {service.state}", hint=f"wait for it: avn service wait {name}")
    return judge_power(setting.project, service)
