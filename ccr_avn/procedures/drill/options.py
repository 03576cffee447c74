"""The options of a drill, and what they say of its temporary replica."""

from dataclasses import dataclass
from typing import Annotated

from ccr_avn.errors import UsageError
from ccr_avn.options import (
    DoubtTimeout,
    Samples,
    a_name,
    a_word,
    at_least_one,
    choice,
    flag,
    minutes,
    number,
    seconds,
    service,
    word,
)
from ccr_avn.procedures.drill.ours import name_of
from ccr_avn.procedures.enable import ReplicaFlag
from ccr_avn.procedures.gates.services import REPLICA_PLAN, Wanted
from ccr_avn.procedures.verb import Verb
from ccr_avn.procedures.verify import MAX_OPS, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillOptions(Verb):
    """What its steps are made from."""

    primary: Annotated[str, service("[PRIMARY]", "The primary; it is not changed.")]
    replica_cloud: Annotated[str, word("C", "Cloud of the temporary replica.", a_word)]
    replica_plan: Annotated[str, word("PLAN", "Its plan: a startup plan.", a_word)] = REPLICA_PLAN
    level: Annotated[Level, choice("How thoroughly its data is compared before the promotion.")] = "values"
    name: Annotated[str | None, word("NAME", "Name of the temporary replica. [default: PRIMARY-drill-…]", a_name)] = (
        None
    )
    keep: Annotated[bool, flag("--keep", "Don't terminate the temporary replica; print the command.")] = False
    samples: Samples = 20
    max_ops: Annotated[int, number("Maximum commands per second on PRIMARY for --level keys, values.")] = MAX_OPS
    replica_arg: Annotated[list[str] | None, word("ARG", "Passed to `avn service create`; repeatable.")] = None
    allow_any_plan: Annotated[bool, flag("--allow-any-plan", "Let Aiven decide on the plan.")] = False
    max_minutes: Annotated[float, minutes("Time limit for everything except the clean-up.")] = 60
    promote_timeout: Annotated[float, seconds("Time limit for its promotion.", at_least_one)] = 600
    doubt_timeout: DoubtTimeout = 60
    filter_timeout: Annotated[float, seconds("How long to wait for an IP filter to take effect.")] = 60
    backup_timeout: Annotated[float, seconds("How long to wait for the first backup.")] = 600
    quiet_seconds: Annotated[float, seconds("How long the promoted temporary replica must receive no writes.")] = 5
    flag_of_avn: ReplicaFlag = "read-replica-for"  # the one that the installed avn has

    def __post_init__(self) -> None:
        if self.name and self.name == self.primary:
            raise UsageError("--name is PRIMARY", detail=self.primary, hint="leave --name out")

    @property
    def time_limit(self) -> float:
        return self.max_minutes * 60

    @property
    def temporary_replica(self) -> str:
        """Its name."""
        return self.name or name_of(self.primary, self.at.run)

    @property
    def wanted(self) -> Wanted:
        return Wanted(
            name=self.temporary_replica,
            of=Wanted(name=self.primary),
            plan=self.replica_plan,
            cloud=self.replica_cloud,
            any_plan=self.allow_any_plan,
            args=tuple(self.replica_arg or ()),
        )
