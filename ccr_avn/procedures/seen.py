"""What a run has seen so far, by name: services, the integration, both servers, the differences, the write pause."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.aiven.models import Integration, Service
from ccr_avn.errors import Refused
from ccr_avn.plan.model import Answers
from ccr_avn.procedures.gates.pair_state import PairState
from ccr_avn.valkey.replication import ReplicationInfo

if TYPE_CHECKING:
    from ccr_avn.valkey.fence import Fence
    from ccr_avn.valkey.writers import LastConnection

CARRIES = ("history", "accepts-writes")  # the steps that stop where the promoted service lacks the data of its primary
FENCE = "fence"  # the slug of the step that pauses writes; what holds by now is kept under it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both servers, as far as they could be asked before a promotion, and in which state that shows the pair to be.

    ``primary_trouble``: why the primary could not be asked; ``primary_hint``: what helps instead of a failover, where
    it is alive or the way to it is at fault. ``marker_age``: seconds since the last marker of `watch` was written, by
    the replica's clock.
    """

    primary: ReplicationInfo | None
    replica: ReplicationInfo
    state: PairState
    primary_trouble: str = ""
    primary_hint: str = ""
    marker_age: float | None = None

    @property
    def followed(self) -> str:
        """The replication ID that the replica follows, or followed until its promotion."""
        return self.replica.replid if self.replica.role == "slave" else self.replica.replid2

    @property
    def estimate(self) -> tuple[float | None, str]:
        """The loss in seconds of writes, as an estimate or a bound, and how it was got."""
        if self.marker_age is not None and self.marker_age < 0:
            return None, "the last `watch` marker is from the future: the clocks of the two sides differ"
        if self.marker_age is not None:
            return round(self.marker_age, 1), "an upper bound: the last `watch` marker that arrived was written then"
        if self.replica.link_status == "up" and self.replica.last_io_seconds is not None:
            how = "master_last_io_seconds_ago; a frozen primary leaves the link up, so it may be more"
            return float(self.replica.last_io_seconds), how
        if self.replica.link_down_seconds is not None:
            how = "master_link_down_since_seconds: writes acknowledged since are lost"
            return float(self.replica.link_down_seconds), how
        return None, "the replica does not report it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """The write pause. ``fence`` None: writes could not be paused. ``target``: the primary's side once they were, or stood still.

    ``trouble``: why nothing holds writes back, after a promotion.
    """

    fence: "Fence | None" = None
    kept: "LastConnection | None" = None
    target: ReplicationInfo | None = None
    trouble: str = ""

    @property
    def until(self) -> float | None:
        """Until when writes are paused, in seconds since 1970; None: they are not, by this run."""
        return self.fence.paused_until() if self.fence and self.fence.placed_at else None

    def close(self) -> None:
        if self.kept:
            self.kept.close()
        if self.fence:
            self.fence.leave()


class Seen(Answers):
    """Whatever a step reads is kept under the step's slug; what many rules need has a name of its own here.

    What has not been read yet is None or empty where the type says so. Else asking for it is a bug, and raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.checked: dict[
            str, Service
        ] = {}  # each as the first look at it showed it, or the first that had its address
        self.latest: dict[str, Service] = {}  # each as the last look at it showed it

    def remember(self, slug: str, answer: Any) -> None:
        super().remember(slug, answer)
        for one in answer if isinstance(answer, tuple) else (answer,):
            if isinstance(one, Service):
                if one.name not in self.checked or self.checked[one.name].uri is None:
                    self.checked[one.name] = one
                self.latest[one.name] = one

    def service(self, name: str) -> Service:
        """As the checks showed it. Raises: Refused: it does not exist."""
        if name not in self.checked:
            raise Refused(f"{name} does not exist", hint="check its name: avn service list")
        return self.checked[name]

    @property
    def family(self) -> tuple[Service, ...]:
        """Both services and what belongs to the primary, as the checks listed them."""
        return self.answer("pair") or self.answer("primary") or self.answer("primary-alone") or ()

    @property
    def rows(self) -> tuple[Integration, ...]:
        return self.answer("integration") or ()

    @property
    def sides(self) -> Sides | None:
        """None: the checks did not come so far, or did not look."""
        found = self.answer("health") or self.answer("last-known")
        return found if isinstance(found, Sides) else None

    @property
    def state(self) -> PairState | None:
        return self.sides.state if self.sides else None

    @property
    def row(self) -> Integration | None:
        return self.state.row if self.state and self.state.state == "following" else None

    @property
    def promoted(self) -> bool:
        return self.state is not None and self.state.promoted

    @property
    def may_be_promoting(self) -> bool:
        """Whether they saw one, or one may be under way."""
        return self.state is not None and self.state.may_be_promoting

    @property
    def fenced(self) -> Fenced:
        """As the pause was placed, then as the last look before the promotion left it."""
        found: Fenced | None = self.result(FENCE)
        return found or Fenced()
