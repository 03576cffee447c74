"""Plans of every procedure, with the options that change their shape."""

import itertools
from typing import Any

from ccr_avn.aiven.avn import Project
from ccr_avn.plan.model import Plan
from ccr_avn.procedures.drill.drill import Drill
from ccr_avn.procedures.enable import Enable
from ccr_avn.procedures.failover import Failover
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.switchover import Switchover
from ccr_avn.procedures.verify import Verify

RUN = "20261125T120000Z-abc123"
SETTING = Setting(project=Project("p"))


def enable_plans() -> list[Plan]:
    kinds: tuple[Any, ...] = ("redis", None)
    flags: tuple[Any, ...] = ("read-replica-for", "service-integration")
    return [
        Enable(
            primary="eu",
            replica="us",
            at=Setting(project=Project(project)),
            primary_cloud=cloud,
            replica_cloud="aws-us-east-1",
            service_type=kind,
            replica_flag=flag if asked else "auto",
            flag_of_avn=flag,
            verify=verify,
            replica_arg=["-c", "valkey_timeout=1"],
        ).plan()
        for project, cloud, kind, flag, asked, verify in itertools.product(
            ("p", None), ("c-1", None), kinds, flags, (True, False), (True, False)
        )
    ]


def switching_plans() -> list[Plan]:
    fates: tuple[Any, ...] = ("close", "power-off", "hold", "open")
    over = [Switchover(primary="eu", replica="us", at=SETTING, old_primary=fate).plan() for fate in fates]
    over.append(Switchover(primary="eu", replica="us", at=SETTING, fence="observe").plan())
    failovers = [
        Failover(replica="us", at=SETTING, wait_automatic=5),
        Failover(replica="us", at=SETTING, allow_data_loss=True, no_verify=True),
    ]
    return [*over, *(verb.plan() for verb in failovers)]


def drill_plans() -> list[Plan]:
    at = Setting(project=Project("p"), run=RUN)
    by_link = Drill(primary="eu", replica_cloud="c", at=Setting(run=RUN), level="link", keep=True, replica_arg=["-f"])
    return [Drill(primary="eu", replica_cloud="aws-us-east-1", at=at).plan(), by_link.plan()]


PLANS = [*enable_plans(), *switching_plans(), *drill_plans(), Verify(primary="eu", replica="us", at=SETTING).plan()]
