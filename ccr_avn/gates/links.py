"""Rules on the data plane: does the replica follow, do markers arrive."""

from ccr_avn.dataplane.compare import Comparison
from ccr_avn.dataplane.link import Link
from ccr_avn.dataplane.marker import MarkerResult
from ccr_avn.errors import NotProven
from ccr_avn.plan import Finding, Gate, Seen, go, stop, wait


def judge_link(link: Link) -> Finding:
    """A replica, up, not syncing, on its primary's history; the lag is then known in bytes."""
    replica, primary = link.replica, link.primary
    if replica.role != "slave":
        return wait(f"the replica's role is {replica.role}: it follows nobody")
    if replica.sync_in_progress:
        return wait("the first copy is under way")
    if replica.link_status != "up":
        down = f" for {replica.link_down_seconds} s" if replica.link_down_seconds else ""
        return wait(f"master_link_status is {replica.link_status}{down}")
    if replica.replid != primary.replid:
        return wait("the replica follows another history than this primary's (master_replid differs)")
    return go(f"link up, no sync in progress, {link.lag_bytes} bytes behind, history {primary.replid[:8]}")


def replicates() -> Gate[Link]:
    return Gate("the link is up, no sync is in progress, and both name the same history", _judge_link)


def markers_arrive() -> Gate[MarkerResult]:
    def judge(result: MarkerResult, _: Seen) -> Finding:
        figures = f"{result.arrived} of {result.samples} markers arrived"
        if result.arrived < result.samples:
            hint = "see how the link stands with `ccr-avn verify PRIMARY REPLICA --level link`, then run again"
            return stop(figures, hint=hint)
        lag = f"lag min {result.minimum:.1f}, median {result.median:.1f}, max {result.maximum:.1f} ms"
        return go(f"{figures}, {lag}")

    return Gate("every marker written to the primary is read from the replica", judge, refused=NotProven)


def is_equal() -> Gate[Comparison]:
    def judge(found: Comparison, _: Seen) -> Finding:
        counted = f"{found.keys} keys compared in {found.seconds:.1f} s ({found.rate:.0f} a second)"
        if found.verdict == "equal":
            return go(f"equal: {counted}", warnings=found.reasons)
        if found.verdict == "inconclusive":
            hint = "run it again at a quieter time, or with more --rounds"
            return stop(f"inconclusive: {counted}", detail="; ".join(found.reasons), hint=hint)
        counts = {name: getattr(found.counts, name) for name in ("missing", "extra", "type", "expiry", "value")}
        kinds = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        examples = ", ".join(f"{one.kind} {one.key} (db {one.database})" for one in found.examples)
        return stop(
            f"different: {kinds}; {counted}",
            detail=examples,
            hint="all of them as JSON lines: --differences FILE; a replica can only be made anew: ccr-avn enable PRIMARY NAME",
        )

    return Gate("every key is on both sides, and equal", judge, refused=NotProven)


def _judge_link(link: Link, _: Seen) -> Finding:
    return judge_link(link)
