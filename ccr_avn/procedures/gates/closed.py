"""Rules on an old primary: when it counts as closed to clients."""

from dataclasses import dataclass

from ccr_avn.plan.model import Finding, go, wait
from ccr_avn.valkey.diagnose import Admission
from ccr_avn.valkey.last_connection import RemainingClients

QUIET_LOOKS = 3
"""How often in a row nobody must be left: who was cut comes back within some of these looks, if it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """``admission``: of new connections; ``left``: who a connection from before sees, None: there is none.

    ``quiet``: looks in a row in which nobody was left and nobody was let in; ``paused``: whether writes still are.
    """

    admission: Admission
    left: RemainingClients | None
    trouble: str = ""
    quiet: int = 0
    paused: bool = True


def judge_closed(found: Closing, primary: str, power_off: str) -> Finding:
    why = found.admission.why
    if found.admission.state != "closed":
        unsure = "" if found.admission.state == "open" else "whether it is closed is unknown: "
        return wait(f"{unsure}{why}")
    if found.trouble:
        return wait(found.trouble)
    if found.left is None:
        return go(why, warnings=_unseen(primary, power_off))
    if found.left.cut:
        return go(f"{why}, and existing ones were closed")
    if found.left.clients:
        return wait(f"{len(found.left.clients)} clients are still connected: {', '.join(found.left.clients[:3])}")
    if found.quiet < QUIET_LOOKS:
        return wait("no client is connected; waiting to see whether one connects")
    return go(f"{why}, and no client is connected")


def _unseen(primary: str, power_off: str) -> tuple[str, ...]:
    what = f"whether clients connected to {primary} before are still connected can't be seen from here"
    return (f"{what}; {power_off} disconnects them reliably",)
