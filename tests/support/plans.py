"""Plans of every procedure, with the options that change their shape."""

import itertools
from typing import Any

from ccr_avn.aiven.avn import Project
from ccr_avn.plan.model import Plan
from ccr_avn.procedures.drill import plan_drill
from ccr_avn.procedures.enable import EnableRequest, plan_enable
from ccr_avn.procedures.failover import FailoverRequest, plan_failover
from ccr_avn.procedures.steps import Setting
from ccr_avn.procedures.switchover import SwitchoverRequest, plan_switchover
from ccr_avn.procedures.temporary_replica import DrillRequest
from ccr_avn.procedures.verify import VerifyRequest, plan_verify

RUN = "20261125T120000Z-abc123"
SETTING = Setting(project=Project("p"))


def enable_plans() -> list[Plan]:
    flags: tuple[Any, ...] = ("read-replica-for", "service-integration")
    return [
        plan_enable(
            EnableRequest(
                primary="eu",
                replica="us",
                setting=Setting(project=Project(project)),
                primary_cloud=cloud,
                replica_cloud="aws-us-east-1",
                service_type=kind,
                replica_flag=flag,
                flag_was_asked=asked,
                verify=verify,
                replica_args=("-c", "valkey_timeout=1"),
            )
        ).plan
        for project, cloud, kind, flag, asked, verify in itertools.product(
            ("p", None), ("c-1", None), ("redis", None), flags, (True, False), (True, False)
        )
    ]


def switching_plans() -> list[Plan]:
    fates: tuple[Any, ...] = ("close", "power-off", "hold", "open")
    over = [
        plan_switchover(SwitchoverRequest(primary="eu", replica="us", setting=SETTING, run="r", old_primary=fate)).plan
        for fate in fates
    ]
    over.append(
        plan_switchover(SwitchoverRequest(primary="eu", replica="us", setting=SETTING, run="r", fence="observe")).plan
    )
    failovers = [
        FailoverRequest(replica="us", setting=SETTING, wait_automatic=5),
        FailoverRequest(replica="us", setting=SETTING, allow_data_loss=True, verify=False),
    ]
    return [*over, *(plan_failover(want).plan for want in failovers)]


def drill_plans() -> list[Plan]:
    wanted = [
        DrillRequest(primary="eu", run=RUN, cloud="aws-us-east-1", setting=SETTING),
        DrillRequest(
            primary="eu", run=RUN, cloud="c", setting=Setting(), level="link", keep=True, replica_args=("-f",)
        ),
    ]
    return [plan_drill(want).plan for want in wanted]


PLANS = [
    *enable_plans(),
    *switching_plans(),
    *drill_plans(),
    plan_verify(VerifyRequest(primary="eu", replica="us", setting=SETTING)).plan,
]
