"""Steps that prove replication: the link, the databases, markers; and what they showed, as data."""

from collections.abc import Callable
from typing import Any

from ccr_avn.errors import CcrError, NotProven, TimedOut
from ccr_avn.plan.model import Probe, Step
from ccr_avn.procedures.gates import links
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.valkey.compare import Comparison
from ccr_avn.valkey.info import fetch_link
from ccr_avn.valkey.marker import MarkerResult, run_marker
from ccr_avn.valkey.replication import Link
from ccr_avn.valkey.server_facts import Databases, read_databases


def link_step(
    at: Setting,
    primary: str,
    replica: str,
    limit: float,
    error: type[CcrError] = TimedOut,
    max_lag: int | None = None,
) -> Step[Link]:
    """``max_lag``: bytes that the replica may be behind."""

    def read(seen: Seen) -> Link:
        return fetch_link(endpoint(seen.service(primary), at), endpoint(seen.service(replica), at))

    within = () if max_lag is None else ("--max-lag-bytes", str(max_lag))
    return Step(
        slug="link",
        purpose=f"wait until {replica} follows {primary}",
        read=Probe(at.gate("link", primary, replica, *within, *at.tolerance, limit=limit), read),
        by_hand=at.server(replica, "INFO replication, INFO stats"),
        gate=links.replicates(primary, replica, at.rejections, max_lag, NotProven),
        poll=at.poll(limit, error=error, hint="the initial sync may need longer: raise --link-timeout"),
    )


def databases_step(
    at: Setting,
    primary: str,
    replica: str,
    error: type[CcrError],
    linked: Callable[[Seen], bool] = lambda _: True,
) -> Step[Databases | None]:
    """``linked``: whether the one follows the other at all; ``error``: what it is when a database is missing."""

    def read(seen: Seen) -> Databases | None:
        if not linked(seen):
            return None
        return read_databases(endpoint(seen.service(primary), at), endpoint(seen.service(replica), at))

    return Step(
        slug="databases",
        purpose=f"check that {replica} has every database that {primary} uses",
        read=Probe(at.gate("databases", primary, replica), read),
        by_hand=at.server(primary, "INFO keyspace"),
        gate=links.has_every_database(primary, replica, lambda seen: seen.service(primary).type, error),
    )


def marker_step(at: Setting, primary: str, replica: str, samples: int) -> Step[MarkerResult]:
    def read(seen: Seen) -> MarkerResult:
        source, target = endpoint(seen.service(primary), at), endpoint(seen.service(replica), at)
        return run_marker(source, target, samples=samples)

    return Step(
        slug="marker",
        purpose=f"write {samples} markers to {primary} and read each from {replica}",
        read=Probe(at.gate("marker", primary, replica, "--samples", str(samples)), read),
        by_hand=at.server(replica, "INFO replication"),
        gate=links.markers_arrive(),
        writes_keys=True,
    )


def evidence(seen: Seen) -> dict[str, Any]:
    """What these steps showed, as plain data; of a run that ended early what it came to."""
    found: dict[str, Any] = {}
    if link := seen.answer("link"):
        found["link"] = {"lag_bytes": link.lag_bytes, "history": link.primary.replid}
    if marker := seen.answer("marker"):
        found["marker"] = {
            "samples": marker.samples,
            "arrived": marker.arrived,
            "minimum_ms": round(marker.minimum, 3),
            "median_ms": round(marker.median, 3),
            "maximum_ms": round(marker.maximum, 3),
            "clock_skew_seconds": round(marker.skew, 3),
        }
    if compare := seen.answer("compare"):
        found["compare"] = compared(compare)
    return found


def compared(found: Comparison) -> dict[str, Any]:
    """A comparison as plain data; keys are escaped."""
    return {
        "verdict": found.verdict,
        "level": found.level,
        "keys": found.keys,
        "replica_keys": found.replica_keys,
        "differences": {name: getattr(found.counts, name) for name in ("missing", "extra", "type", "expiry", "value")},
        "examples": [{"kind": one.kind, "database": one.database, "key": one.key} for one in found.examples],
        "reasons": list(found.reasons),
        "compared_by_dump": list(found.compared_by_dump),
        "keys_a_second": round(found.rate),
        "seconds": round(found.seconds, 3),
        "peak_memory_bytes": list(found.peak_memory_bytes),
    }
