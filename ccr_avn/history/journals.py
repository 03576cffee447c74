"""What the journals on this machine say to a run: promotions, drills, earlier filters, comparisons."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ccr_avn import clock
from ccr_avn.history import drills, promotions
from ccr_avn.procedures.setting import Journals

if TYPE_CHECKING:
    from collections.abc import Collection

    from ccr_avn.aiven.lineage import Recorded
    from ccr_avn.aiven.models import Service
    from ccr_avn.procedures.drill.ours import Made
    from ccr_avn.procedures.gates.history import Audit
    from ccr_avn.procedures.gates.links import Compared


@dataclass(frozen=True)
class JournalsHere(Journals):
    """Each question is asked once: what a run has read of the others does not change under it."""

    project: str | None

    @cached_property
    def promotions(self) -> "tuple[Recorded, ...]":
        return promotions.promotions(self.project)

    @cached_property
    def drills(self) -> "tuple[Made, ...]":
        return drills.creations(self.project)

    def user_of(self, service: "Service") -> str:
        return drills.user_of(service, self.project)

    def equal_by_value(self, replica: str) -> "Collection[Compared]":
        return promotions.equal_by_value(replica, self.project)

    def may_have_paused(self, primary: str, replica: str) -> bool:
        return promotions.may_have_paused(primary, replica, self.project)

    def filter_before(self, service: "Service", closed: list[str]) -> tuple[Any] | None:
        return promotions.filter_before(service, self.project, closed)

    def ahead_before(self, old: "Service", new: "Service", run: str) -> "Audit | None":
        return promotions.found_ahead(old, new, self.project, run)

    def last_drill(self, primary: str, replica: "Service | None") -> tuple[dict[str, Any] | None, str]:
        found, now = drills.last(primary, self.project), clock.now()
        order = f"--replica-cloud {replica.cloud} --replica-plan {replica.plan}" if replica else "--replica-cloud CLOUD"
        return found.as_dict(now) if found else None, drills.describe_last(primary, found, now, order)
