"""Compares every key of a primary with its replica: existence, type, expiry and, if requested, contents."""

from collections.abc import Callable

from ccr_avn.valkey.compare.model import CompareRequest, Comparison, Counts, Difference, Progress, brief

__all__ = ["CompareRequest", "Comparison", "Counts", "Difference", "Progress", "brief", "compare"]


def compare(request: CompareRequest, progress: Callable[[Progress], None] | None = None) -> Comparison:
    """Scan both sides, read again what differs until it is proven or resolved, and give the verdict.

    Nothing is written to either side, and no key counts as used because of it (CLIENT NO-TOUCH, where known).

    Raises:
        Unreachable: a side can't be asked, or stopped answering.
        UsageError: the differences can't be written where they were asked for.
    """
    from ccr_avn.valkey.compare.engine import run

    return run(request, progress or (lambda _: None))
