"""What a promotion holds and measures while it runs."""

from dataclasses import dataclass, field

from ccr_avn.dataplane.fence import Fence
from ccr_avn.dataplane.link import Side
from ccr_avn.dataplane.writes import Kept


@dataclass(slots=True, kw_only=True)
class Measured:
    """Times are on the monotonic clock, in seconds; bytes are replication offsets."""

    began: float = 0.0  # when applications could no longer write
    accepted: float = 0.0  # when a write was first accepted again
    lost_bytes: int | None = None

    @property
    def outage_ms(self) -> float | None:
        return round((self.accepted - self.began) * 1000, 1) if self.began and self.accepted else None


@dataclass(slots=True, kw_only=True)
class Held:
    """The fence, what the replica must have applied, what was measured."""

    fence: Fence | None = None
    kept: Kept | None = None  # a connection from before, to see when the old primary cuts it
    observed: bool = False  # writers were stopped by the operator, not by us
    target: Side | None = None  # the primary, read after the fence took hold
    target_at: float = 0.0  # monotonic seconds
    sealed: bool = False
    measured: Measured = field(default_factory=Measured)
